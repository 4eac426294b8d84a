"""Metrics of one prediction a row: errors of ratings and counts, log loss, areas under the ROC curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError, LabelError
from crossfm.metrics import checks
from crossfm.metrics.checks import Floats


def rmse(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Root of the mean squared error of ``y_pred`` (n_rows,) against ``y_true`` (n_rows,).

    Raises ``DataError`` for empty input, unequal lengths, NaN or infinite values (with their position).
    """
    y, p = checks.pair(y_true, y_pred)
    return float(np.sqrt(_mean(np.square(p - y), sample_weight)))


def mae(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean absolute error of ``y_pred`` (n_rows,) against ``y_true`` (n_rows,); raises as ``rmse``."""
    y, p = checks.pair(y_true, y_pred)
    return _mean(np.abs(p - y), sample_weight)


def poisson_deviance(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean of 2 (y log(y / mu) - y + mu) for counts y >= 0 and predicted means mu > 0; 0 is perfect.

    Raises ``LabelError`` for a negative count, ``DataError`` for a mean that is not above 0 and as ``rmse``.
    """
    y, mu = checks.pair(y_true, y_pred)
    if (y < 0).any():
        at = int(np.argmax(y < 0))
        raise LabelError(f"y_true at position {at} is {y[at]:g}, but a count of 0 or more is expected")
    if (mu <= 0).any():
        at = int(np.argmax(mu <= 0))
        raise DataError(
            f"y_pred at position {at} is {mu[at]:g}, but a mean above 0 is expected (exp of the score)"
        )
    surprise = y * (np.log(np.where(y > 0, y, 1.0)) - np.log(mu))  # y log y is 0 at y = 0
    return _mean(2.0 * (surprise - y + mu), sample_weight)


def log_loss(y_true: ArrayLike, probability: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean of -log(probability given to the class that came), in nats.

    Parameters
    ----------
    y_true : (n_rows,)
        0 or 1; with several classes the class numbers 0 to n_classes - 1.
    probability : (n_rows,) of class 1, or (n_rows, n_classes) with rows that sum to 1
        Clipped to [eps, 1 - eps] with eps of its own float type, so one certain mistake costs 36 nats in
        float64 and 16 in float32, not infinity.

    Raises
    ------
    LabelError
        A target that is no class.
    DataError
        Not a probability, rows that do not sum to 1, and as ``rmse``.
    """
    p = np.asarray(probability)
    eps = float(np.finfo(p.dtype if p.dtype.kind == "f" else np.float64).eps)
    if p.ndim == 2:
        y, p = _classes(y_true, p, eps)
        chosen = p[np.arange(len(y)), y.astype(np.int64)]
    else:
        y, p = checks.pair(y_true, p, "probability")
        checks.check_binary(y)
        checks.check_probability("probability", p, slack=4 * eps)
        chosen = np.where(y == 1, p, 1.0 - p)
    return _mean(-np.log(np.clip(chosen, eps, 1.0 - eps)), sample_weight)


def auc(y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs that ``score`` puts in order.

    The Mann-Whitney rank statistic with midranks, so a tie counts one half; O(n log n). With weights a pair
    counts the product of its two. ``y_true`` (n_rows,) is 0 or 1, ``score`` (n_rows,) any finite number.

    Raises ``LabelError`` for other labels, ``DataError`` when only one class is there and as ``rmse``.
    """
    y, s = checks.pair(y_true, score, "score")
    checks.check_binary(y)
    w = checks.weights(sample_weight, len(y))
    positive = y if w is None else y * w
    negative = 1.0 - y if w is None else (1.0 - y) * w
    if not positive.any() or not negative.any():
        kind = "positive" if not positive.any() else "negative"
        raise DataError(f"no {kind} row among {len(y)} (with weight): AUC needs both classes")
    order = np.argsort(s)
    s = s[order]
    _, concordant = _concordance(_changes(s), positive[order], negative[order])
    return float(concordant.sum() / (positive.sum() * negative.sum()))


def user_auc(
    y_true: ArrayLike, score: ArrayLike, users: ArrayLike
) -> tuple[NDArray[np.generic], Floats, NDArray[np.int64]]:
    """Return users (m,), sorted, their AUC (m,) and their impressions (m,); only users with both labels.

    ``users`` (n_rows,) holds ids of any type that sorts. Raises as ``auc``; a user with one label only is
    left out, and when that leaves nobody, ``DataError``.
    """
    y, s = checks.pair(y_true, score, "score")
    checks.check_binary(y)
    ids = np.asarray(users)
    if ids.ndim != 1:
        raise DataError(f"users has shape {ids.shape}, but one id a row, (n_rows,), is expected")
    checks.check_length("users", ids, len(y))
    names, code = np.unique(ids, return_inverse=True)
    impressions = np.bincount(code)
    positives = np.bincount(code, weights=y)
    pairs = positives * (impressions - positives)
    both = pairs > 0
    if not both.any():
        raise DataError(f"none of the {len(names)} users has both labels: AUC a user needs a 0 and a 1")
    order = np.lexsort((s, code))
    code, s = code[order], s[order]
    starts, concordant = _concordance(_changes(code) | _changes(s), y[order], 1.0 - y[order])
    earlier_negatives = np.concatenate([[0.0], np.cumsum(impressions - positives)[:-1]])  # of users before
    won = np.bincount(code[starts], weights=concordant) - positives * earlier_negatives
    return names[both], won[both] / pairs[both], impressions[both].astype(np.int64)


def gauc(y_true: ArrayLike, score: ArrayLike, users: ArrayLike) -> float:
    """Mean of the AUC within each user, weighted by impressions (rows); users with both labels only.

    Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017. Raises as
    ``user_auc``, which gives the values for an interval over users.
    """
    _, values, impressions = user_auc(y_true, score, users)
    return float(np.average(values, weights=impressions))


def _mean(values: Floats, sample_weight: ArrayLike | None) -> float:
    return float(np.average(values, weights=checks.weights(sample_weight, len(values))))


def _classes(y_true: ArrayLike, probability: NDArray[np.generic], eps: float) -> tuple[Floats, Floats]:
    """Check targets and probabilities of several classes."""
    y, p = checks.vector("y_true", y_true), probability.astype(np.float64)
    checks.check_length("probability", p, len(y))
    checks.check_finite("probability", p)
    checks.check_probability("probability", p, slack=4 * eps)
    wrong = (y < 0) | (y >= p.shape[1]) | (y != np.floor(y))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise LabelError(
            f"y_true at position {at} is {y[at]:g}, but probability has {p.shape[1]} columns: "
            f"a class number from 0 to {p.shape[1] - 1} is expected"
        )
    off = np.abs(p.sum(axis=1) - 1.0) > np.sqrt(eps)
    if off.any():
        at = int(np.argmax(off))
        raise DataError(f"probability in row {at} sums to {p[at].sum():g}, but 1 is expected")
    return y, p


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Mark each place of a sorted array whose value differs from the one before; the first is marked."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def _concordance(
    new: NDArray[np.bool_], positive: Floats, negative: Floats
) -> tuple[NDArray[np.intp], Floats]:
    """Return where each group of ties starts, and the pairs its positives win (a tie is one half)."""
    starts = np.flatnonzero(new)
    tied_positive = np.add.reduceat(positive, starts)
    tied_negative = np.add.reduceat(negative, starts)
    below = np.cumsum(tied_negative) - tied_negative
    return starts, tied_positive * (below + 0.5 * tied_negative)
