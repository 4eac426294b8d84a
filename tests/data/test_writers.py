"""What is written comes back equal, or nothing is written."""

from __future__ import annotations

import errno
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfm.data.readers import read
from crossfm.data.rows import Rows
from crossfm.data.writers import write_libffm, write_libsvm, write_table
from crossfm.errors import DataError, OptionError

finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
finite64 = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def some_rows(draw):
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=8))
    nnz = sum(lengths)
    ids = [
        i for n in lengths for i in draw(st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True))
    ]
    values = draw(st.none() | st.lists(finite32, min_size=nnz, max_size=nnz))
    return Rows(
        indices=np.array(ids, np.uint32),
        n_features=100,
        indptr=np.cumsum([0, *lengths]).astype(np.int64),
        values=None if values is None else np.array(values, np.float32),
        fields=np.array(draw(st.lists(st.integers(0, 9), min_size=nnz, max_size=nnz)), np.uint32),
        target=np.array(draw(st.lists(finite64, min_size=len(lengths), max_size=len(lengths)))),
    )


@pytest.mark.parametrize("name", ["a.libsvm", "a.libffm.gz", "a.libffm.zst"])
@given(rows=some_rows())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_as_they_were(tmp_path, name, rows):
    with_fields = "libffm" in name
    (write_libffm if with_fields else write_libsvm)(tmp_path / name, rows)
    again = read(tmp_path / name, n_features=100)
    np.testing.assert_array_equal(again.target, rows.target)
    np.testing.assert_array_equal(again.offsets(), rows.offsets())
    np.testing.assert_array_equal(again.indices, rows.indices)
    np.testing.assert_array_equal(again.value_of_each(), rows.value_of_each())
    if with_fields:
        np.testing.assert_array_equal(again.field_of_each(), rows.fields)
    assert again.n_features == 100


def test_text_is_short_and_in_the_usual_form(tmp_path):
    rows = Rows(
        indices=np.array([3, 1, 2, 0], np.uint32),
        n_features=4,
        width=2,
        values=np.array([1, 0.1, 0.3651, 1e-20], np.float32),
        fields=np.array([0, 5], np.uint32),
        target=np.array([1, -0.5]),
    )
    write_libffm(tmp_path / "a.ffm", rows)
    assert (tmp_path / "a.ffm").read_text() == "1 0:3:1 5:1:0.1\n-0.5 0:2:0.3651 5:0:1e-20\n"
    write_libsvm(tmp_path / "a.svm", rows)
    assert (tmp_path / "a.svm").read_text() == "1 3:1 1:0.1\n-0.5 2:0.3651 0:1e-20\n"


def test_many_rows_are_written_block_by_block(tmp_path):
    n = 25_001
    rows = Rows(np.arange(n, dtype=np.uint32), n, width=1, target=np.arange(n, dtype=float))
    write_libsvm(tmp_path / "a.svm", rows)
    again = read(tmp_path / "a.svm")
    np.testing.assert_array_equal(again.indices, rows.indices)
    np.testing.assert_array_equal(again.target, rows.target)


def test_rows_that_the_text_cannot_say_are_refused(tmp_path):
    rows = Rows(np.array([0], np.uint32), 1, width=1)
    path = tmp_path / "a.svm"
    with pytest.raises(DataError, match="no target"):
        write_libsvm(path, rows)
    with pytest.raises(DataError, match="no place for sample weights"):
        write_libsvm(path, rows.with_target([1.0], [2.0]))
    with pytest.raises(DataError, match="NaN or infinite"):
        write_libsvm(path, rows.with_target([np.nan]))
    with pytest.raises(DataError, match="no fields"):
        write_libffm(path, rows.with_target([1.0]))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.zst", "a.parquet", "a.arrow", "a.feather"]
)
def test_tables_come_back_as_they_were(tmp_path, name):
    table = pa.table({"a": [1, None], "b": ['x, "y"', "z\t"], "c": [0.5, 1.5]})
    write_table(tmp_path / name, table)
    assert read(tmp_path / name).to_pydict() == table.to_pydict()


def test_tables_of_pandas_and_polars_can_be_written(tmp_path):
    columns = {"a": [1, 2], "b": ["x", "y"]}
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns)):
        write_table(tmp_path / "a.csv", frame)
        assert read(tmp_path / "a.csv").to_pydict() == columns


def test_a_name_without_a_known_format_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"end it in \.csv"):
        write_table(tmp_path / "a.xls", pa.table({"a": [1]}))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.svm", "a.svm.zst"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, name):
    def full_disk(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full_disk)
    write = write_libsvm if "svm" in name else write_table
    rows = Rows(np.array([0], np.uint32), 1, width=1, target=np.ones(1))
    with pytest.raises(OSError, match="no space left on the disk"):
        write(path, rows if "svm" in name else pa.table({"a": [1]}))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]
