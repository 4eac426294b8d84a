"""Ranking alone: how well candidates are put in order, given what recall has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crossfm.metrics.ranking import per_user_ranking
from crossfm.recommender.evaluation.areas import relevant_auc
from crossfm.recommender.evaluation.systems import by_score
from crossfm.recommender.seen import Positions, offsets

Floats = NDArray[np.float64]
CHANCE = "chance"


def hits_of(lists: Positions, indptr: Positions, relevant: Positions) -> NDArray[np.bool_]:
    """Return which places (n_users, n) of ``lists`` hold relevant items."""
    span = 1 + max(int(lists.max(initial=0)), int(relevant.max(initial=0)))
    owner = np.repeat(np.arange(len(lists)), np.diff(indptr))
    asked = np.arange(len(lists))[:, None] * span + lists
    return (lists >= 0) & np.isin(asked, owner * span + relevant)


def given_candidates(
    candidates: Positions,
    hits: NDArray[np.bool_],
    scores: Mapping[str, NDArray[np.float32]],
    ks: Sequence[int],
) -> dict[tuple[str, str], Floats]:
    """Return (order, metric) to values (n_users,), NaN for users without a relevant candidate.

    The candidates that ``hits`` marks are all there is to find: an order with them in front has 1. ``ndcg@k``, and
    ``auc`` of the hits against the other candidates.

    Parameters
    ----------
    candidates : int64 (n_users, n_candidates), -1 for none
    hits : bool (n_users, n_candidates)
    scores : mapping of order to float32 (n_users, n_candidates)
        Whatever they are for -1.
    """
    judged = hits.any(axis=1)
    out: dict[tuple[str, str], Floats] = {}
    names = [*(f"ndcg@{k}" for k in ks), "auc"]
    for order in (*scores, CHANCE):
        out |= {(order, name): np.full(len(hits), np.nan) for name in names}
    if not judged.any():
        return out
    items, hit = candidates[judged], hits[judged]
    indptr, wanted = offsets(hit.sum(axis=1)), items[hit]
    gone = items < 0
    padding = (offsets(gone.sum(axis=1)), np.nonzero(gone)[1].astype(np.uint32))
    columns = np.nonzero(hit)[1]
    for order, score in scores.items():
        own = np.where(gone, -np.inf, score[judged]).astype(np.float32)
        found = per_user_ranking(by_score(items, own)[:, : max(ks)], indptr, wanted, ks)
        for name in names[:-1]:
            out[order, name][judged] = found[name]
        out[order, "auc"][judged] = relevant_auc(own, padding, indptr, columns)
    for k in ks:
        out[CHANCE, f"ndcg@{k}"][judged] = chance_ndcg(hit.sum(axis=1), (~gone).sum(axis=1), k)
    out[CHANCE, "auc"][judged] = np.where(np.isfinite(out[order, "auc"][judged]), 0.5, np.nan)
    return out


def chance_ndcg(n_relevant: Positions, n_items: Positions, k: int) -> Floats:
    """Return the NDCG@k that a random order has on average: each place holds a relevant item with the same chance."""
    discount = np.cumsum(1.0 / np.log2(np.arange(2.0, k + 2)))
    mean = n_relevant / n_items * discount[np.minimum(n_items, k) - 1]
    return np.asarray(mean / discount[np.minimum(n_relevant, k) - 1])
