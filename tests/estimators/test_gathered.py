"""Exact solvers on streams: the windows are put together, and give the bits of rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossfm import Categorical, FMClassifier, FMRegressor, Numeric, Rows, read, stream
from crossfm.core import memory
from crossfm.data import blocks
from crossfm.data import stream as windows
from crossfm.data.split import chosen_rows
from crossfm.data.writers import write_libffm, write_table
from crossfm.errors import DataError, MemoryLimitError, OptionError


@pytest.fixture(autouse=True)
def many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several windows an epoch."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    monkeypatch.setattr(windows, "WINDOW", 19_000)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A libffm file; some of its blocks have other values than 1."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(0, 20, 1500), rng.integers(20, 40, 1500)], 1).ravel().astype(np.uint32)
    values = np.where(np.arange(3000) < 1200, 1.0, rng.random(3000)).astype(np.float32)
    fields = np.array([0, 1], np.uint32)
    target = rng.standard_normal(40)[ids].reshape(-1, 2).prod(1) + 5
    write_libffm(tmp_path / "a.libffm", Rows(ids, 40, width=2, values=values, fields=fields, target=target))
    return tmp_path / "a.libffm"


def table(n: int = 900) -> pa.Table:
    rng = np.random.default_rng(1)
    color = rng.integers(0, 3, n)
    return pa.table(
        {
            "a": rng.integers(0, 9, n),
            "x": rng.standard_normal(n),
            "w": rng.integers(0, 3, n),
            "y": color + rng.standard_normal(n),
            "c": np.array(["red", "green"])[(color + rng.standard_normal(n) > 1).astype(int)],
        }
    )


COLUMNS = [Categorical("a"), Numeric("x", transform="none")]


def exact(solver: str, kind: Any = FMRegressor, **options: Any) -> Any:
    return kind(3, solver=solver, max_iter=6, random_state=0, **options)


@pytest.mark.parametrize("solver", ["als", "mcmc"])
def test_a_file_of_numbers_gives_the_bits_of_its_rows(solver: str, text: Path) -> None:
    rows, opened = read(text), stream(text)
    assert len(list(opened.windows())) > 3
    a = exact(solver).fit(rows, eval_set=(rows, rows.target))
    for eval_set in (opened, (opened, None), (rows, rows.target)):
        b = exact(solver).fit(opened, eval_set=eval_set)
        assert np.array_equal(a.predict(rows), b.predict(rows))
        assert a.history_[-1]["valid_loss"] == b.history_[-1]["valid_loss"]
    np.testing.assert_array_equal(b.predict(opened), a.predict(rows))


def test_a_table_gives_the_bits_of_memory_with_weights_and_classes(tmp_path: Path) -> None:
    data = table()
    write_table(tmp_path / "t.parquet", data)
    for kind, target, weight in ((FMRegressor, "y", "w"), (FMClassifier, "c", None)):
        opened = stream(tmp_path / "t.parquet", target=target, weight=weight, columns=COLUMNS)
        streamed = exact("mcmc", kind).fit(opened)
        in_memory = exact("mcmc", kind, columns=COLUMNS).fit(
            data.select(["a", "x"]),
            data[target].to_numpy(zero_copy_only=False),
            sample_weight=None if weight is None else data[weight].to_numpy(),
        )
        assert np.array_equal(streamed.predict(data.select(["a", "x"])), in_memory.predict(opened))
        assert streamed.feature_names_in_.tolist() == ["a", "x"]
        assert streamed._chain.prior.group.max() == 1  # a group a column


def test_a_chain_goes_on_and_is_judged_on_parts_of_a_stream(text: Path) -> None:
    train, held = stream(text).split(0.2, 0)
    a, b = (exact("mcmc", warm_start=True) for _ in range(2))
    a.fit(train, eval_set=held).fit(train)
    rows = read(text)
    part = rows.take(~chosen_rows(0, 1500, 0.2, 0))
    b.fit(part).fit(part)
    assert np.array_equal(a.predict(rows), b.predict(rows))


def test_what_does_not_fit_into_memory_is_told_before_it_is_read(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = stream(text)
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    monkeypatch.setattr(type(opened), "windows", None)
    with pytest.raises(
        MemoryLimitError, match=r"fewer keep_samples.* or a solver that takes rows window by window"
    ):
        exact("mcmc").fit(opened)
    monkeypatch.undo()
    rows = read(text)
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    with pytest.raises(MemoryLimitError, match=r"1 MB.*fewer keep_samples"):
        exact("mcmc").fit(rows)
    monkeypatch.undo()
    resident = memory.resident()
    with pytest.raises(OptionError, match=r"memory_limit=.* is too small"):
        exact("mcmc", keep_samples=10**6).set_params(max_iter=10**6).fit(
            stream(text, memory_limit=resident + 400_000_000)
        )


def test_targets_and_other_encodings_beside_a_stream_are_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="brings its own target"):
        exact("als").fit(stream(text), np.ones(1500))
    write_table(tmp_path / "t.parquet", table())
    other = stream(tmp_path / "t.parquet", target="y", columns=COLUMNS)
    with pytest.raises(DataError, match="not encoded as the model's"):
        exact("als").fit(stream(text), eval_set=other)
