"""``solver="sgda"``: penalties learnt on validation rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import crossfm
from contracts import clicks
from crossfm import Categorical, FMClassifier, FMRanker, FMRegressor, Rows
from crossfm.errors import OptionError

COLUMNS = [Categorical("user"), Categorical("item"), Categorical("noise")]


def noisy(n: int = 900) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a column that says nothing, so large that it can be learnt by heart."""
    table, score = clicks(n)
    rng = np.random.default_rng(1)
    table = table[["user", "item"]].assign(noise=rng.integers(0, 300, n))
    return table, score + 0.5 * rng.standard_normal(n)


def make(kind: type = FMRegressor, **options: Any) -> Any:
    settings = {"n_factors": 4, "solver": "sgda", "learning_rate": 0.05, "random_state": 0, "max_iter": 60}
    return kind(**settings | {"columns": COLUMNS} | options)


def test_a_column_of_noise_gets_the_largest_penalty_and_the_model_is_better_than_without() -> None:
    table, y = noisy(1800)
    train, test = slice(0, 900), slice(900, 1800)
    errors = {}
    for solver in ("sgd", "sgda"):
        model = make(solver=solver).fit(table[train], y[train])
        errors[solver] = np.mean((model.predict(table[test]) - y[test]) ** 2)
    assert errors["sgda"] < 0.8 * errors["sgd"]
    assert model.l2_w_.shape == (3,)
    assert model.l2_V_.shape == (3, 4)
    assert model.l2_w_.argmax() == model.l2_V_.mean(axis=1).argmax() == 2


def test_the_penalties_start_where_they_are_told_and_stay_in_the_first_epoch() -> None:
    table, y = noisy()
    first = make(l2_w=0.5, l2_V=0.25, max_iter=1).fit(table, y)
    assert first.l2_w_.tolist() == [0.5] * 3
    assert first.l2_V_.tolist() == [[0.25] * 4] * 3
    second = make(l2_w=0.5, l2_V=0.25, max_iter=2).fit(table, y)
    assert (second.l2_w_ != 0.5).all()


def test_rows_and_matrices_are_one_group() -> None:
    rng = np.random.default_rng(0)
    X = csr_matrix(np.eye(30)[rng.integers(0, 30, 300)])
    model = make(columns=None, n_factors=2, max_iter=3).fit(X, rng.standard_normal(300))
    assert (model.l2_w_.shape, model.l2_V_.shape) == ((1,), (1, 2))


def test_early_stopping_goes_back_to_the_penalties_of_the_best_epoch() -> None:
    table, y = noisy()
    options = {"learning_rate": 0.1, "max_iter": 40}
    stopped = make(early_stopping=True, **options).fit(table, y)
    assert stopped.best_iter_ < stopped.n_iter_
    best = make(**options | {"max_iter": stopped.best_iter_}).fit(table, y)
    assert np.array_equal(best.params_.V, stopped.params_.V)
    assert np.array_equal(best.l2_V_, stopped.l2_V_)


def test_eval_set_is_what_the_penalties_are_learnt_on() -> None:
    table, y = noisy()
    ours = make().fit(table[:600], y[:600], eval_set=(table[600:], y[600:]))
    theirs = make().fit(table[:600], y[:600], eval_set=(table[600:], -y[600:]))
    assert "valid_loss" in ours.history_[0]
    assert theirs.l2_w_.mean() > 2 * ours.l2_w_.mean()  # nothing learnt holds there


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_and_parts_that_come_later(n_classes: int, tmp_path: Path) -> None:
    table, score = noisy()
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    early = (table["user"] < 8).to_numpy()
    model = make(FMClassifier, max_iter=5).fit(table[early], y[early])
    shape = (3,) if n_classes == 2 else (n_classes, 3)
    assert model.l2_w_.shape == shape
    crossfm.save(model, tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert np.array_equal(loaded.l2_V_, model.l2_V_)
    for one in (model, loaded):
        one.partial_fit(table[~early], y[~early])
    assert np.array_equal(loaded.decision_function(table), model.decision_function(table))
    assert np.array_equal(loaded.l2_V_, model.l2_V_)
    assert model.n_iter_ == 6


def test_a_model_without_its_state_starts_the_penalties_again(tmp_path: Path) -> None:
    table, y = noisy()
    make(max_iter=3).fit(table, y).save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert not hasattr(loaded, "l2_w_")
    assert loaded.partial_fit(table, y).l2_w_.shape == (3,)


def test_only_sgda_has_found_penalties() -> None:
    table, y = noisy()
    assert not hasattr(make(), "l2_w_")
    assert not hasattr(make(solver="sgd", max_iter=1).fit(table, y), "l2_V_")


@pytest.mark.parametrize("options", [{"n_threads": 2}, {"l1_w": 0.1}, {"ftrl_decay": 0.9}])
def test_what_it_cannot_do_is_refused(options: dict[str, Any]) -> None:
    table, y = noisy(50)
    with pytest.raises(OptionError, match=next(iter(options))):
        make(**options).fit(table, y)


def test_rankers_do_not_have_it() -> None:
    rows = Rows(np.arange(8, dtype=np.uint32), 8, width=2).with_target([0.0, 1, 0, 1])
    with pytest.raises(OptionError, match="sgda"):
        FMRanker(solver="sgda").fit(rows)
