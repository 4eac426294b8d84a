"""Exact moves of the second-order machine, feature by feature: Gibbs sampling and alternating least squares.

``Columns`` are the rows turned round, ``Moves`` what is known of every row between two moves. Callers check ids and
options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.data.relation import Relation
from crossfm.data.rows import Rows
from crossfm.errors import DataError
from crossfm.kernels.fm import scores, single
from crossfm.kernels.table import Table, aligned_zeros

TOGETHER = 8  # factors of a relation's features that move at once
Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """The features that some row has, in the order of a sweep, each with its rows.

    Attributes
    ----------
    feature : uint32 (n_columns,)
    start : int64 (n_columns + 1,)
        Where the rows of each column begin.
    row : uint32 (nnz,)
    value : float32 (nnz,) or None
        None when every value is 1.
    colours : int64 (n_colours + 1,)
        Where each colour begins among the columns. Columns of one colour share no row, so that they may be moved at
        the same time; colours are found greedily, and are the fields where the features are one-hot blocks.
    """

    feature: NDArray[np.uint32]
    start: NDArray[np.int64]
    row: NDArray[np.uint32]
    value: Singles | None
    colours: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows) -> Columns:
        """Turn ``rows`` round. Raises ``DataError`` for a feature that stands in a row twice."""
        from scipy.sparse import csr_matrix

        data = np.ones(rows.nnz, bool) if rows.values is None else rows.values
        ids = rows.indices.astype(np.int32 if rows.n_features < 2**31 else np.int64)
        turned = csr_matrix((data, ids, rows.offsets()), shape=(rows.n_rows, rows.n_features)).tocsc()
        feature = np.flatnonzero(np.diff(turned.indptr))
        start = np.append(turned.indptr[feature], rows.nnz).astype(np.int64)
        row = turned.indices.astype(np.uint32)
        _check_distinct(feature, start, row)
        colour = np.empty(len(feature), np.int64)
        _kernels.gibbs_colours(start, row, rows.n_rows, colour)
        value = None if rows.values is None else turned.data
        order = np.argsort(colour, kind="stable")
        if (np.diff(order) < 0).any():
            lengths = np.diff(start)[order]
            begin = np.append(0, np.cumsum(lengths))
            where = np.repeat(start[order] - begin[:-1], lengths) + np.arange(rows.nnz)
            feature, start, row = feature[order], begin, row[where]
            value = None if value is None else value[where]
        colours = np.append(0, np.cumsum(np.bincount(colour))).astype(np.int64)
        return cls(feature.astype(np.uint32), start, row, value, colours)

    @property
    def n_columns(self) -> int:
        """Number of features that some row has."""
        return len(self.feature)

    def colour_of_each(self) -> NDArray[np.int64]:
        """Return the colour of each column (n_columns,)."""
        return np.repeat(np.arange(len(self.colours) - 1), np.diff(self.colours))


def _check_distinct(feature: NDArray[Any], start: NDArray[np.int64], row: NDArray[np.uint32]) -> None:
    twice = np.append(False, row[1:] == row[:-1])
    twice[start[:-1]] = False
    if twice.any():
        at = int(np.argmax(twice))
        column = int(np.searchsorted(start, at, side="right")) - 1
        raise DataError(
            f"row {row[at]} has feature {feature[column]} twice, but als, mcmc and vb need the features of a row to be "
            "distinct: add the values up, or take another solver"
        )


@dataclass(frozen=True, eq=False)
class Prior:
    """Normal priors by groups of features: columns are w and then each factor.

    Attributes
    ----------
    group : uint32 (n_features,)
    precision, mean : float64 (n_groups, 1 + n_factors)
    """

    group: NDArray[np.uint32]
    precision: Doubles
    mean: Doubles


class Together:
    """The rows of a relation, each in place of all rows of the data that have it, while its features move.

    What stands for them, and why that is exact: ``cpp/relation.hpp``. Features move by ``TOGETHER`` factors at a time.
    """

    def __init__(self, relation: Relation, padded: int) -> None:
        n, width = relation.rows.n_rows, min(padded, TOGETHER)
        self.columns = Columns.of(relation.rows)
        self.of = relation.index
        order = np.argsort(relation.index, kind="stable")
        self.row = order.astype(np.uint32)
        self.start = np.append(0, np.cumsum(np.bincount(relation.index, minlength=n))).astype(np.int64)
        self.root, self.e = np.zeros((2, n), np.float32)
        self.q = aligned_zeros(n, width)
        self.spread = aligned_zeros(n * width, width)
        self.tilt = aligned_zeros(n, width)

    def gather(self, moves: Moves, first: int, n_threads: int) -> None:
        """Sum up the rows of ``moves`` as they are, with the factors from ``first`` on."""
        _kernels.relation_gather(
            self.start, self.row, moves.rows.weight, moves.e, moves.q, first, self.root, self.e, self.q, self.spread,
            self.tilt, n_threads,
        )  # fmt: skip

    def scatter(self, moves: Moves, first: int, before: tuple[Singles, Singles], n_threads: int) -> None:
        """Let the rows of ``moves`` have what the relation's gained since their e and q were ``before``."""
        _kernels.relation_scatter(self.of, moves.e, moves.q, first, *before, self.e, self.q, n_threads)


@dataclass(eq=False)
class Moves:
    """A table in training, with the errors and sums of every row, which each move keeps right.

    Raises ``DataError`` for a feature that stands in a row twice.

    Attributes
    ----------
    columns : Columns
        Of the rows themselves.
    together : list of Together
        One for each relation.
    features : uint32 (n_columns,)
        All features that move, in the order of a sweep.
    e : float32 (n_rows,)
        Target less score. Every move rounds it; ``settle`` computes it again.
    q : float32 (n_rows, padded)
        sum_i x_i V_i.
    """

    rows: Rows
    columns: Columns
    table: Table
    together: list[Together] = field(init=False)
    features: NDArray[np.uint32] = field(init=False)
    e: Singles = field(init=False)
    q: Singles = field(init=False)
    root: Singles | None = field(init=False)

    def __post_init__(self) -> None:
        weight = self.rows.weight
        self.root = None if weight is None else np.sqrt(weight)
        self.together = [Together(relation, self.table.padded) for relation in self.rows.relations]
        parts = [self.columns, *(one.columns for one in self.together)]
        self.features = np.concatenate([part.feature for part in parts])
        _check_parts(self.features)
        self.e = np.empty(self.rows.n_rows, np.float32)
        self.q = aligned_zeros(self.rows.n_rows, self.table.padded)
        self.settle()

    def unseen(self) -> NDArray[np.int64]:
        """Return the ids of the features that no row has."""
        left = np.ones(self.table.n_features, bool)
        left[self.features] = False
        return np.flatnonzero(left)

    def settle(self, n_threads: int = 1) -> None:
        """Compute ``e`` and ``q`` from the table: they lose about a rounding each move."""
        assert self.rows.target is not None
        k = self.table.n_factors
        sums = np.empty((self.rows.n_rows, k), np.float32)
        score = scores(self.rows, self.table, n_threads=n_threads, sums=sums)
        self.e[:] = self.rows.target - score
        self.q[:, :k] = sums

    def sweep(
        self,
        alpha: float,
        prior: Prior,
        noise: Singles | None,
        *,
        mean_field: tuple[Singles, Singles] | None = None,
        n_threads: int = 1,
    ) -> None:
        """Move w and V of every feature, one after another: to its mean given all others, or by ``noise`` to a draw.

        ``alpha`` is the precision of a target of weight 1. ``noise`` (n_columns, 1 + n_factors) are standard normal
        numbers. ``mean_field`` are the arrays of ``kernels.vb.MeanField``, without ``noise``. The result does not
        depend on ``n_threads``.
        """
        alone = (None, None, *(mean_field or (None, None)))
        at = self.columns.n_columns
        own = None if noise is None else noise[:at]
        self._move(self.columns, self.root, self.e, self.q, alpha, prior, own, alone, n_threads=n_threads)
        for one in self.together:
            own = None if noise is None else noise[at : at + one.columns.n_columns]
            for first in range(0, max(self.table.n_factors, 1), TOGETHER):
                one.gather(self, first, n_threads)
                before = one.e.copy(), one.q.copy()
                beside = one.spread, one.tilt, None, None
                self._move(
                    one.columns, one.root, one.e, one.q, alpha, prior, own, beside, first, n_threads=n_threads
                )
                one.scatter(self, first, before, n_threads)
            at += one.columns.n_columns

    def _move(
        self,
        columns: Columns,
        root: Singles | None,
        e: Singles,
        q: Singles,
        alpha: float,
        prior: Prior,
        noise: Singles | None,
        beside: tuple[Singles | None, ...],
        first: int = 0,
        *,
        n_threads: int,
    ) -> None:
        """Move the factors from ``first`` on that ``q`` has, and w with those from 0.

        ``noise`` (n_columns, 1 + n_factors) are the numbers of ``columns``.
        """
        table, width = self.table, q.shape[1]
        n = min(table.n_factors - first, width)
        here = np.r_[0, 1 + first : 1 + first + n]
        wide = np.zeros((2, len(prior.mean), 1 + width), np.float32)
        wide[:, :, : 1 + n] = prior.precision[:, here], prior.mean[:, here]
        if noise is not None and n < table.n_factors:
            noise = np.ascontiguousarray(noise[:, here])
        _kernels.gibbs_sweep(
            columns.feature, columns.start, columns.row, columns.value, root, columns.colours, table.data, first, width,
            table.w_at, n, e, q, single(alpha), prior.group, wide[0], wide[1], noise, *beside, n_threads,
        )  # fmt: skip

    def shift(self, by: float) -> tuple[float, float]:
        """Raise the bias by ``by``; return sum c e and sum c e^2, c the rows' weights."""
        bias = self.table.bias[0]
        self.table.bias[0] += np.float32(by)
        total, squares = _kernels.gibbs_shift(self.e, self.rows.weight, float(self.table.bias[0] - bias))
        return float(total), float(squares)

    def moments(self, prior: Prior) -> tuple[NDArray[np.int64], Doubles, Doubles]:
        """Return the number of moved features of each group (n_groups,), and sums and sums of squares of w and factors
        (n_groups, 1 + n_factors).
        """
        count = np.zeros(len(prior.mean), np.int64)
        sums, squares = np.zeros((2, *prior.mean.shape))
        _kernels.gibbs_moments(
            self.features,
            prior.group,
            self.table.data,
            self.table.w_at,
            self.table.n_factors,
            count,
            sums,
            squares,
        )
        return count, sums, squares


def _check_parts(features: NDArray[np.uint32]) -> None:
    distinct, times = np.unique(features, return_counts=True)
    if len(distinct) < len(features):
        raise DataError(
            f"feature {distinct[times > 1][0]} is in a relation and in another, or in the rows themselves, but als and "
            "mcmc need each feature in one of them: number it again, or take another solver"
        )
