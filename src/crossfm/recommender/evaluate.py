"""How good are the lists? Full ranking on later interactions, beside popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.data.tables import as_table
from crossfm.errors import DataError
from crossfm.metrics import auc, bootstrap_interval, coverage, gini, novelty, per_user_ranking
from crossfm.recommender.ids import Ids
from crossfm.recommender.recommender import Recommender, popular_items
from crossfm.recommender.side import need
from crossfm.scoring.decompose import query_vectors

Positions = NDArray[np.int64]


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

    For each user of ``test`` one list is asked for: the whole catalogue without what the user had seen in training,
    in the context of the user's first test row, with the features stored in the model. All items of the user's test
    rows are relevant, except those already seen. Items unknown to the model count as misses. Beside the machine
    ("fm") stand popularity over all training ("popularity") and, with a half-life, popularity halved by age
    ("recent popularity"). Sampled negatives are never used.

    ``gauc`` is the AUC of relevant against all other unseen items, averaged over users by relevant items.
    """
    table = as_table(test)
    need(table, model.user, "the test table")
    need(table, model.item, "the test table")
    users, first, indptr, relevant, notes = _relevant(model, table)
    where = model.users_.ids.positions(users, model.user)
    seen_before = np.diff(model.seen_indptr_)
    warm = (where >= 0) & (np.where(where >= 0, seen_before[where], 0) > 0)
    queries, _ = model._queries(first)
    skip = model._skip(where, ())
    n = min(max(ks), len(model.items_.ids))
    lists = {
        "fm": model.rank(queries, model.recall(queries, max(n, model.n_candidates), skip=skip)[0])[0][:, :n]
    }
    lists["popularity"] = popular_items(model.counts_.astype(np.float64), len(where), n, skip=skip)[0]
    counts = {"fm": None, "popularity": model.counts_.astype(np.float64)}
    if model.half_life is not None:
        lists["recent popularity"] = popular_items(model.popularity_, len(where), n, skip=skip)[0]
        counts["recent popularity"] = model.popularity_
    rows: list[dict[str, Any]] = []
    per_user: dict[tuple[str, str], NDArray[np.float64]] = {}
    n_relevant = np.diff(indptr)
    for system, found in lists.items():
        values = per_user_ranking(found, indptr, relevant, ks)
        values["gauc"] = _auc(model, queries, skip, indptr, relevant, counts[system])
        for metric, value in values.items():
            per_user[system, metric] = value
            weight = n_relevant if metric == "gauc" else np.ones(len(value))
            for segment, mask in (("all", np.ones(len(warm), bool)), ("warm", warm), ("new", ~warm)):
                rows.append(_row(system, segment, metric, value, weight, mask, seed))
        for metric, number in (
            (f"coverage@{n}", coverage(found, len(model.items_.ids))),
            (f"gini@{n}", gini(found, len(model.items_.ids))),
            (f"novelty@{n}", novelty(found, model.counts_)),
        ):
            rows.append(
                {"system": system, "segment": "all", "metric": metric, "mean": number, "n_users": len(warm)}
            )
    return Evaluation(rows, per_user, warm, notes)


def _row(
    system: str, segment: str, metric: str, value: Any, weight: Any, mask: Any, seed: int
) -> dict[str, Any]:
    judged = mask & np.isfinite(value)
    row = {"system": system, "segment": segment, "metric": metric, "n_users": int(judged.sum())}
    if not judged.any():
        return row | {"mean": None, "low": None, "high": None}
    interval = bootstrap_interval(value[judged], weight[judged], seed=seed)
    return row | {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _relevant(model: Recommender, table: pa.Table) -> tuple[Any, pa.Table, Positions, Positions, list[str]]:
    """Return the users with something relevant, their first rows, and the relevant items as CSR."""
    ids = Ids.of(table[model.user], model.user)
    user = ids.positions(table[model.user], model.user)
    item = model.items_.ids.positions(table[model.item], model.item)
    n_items = len(model.items_.ids)
    notes = []
    unknown = np.flatnonzero(item < 0)
    if len(unknown):  # ids behind the catalogue: relevant, and never recommended
        strangers = Ids.of(table[model.item].take(pa.array(unknown)), model.item)
        item[unknown] = n_items + strangers.positions(table[model.item].take(pa.array(unknown)), model.item)
        notes.append(f"{len(strangers)} items of the test are not in the catalogue and count as misses")
    span = n_items + len(unknown) + 1
    pairs = np.unique(user * span + item)
    where = model.users_.ids.positions(ids.keys, model.user)
    owner = np.repeat(np.arange(len(model.users_.ids)), np.diff(model.seen_indptr_))
    seen = owner * span + model.seen_items_
    again = (where[pairs // span] >= 0) & np.isin(where[pairs // span] * span + pairs % span, seen)
    if again.any():
        notes.append(f"{int(again.sum())} test interactions repeat ones of the training and are left out")
    pairs = pairs[~again]
    if not len(pairs):
        raise DataError("no test interaction is left that was not seen in training: nothing to evaluate")
    judged, counts = np.unique(pairs // span, return_counts=True)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    _, first = np.unique(user, return_index=True)
    context = [name for name in model.context if name in table.column_names]
    rows = table.select([model.user, *context]).take(pa.array(first[judged]))
    return rows[model.user], rows, indptr, pairs % span, notes


def _auc(
    model: Recommender, queries: Any, skip: Any, indptr: Positions, relevant: Positions, counts: Any
) -> NDArray[np.float64]:
    """Return the AUC of each user's relevant items against the other unseen ones; NaN where undefined."""
    vectors, _ = query_vectors(queries, model.ranker_.params_)
    n_items = len(model.items_.ids)
    out = np.full(len(vectors), np.nan)
    for user in range(len(vectors)):
        score = vectors[user] @ model.item_vectors_ if counts is None else counts
        label = np.zeros(n_items, bool)
        mine = relevant[indptr[user] : indptr[user + 1]]
        label[mine[mine < n_items]] = True
        allowed = np.ones(n_items, bool)
        allowed[skip[1][skip[0][user] : skip[0][user + 1]]] = False
        if label[allowed].any() and not label[allowed].all():
            out[user] = auc(label[allowed].astype(float), score[allowed])
    return out
