"""How good are the lists? Full ranking on later interactions, beside popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.metrics import bootstrap_interval, coverage, gini, novelty, per_user_ranking
from crossfm.recommender.evaluation.areas import relevant_auc
from crossfm.recommender.evaluation.later import Later, part_of
from crossfm.recommender.recommender import Recommender, popular_items
from crossfm.recommender.seen import Skip, skip_of
from crossfm.scoring.decompose import query_vectors

Positions = NDArray[np.int64]
SCORES_A_BLOCK = 4_000_000  # of users times items: bounded memory


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of several systems on the same users.

    Attributes
    ----------
    rows : list of dict
        One a system, segment ("all", "warm", "new") and metric: ``mean``, ``low``, ``high`` (95 % bootstrap over
        users) and ``n_users``. Metrics of whole lists (coverage, gini, novelty) have the segment "all" and no
        interval.
    per_user : dict
        (system, metric) to values (n_users,), for tests of differences.
    warm : bool (n_users,)
        Users that had interactions in training.
    notes : list of str
        What was left out or counts as a miss.
    """

    rows: list[dict[str, Any]]
    per_user: dict[tuple[str, str], NDArray[np.float64]]
    warm: NDArray[np.bool_]
    notes: list[str]

    def value(self, system: str, metric: str, segment: str = "all") -> dict[str, Any]:
        """Return one row."""
        for row in self.rows:
            if (row["system"], row["metric"], row["segment"]) == (system, metric, segment):
                return row
        raise KeyError((system, metric, segment))


def evaluate(model: Recommender, test: Any, *, ks: tuple[int, ...] = (10, 20), seed: int = 0) -> Evaluation:
    """Judge ``model`` on the interactions ``test``, which came after those it was fitted on.

    For each user of ``test`` one list is asked for, as ``recommend`` gives it: the whole catalogue without what the
    user had seen in training, in the context of the user's first test row, with the features stored in the model.
    All items of the user's test rows are relevant, except those already seen. Items unknown to the model count as
    misses. Beside the machine ("fm") stand popularity over all training ("popularity") and, with a half-life,
    popularity halved by age ("recent popularity"). Sampled negatives are never used.

    ``gauc`` is the AUC of relevant against all other unseen items of the catalogue, averaged over users by relevant
    items. Raises ``DataError`` when no test interaction is left to judge by.
    """
    model._check_fitted()
    if not ks:
        raise OptionError("ks is empty; give at least one length of list, like ks=(10, 20)")
    for k in ks:
        check_count("k", k, low=1)
    later = Later.of(model, test)
    indptr, relevant, skip = later.indptr, later.relevant, later.skip
    warm = model.seen_.counts(later.where) > 0
    systems = _systems(model, later, min(max(ks), len(model.items_.ids)))
    rows: list[dict[str, Any]] = []
    per_user: dict[tuple[str, str], NDArray[np.float64]] = {}
    segments = {"all": np.ones(len(warm), bool), "warm": warm, "new": ~warm}
    for system, (found, scores) in systems.items():
        values = per_user_ranking(found, indptr, relevant, ks)
        values["gauc"] = list_auc(scores, len(model.items_.ids), skip, indptr, relevant)
        for metric, value in values.items():
            per_user[system, metric] = value
            weight = np.diff(indptr) if metric == "gauc" else np.ones(len(value))
            for segment, mask in segments.items():
                head = {"system": system, "segment": segment, "metric": metric}
                rows.append(head | _interval(value, weight, mask, seed))
        for metric, number in _of_lists(model, found).items():
            head = {"system": system, "segment": "all", "metric": metric}
            rows.append(head | {"mean": number, "n_users": len(warm)})
    return Evaluation(rows, per_user, warm, later.notes)


def _systems(model: Recommender, later: Later, n: int) -> dict[str, tuple[Positions, _Scores]]:
    """Return the lists (n_users, n) and the scores of the machine and of popularity."""
    queries, skip = later.queries, later.skip
    found, _, known = model.best(queries, n, skip, later.seen, model.recent(later.where))
    vectors, _ = query_vectors(queries, model._machine)
    items = model.item_vectors_  # a copy, made once
    systems = {"fm": (found, _Scores(model.popularity_, known, vectors, items))}
    popularity = {"popularity": model.counts_.astype(np.float64)}
    if model.half_life is not None:
        popularity["recent popularity"] = model.popularity_
    for name, counts in popularity.items():
        found, _ = popular_items(counts, len(queries), n, skip=skip)
        systems[name] = (found, _Scores(counts, np.zeros_like(known), vectors, items))
    return systems


def _of_lists(model: Recommender, found: Positions) -> dict[str, float]:
    n, n_items = found.shape[1], len(model.items_.ids)
    return {
        f"coverage@{n}": coverage(found, n_items),
        f"gini@{n}": gini(found, n_items),
        f"novelty@{n}": novelty(found, model.counts_),
    }


def _interval(value: NDArray[np.float64], weight: Any, mask: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    judged = mask & np.isfinite(value)
    if not judged.any():
        return {"n_users": 0, "mean": None, "low": None, "high": None}
    interval = bootstrap_interval(value[judged], weight[judged], seed=seed)
    return {"n_users": int(judged.sum()), "mean": interval.mean, "low": interval.low, "high": interval.high}


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores of all items for some users: by popularity, or <q, t> for the users that are known."""

    popularity: NDArray[np.float64]
    known: NDArray[np.bool_]
    queries: NDArray[np.float32]
    items: NDArray[np.float32]

    def of(self, block: slice) -> NDArray[np.float32]:
        """Return the scores (n_block, n_items)."""
        known = self.known[block]
        out = np.empty((len(known), len(self.popularity)), np.float32)
        out[~known] = self.popularity
        out[known] = self.queries[block][known] @ self.items
        return out


def list_auc(
    scores: _Scores, n_items: int, skip: Skip, indptr: Positions, relevant: Positions
) -> NDArray[np.float64]:
    """Return the AUC of each user's relevant items, block by block; see ``relevant_auc``."""
    n_users = len(indptr) - 1
    out = np.empty(n_users)
    step = max(1, SCORES_A_BLOCK // n_items)
    for start in range(0, n_users, step):
        block = slice(start, min(start + step, n_users))
        out[block] = relevant_auc(scores.of(block), skip_of(skip, block), *part_of(indptr, relevant, block))
    return out
