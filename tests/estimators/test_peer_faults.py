"""Faults of other libraries of neural machines that ``test_neural_faults`` does not have, through the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import crossfm
from crossfm import Categorical, DeepFMClassifier, NeuralFMClassifier, NFMClassifier, Numeric, Rows, stream
from crossfm.data import blocks
from crossfm.data import stream as windows
from crossfm.data.writers import write_table
from crossfm.errors import DataError
from crossfm.neural import training
from crossfm.neural.models import MODELS

COLUMNS = [Categorical("a"), Numeric("x")]
SMALL: dict[str, Any] = {"n_factors": 4, "batch_size": 64, "max_iter": 2, "random_state": 0}


def table_of(n: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, 6, n), "x": rng.normal(3.0, 2.0, n)})
    return table, (table.x * (table.a % 2 - 0.5) > 0).to_numpy().astype(int)


@pytest.mark.parametrize("name", MODELS)
def test_ids_and_numbers_that_training_never_lacked_may_be_missing_or_new_later(name: str) -> None:
    """An index out of range, or NaN in every score: a missing number is none, which is also what the mean is."""
    table, y = table_of()
    model = NeuralFMClassifier(model=name, columns=COLUMNS, **SMALL).fit(table, y)
    odd = pd.DataFrame({"a": [2, 2, None, 99, 10**12], "x": [np.nan, table.x.mean(), 1.0, 1.0, 1.0]})
    score = model.decision_function(odd)
    assert np.isfinite(score).all()
    assert score[0] == pytest.approx(score[1], abs=1e-5)
    assert score[3] == pytest.approx(score[4], abs=1e-5)


def test_frames_of_polars_are_split_by_the_machine_and_lazy_ones_named() -> None:
    table, y = table_of()
    options = {"columns": COLUMNS, "early_stopping": True, "validation_fraction": 0.2, **SMALL}
    a, b = (NFMClassifier(**options).fit(kind(table), y) for kind in (pd.DataFrame, pl.DataFrame))
    assert a.history_[-1]["valid_loss"] == b.history_[-1]["valid_loss"]
    with pytest.raises(DataError, match=r"LazyFrame.*call .collect()"):
        NFMClassifier(**options).fit(pl.DataFrame(table).lazy(), y)


def test_batch_norm_is_there_where_it_is_asked_for_only() -> None:
    table, y = table_of()
    for kind, default in ((NFMClassifier, True), (DeepFMClassifier, False)):  # as in the papers
        for asked in (None, True, False):
            model = kind(columns=COLUMNS, batch_norm=asked, hidden=(8,), **SMALL).fit(table, y)
            there = any("running_mean" in layer for layer in model.params_.layers)
            assert there == (default if asked is None else asked)


def test_gradients_are_clipped_only_where_it_is_asked_for() -> None:
    table, y = table_of()
    ends = []
    for options in ({}, {"clip_norm": 1e9}, {"clip_norm": 1e-3}):
        model = DeepFMClassifier(columns=COLUMNS, hidden=(8,), l2_layers=1e-4, **options, **SMALL).fit(
            table, y
        )
        ends.append(model.params_.layers["deep.layers.0.weight"].tobytes())
    assert ends[0] == ends[1] != ends[2]


def test_rows_of_a_stream_come_in_another_order_every_epoch(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 20)
    monkeypatch.setattr(windows, "WINDOW", 4000)
    table, y = table_of()
    write_table(tmp_path / "t.parquet", pa.table({"row": np.arange(300).astype(str), "a": table.a, "y": y}))
    rows = stream(
        tmp_path / "t.parquet", target="y", columns=[Categorical("row", min_count=1), Categorical("a")]
    )
    assert len(list(rows.windows())) > 5
    seen: list[int] = []
    run = training.Steps.run

    def spied(self: Any, rows: Rows, order: Any) -> float:
        seen.extend(rows.indices.reshape(-1, rows.width)[order, 0].tolist())
        return run(self, rows, order)

    monkeypatch.setattr(training.Steps, "run", spied)
    NFMClassifier(**{**SMALL, "max_iter": 3}).fit(rows)
    epochs = np.array(seen).reshape(3, 300)
    assert (np.sort(epochs) == np.sort(epochs[0])).all()
    assert len(np.unique(epochs[0])) == 300
    file = np.concatenate([part.indices.reshape(-1, part.width)[:, 0] for part in rows])
    for one, other in ((epochs[0], file), (epochs[1], epochs[0]), (epochs[2], epochs[1])):
        place = np.argsort(other)[np.searchsorted(np.sort(other), one)]
        assert (np.abs(np.diff(place)) == 1).mean() < 0.1  # neighbours do not stay together
        assert abs(np.corrcoef(place, np.arange(300))[0, 1]) < 0.8  # nor do blocks keep their turn


def test_the_target_is_none_of_the_columns(tmp_path: Any) -> None:
    table, y = table_of()
    write_table(tmp_path / "t.parquet", pa.table({**table, "y": y, "w": np.ones(300)}))
    model = NFMClassifier(**SMALL).fit(stream(tmp_path / "t.parquet", target="y", weight="w"))
    assert list(model.encoder_.fields) == ["a", "x"]


def test_the_default_optimizer_keeps_two_numbers_of_a_feature_and_its_state_is_saved(tmp_path: Any) -> None:
    """Adam over whole tables keeps two more tables; and files that lack the state go on from another place."""
    table, y = table_of()
    model = NFMClassifier(16, columns=COLUMNS, max_iter=2, random_state=0).fit(table, y)
    state, _ = model._machines[0].embeddings.state()
    assert state.shape == (len(model.params_.w), 2)
    model.save(tmp_path / "m.crossfm", with_state=True)
    loaded: Any = crossfm.load(tmp_path / "m.crossfm")
    for one in (model, loaded):
        one.partial_fit(table, y)
    for name, array in model.params_.to_arrays().items():
        assert np.array_equal(array, loaded.params_.to_arrays()[name]), name
