"""Metrics of top-N lists made by full ranking: every item of the catalogue competed.

Common input: ``recommended`` (n_users, N) holds item ids, best first, short lists padded with -1 at their
end; ``indptr`` (n_users + 1,) and ``items`` say CSR-like which items are relevant to each user (repeats count
once); ``k`` looks at the first k places only. Places past the end of a list are misses, also when k > N.

The ``*_at_k`` functions return one value a user, (n_judged,), in the order of the users for whom something is
relevant (``users_with_relevant``): with nothing to find there is nothing to measure, and a 0 would only
dilute the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError, OptionError
from crossfm.metrics.checks import Floats
from crossfm.metrics.lists import check_ids, checked_counts, checked_lists, describe


class _Judged(NamedTuple):
    """Users with something relevant: which places of their lists are hits, how many items are relevant."""

    hits: NDArray[np.bool_]  # (n_judged, N)
    n_relevant: NDArray[np.int64]  # (n_judged,)


def users_with_relevant(indptr: ArrayLike) -> NDArray[np.bool_]:
    """Mark (n_users,) the users that the ``*_at_k`` functions judge."""
    return np.diff(np.asarray(indptr)) > 0


def recall_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """Hits in the first k / number of relevant items.

    A user with more than k relevant items cannot reach 1; the variant that divides by min(k, n_relevant)
    (as in the evaluation of Mult-VAE, Liang et al. 2018) is larger for such users: compare like with like.
    """
    return _recall(_judge(recommended, indptr, items), _check_k(k))


def precision_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """Hits in the first k / k, also for lists shorter than k."""
    return _precision(_judge(recommended, indptr, items), _check_k(k))


def hit_rate_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """1 for a user with at least one hit in the first k, else 0."""
    return _hit_rate(_judge(recommended, indptr, items), _check_k(k))


def mrr_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """1 / place (from 1) of the first hit among the first k, 0 without one."""
    return _mrr(_judge(recommended, indptr, items), _check_k(k))


def map_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """Average precision: the precision at the place of each hit in the first k, summed, / min(k, n_relevant).

    So a list that starts with all relevant items, or is all relevant, has 1.
    """
    return _average_precision(_judge(recommended, indptr, items), _check_k(k))


def ndcg_at_k(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, k: int) -> Floats:
    """Sum of 1 / log2(place + 1) over the hits in the first k / the best possible such sum.

    Binary gain; the ideal list has its min(k, n_relevant) first places relevant. Järvelin and Kekäläinen,
    TOIS 2002, with the discount that became usual: the first place counts 1, the second 0.63.
    """
    return _ndcg(_judge(recommended, indptr, items), _check_k(k))


def recall_curve(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, ks: Sequence[int]) -> Floats:
    """Return recall at each of ``ks``, (n_judged, n_ks): ``recall_at_k`` at once, for long lists."""
    judged = _judge(recommended, indptr, items)
    found = np.cumsum(judged.hits, axis=1)
    last = np.array([min(_check_k(k), found.shape[1]) for k in ks]) - 1
    values: Floats = found[:, last] / judged.n_relevant[:, None]
    return values


def per_user_ranking(
    recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike, ks: Sequence[int] = (10, 20)
) -> dict[str, Floats]:
    """Return "recall@10", "ndcg@10", ..., each (n_judged,): every ``*_at_k`` metric at every k."""
    judged = _judge(recommended, indptr, items)
    return {f"{name}@{k}": metric(judged, _check_k(k)) for k in ks for name, metric in _PER_USER.items()}


def ranking_report(
    recommended: ArrayLike,
    indptr: ArrayLike,
    items: ArrayLike,
    ks: Sequence[int] = (10, 20),
    item_counts: ArrayLike | None = None,
) -> dict[str, float]:
    """Means over users of every metric at every k, e.g. "recall@10", "ndcg@20", "mrr@10", "map@10".

    Parameters
    ----------
    recommended : int (n_users, N)
        Item ids, best first, padded with -1.
    indptr, items : int (n_users + 1,), int (n_relevant,)
        The relevant items of each user.
    ks : default=(10, 20)
    item_counts : (n_items,) or None
        Interactions of each item in the training data; adds "coverage@k", "gini@k" and "novelty@k".

    Returns
    -------
    dict
        The values, and "n_users": how many users had something relevant and are in the means.

    Raises
    ------
    DataError
        No user with a relevant item, an item twice in one list, items after padding, ids out of range,
        shapes that do not fit.
    """
    values = per_user_ranking(recommended, indptr, items, ks)
    report = {name: float(value.mean()) for name, value in values.items()}
    report["n_users"] = float(users_with_relevant(indptr).sum())
    if item_counts is not None:
        counts, lists = checked_counts(item_counts), checked_lists(recommended)
        for k in ks:
            report |= {f"{name}@{k}": value for name, value in describe(lists[:, :k], counts).items()}
    return report


def _recall(judged: _Judged, k: int) -> Floats:
    values: Floats = judged.hits[:, :k].sum(axis=1) / judged.n_relevant
    return values


def _precision(judged: _Judged, k: int) -> Floats:
    values: Floats = judged.hits[:, :k].sum(axis=1) / float(k)
    return values


def _hit_rate(judged: _Judged, k: int) -> Floats:
    return np.asarray(judged.hits[:, :k].any(axis=1), np.float64)


def _mrr(judged: _Judged, k: int) -> Floats:
    hits = judged.hits[:, :k]
    return np.where(hits.any(axis=1), 1.0 / (np.argmax(hits, axis=1) + 1.0), 0.0)


def _average_precision(judged: _Judged, k: int) -> Floats:
    hits = judged.hits[:, :k]
    precision = np.cumsum(hits, axis=1) / np.arange(1.0, hits.shape[1] + 1)
    values: Floats = (precision * hits).sum(axis=1) / np.minimum(judged.n_relevant, k)
    return values


def _ndcg(judged: _Judged, k: int) -> Floats:
    discount = 1.0 / np.log2(np.arange(2.0, k + 2))
    hits = judged.hits[:, :k]
    ideal = np.cumsum(discount)[np.minimum(judged.n_relevant, k) - 1]
    values: Floats = hits @ discount[: hits.shape[1]] / ideal
    return values


_PER_USER = {
    "recall": _recall,
    "precision": _precision,
    "ndcg": _ndcg,
    "mrr": _mrr,
    "hit_rate": _hit_rate,
    "map": _average_precision,
}


def _judge(recommended: ArrayLike, indptr: ArrayLike, items: ArrayLike) -> _Judged:
    """Check everything and look up which recommended items are relevant."""
    lists = checked_lists(recommended)
    offsets, wanted = _relevant(indptr, items, len(lists))
    keep = users_with_relevant(offsets)  # at least one: there are relevant items
    span = 1 + max(int(wanted.max()), int(lists.max(initial=0)))
    owner = np.repeat(np.arange(len(lists)), np.diff(offsets))
    keys = np.unique(owner * span + wanted)  # sorted pairs of user and item, repeats gone
    n_relevant = np.bincount(keys // span, minlength=len(lists))[keep]
    lists = lists[keep]
    asked = np.flatnonzero(keep)[:, None] * span + lists
    found = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    hits = (keys[found] == asked) & (lists >= 0)
    return _Judged(hits, n_relevant.astype(np.int64))


def _relevant(
    indptr: ArrayLike, items: ArrayLike, n_users: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    offsets, wanted = np.asarray(indptr).astype(np.int64), np.asarray(items)
    if offsets.shape != (n_users + 1,):
        raise DataError(
            f"indptr has shape {offsets.shape}, but recommended has {n_users} users: ({n_users + 1},)"
        )
    if wanted.ndim != 1 or offsets[0] != 0 or offsets[-1] != len(wanted) or (np.diff(offsets) < 0).any():
        raise DataError(f"indptr must rise from 0 to the number of relevant items, {wanted.size}")
    if len(wanted) == 0:
        raise DataError(f"none of the {n_users} users has a relevant item: there is nothing to measure")
    if wanted.dtype.kind not in "iu":
        raise DataError(f"items has type {wanted.dtype}, but item ids, integers, are expected")
    check_ids("items", wanted, lowest=0)
    return offsets, wanted.astype(np.int64, copy=False)


def _check_k(k: int) -> int:
    if k < 1:
        raise OptionError(f"k is {k}, but at least 1 is expected")
    return k
