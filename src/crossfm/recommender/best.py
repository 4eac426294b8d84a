"""The best items by any scores, with the same answer every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.seen import Positions, Skip

_NEVER = np.iinfo(np.int64).min


def best_items(
    scores: NDArray[np.float32], n_best: int, skip: Skip | None = None, *, first: Positions | None = None
) -> Positions:
    """Return positions (n_queries, n_best) of the largest ``scores`` (n_queries, n_items), best first.

    Parameters
    ----------
    scores : float32 (n_queries, n_items)
        Finite.
    skip : offsets and sorted positions of what each query leaves out, or None
    first : int64 (n_items,) or None
        The order in which equal scores come, as positions; None: that of the catalogue.

    Where fewer than ``n_best`` are left, positions are -1.
    """
    n_items = scores.shape[1]
    first = np.arange(n_items) if first is None else first
    last = np.empty(n_items, np.int64)
    last[first] = np.arange(n_items)[::-1]
    key = (_ordered(scores).astype(np.int64) << 32) | last  # distinct: no ties are left to chance
    if skip is not None:
        key[np.repeat(np.arange(len(key)), np.diff(skip[0])), skip[1]] = _NEVER
    n_best = min(n_best, n_items)
    key = np.partition(key, n_items - n_best, axis=1)[:, n_items - n_best :]
    key = np.sort(key, axis=1)[:, ::-1]
    found = first[n_items - 1 - (key & 0xFFFFFFFF)]
    return np.where(key == _NEVER, -1, found)


def _ordered(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return integers in the order of the scores: the bits of a float, those of negative ones turned over."""
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)  # -0 becomes 0
    return np.asarray(np.where(bits >= 0, bits, bits ^ np.int32(0x7FFFFFFF)))
