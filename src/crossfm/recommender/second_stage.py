"""From the log or the impressions of a recommender to its second stage.

A machine of recall that was trained on an interaction puts its item too high to be beaten by what stands beside it, and
whoever counts an interaction among those that made an item popular knows the answer. So the later part of the log is
cut into windows of time. For each window recall learns from what came before it alone, and is asked for lists as after
training: once for each user (in each context) of the window. What users chose in the window is what was right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.core.random import stream
from crossfm.data.rows import Rows
from crossfm.errors import ColumnError, DataError, LabelError
from crossfm.estimators.recall import recall_machine_of
from crossfm.recommender.examples import Examples, Moment, recalled_lists, shown_lists
from crossfm.recommender.fit_ranking import fit_ranking
from crossfm.recommender.history import before, latest
from crossfm.recommender.ranking import Ranking
from crossfm.recommender.seen import Positions, Seen
from crossfm.recommender.side import need
from crossfm.recommender.signals import N_FIELDS, Signals
from crossfm.recommender.times import age_weight, seconds_of
from crossfm.scoring.decompose import item_vectors

WINDOWS = 4
MOST_LISTS = 20_000  # of a window


@dataclass(frozen=True, eq=False)
class Log:
    """Encoded interactions, in the order of time.

    Attributes
    ----------
    own : Rows (n, ...)
        Features of users and context.
    queries : Rows (n, ...)
        The same and the history.
    user, item : int64 (n,)
        Positions.
    seconds : float64 (n,) or None
    """

    own: Rows
    queries: Rows
    user: Positions
    item: Positions
    seconds: NDArray[np.float64] | None

    @classmethod
    def ordered(
        cls, own: Rows, queries: Rows, user: Positions, item: Positions, seconds: NDArray[np.float64] | None
    ) -> Log:
        """Sort interactions by their seconds; without, they stay as they are."""
        if seconds is None:
            return cls(own, queries, user, item, None)
        order = np.argsort(seconds, kind="stable")
        return cls(own.take(order), queries.take(order), user[order], item[order], seconds[order])

    def __len__(self) -> int:
        return len(self.item)


def fit_second_stage(model: Any, log: Log, impressions: Any) -> Ranking:
    """Fit ``model.ranker`` on ``impressions`` (a table), or where it is None on the later part of the log."""
    from sklearn.base import clone

    shown = None if impressions is None else Shown.of(model, log, impressions)
    parts, start = [], None
    for begin, end in windows(len(log), model.ranker_share):
        moment, params = moment_at(model, log, begin)
        start = params if start is None else start  # the first machine knows nothing of what is to be learnt
        rng = stream(model.retriever_.random_state, f"ranking negatives {begin}")
        part = (
            chosen_in(model, log, moment, begin, end, rng)
            if shown is None
            else shown.in_window(model, log, moment, begin, end)
        )
        if part is not None:
            parts.append(part)
    if not parts:
        raise DataError(
            f"no impression is of the latest {model.ranker_share:.0%} of the interactions, which ranking learns from"
        )
    n_fields, left = len(model.field_names()), model.n_query_fields
    n_users, n_items = len(model.users_.ids), len(model.items_.ids)
    signals = Signals.fit(log.user, log.item, n_users=n_users, n_items=n_items, n_log=len(log))
    estimator = clone(model.ranker)
    ranking = Ranking(estimator, signals, left, n_fields + N_FIELDS, model.n_candidates)
    return fit_ranking(
        estimator, ranking, start, Examples.joined(parts), model._catalogue, model.retriever_.random_state
    )


def windows(n: int, share: float) -> list[tuple[int, int]]:
    """Return begin and end of the windows of the latest ``share`` of ``n`` interactions."""
    bounds = np.linspace((1 - share) * n, n, WINDOWS + 1).astype(int)
    if bounds[0] < 1 or (np.diff(bounds) < 1).any():
        raise DataError(f"{n} interactions are too few to be cut in time for recall and ranking")
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def moment_at(model: Any, log: Log, end: int) -> tuple[Moment, FMParams | None]:
    """Return recall as after the first ``end`` interactions, and what a ranking can start from."""
    early = np.arange(end)
    weight = None
    if model.half_life is not None and log.seconds is not None:
        weight = age_weight(log.seconds[:end], model.half_life)
    user, item = log.user[:end], log.item[:end]
    retriever = model._new_retriever().set_params(verbose=0, callbacks=None)
    retriever.fit(
        log.queries.take(early), item, catalogue=model.items_.rows, sample_weight=weight, owners=user
    )
    machine = recall_machine_of(retriever, n_query_fields=model.n_query_fields)
    vectors = np.ascontiguousarray(item_vectors(model._catalogue, machine).T)
    n_users, n_items = len(model.users_.ids), len(model.items_.ids)
    signals = Signals.fit(user, item, n_users=n_users, n_items=n_items, n_log=len(log))
    moment = Moment(machine, vectors, signals, Seen.of(user, item, n_users), model.n_candidates)
    return moment, machine if isinstance(machine, FMParams) else None


def chosen_in(
    model: Any, log: Log, moment: Moment, begin: int, end: int, rng: np.random.Generator
) -> Examples:
    """Return one list for each user (in each context) of a window, asked for at its begin."""
    late = np.arange(begin, end)
    first, ask = asks_of(log.own.take(late), log.user[late])
    if len(first) > MOST_LISTS:
        some = np.sort(rng.permutation(len(first))[:MOST_LISTS])
        place = np.full(len(first), -1)
        place[some] = np.arange(len(some))
        keep = place[ask] >= 0
        first, ask, late = first[some], place[ask][keep], late[keep]
    user = log.user[begin + first]
    queries = log.own.take(begin + first)
    if model.history:
        done = latest(log.user[:begin], log.item[:begin], None, len(model.users_.ids), model.history)
        queries = model._with_history(queries, done.of_users(user), model._n_known)
    chosen = Seen.of(ask, log.item[late], len(first))
    return recalled_lists(moment, queries, user, chosen, model.seen_, model.ranker_negatives, rng)


def asks_of(own: Rows, user: Positions) -> tuple[Positions, Positions]:
    """Return the first row of each user in each context, and for each row (n,) the number of its own."""
    mixed = np.random.default_rng(0).random(own.n_features)  # equal features, equal sums
    row = np.repeat(np.arange(len(own)), np.diff(own.offsets()))
    total = np.bincount(row, mixed[own.indices] * own.value_of_each(), len(own))
    _, total_code = np.unique(total, return_inverse=True)
    _, first, ask = np.unique(
        user * (total_code.max() + 1) + total_code, return_index=True, return_inverse=True
    )
    return first, ask


@dataclass(frozen=True, eq=False)
class Shown:
    """Impressions, in the order of time: rows of user and context, positions, moments, and 1 where one was chosen."""

    own: Rows
    user: Positions
    item: Positions
    seconds: NDArray[np.float64]
    label: NDArray[np.float64]

    @classmethod
    def of(cls, model: Any, log: Log, table: Any) -> Shown:
        """Read a table of impressions; what is of no item of the catalogue is left out."""
        for name in (model.user, model.item, model.label):
            need(table, name, "the table of impressions")
        if log.seconds is None or model.time not in table.column_names:
            raise ColumnError(
                "impressions need the column of times, and the recommender time=...: recall may not know what came "
                "after an impression"
            )
        item = model.items_.ids.positions(table[model.item], model.item)
        table, item = table.filter(pa.array(item >= 0)), item[item >= 0]
        if not len(item):
            raise DataError("no impression is of an item of the catalogue")
        own, user = model.users_.encode(table.select([model.user]))
        own = model._with_context(own, table)
        seconds = seconds_of(table[model.time], model.time)
        label = _labels(table[model.label], model.label)
        order = np.argsort(seconds, kind="stable")
        return cls(own.take(order), user[order], item[order], seconds[order], label[order])

    def in_window(self, model: Any, log: Log, moment: Moment, begin: int, end: int) -> Examples | None:
        """Return the impressions of a window as lists: those of one user, context and moment are one."""
        assert log.seconds is not None
        low = np.searchsorted(self.seconds, log.seconds[begin])
        high = len(self.seconds) if end == len(log) else np.searchsorted(self.seconds, log.seconds[end])
        if low >= high:
            return None
        rows = np.arange(low, high)
        _, when = np.unique(self.seconds[rows], return_inverse=True)
        first, ask = asks_of(self.own.take(rows), self.user[rows] * (when.max() + 1) + when)
        order = np.argsort(ask, kind="stable")
        user, seconds = self.user[rows][first], self.seconds[rows][first]
        known = (log.user, log.item, log.seconds)
        past = before(known, user, seconds, len(log))
        queries = self.own.take(rows[first])
        if model.history:
            queries = model._with_history(
                queries, before(known, user, seconds, model.history), model._n_known
            )
        each = ask[order], self.item[rows][order], self.label[rows][order]
        return shown_lists(moment, queries, past, *each)


def _labels(column: Any, name: str) -> NDArray[np.float64]:
    try:
        label = np.asarray(column.to_numpy(), np.float64)
    except (TypeError, ValueError) as exc:
        raise LabelError(f"column {name!r} holds {column.type}, but labels are 0 and 1") from exc
    wrong = ~np.isin(label, (0.0, 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(f"row {row} of the impressions has the label {label[row]}, but labels are 0 and 1")
    return label
