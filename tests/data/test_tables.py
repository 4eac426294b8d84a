"""Tables of every library become the same Arrow table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix, dok_matrix

from crossfm.data.tables import as_table, is_table
from crossfm.errors import DataError

CELLS = {"name": ["a", None, "ç"], "age": [1, 2, 3], "tags": [["x"], [], ["y", "z"]]}
TABLES = {
    "dict": CELLS,
    "pandas": pd.DataFrame(CELLS, index=[7, 8, 9]),
    "polars": pl.DataFrame(CELLS),
    "pyarrow": pa.table(CELLS),
    "batch": pa.RecordBatch.from_pydict(CELLS),
    "reader": None,  # made in the test: it can be read once
}


@pytest.mark.parametrize("library", TABLES)
def test_a_table_of_any_library_gives_the_same_cells(library):
    X = TABLES[library] if library != "reader" else pa.table(CELLS).to_reader()
    assert is_table(X)
    assert as_table(X).to_pydict() == CELLS
    assert as_table(pa.table(CELLS)).schema.metadata is None


def test_a_pandas_index_with_a_name_is_no_column():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name="row"))
    assert as_table(frame).column_names == ["a"]


def test_names_that_are_numbers_become_text():
    assert as_table(pd.DataFrame({1: [1], 2: [2]})).column_names == ["1", "2"]


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 2)),
        csr_matrix((2, 2)),
        dok_matrix((2, 2)),
        [[1, 2]],
        "a",
        None,
        {},
        {1: [2]},
        pd.Series([1]),
        pl.Series([1]),
        pa.chunked_array([[1]]),
        pa.array([1]),
    ],
    ids=lambda X: type(X).__name__,
)
def test_matrices_and_single_columns_are_no_tables(X):
    assert not is_table(X)
    with pytest.raises(DataError):
        as_table(X)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' is there more than once"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), "'a' is there more than once"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "'1' is there more than once"),
        (pd.DataFrame(index=[1, 2]), "no columns"),
        (pl.DataFrame(), "no columns"),
        ({"a": [1, 2], "b": [1]}, "differ in length: {'a': 2, 'b': 1}"),
        ({"a": "text"}, "'a' is a single str"),
        ({"a": 3}, "'a' is a single int"),
        ({"a": [1, "x"]}, "column 'a' cannot be read"),
        ({"a": np.zeros((2, 2))}, "column 'a' cannot be read"),
        (pd.DataFrame({"a": [1, "x"]}), "the pandas table cannot be read"),
        (pl.LazyFrame({"a": [1]}), r"call \.collect\(\)"),
        (np.zeros(3), "this is ndarray"),
    ],
)
def test_what_is_wrong_is_named(X, words):
    with pytest.raises(DataError, match=words):
        as_table(X)


def test_a_table_may_have_no_rows():
    assert as_table(pd.DataFrame({"a": pd.Series([], dtype=str)})).num_rows == 0


def test_asking_for_a_table_imports_no_table_library():
    code = (
        "import sys; from crossfm.data.tables import is_table; import crossfm.data.columns; is_table([]); "
        "print([m for m in ('pandas', 'polars', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
