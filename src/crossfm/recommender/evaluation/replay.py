"""What would another policy have earned? Estimates from a log of lists that were drawn with known chances.

A list a_1 .. a_K was drawn place by place; ``logged`` holds p_k, the chance that a_k had at place k given a_1 to
a_(k-1), and ``target`` q_k, the chance that the other policy gives it there. With r_k what came of place k (a click),
over n lists:

* IPS: mean of w R, with w = q_1 .. q_K / p_1 .. p_K and R = sum_k r_k. Horvitz and Thompson, JASA 1952; of a logged
  recommender, L. Li et al., WSDM 2011. Without bias wherever p > 0, and with the largest spread.
* clipped IPS: w is cut at ``clip``, which bounds the spread and lowers the estimate (E. Ionides, JCGS 2008).
* SNIPS: sum w R / sum w. A. Swaminathan, T. Joachims, NIPS 2015, eq. (10).
* sequential IPS: mean of sum_k w_k r_k, with w_k = q_1 .. q_k / p_1 .. p_k: what comes of a place depends on it and on
  the places above, not on those below. D. Precup et al., ICML 2000 (per-decision).
* RIPS: the same, each place normalised by itself, sum_k (sum w_k r_k / sum w_k). J. McInerney et al., KDD 2020.

Weights of single places q_k / p_k, as if places had nothing to do with each other, are not here: they need the chance
of an item at a place whatever stands above, and the chances given what stands above in their stead are biased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.core.options import check_count, check_number
from crossfm.errors import DataError
from crossfm.metrics.bootstrap import Interval, resampled_sums

Floats = NDArray[np.float64]
NAMES = ("IPS", "clipped IPS", "SNIPS", "sequential IPS", "RIPS")
JUDGE = "RIPS"  # decides the verdict
FEW = 50.0  # lists in effect, below which nothing is said
LEAK = 0.1  # of what the target shows that the log may lack before nothing is said
MOST = 300.0  # logarithm of a weight, so that squares stay finite


@dataclass(frozen=True)
class Estimate:
    """What one estimator says.

    Attributes
    ----------
    value : Interval
        Positive events a list under the target; NaN where the log has nothing of it.
    difference : Interval
        From what was logged; the same users are drawn for both.
    lists : float
        Effective sample size, (sum w)^2 / sum w^2 (Kish): as many lists of the target itself would tell as much. Where
        places have weights of their own, the mean over places by what was earned there.
    """

    value: Interval
    difference: Interval
    lists: float


@dataclass(frozen=True)
class Place:
    """One place of the lists: positive events as logged, and by RIPS under the target."""

    place: int
    n_lists: int
    logged: float
    target: float
    lists: float


@dataclass(frozen=True)
class Replay:
    """Estimates of one target policy.

    Attributes
    ----------
    n_lists, n_users : int
    logged : Interval
        Positive events a list, as they were.
    estimates : dict of name to Estimate
        Of all ``NAMES``.
    weight : Interval
        Mean w_k of all places. Where the log could have shown whatever the target shows, its expectation is 1; below 1
        it is the share of what the target shows that the log could hold; above 1 the chances are not those of the draw.
    supported : float
        Share of the logged lists that the target could show.
    places : list of Place
    """

    n_lists: int
    n_users: int
    logged: Interval
    estimates: dict[str, Estimate]
    weight: Interval
    supported: float
    places: list[Place]

    @property
    def verdict(self) -> str:
        """Return "better", "worse", "unsupported" (the log lacks what the target shows), or "unsure"."""
        judge = self.estimates[JUDGE]
        if self.weight.high < 1 - LEAK or self.weight.low > 1 + LEAK or not self.supported:
            return "unsupported"
        if judge.lists < FEW or not (judge.difference.low > 0 or judge.difference.high < 0):
            return "unsure"
        return "better" if judge.difference.low > 0 else "worse"

    @property
    def needed(self) -> float:
        """Return how many lists such a difference would take to be seen: its interval shrinks as 1 / sqrt(n)."""
        judge = self.estimates[JUDGE]
        if not judge.difference.mean or not np.isfinite(judge.difference.mean) or not judge.lists:
            return float("inf")
        half = (judge.difference.high - judge.difference.low) / 2
        return max(self.n_lists * (half / judge.difference.mean) ** 2, self.n_lists * FEW / judge.lists)


def replay(
    rewards: ArrayLike,
    logged: ArrayLike,
    target: ArrayLike,
    users: Sequence[object],
    *,
    clip: float = 10.0,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Replay:
    """Return what a target policy would have earned a list, with percentile bootstrap intervals over users.

    Parameters
    ----------
    rewards, logged, target : (n_lists, n_places)
        r, p, q of above; NaN in all three beyond the end of a shorter list.
    users : (n_lists,)
        Who saw each list; lists of one user are drawn together.
    clip : float, default=10.0
    n_resamples, level, seed
        Of the intervals.

    Raises
    ------
    DataError
        Shapes that differ, no list, p outside (0, 1], q outside [0, 1], rewards that are infinite.
    OptionError
        ``clip`` or ``n_resamples`` that mean nothing.
    """
    check_number("clip", clip, above=True)
    check_count("n_resamples", n_resamples, low=1)
    r, p, q = _checked(rewards, logged, target, users)
    there = ~np.isnan(p)
    with np.errstate(divide="ignore"):
        ratio = np.where(there, np.log(q) - np.log(p), 0.0)
    w = np.exp(np.minimum(np.cumsum(ratio, axis=1), MOST))
    sums, n_places = _sums(np.nan_to_num(r), w, there, clip), r.shape[1]
    who, of_user = np.unique([str(user) for user in users], return_inverse=True)
    by_user = np.zeros((len(who), sums.shape[1]))
    np.add.at(by_user, of_user, sums)
    total = _values(by_user.sum(axis=0), n_places)
    drawn = _values(resampled_sums(by_user, n_resamples, seed), n_places)
    own = drawn["logged"]

    def interval(name: str, minus: float = 0.0, less: Floats | float = 0.0) -> Interval:
        low, high = _quantiles(drawn[name] - less, level)
        return Interval(float(total[name]) - minus, low, high)

    sizes = _sizes(np.nan_to_num(r), w, there, clip)
    estimates = {
        name: Estimate(interval(name), interval(name, float(total["logged"]), own), sizes[name])
        for name in NAMES
    }
    places = [
        Place(
            k + 1,
            int(there[:, k].sum()),
            float(np.nanmean(r[:, k])),
            _ratio(float(w[there[:, k], k] @ r[there[:, k], k]), float(w[there[:, k], k].sum())),
            _kish(w[there[:, k], k]),
        )
        for k in range(n_places)
    ]
    supported = float((w[:, -1] > 0).mean())
    return Replay(len(r), len(who), interval("logged"), estimates, interval("weight"), supported, places)


def _checked(
    rewards: ArrayLike, logged: ArrayLike, target: ArrayLike, users: Sequence[object]
) -> tuple[Floats, Floats, Floats]:
    r, p, q = (np.asarray(each, np.float64) for each in (rewards, logged, target))
    if r.ndim != 2 or not r.size or not r.shape == p.shape == q.shape or len(users) != len(r):
        raise DataError(
            f"rewards, logged and target have the shapes {r.shape}, {p.shape}, {q.shape}, and there are {len(users)} "
            "users, but one (n_lists, n_places), not empty, and a user for each list are expected"
        )
    there = ~np.isnan(p)
    if (np.isnan(r) == there).any() or (np.isnan(q) == there).any() or not there[:, 0].all():
        raise DataError("rewards, logged and target must be NaN in the same places, beyond the end of a list")
    if (~there[:, :-1] & there[:, 1:]).any():
        raise DataError("a list has a gap: NaN may stand beyond its end only")
    for name, good in (
        ("logged, above 0 and at most 1,", (p > 0) & (p <= 1)),
        ("target, from 0 to 1,", (q >= 0) & (q <= 1 + 1e-9)),
        ("rewards, finite numbers,", np.isfinite(r)),
    ):
        if not good[there].all():
            at, place = np.argwhere(there & ~good)[0]
            raise DataError(f"{name} are expected, but list {at} has another value at place {place + 1}")
    return r, p, q


def _sums(r: Floats, w: Floats, there: NDArray[np.bool_], clip: float) -> Floats:
    """Return for each list what the estimators add up: six columns, and three for each place."""
    total, last = r.sum(axis=1), w[:, -1]
    cut = np.minimum(last, clip)
    one = [np.ones(len(r)), total, last, last * total, cut * total, (w * r).sum(axis=1)]
    return np.hstack([np.stack(one, axis=1), there.astype(float), np.where(there, w, 0.0), w * r])


def _values(sums: Floats, n_places: int) -> dict[str, Floats]:
    """Return every estimate from sums (..., n_columns)."""
    n, total, weight, weighted, cut, sequential = np.moveaxis(sums[..., :6], -1, 0)
    lists, w, wr = np.split(sums[..., 6:], [n_places, 2 * n_places], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(lists > 0, lists * wr / w, 0.0)  # NaN where a place has no weight at all
        return {
            "logged": total / n,
            "weight": w.sum(axis=-1) / lists.sum(axis=-1),
            "IPS": weighted / n,
            "clipped IPS": cut / n,
            "SNIPS": weighted / weight,
            "sequential IPS": sequential / n,
            "RIPS": each.sum(axis=-1) / n,
        }


def _sizes(r: Floats, w: Floats, there: NDArray[np.bool_], clip: float) -> dict[str, float]:
    whole, cut = _kish(w[:, -1]), _kish(np.minimum(w[:, -1], clip))
    each = np.array([_kish(w[there[:, k], k]) for k in range(w.shape[1])])
    earned = r.sum(axis=0) if r.any() else np.ones(w.shape[1])
    by_place = float(each @ earned / earned.sum())
    return dict(zip(NAMES, (whole, cut, whole, by_place, by_place), strict=True))


def _kish(w: Floats) -> float:
    return _ratio(float(w.sum()) ** 2, float(w @ w)) if w.any() else 0.0


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")


def _quantiles(values: Floats, level: float) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
