"""What the recommended lists are like, whatever is relevant: coverage, concentration, novelty.

``recommended`` (n_users, N) holds item ids, best first, short lists padded with -1 at their end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError
from crossfm.metrics.checks import Floats

MAX_ITEMS = 2**31  # so that user * n_items + item stays within int64


def coverage(recommended: ArrayLike, n_items: int) -> float:
    """Share of the catalogue, ids 0 to ``n_items`` - 1, that is in at least one list."""
    return _coverage(_exposure(checked_lists(recommended), n_items))


def gini(recommended: ArrayLike, n_items: int) -> float:
    """Gini index of how often each item of the catalogue is recommended: 0 all equal, 1 one item only.

    Shani and Gunawardana, "Evaluating Recommendation Systems", 2011, section 8.3.3:
    sum over items by rising share p of (2 j - n - 1) p_j / (n - 1). 0 for a catalogue of one item.
    """
    return _gini(_exposure(checked_lists(recommended), n_items))


def novelty(recommended: ArrayLike, item_counts: ArrayLike) -> float:
    """Mean over all recommended places of -log2(the item's share of interactions), in bits.

    ``item_counts`` (n_items,) are interactions in the training data. An item never seen counts as seen once.
    Zhou et al., "Solving the apparent diversity-accuracy dilemma", PNAS 2010 (self-information).
    """
    counts = checked_counts(item_counts)
    return _novelty(_exposure(checked_lists(recommended), len(counts)), counts)


def describe(lists: NDArray[np.int64], counts: Floats) -> dict[str, float]:
    """Return coverage, gini and novelty of checked lists and counts."""
    shown = _exposure(lists, len(counts))
    return {"coverage": _coverage(shown), "gini": _gini(shown), "novelty": _novelty(shown, counts)}


def checked_lists(recommended: ArrayLike) -> NDArray[np.int64]:
    """Return ``recommended`` as int64 (n_users, N); raise ``DataError`` unless its rows are lists."""
    lists = np.asarray(recommended)
    if lists.ndim != 2 or lists.dtype.kind not in "iu":
        raise DataError(
            f"recommended has shape {lists.shape} and type {lists.dtype}, but (n_users, N) integers are "
            "expected: item ids, padded with -1"
        )
    if lists.size == 0:
        raise DataError(f"recommended is empty, shape {lists.shape}: there is nothing to measure")
    lists = lists.astype(np.int64, copy=False)
    check_ids("recommended", lists, lowest=-1)
    if ((lists[:, :-1] < 0) & (lists[:, 1:] >= 0)).any():
        row = int(np.argmax(((lists[:, :-1] < 0) & (lists[:, 1:] >= 0)).any(axis=1)))
        raise DataError(f"recommended row {row} has an item after -1, but padding belongs at the end")
    by_id = np.sort(lists, axis=1)
    twice = (by_id[:, 1:] == by_id[:, :-1]) & (by_id[:, 1:] >= 0)
    if twice.any():
        row, place = (int(i) for i in np.argwhere(twice)[0])
        raise DataError(
            f"recommended row {row} has item {by_id[row, place]} twice: one hit would count twice"
        )
    return lists


def check_ids(name: str, ids: NDArray[np.generic], lowest: int) -> None:
    """Raise ``DataError`` for an id below ``lowest`` or above what a catalogue holds."""
    for seen in (int(ids.min()), int(ids.max())):
        if not lowest <= seen < MAX_ITEMS:
            raise DataError(
                f"{name} holds the id {seen}, but ids from {lowest} to {MAX_ITEMS - 1} are expected"
            )


def checked_counts(item_counts: ArrayLike) -> Floats:
    """Return interactions of each item, float64 (n_items,)."""
    counts = np.asarray(item_counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iuf":
        raise DataError(
            f"item_counts has shape {counts.shape} and type {counts.dtype}, but one number an item is "
            "expected"
        )
    if not ((counts >= 0) & (counts < np.inf)).all() or not counts.any():
        raise DataError("item_counts must be finite numbers of interactions, none negative and not all zero")
    return counts.astype(np.float64)


def _exposure(lists: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    """Count how often each item of the catalogue is recommended."""
    shown = lists[lists >= 0]
    if len(shown) == 0:
        raise DataError("recommended holds no items, only padding: there is nothing to measure")
    if shown.max() >= n_items:
        raise DataError(f"recommended holds item {shown.max()}, but the catalogue has {n_items} items")
    return np.bincount(shown, minlength=n_items)


def _coverage(shown: NDArray[np.int64]) -> float:
    return float((shown > 0).mean())


def _gini(shown: NDArray[np.int64]) -> float:
    n = len(shown)
    if n == 1:
        return 0.0
    rank = np.arange(1.0, n + 1)
    return float(((2 * rank - n - 1) * np.sort(shown)).sum() / ((n - 1) * shown.sum()))


def _novelty(shown: NDArray[np.int64], counts: Floats) -> float:
    return float(np.average(-np.log2(np.maximum(counts, 1.0) / counts.sum()), weights=shown))
