"""How good are the lists? Full ranking on later interactions, beside popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.core.options import check_count
from crossfm.data.rows import Rows
from crossfm.data.tables import as_table
from crossfm.errors import DataError, OptionError
from crossfm.metrics import bootstrap_interval, coverage, gini, novelty, per_user_ranking
from crossfm.recommender.ids import Ids
from crossfm.recommender.recommender import Recommender, popular_items
from crossfm.recommender.seen import Skip, distinct_pairs, offsets, skip_of
from crossfm.recommender.side import need
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
    table = as_table(test)
    need(table, model.user, "the test table")
    need(table, model.item, "the test table")
    users, first, indptr, relevant, notes = _relevant(model, table)
    where = model.users_.ids.positions(users, model.user)
    warm = model.seen_.counts(where) > 0
    queries, _ = model._queries(first)
    skip = model.seen_.skip(where, np.empty(0, np.int64))
    systems = _systems(model, queries, skip, min(max(ks), len(model.items_.ids)))
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
    return Evaluation(rows, per_user, warm, notes)


def _systems(model: Recommender, queries: Rows, skip: Skip, n: int) -> dict[str, tuple[Positions, _Scores]]:
    """Return the lists (n_users, n) and the scores of the machine and of popularity."""
    found, _, known = model.best(queries, n, skip)
    vectors, _ = query_vectors(queries, model._machine)
    systems = {"fm": (found, _Scores(model.popularity_, known, vectors, model.item_vectors_))}
    popularity = {"popularity": model.counts_.astype(np.float64)}
    if model.half_life is not None:
        popularity["recent popularity"] = model.popularity_
    for name, counts in popularity.items():
        found, _ = popular_items(counts, len(queries), n, skip=skip)
        systems[name] = (found, _Scores(counts, np.zeros_like(known), vectors, model.item_vectors_))
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


def _relevant(model: Recommender, table: pa.Table) -> tuple[Any, pa.Table, Positions, Positions, list[str]]:
    """Return the users with something relevant, their first rows, and the relevant items as CSR."""
    ids = Ids.of(table[model.user], model.user)
    user = ids.positions(table[model.user], model.user)
    item = model.items_.ids.positions(table[model.item], model.item)
    named = Ids.of(table[model.item], model.item)
    n_items = len(model.items_.ids)
    notes = []
    unknown = item < 0
    if unknown.any():  # ids behind the catalogue: relevant, and never recommended
        item[unknown] = n_items + named.positions(table[model.item], model.item)[unknown]
        strangers = len(np.unique(item[unknown]))
        notes.append(f"{strangers} items of the test are not in the catalogue and count as misses")
    span = n_items + len(named) + 1
    owner, wanted = distinct_pairs(user, item)
    skipped, seen = model.seen_.skip(model.users_.ids.positions(ids.keys, model.user), np.empty(0, np.int64))
    key = owner * span + wanted
    seen_key = np.repeat(np.arange(len(ids)), np.diff(skipped)) * span + seen
    seen_key = np.append(seen_key, len(ids) * span)  # sorted, and larger than any key at its end
    again = seen_key[np.searchsorted(seen_key, key)] == key
    if again.any():
        notes.append(f"{int(again.sum())} test interactions repeat ones of the training and are left out")
    owner, wanted = owner[~again], wanted[~again]
    if not len(owner):
        raise DataError("no test interaction is left that was not seen in training: nothing to evaluate")
    counts = np.bincount(owner, minlength=len(ids))
    judged = np.flatnonzero(counts)
    first = np.empty(len(ids), np.int64)
    first[user[::-1]] = np.arange(len(user))[::-1]
    context = [name for name in model.context if name in table.column_names]
    rows = table.select([model.user, *context]).take(pa.array(first[judged]))
    return rows[model.user], rows, offsets(counts[judged]), wanted, notes


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
    """Return the AUC of each user's relevant items against the other unseen ones; NaN where undefined.

    By ranks (Mann-Whitney), ties in the middle; relevant items behind the catalogue do not count.
    """
    n_users = len(indptr) - 1
    out = np.full(n_users, np.nan)
    step = max(1, SCORES_A_BLOCK // n_items)
    for start in range(0, n_users, step):
        block = slice(start, min(start + step, n_users))
        score = scores.of(block)
        skipped, seen = skip_of(skip, block)
        n_skipped = np.diff(skipped)
        score[np.repeat(np.arange(len(score)), n_skipped), seen] = -np.inf  # below all others
        ordered = np.sort(score, axis=1)
        for row, user in enumerate(range(block.start, block.stop)):
            good = relevant[indptr[user] : indptr[user + 1]]
            good = score[row, good[good < n_items]]
            n_good, n_bad = len(good), n_items - n_skipped[row] - len(good)
            if n_good and n_bad:
                below = np.searchsorted(ordered[row], good, side="left")
                upto = np.searchsorted(ordered[row], good, side="right")
                rank = 0.5 * (below + upto + 1) - n_skipped[row]  # from 1, among the items not skipped
                out[user] = (rank.sum() - 0.5 * n_good * (n_good + 1)) / (n_good * n_bad)
    return out
