"""Draws behind classes and levels: Polya-Gamma numbers, sums by level, latent targets between cut points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels


def polya_gamma(
    score: NDArray[Any], count: NDArray[np.int32] | None = None, *, seed: int, n_threads: int = 1
) -> NDArray[np.float32]:
    """Draw exactly from PG(count, score), count 1 where None: float32 (n_rows,), 0 where ``count`` is 0.

    NaN where a score is not finite. The result depends on ``seed``, not on ``n_threads``.
    """
    out = np.empty(len(score), np.float32)
    _kernels.polya_gamma(np.ascontiguousarray(score, np.float32), count, seed, out, n_threads)
    return out


@dataclass(frozen=True, eq=False)
class Sorted:
    """Rows sorted by level, which counts from 0.

    Attributes
    ----------
    begin : int64 (n_levels + 1,)
        Where the rows of each level begin.
    count : int32 (n_rows,) or None
        How often each row counts; None where once.
    n_threads : int
        Which the results do not depend on.
    """

    begin: NDArray[np.int64]
    count: NDArray[np.int32] | None = None
    n_threads: int = 1

    def sums(self, score: NDArray[np.float32], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return of each level (n_levels, 5) the log-likelihood of its rows, its slope and curvature by the lower cut
        point, and by the upper one.

        ``score`` (n_rows,), ``cuts`` (n_levels - 1,). With P = Phi(b) - Phi(a), a and b the cut points less the score,
        the slope of log P by b is phi(b) / P and its own slope -b phi(b) / P - (phi(b) / P)^2; by a the signs of phi
        turn.
        """
        out = np.zeros((len(cuts) + 1, 5))
        _kernels.ordered_sums(score, self.begin, cuts, self.count, out, self.n_threads)
        return out

    def draw(self, score: NDArray[np.float32], cuts: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
        """Return latent targets (n_rows,): normal around ``score`` with deviation 1, between the level's cut points.

        Of rows that count more than once the mean of as many, of those that do not count the score.
        """
        out = np.empty(len(score), np.float32)
        _kernels.ordered_draw(score, self.begin, cuts, self.count, seed, out, self.n_threads)
        return out
