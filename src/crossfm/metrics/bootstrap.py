"""How sure is a mean over users? Percentile bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from crossfm.errors import DataError, OptionError
from crossfm.metrics import checks
from crossfm.metrics.checks import Floats

_CHUNK = 2**20  # draws held in memory at a time


class Interval(NamedTuple):
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    per_user_values: ArrayLike,
    weights: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the (weighted) mean over users and its percentile bootstrap interval.

    Parameters
    ----------
    per_user_values : (n_users,)
    weights : (n_users,) or None
        For example impressions, for GAUC. A resampled user brings its weight along; users of weight 0 are
        left out.
    n_resamples : int, default=1000
        Times that n_users users are drawn with replacement.
    level : float, default=0.95
    seed : int, default=0
        Same seed, same interval.

    Raises
    ------
    DataError
        Empty input, NaN or infinite values (with their position), negative or all-zero weights.
    OptionError
        ``level`` outside (0, 1) or ``n_resamples`` below 1.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    _check_level(level, n_resamples)
    values = checks.vector("per_user_values", per_user_values)
    w = checks.weights(weights, len(values), "weights")
    if w is not None:
        values, w = values[w > 0], w[w > 0]
    means = _resampled_means(values, w, n_resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.average(values, weights=w)), float(low), float(high))


def bootstrap_intervals(
    per_user_values: ArrayLike, n_resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Return ``bootstrap_interval`` of each column of ``per_user_values`` (n_users, n_metrics), all at once.

    The same users are drawn for all columns, the same as ``bootstrap_interval`` draws with this seed.
    """
    _check_level(level, n_resamples)
    values = np.asarray(per_user_values, np.float64)
    if values.ndim != 2 or not values.size:
        raise DataError(
            f"per_user_values has shape {values.shape}, but (n_users, n_metrics), not empty, is expected"
        )
    checks.check_finite("per_user_values", values)
    means = resampled_sums(values, n_resamples, seed) / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(*map(float, three)) for three in zip(values.mean(axis=0), low, high, strict=True)]


def resampled_sums(values: Floats, n_resamples: int, seed: int) -> Floats:
    """Return sums (n_resamples, n_columns) of ``values`` (n_users, n_columns) over users drawn with replacement."""
    n, rng = len(values), np.random.default_rng(seed)
    sums = np.empty((n_resamples, values.shape[1]))
    step = max(1, _CHUNK // n)
    for start in range(0, n_resamples, step):
        part = slice(start, min(start + step, n_resamples))
        drawn = rng.integers(0, n, size=(part.stop - part.start, n))
        place = (drawn + n * np.arange(len(drawn))[:, None]).ravel()
        times = np.bincount(place, minlength=drawn.size).reshape(drawn.shape)  # each user is drawn
        sums[part] = times.astype(np.float64) @ values
    return sums


def bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    weights: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return mean(a) - mean(b) and its interval, resampling the same users for both (paired).

    ``a`` and ``b`` (n_users,) are values of two models for the same users in the same order. Much of the
    spread between users cancels, so this sees differences that two separate intervals hide. The rest as
    ``bootstrap_interval``.
    """
    first, second = checks.vector("a", a), checks.vector("b", b)
    if len(first) != len(second):
        raise DataError(
            f"a has {len(first)} users and b {len(second)}: pairs of values for the same users are expected"
        )
    return bootstrap_interval(first - second, weights, n_resamples, level, seed)


def _resampled_means(values: Floats, w: Floats | None, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Draw all resamples, a few million users at a time."""
    n = len(values)
    means = np.empty(n_resamples)
    step = max(1, _CHUNK // n)
    for start in range(0, n_resamples, step):
        part = slice(start, min(start + step, n_resamples))
        drawn = rng.integers(0, n, size=(part.stop - part.start, n))
        if w is None:
            means[part] = values[drawn].mean(axis=1)
        else:
            means[part] = (values * w)[drawn].sum(axis=1) / w[drawn].sum(axis=1)
    return means


def _check_level(level: float, n_resamples: int) -> None:
    if not 0.0 < level < 1.0:
        raise OptionError(f"level is {level}, but a share between 0 and 1 is expected, like 0.95")
    if n_resamples < 1:
        raise OptionError(f"n_resamples is {n_resamples}, but at least 1 is expected")
