"""Rates, bounds, penalties and random numbers of the steps of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossfm import DeepFMClassifier, NeuralFMRegressor, NFMClassifier, Rows, load
from crossfm.neural.engine.core import CoreEmbeddings
from crossfm.neural.layers import MLP
from crossfm.neural.training import Steps

N = 64
OPTIONS: dict[str, Any] = {"n_factors": 4, "hidden": (8,), "batch_size": 16, "random_state": 0}


def two_columns(n_rows: int = N) -> Rows:
    rng = np.random.default_rng(0)
    ids = np.column_stack([rng.integers(0, 5, n_rows), 5 + rng.integers(0, 5, n_rows)]).astype(np.uint32)
    target = (ids.sum(axis=1) % 2).astype(float)
    return Rows(ids.ravel(), 10, width=2, fields=np.arange(2, dtype=np.uint32), target=target)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Rates and the length of the layers' gradient in each step."""
    seen: list[dict[str, float]] = []
    move, step = CoreEmbeddings.step, Steps._step

    def moved(self: Any, hyper: Any, penalties: Any, *, learning_rate_w: float) -> None:
        seen.append({"V": hyper.learning_rate, "w": learning_rate_w})
        move(self, hyper, penalties, learning_rate_w=learning_rate_w)

    def stepped(self: Any, *args: Any) -> float:
        loss = step(self, *args)
        gradients = [p.grad.flatten() for p in self.table.model.parameters() if p.grad is not None]
        layers = self.table.optimizer.param_groups[0]
        seen[-1] |= {"layers": layers["lr"], "length": float(torch.cat(gradients).norm())}
        return loss

    monkeypatch.setattr(CoreEmbeddings, "step", moved)
    monkeypatch.setattr(Steps, "_step", stepped)
    return seen


def test_a_schedule_lowers_all_three_rates_alike(steps: list[dict[str, float]]) -> None:
    rates = {"learning_rate": 0.001, "learning_rate_V": 0.03, "learning_rate_w": 0.2}
    model = DeepFMClassifier(schedule="linear", max_iter=4, **rates, **OPTIONS).fit(two_columns())
    part = np.repeat([epoch["learning_rate"] / 0.001 for epoch in model.history_], N // 16)
    assert part[0] == 1
    assert part[-1] < 0.5
    for name, rate in (("layers", 0.001), ("V", 0.03), ("w", 0.2)):
        np.testing.assert_allclose([step[name] for step in steps], rate * part)


def test_the_layers_rate_rises_step_by_step_and_goes_on_rising_after_a_pause(
    steps: list[dict[str, float]],
) -> None:
    model = DeepFMClassifier(warmup=6, max_iter=1, warm_start=True, **OPTIONS)
    model.fit(two_columns()).fit(two_columns())
    np.testing.assert_allclose([s["layers"] for s in steps], 0.001 * np.minimum(np.arange(1, 9) / 6, 1))
    assert {step["V"] for step in steps} == {0.05}


def test_clipping_bounds_the_length_of_the_layers_gradient(steps: list[dict[str, float]]) -> None:
    DeepFMClassifier(max_iter=1, **OPTIONS).fit(two_columns())
    bound = min(step["length"] for step in steps) / 2
    steps.clear()
    DeepFMClassifier(max_iter=1, clip_norm=bound, **OPTIONS).fit(two_columns())
    np.testing.assert_allclose([step["length"] for step in steps], bound, rtol=1e-4)


def test_a_row_counts_by_its_weight(steps: list[dict[str, float]]) -> None:
    for weight in (1.0, 3.0):
        model = DeepFMClassifier(max_iter=1, **{**OPTIONS, "batch_size": N})
        model.fit(two_columns(), sample_weight=np.full(N, weight))
    assert steps[1]["length"] == pytest.approx(3 * steps[0]["length"], rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_layers_compute_in_the_precision_asked_for_in_training_and_scoring(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[bool, torch.dtype] = {}
    forward = MLP.forward

    def watched(self: Any, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = forward(self, x)
        seen[self.training] = out.dtype
        return out

    monkeypatch.setattr(MLP, "forward", watched)
    model = DeepFMClassifier(max_iter=1, precision=precision, **OPTIONS).fit(two_columns())
    assert model.decision_function(two_columns()).dtype.itemsize >= 4
    assert seen == dict.fromkeys((True, False), getattr(torch, precision))


def test_a_loaded_network_scores_without_dropout(tmp_path: Path) -> None:
    rows = two_columns()
    model = NFMClassifier(dropout=0.5, max_iter=1, **OPTIONS).fit(rows)
    model.save(tmp_path / "m.crossfm")
    found = load(tmp_path / "m.crossfm").decision_function(rows)
    np.testing.assert_array_equal(found, model.decision_function(rows))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_draws_anew_in_every_step(dropout: float) -> None:
    still = {"learning_rate": 1e-12, "learning_rate_V": 1e-12, "learning_rate_w": 1e-12, "init_scale": 2.0}
    options = {**OPTIONS, **still, "batch_size": N, "shuffle": False, "batch_norm": False}
    model = NFMClassifier(dropout=dropout, max_iter=5, **options).fit(two_columns())
    losses = {round(epoch["train_loss"], 6) for epoch in model.history_}
    assert len(losses) == (5 if dropout else 1)


def test_a_penalty_holds_rare_features_as_firmly_as_frequent_ones() -> None:
    """Rows of weight 0 have no gradient: only the penalty moves their features."""
    ids = np.r_[np.zeros(1), np.ones(100), np.full(300, 2), [3]].astype(np.uint32)
    rows = Rows(ids, 4, width=1)
    weight = y = np.r_[np.zeros(401), 1.0]
    options: dict[str, Any] = {"solver": "sgd", "learning_rate_V": 0.01, "random_state": 0, "batch_size": 50}
    before, after = (
        NeuralFMRegressor(model="fm", max_iter=1, loss="poisson", l2_V=l2, **options)
        .fit(rows, y, sample_weight=weight)
        .params_.V[:3]
        .astype(float)
        for l2 in (0.0, 1e-3)
    )
    shrunk = np.log(np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1))
    np.testing.assert_allclose(shrunk, 0.01 * 1e-3 * len(ids), rtol=0.02)
