"""Sums over rows of a sparse matrix, for one request at a time, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.seen import Positions, offsets

Mask = NDArray[np.bool_]
Floats64 = NDArray[np.float64]
SPARSE = 8  # entries to add up are few when there are this many times as many columns


@dataclass(frozen=True, eq=False)
class Postings:
    """A sparse matrix (n_rows, n_columns) of positive numbers, by rows.

    Attributes
    ----------
    indptr : int64 (n_rows + 1,)
    columns : int32 (nnz,)
    values : float32 or float64 (nnz,)
    n_columns : int
    """

    indptr: Positions
    columns: NDArray[np.int32]
    values: NDArray[Any]
    n_columns: int

    @classmethod
    def of(cls, row: Positions, column: Positions, value: Any, shape: tuple[int, int]) -> Postings:
        """Take entries (nnz,) in any order, each place once; columns rise inside a row."""
        order = np.lexsort((column, row))
        indptr = offsets(np.bincount(row, minlength=shape[0]))
        return cls(indptr, column[order].astype(np.int32), np.asarray(value)[order], shape[1])

    @property
    def n_rows(self) -> int:
        """Rows there are."""
        return len(self.indptr) - 1

    def sums(self, rows: Positions, weights: Floats64 | None = None) -> tuple[Positions, Floats64]:
        """Return the columns that ``rows`` (n,) have entries in, rising, and the sum of each over them.

        ``weights`` (n,), positive, weigh the rows.
        """
        start = self.indptr[rows]
        length = self.indptr[rows + 1] - start
        ends = offsets(length)
        where = np.repeat(start - ends[:-1], length) + np.arange(ends[-1])
        column, value = self.columns[where], self.values[where].astype(np.float64)
        if weights is not None:
            value *= np.repeat(weights, length)
        if SPARSE * len(column) < self.n_columns:
            found, place = np.unique(column, return_inverse=True)
            return found.astype(np.int64), np.asarray(np.bincount(place, value, len(found)), np.float64)
        total = np.asarray(np.bincount(column, value, self.n_columns), np.float64)
        found = np.flatnonzero(total)
        return found, total[found]


def best_of(found: Positions, score: Floats64, may: Mask, n: int) -> Positions:
    """Return up to ``n`` of the positions ``found``, rising, that ``may`` come: best score first, ties by position.

    ``score`` is compared in float32, so that sums which differ by rounding are ties.
    """
    keep = may[found]
    found, score32 = found[keep], score[keep].astype(np.float32)
    if 0 < n < len(found):
        near = score32 >= np.partition(score32, len(found) - n)[len(found) - n]
        found, score32 = found[near], score32[near]
    return found[np.argsort(-score32, kind="stable")][:n]
