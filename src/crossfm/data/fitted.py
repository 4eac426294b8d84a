"""One fitted column: cells in, feature ids of the column out. ``Encoder`` puts them side by side.

A column's ids begin at 0 with the missing feature; the encoder adds where the column's range starts.
State is arrays only, since the model file keeps arrays as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data import numbers as nums
from crossfm.data.categories import (
    Codes,
    Tokens,
    category_codes,
    distinct_in_cells,
    multi_tokens,
    stable_hash,
)
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.places import Places
from crossfm.data.strings import pack_strings, unpack_strings
from crossfm.errors import ColumnError, ModelFileError

Arrays = dict[str, NDArray[Any]]
MISSING = 0
UNSEEN = 1
FEW = 16  # values to look up are few when the vocabulary has this many times as many


@dataclass(frozen=True)
class Cells:
    """Features of one column: ids (nnz,), values (nnz,) or None for ones, offsets or None for one a row."""

    ids: Codes
    values: NDArray[np.float32] | None = None
    indptr: Codes | None = None


class Fitted(Protocol):
    """What the encoder asks of a fitted column."""

    n_features: int

    def encode(self, read: Any) -> Cells:
        """Turn what ``read_cells`` returned into features."""

    def names(self) -> list[str]:
        """Name each feature (n_features,)."""

    def state(self) -> Arrays:
        """Return the arrays that ``restore`` needs."""


def read_cells(column: Column, array: Any) -> Any:
    """Return a column's cells in the form its fit and encode share: tokens or numbers."""
    if isinstance(column, Numeric):
        return nums.numbers(array, column.name)
    if isinstance(column, MultiCategorical):
        return multi_tokens(array, column.name, column.separator)
    if pa.types.is_nested(array.type):
        raise ColumnError(
            f"column {column.name!r} holds {array.type}, but Categorical needs one value a cell; "
            f"use MultiCategorical({column.name!r}) for lists and maps"
        )
    codes, values = category_codes(array, column.name)
    return Tokens(values, codes)


def fit_column(column: Column, *reads: Any) -> Fitted:
    """Learn vocabulary, buckets or scale from the cells of a column, and of those that share its vocabulary."""
    if isinstance(column, Numeric):
        return _fit_numeric(column, *reads)
    if column.hash_buckets is not None:
        return Hashed(column)
    return Vocabulary.of(column, *reads)


def restore(column: Column, arrays: Arrays) -> Fitted:
    """Make the fitted column that ``state`` described; raises ``ModelFileError`` for broken arrays."""
    if isinstance(column, Numeric):
        return (Bucketed if column.is_bucketed else Scaled).from_state(column, arrays)
    if column.hash_buckets is not None:
        return Hashed(column)
    return Vocabulary.from_state(column, arrays)


# ------------------------------------------------------------------------------------------- categories


def _encode_tokens(
    column: Categorical | MultiCategorical, tokens: Tokens, ids_of_value: Codes, n: int
) -> Cells:
    """Map codes to ids; several unseen values of one cell, or values with one hash, are one feature.

    Their numbers, if they have any, are added up.
    """
    ids = np.append(ids_of_value, MISSING)[tokens.codes]
    if tokens.indptr is None:
        return Cells(ids)
    n_cells = len(tokens.indptr) - 1
    cells = np.repeat(np.arange(n_cells), np.diff(tokens.indptr))
    ids, indptr, weights = distinct_in_cells(cells, ids, n_cells, n, tokens.weights)
    if weights is not None:
        share = _combined(column, np.diff(indptr))
        return Cells(ids, (weights if share is None else weights * share).astype(np.float32), indptr)
    if tokens.cell_of_row is not None:
        starts, lengths = indptr[tokens.cell_of_row], np.diff(indptr)[tokens.cell_of_row]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = ids[np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])]
    return Cells(ids, _combined(column, np.diff(indptr)), indptr)


def _combined(column: Categorical | MultiCategorical, lengths: Codes) -> NDArray[np.float32] | None:
    """Return each feature's value under the column's combiner."""
    combiner = column.combiner if isinstance(column, MultiCategorical) else "sum"
    if combiner == "sum":
        return None
    share = 1.0 / np.maximum(lengths, 1)
    return np.repeat(share if combiner == "mean" else np.sqrt(share), lengths).astype(np.float32)


def _counted(*reads: Tokens) -> pa.Table:
    """Return each ``value`` and its ``count`` of rows, 0 for values that only a dictionary has."""
    return added_up([pa.table({"value": tokens.values, "count": tokens.counts()}) for tokens in reads])


def added_up(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one table of ``value`` and ``count`` for several of them, each value once."""
    if len(tables) == 1:
        return tables[0]
    grouped = pa.concat_tables(tables).group_by("value", use_threads=False).aggregate([("count", "sum")])
    return grouped.rename_columns({"count_sum": "count"}).select(["value", "count"]).combine_chunks()


def _frequent(table: pa.Table, min_count: int) -> pa.Array:
    """Return the values in at least ``min_count`` rows, by falling frequency, then by bytes."""
    table = table.filter(pc.greater_equal(table["count"], min_count))
    order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("value", "ascending")])
    return table["value"].take(order).combine_chunks().cast(pa.large_string())


class Vocabulary:
    """[missing, unseen, values by falling frequency, values that joined later]."""

    def __init__(
        self,
        column: Categorical | MultiCategorical,
        values: pa.Array,
        places: Places | None = None,
    ) -> None:
        self.column = column
        self.values = values
        self.n_features = 2 + len(values)
        self._places = places  # made when first needed

    @classmethod
    def of(cls, column: Categorical | MultiCategorical, *reads: Tokens) -> Vocabulary:
        """Take the values of ``reads`` that are frequent enough."""
        return cls.of_counts(column, _counted(*reads))

    @classmethod
    def of_counts(cls, column: Categorical | MultiCategorical, table: pa.Table) -> Vocabulary:
        """Take the values that are frequent enough from a table of ``value`` and ``count``."""
        return cls(column, _frequent(table, column.min_count)[: column.max_size])

    def grown(self, *reads: Tokens) -> Vocabulary:
        """Return the vocabulary with the new values of ``reads`` behind the others, as ``of`` would take them.

        ``min_count`` counts the rows of ``reads`` alone, ``max_size`` holds for all values.
        """
        counted = _counted(*reads)
        is_new = self.find(counted["value"].combine_chunks()) < 0
        new = _frequent(counted.filter(pa.array(is_new)), self.column.min_count)
        if self.column.max_size is not None:
            new = new[: max(self.column.max_size - len(self.values), 0)]
        if not len(new):
            return self
        places = None if self._places is None else self._places.with_later(new.to_pylist())
        return Vocabulary(self.column, pa.concat_arrays([self.values, new]), places)

    def encode(self, read: Tokens) -> Cells:
        return self.encode_for(self.column, read)

    def encode_for(self, column: Categorical | MultiCategorical, read: Tokens) -> Cells:
        """Encode the cells of ``column``, which may be one that shares."""
        found = self.find(read.values)
        return _encode_tokens(column, read, np.where(found < 0, UNSEEN, found + UNSEEN + 1), self.n_features)

    def find(self, values: pa.Array) -> Codes:
        """Return the place of each value (n,) in the vocabulary, -1 where it is not in it.

        pyarrow hashes the whole vocabulary each time: few values are looked up in a table that is kept.
        """
        if len(values) * FEW > len(self.values):
            found = pc.fill_null(pc.index_in(values, value_set=self.values), -1)
            return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int64))
        if self._places is None:
            self._places = Places(self.values)
        return self._places.find(values.to_pylist())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_places": None}

    def names(self) -> list[str]:
        name = self.column.name
        return [
            f"{name}=<missing>",
            f"{name}=<unseen>",
            *(f"{name}={value}" for value in self.values.to_pylist()),
        ]

    def state(self) -> Arrays:
        data, offsets = pack_strings(self.values)
        return {"bytes": data, "offsets": offsets}

    @classmethod
    def from_state(cls, column: Categorical | MultiCategorical, arrays: Arrays) -> Vocabulary:
        what = f"the vocabulary of column {column.name!r}"
        data, offsets = _array(column, arrays, "bytes", np.uint8), _array(column, arrays, "offsets", np.int64)
        values = unpack_strings(data, offsets, what)
        if pc.count_distinct(values).as_py() != len(values):
            raise ModelFileError(f"{what} is broken: a value is there twice")
        return cls(column, values)


class Hashed:
    """[missing, buckets]."""

    def __init__(self, column: Categorical | MultiCategorical) -> None:
        self.column = column
        self.n_buckets = column.hash_buckets or 1
        self.n_features = 1 + self.n_buckets

    def encode(self, read: Tokens) -> Cells:
        return self.encode_for(self.column, read)

    def encode_for(self, column: Categorical | MultiCategorical, read: Tokens) -> Cells:
        """Encode the cells of ``column``, which may be one that shares."""
        ids = 1 + (stable_hash(read.values) % np.uint64(self.n_buckets)).astype(np.int64)
        return _encode_tokens(column, read, ids, self.n_features)

    def names(self) -> list[str]:
        name = self.column.name
        return [f"{name}=<missing>", *(f"{name}=<hash {bucket}>" for bucket in range(self.n_buckets))]

    def state(self) -> Arrays:
        return {}


class Shared:
    """A column whose features are those of another: nothing is its own but how the values of a cell combine."""

    n_features = 0

    def __init__(self, column: Any, owner: Vocabulary | Hashed) -> None:
        self.column, self.owner = column, owner

    def encode(self, read: Tokens) -> Cells:
        return self.owner.encode_for(self.column, read)

    def names(self) -> list[str]:
        return []

    def state(self) -> Arrays:
        return {}


# ---------------------------------------------------------------------------------------------- numbers


def _fit_numeric(column: Numeric, x: NDArray[np.float64]) -> Fitted:
    x = x[~np.isnan(x)]
    if column.transform == "quantile":
        return Bucketed(column, nums.quantile_edges(x, column.n_buckets or 10))
    if column.transform == "log2":
        used = int(nums.log2_buckets(x).max(initial=nums.N_LOW_BUCKETS)) - nums.N_LOW_BUCKETS + 1
        return Bucketed(column, log2_edges(min(used, column.n_buckets or used)))
    return Scaled(column, *_linear(column, x))


def _linear(column: Numeric, x: NDArray[np.float64]) -> tuple[float, float]:
    if column.transform == "none":
        return 0.0, 1.0
    return nums.center_and_scale(nums.signed_log(x) if column.transform == "log" else x)


def log2_edges(n_high: int) -> NDArray[np.float64]:
    """Return the lower ends of all buckets but the first; only their number is used for encoding."""
    return np.concatenate([[0, 1, 2], np.exp(np.sqrt(np.arange(1, n_high)))])


class Scaled:
    """[missing, value]."""

    n_features = 2

    def __init__(self, column: Numeric, center: float, scale: float) -> None:
        self.column, self.center, self.scale = column, center, scale

    def encode(self, read: NDArray[np.float64]) -> Cells:
        x = nums.signed_log(read) if self.column.transform == "log" else read
        x = (x - self.center) / self.scale
        nums.check_range(x, read, self.column.name)
        missing = np.isnan(x)
        return Cells((~missing).astype(np.int64), np.where(missing, 1, x).astype(np.float32))

    def names(self) -> list[str]:
        return [f"{self.column.name}=<missing>", self.column.name]

    def state(self) -> Arrays:
        return {"scale": np.array([self.center, self.scale])}

    @classmethod
    def from_state(cls, column: Numeric, arrays: Arrays) -> Scaled:
        pair = _array(column, arrays, "scale", np.float64)
        if pair.shape != (2,) or not np.isfinite(pair).all() or pair[1] <= 0:
            raise ModelFileError(
                f"column {column.name!r}: mean and scale are {pair.tolist()}, which cannot be"
            )
        return cls(column, float(pair[0]), float(pair[1]))


class Bucketed:
    """[missing, buckets in rising order]."""

    def __init__(self, column: Numeric, edges: NDArray[np.float64]) -> None:
        self.column = column
        self.edges = edges
        self.n_features = 2 + len(edges)

    def encode(self, read: NDArray[np.float64]) -> Cells:
        missing = np.isnan(read)
        x = np.where(missing, 0.0, read)
        if self.column.transform == "log2":
            buckets = np.minimum(nums.log2_buckets(x), len(self.edges))
        else:
            buckets = np.searchsorted(self.edges, x, side="left")
        return Cells(np.where(missing, MISSING, 1 + buckets))

    def names(self) -> list[str]:
        digits = 6 if self.column.transform == "log2" else 12  # fitted values are told in full
        ends = ["-inf", *(f"{edge:.{digits}g}" for edge in self.edges), "inf"]
        left, right = ("[", ")") if self.column.transform == "log2" else ("(", "]")
        ranges = [f"{left}{low}, {high}{right}" for low, high in pairwise(ends)]
        ranges[0], ranges[-1] = "(" + ranges[0][1:], ranges[-1][:-1] + ")"
        return [f"{self.column.name}=<missing>", *(f"{self.column.name}={text}" for text in ranges)]

    def state(self) -> Arrays:
        return {"edges": self.edges}

    @classmethod
    def from_state(cls, column: Numeric, arrays: Arrays) -> Bucketed:
        edges = _array(column, arrays, "edges", np.float64)
        least = nums.N_LOW_BUCKETS if column.transform == "log2" else 0
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any() or len(edges) < least:
            raise ModelFileError(f"column {column.name!r}: the edges of its buckets do not rise")
        return cls(column, edges)


def _array(column: Column, arrays: Arrays, key: str, dtype: Any) -> NDArray[Any]:
    """Return one array of a state, if it is there with the right type and one dimension."""
    array = arrays.get(key)
    if array is None or array.dtype != dtype or array.ndim != 1:
        seen = "missing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise ModelFileError(
            f"column {column.name!r}: array {key!r} is {seen}, expected one row of {np.dtype(dtype)}"
        )
    return array
