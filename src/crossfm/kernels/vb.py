"""A mean field: independent normal weights around those of a table, moved feature by feature (``cpp/vb.hpp``)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.kernels.fm import packed
from crossfm.kernels.gibbs import Doubles, Moves, Prior, Singles
from crossfm.kernels.table import Table, aligned_zeros, padded_factors


@dataclass(eq=False)
class MeanField:
    """The means of ``moves.table`` with their variances, and what is known of every row.

    Attributes
    ----------
    variance : Table
        Laid out as the table: variances of w, V and the bias.
    tu : float32 (n_rows, 2 * padded)
        sum_i x_i^2 s_i, and then sum_i x_i^3 s_i m_i, m and s the means and variances of V.
    """

    moves: Moves
    variance: Table
    tu: Singles = field(init=False)

    def __post_init__(self) -> None:
        self.tu = aligned_zeros(self.moves.rows.n_rows, 2 * self.moves.table.padded)
        self._look()

    def settle(self, n_threads: int = 1) -> None:
        """Compute all that is known of the rows again: every move rounds it."""
        self.moves.settle(n_threads)
        self._look(n_threads)

    def _look(self, n_threads: int = 1) -> None:
        _variances(self.moves.rows, self.moves.table, self.variance, self.tu, n_threads)

    def sweep(self, alpha: float, prior: Prior, *, n_threads: int = 1) -> None:
        """Move means and variances of w and V of every feature, one after another, to their best given all others.

        ``alpha`` is the expected precision of a target of weight 1; ``prior`` has the expected precisions, and the
        means expected under them. The result does not depend on ``n_threads``.
        """
        arrays = self.variance.data, self.tu
        self.moves.sweep(alpha, prior, None, mean_field=arrays, n_threads=n_threads)

    def score_variances(self, *, n_threads: int = 1) -> Doubles:
        """Return the variance (n_rows,) of the score of every row."""
        return score_variances(self.moves.rows, self.moves.table, self.variance, n_threads=n_threads)

    def moments(self, prior: Prior) -> tuple[NDArray[np.int64], Doubles, Doubles]:
        """Return the number of moved features of each group (n_groups,), and what sums and sums of squares of their w
        and factors are expected to be (n_groups, 1 + n_factors).
        """
        count, sums, squares = self.moves.moments(prior)
        spread = np.zeros_like(sums)
        _kernels.gibbs_moments(
            self.moves.features, prior.group, self.variance.data, self.variance.w_at, self.variance.n_factors,
            np.zeros_like(count), spread, np.zeros_like(sums),
        )  # fmt: skip
        return count, sums, squares + spread

    def log_variances(self) -> float:
        """Return the sum of the logarithms of the moved features' variances."""
        moved = self.moves.features
        return sum(
            float(np.log(part[moved], dtype=np.float64).sum()) for part in (self.variance.w, self.variance.V)
        )


def score_variances(
    rows: Rows, mean: FMParams | Table, variance: FMParams | Table, *, n_threads: int = 1
) -> Doubles:
    """Return the variance (n_rows,) of each row's score, where bias, w and V are independent with these means and
    variances.

    With q = sum_i x_i m_i and t = sum_i x_i^2 s_i it is that of the bias, sum_i x_i^2 s_wi, and for each factor
    sum_i x_i^2 s_i ((q - x_i m_i)^2 + (t - x_i^2 s_i) / 2). The features of a row are distinct.
    """
    bias = variance.bias if isinstance(variance, FMParams) else variance.bias[0]
    return _variances(rows, mean, variance, None, n_threads).astype(np.float64) + float(bias)


def _variances(
    rows: Rows,
    mean: FMParams | Table,
    variance: FMParams | Table,
    tu: Singles | None,
    n_threads: int,
) -> Singles:
    out = np.empty(rows.n_rows, np.float32)
    _kernels.vb_variances(
        rows.indptr, rows.indices, rows.values, rows.width, rows.n_rows, packed(mean.V), packed(variance.V),
        variance.w, out, tu, padded_factors(mean.n_factors), n_threads,
    )  # fmt: skip
    return out
