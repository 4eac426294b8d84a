"""The systems that are judged side by side: each gives lists and scores for a block of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.baselines import Baseline, order_of
from crossfm.recommender.best import best_items
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.recommender import Recommender, popular_items
from crossfm.recommender.seen import Positions
from crossfm.scoring.decompose import query_vectors

Floats = NDArray[np.float32]
RECALL, TWO_STAGES, IDEAL = "recall", "two stages", "ideal ranking"


@dataclass(frozen=True, eq=False)
class Found:
    """What one system found for a block of users.

    Attributes
    ----------
    lists : int64 (n_users, n)
        Best first, -1 where no more is left.
    scores : float32 (n_users, n_items) or None
        Of the whole catalogue.
    """

    lists: Positions
    scores: Floats | None = None


@dataclass(frozen=True, eq=False)
class Ranked:
    """The candidates of a block of users, in the order of recall and in that of ranking.

    Attributes
    ----------
    candidates : int64 (n_users, n_candidates)
        As recalled, -1 where no more is left.
    score : float32 (n_users, n_candidates)
        The second stage's score of each candidate, -inf where there is none; recall's order without a second stage.
    lists : int64 (n_users, n_candidates)
        By falling score.
    known : bool (n_users,)
        Whether anything is known about the user; where not, the order is the popularity's.
    """

    candidates: Positions
    score: Floats
    lists: Positions
    known: NDArray[np.bool_]


def recalled(model: Recommender, vectors: Floats, block: Later, n: int) -> Found:
    """Return the first stage's lists of ``n`` and its scores; popularity for users nothing is known about.

    ``vectors`` (dim, n_items) are the model's item vectors.
    """
    queries, _ = query_vectors(block.queries, model._machine)
    scores = queries @ vectors
    scores[~model.known(block.queries)] = model.popularity_
    return Found(listed(model, block, min(n, block.n_items)), scores)


def listed(model: Recommender, block: Later, n: int) -> Positions:
    """Return the first stage's lists (n_users, n), without channels; popularity as in ``recalled``."""
    found, _ = model.recall(block.queries, n, skip=block.skip)
    known = model.known(block.queries)
    if not known.all():
        popular, _ = popular_items(model.popularity_, len(block), n, skip=block.skip)
        found[~known] = popular[~known]
    return found


def ranked(model: Recommender, block: Later, recall: Found, n: int) -> Ranked:
    """Order ``n`` candidates by the second stage; as they are where there is none, and for unknown users.

    They are the first of recall, and what channels have put among them.
    """
    assert recall.scores is not None
    found, known = recall.lists[:, :n], model.known(block.queries)
    first = np.take_along_axis(recall.scores, np.maximum(found, 0), 1)
    first = np.where(found >= 0, first, np.float32(-np.inf))
    candidates, recalled = found.copy(), first.copy()
    if known.any():
        asked = block.queries.take(np.flatnonzero(known))
        past = block.seen.of_users(np.flatnonzero(known))
        by = found[known], first[known]
        recent = model.recent(block.where[known])
        candidates[known], recalled[known], _ = model.with_candidates(
            asked, *by, (past.indptr, past.items), past, recent
        )
    there = candidates >= 0
    place = np.arange(candidates.shape[1], dtype=np.float32)
    score = np.where(there, -place, -np.inf).astype(np.float32)
    if model.ranking_ is not None and known.any():
        own = model.ranking_.scores_of(asked, past, model._catalogue, candidates[known], recalled[known], by)
        score[known] = np.where(there[known], own, -np.inf)
    return Ranked(candidates, score, by_score(candidates, score), known)


def two_stages(both: Ranked, recall: Found) -> Found:
    """Return the ranked lists; scores are those of recall, with all candidates above the rest in their new order."""
    assert recall.scores is not None
    scores = recall.scores.copy()
    row, place = np.nonzero((both.lists >= 0) & both.known[:, None])
    top = scores.max(axis=1, keepdims=True)
    step = np.maximum(np.abs(top) * np.float32(1e-3), np.float32(1.0))
    lifted = top + step * (both.lists.shape[1] - np.arange(both.lists.shape[1], dtype=np.float32))
    scores[row, both.lists[row, place]] = lifted[row, place]
    return Found(both.lists, scores)


def baseline_lists(baseline: Baseline, block: Later, n: int) -> Found:
    """Return a baseline's lists of ``n`` and its scores."""
    scores = baseline.scores(block.seen)
    return Found(best_items(scores, n, block.skip, first=order_of(baseline)), scores)


def ideal(candidates: Positions, hits: NDArray[np.bool_]) -> Found:
    """Return the candidates with those that ``hits`` marks in front: the best that any ranking could do."""
    order = np.argsort(~hits, axis=1, kind="stable")
    return Found(np.take_along_axis(candidates, order, 1))


def by_score(items: Positions, score: Any) -> Positions:
    """Order each row of ``items`` by falling score, ties by position, -1 last."""
    order = np.lexsort((items, -score), axis=1)
    return np.take_along_axis(items, order, 1)
