"""Vocabularies, scales and buckets learnt from a table that comes in pieces, in one pass.

What is learnt is what ``Encoder.fit`` learns from the whole table, with two differences: means and deviations are
added up piece by piece (equal but for rounding), and the edges of "quantile" come from a uniform sample of
``SAMPLE`` values where there are more. Memory is bounded by the number of distinct values of the columns: their
counts are exact, and a column whose counts would take more than their share of the memory is refused with advice,
as its parameters would not fit either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.core.memory import show_size
from crossfm.core.random import stream
from crossfm.data import numbers as nums
from crossfm.data.blocks import BLOCK_ROWS
from crossfm.data.columns import Column, Numeric
from crossfm.data.encode import Encoder, pick
from crossfm.data.fitted import (
    Bucketed,
    Fitted,
    Hashed,
    Scaled,
    Vocabulary,
    added_up,
    log2_edges,
    read_cells,
)
from crossfm.errors import OptionError

SAMPLE = 1 << 20  # values that "quantile" keeps of a column
_MERGE = 1 << 14  # new counts that are worth a merge
_TIMES = 4  # bytes that a merge takes for each byte of counts


class Learner:
    """Learn ``columns`` from tables; ``add`` them one after another, then take ``encoder()``."""

    def __init__(self, columns: Sequence[Column], memory: float = np.inf) -> None:
        self._encoder = Encoder(columns)
        owners = self._encoder.owners
        self._learners = {j: _learner(self._encoder.columns[j]) for j in sorted(set(owners))}
        self._memory = memory

    def add(self, table: pa.Table) -> None:
        """Learn from some more rows; raises ``OptionError`` when the counts outgrow the memory."""
        for column, owner in zip(self._encoder.columns, self._encoder.owners, strict=True):
            self._learners[owner].add(read_cells(column, pick(table, column.name)))
        if _TIMES * sum(learner.n_bytes for learner in self._learners.values()) > self._memory:
            for learner in self._learners.values():
                learner.shrink()
        taken = {self._encoder.fields[j]: learner.n_bytes for j, learner in self._learners.items()}
        if _TIMES * sum(taken.values()) > self._memory:
            name = max(taken, key=taken.__getitem__)
            raise OptionError(
                f"memory_limit is too small to count the values of column {name!r} (and others): "
                f"{show_size(_TIMES * sum(taken.values()))} are needed so far. Raise it, or give such columns "
                "hash_buckets, which need no counts."
            )

    def encoder(self) -> Encoder:
        """Return the fitted encoder; its ``feature_counts`` are still 0 (see ``Encoder.count``)."""
        self._encoder.set_fitted({j: learner.fitted() for j, learner in self._learners.items()})
        return self._encoder


def _learner(column: Column) -> Any:
    if isinstance(column, Numeric):
        if column.transform == "quantile":
            return _Sample(column)
        return _Largest(column) if column.transform == "log2" else _Moments(column)
    return _Nothing(column) if column.hash_buckets is not None else _Counts(column)


class _Nothing:
    """Hashed values need no learning."""

    n_bytes = 0

    def __init__(self, column: Any) -> None:
        self.column = column

    def add(self, read: Any) -> None:
        pass

    def shrink(self) -> None:
        pass

    def fitted(self) -> Fitted:
        return Hashed(self.column)


class _Counts(_Nothing):
    """Exact counts of values; those of new pieces are merged when there are about as many as old ones."""

    def __init__(self, column: Any) -> None:
        super().__init__(column)
        self.merged = self._table(pa.array([], pa.large_string()), np.zeros(0, np.int64))
        self.new: list[pa.Table] = []

    @staticmethod
    def _table(values: pa.Array, counts: NDArray[np.int64]) -> pa.Table:
        return pa.table({"value": values.cast(pa.large_string()), "count": pa.array(counts)})

    @property
    def n_bytes(self) -> int:  # type: ignore[override]
        return int(sum(table.nbytes for table in (self.merged, *self.new)))

    def add(self, read: Any) -> None:
        counts = read.counts()
        self.new.append(self._table(read.values, counts).filter(pa.array(counts > 0)))
        if sum(len(table) for table in self.new) > max(_MERGE, len(self.merged)):
            self.shrink()

    def shrink(self) -> None:
        self.merged = added_up([self.merged, *self.new])
        self.new = []

    def fitted(self) -> Fitted:
        self.shrink()
        return Vocabulary.of_counts(self.column, self.merged)


class _Moments(_Nothing):
    """Mean and deviation, added up over runs of ``BLOCK_ROWS`` rows wherever pieces end.

    Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979, eq. (2.1).
    """

    def __init__(self, column: Numeric) -> None:
        super().__init__(column)
        self.rest = np.empty(0)
        self.n, self.mean, self.variance = 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, read: Any) -> None:
        x = np.concatenate([self.rest, read])
        whole = len(x) // BLOCK_ROWS * BLOCK_ROWS
        for start in range(0, whole, BLOCK_ROWS):
            self._run(x[start : start + BLOCK_ROWS])
        self.rest = x[whole:]

    def _run(self, x: NDArray[np.float64]) -> None:
        x = x[~np.isnan(x)]
        if not len(x):
            return
        x = nums.signed_log(x) if self.column.transform == "log" else x
        n, mean = self.n + len(x), float(x.mean())
        share, apart = len(x) / n, mean - self.mean
        self.variance += share * (float(x.var()) - self.variance + (1 - share) * apart**2)
        self.mean += share * apart
        self.n, self.low, self.high = n, min(self.low, float(x.min())), max(self.high, float(x.max()))

    def fitted(self) -> Fitted:
        self._run(self.rest)
        self.rest = np.empty(0)
        if self.column.transform == "none" or self.n == 0:
            return Scaled(self.column, 0.0, 1.0)
        if self.low == self.high:
            return Scaled(self.column, self.low, 1.0)
        return Scaled(self.column, self.mean, float(np.sqrt(self.variance)) or 1.0)


class _Largest(_Nothing):
    """How many buckets "log2" needs."""

    def __init__(self, column: Numeric) -> None:
        super().__init__(column)
        self.used = 1

    def add(self, read: Any) -> None:
        x = read[~np.isnan(read)]
        largest = int(nums.log2_buckets(x).max(initial=nums.N_LOW_BUCKETS))
        self.used = max(self.used, largest - nums.N_LOW_BUCKETS + 1)

    def fitted(self) -> Fitted:
        return Bucketed(self.column, log2_edges(min(self.used, self.column.n_buckets or self.used)))


class _Sample(_Nothing):
    """The values with the smallest of random keys: a uniform sample, and all of them while they are few."""

    def __init__(self, column: Numeric) -> None:
        super().__init__(column)
        self.rng = stream(0, "sample")
        self.values, self.keys = np.empty(0), np.empty(0)

    @property
    def n_bytes(self) -> int:  # type: ignore[override]
        return self.values.nbytes + self.keys.nbytes

    def add(self, read: Any) -> None:
        x = read[~np.isnan(read)]
        self.values = np.concatenate([self.values, x])
        self.keys = np.concatenate([self.keys, self.rng.random(len(x))])
        if len(self.keys) > SAMPLE:
            kept = np.sort(np.argpartition(self.keys, SAMPLE)[:SAMPLE])
            self.values, self.keys = self.values[kept], self.keys[kept]

    def fitted(self) -> Fitted:
        return Bucketed(self.column, nums.quantile_edges(self.values, self.column.n_buckets or 10))
