"""What lists found, scored again as the exact search does."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossfm.kernels.topk import LANES, top_items
from crossfm.recommender.changes import Floats32, Found, Mask, Positions
from crossfm.recommender.seen import Skip


def positions_of(near: Positions, skip: Skip | None, query: Any, allowed: Mask | None) -> Positions:
    """Return the positions in ``near``, rising, but for those that the query leaves out or that are not allowed."""
    at = np.sort(near[near >= 0])
    if allowed is not None:
        at = at[allowed[at] != 0]
    if skip is None:
        return at
    out = skip[1][skip[0][query] : skip[0][query + 1]]
    return at[~np.isin(at, out, assume_unique=True)]


def best_of(packed: Floats32, query: Floats32, at: Positions, n_best: int) -> Found:
    """Return the best (n_best,) of the items at ``at``, rising, with the scores of the exact search."""
    padded = np.concatenate([at, np.zeros(-len(at) % LANES, np.int64)])
    rows = packed[padded // LANES, :, padded % LANES].reshape(-1, LANES, packed.shape[1])
    few = np.ascontiguousarray(rows.transpose(0, 2, 1))
    ids, scores = top_items(query[None], few, n_best, n_items=len(at))
    return np.where(ids[0] >= 0, padded[ids[0]] if len(padded) else -1, -1), scores[0]


def skip_at(skip: Skip | None, queries: Positions) -> Skip | None:
    """Return ``skip`` for some of the queries, rising."""
    if skip is None:
        return None
    parts = [skip[1][skip[0][q] : skip[0][q + 1]] for q in queries]
    return np.cumsum([0, *map(len, parts)]), np.concatenate(parts)
