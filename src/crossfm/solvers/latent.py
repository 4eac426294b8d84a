"""Latent targets of classes and levels: once they are drawn, the exact solvers see normal targets again.

probit, and ordered levels
    A level says between which two cut points a latent target falls, which is normal around the score with precision 1
    (J. Albert, S. Chib, "Bayesian Analysis of Binary and Polychotomous Response Data", JASA 1993). Two classes have one
    cut point, 0. Those of more levels are learnt, under a flat prior on all that are in order; the bias is then 0.
    Drawn given the latent targets, as in that paper, cut points hardly move where there are many rows. So they
    are drawn with the latent targets integrated out (M. Cowles, "Accelerating Monte Carlo Markov chain convergence for
    cumulative-link generalized linear models", Statistics and Computing 1996), by another step than hers: a Newton step
    and normal noise by the curvature, accepted by the rule of Metropolis and Hastings.
logistic
    Weights omega of the rows from the Polya-Gamma distribution, under which the target (y - 1/2) / omega is normal
    around the score with precision omega (N. Polson, J. Scott, J. Windle, "Bayesian Inference for Logistic Models
    Using Polya-Gamma Latent Variables", JASA 2013).

A row that counts c times is c rows: whole numbers only, for the likelihood to the power of a fraction has no such draw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.kernels.gibbs import Moves
from crossfm.kernels.latent import Sorted, polya_gamma

Doubles = NDArray[np.float64]
LINKS = ("probit", "logistic")  # of two classes


class Latent(Protocol):
    """How targets come from scores."""

    has_bias: bool

    def draw(self, moves: Moves, rng: np.random.Generator, n_threads: int = 1) -> float:
        """Draw targets, and weights, of the rows; return the sum of -log of the probabilities before."""


def latent(
    link: str, level: NDArray[np.int64], cuts: Doubles, count: NDArray[np.int32] | None = None
) -> Latent:
    """Return the latent targets of ``link``, "probit", "logistic" or "ordinal".

    ``level`` (n_rows,) counts from 0, ``count`` (n_rows,) says how often a row counts. ``cuts`` (n_levels - 1,) are the
    cut points of levels, moved by each draw; classes have none.
    """
    if link == "logistic":
        return Logistic(level, count)
    return Ordered(level, np.zeros(1) if link == "probit" else cuts, count, learn=link == "ordinal")


def latent_rows(rows: Rows, link: str, count: NDArray[np.int32] | None) -> Rows:
    """Return ``rows`` with room for the targets, and the weights, that ``link`` draws."""
    weight = np.ones(rows.n_rows, np.float32) if count is None else count.astype(np.float32)
    return rows.with_target(np.zeros(rows.n_rows), None if count is None and link != "logistic" else weight)


def start_cuts(level: NDArray[np.int64], n_levels: int, count: NDArray[np.int32] | None) -> Doubles:
    """Return the cut points (n_levels - 1,) that give each level its share of rows where scores are 0."""
    from scipy.special import ndtri

    share = np.bincount(level, count, n_levels)
    return np.asarray(ndtri(np.cumsum(share)[:-1] / share.sum()), np.float64)


class Ordered:
    """Latent targets of levels, which fall between the cut points of the level."""

    def __init__(
        self,
        level: NDArray[np.int64],
        cuts: Doubles,
        count: NDArray[np.int32] | None = None,
        *,
        learn: bool = False,
    ) -> None:
        self.cuts, self.learn, self.has_bias = cuts, learn, not learn
        self._order = np.argsort(level, kind="stable")
        begin = np.searchsorted(level[self._order], np.arange(len(cuts) + 2))
        self._rows = Sorted(begin, None if count is None else count[self._order])

    def draw(self, moves: Moves, rng: np.random.Generator, n_threads: int = 1) -> float:
        """Draw the cut points, if they are learnt, and then the targets."""
        target = moves.rows.target
        assert target is not None
        rows = replace(self._rows, n_threads=n_threads)
        score = target - moves.e
        ordered = score[self._order].astype(np.float32, copy=False)
        now = rows.sums(ordered, self.cuts)
        if self.learn:
            move_cuts(rows, ordered, self.cuts, now, rng)
        target[self._order] = rows.draw(ordered, self.cuts, int(rng.integers(2**63)))
        moves.e[:] = target - score
        return -float(now[:, 0].sum())


def move_cuts(
    rows: Sorted, score: NDArray[np.float32], cuts: Doubles, now: Doubles, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Move ``cuts`` given the scores (n_rows,), of which ``now`` are the sums; return which moved (n_levels - 1,).

    Every other cut point moves, and then those between: as a level has at most one that may move, each is accepted or
    not by itself.
    """
    accepted = np.zeros(len(cuts), bool)
    for first in range(min(2, len(cuts))):
        mine = np.arange(len(cuts)) % 2 == first
        mean, spread = _proposal(cuts, now)
        before = cuts.copy()
        cuts[:] = np.where(mine, mean + spread * rng.standard_normal(len(cuts)), before)
        between = np.concatenate([[-np.inf], cuts, [np.inf]])
        inside = mine & (between[:-2] < cuts) & (cuts < between[2:])
        cuts[:] = np.where(inside, cuts, before)
        then = rows.sums(score, cuts)
        back, wide = _proposal(cuts, then)
        gain = (then - now)[:, 0]
        gain = gain[:-1] + gain[1:] + np.log(spread / wide)
        gain += 0.5 * ((cuts - mean) / spread) ** 2 - 0.5 * ((before - back) / wide) ** 2
        taken = inside & (np.log(1.0 - rng.random(len(cuts))) < gain)
        cuts[:] = np.where(taken, cuts, before)
        of_level = np.append(taken, False) | np.append(False, taken)
        now = np.where(of_level[:, None], then, now)
        accepted |= taken
    return accepted


def _proposal(cuts: Doubles, levels: Doubles) -> tuple[Doubles, Doubles]:
    """Return mean and deviation (n_levels - 1,) of the new cut points."""
    slope = levels[:-1, 3] + levels[1:, 1]
    curvature = np.maximum(-levels[:-1, 4] - levels[1:, 2], 1e-6)
    return cuts + slope / curvature, 1 / np.sqrt(curvature)


class Logistic:
    """Latent weights of the rows of two classes, and the targets that belong to them."""

    has_bias = True

    def __init__(self, level: NDArray[np.int64], count: NDArray[np.int32] | None = None) -> None:
        self._sign = np.where(level > 0, 1.0, -1.0)
        self._count = count

    def draw(self, moves: Moves, rng: np.random.Generator, n_threads: int = 1) -> float:
        """Draw the weights; targets follow."""
        target, weight = moves.rows.target, moves.rows.weight
        assert target is not None
        assert weight is not None
        assert moves.root is not None
        score = target - moves.e
        weight[:] = polya_gamma(score, self._count, seed=int(rng.integers(2**63)), n_threads=n_threads)
        np.sqrt(weight, out=moves.root)
        times = 1.0 if self._count is None else self._count
        np.divide(0.5 * self._sign * times, weight, out=target, where=weight > 0)
        moves.e[:] = target - score
        return float((times * np.logaddexp(0.0, -self._sign * score)).sum())


def probability(link: str, score: NDArray[Any], cuts: Doubles) -> Doubles:
    """Return the probability that scores (n_rows,) give the second class, or each level (n_rows, n_levels)."""
    from scipy.special import expit, ndtr

    score = score.astype(np.float64)
    if link == "logistic":
        return np.asarray(expit(score))
    if link == "probit":
        return np.asarray(ndtr(score))
    below = ndtr(cuts - score[:, None])
    ends = np.zeros((len(score), 1))
    return np.diff(np.hstack([ends, below, ends + 1.0]), axis=1)


def log_odds(probability: Doubles) -> Doubles:
    """Return log(p / (1 - p)), finite."""
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return np.asarray(np.log(p) - np.log1p(-p))
