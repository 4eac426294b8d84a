"""What users did later: who asks, what was relevant, and what a list leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.data.tables import as_table
from crossfm.errors import DataError
from crossfm.recommender.ids import Ids
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import Positions, Seen, Skip, distinct_pairs, offsets, skip_of
from crossfm.recommender.side import need
from crossfm.recommender.times import seconds_of


@dataclass(frozen=True, eq=False)
class Later:
    """The users of a test, in order of appearance, and what they interacted with.

    Attributes
    ----------
    asks : pyarrow.Table (n_users, ...)
        User and context of the first test row of each.
    where : int64 (n_users,)
        Positions among the model's users, -1 for unknown ones.
    queries : Rows (n_users, ...)
    skip : offsets and sorted positions
        What each has seen in training.
    indptr, relevant : int64 (n_users + 1,), (n_relevant,)
        Items of the test that were not seen in training, one or more each. Positions from ``n_items`` on stand for
        items that are not in the catalogue: they can only be missed.
    n_items : int
    notes : list of str
        What was left out or counts as a miss.
    """

    asks: Any
    where: Positions
    queries: Rows
    skip: Skip
    indptr: Positions
    relevant: Positions
    n_items: int
    notes: list[str]

    @classmethod
    def of(cls, model: Recommender, test: Any) -> Later:
        """Read the interactions ``test``. Raises ``DataError`` when none is left to judge by."""
        table = as_table(test)
        need(table, model.user, "the test table")
        need(table, model.item, "the test table")
        asks, indptr, relevant, notes = _relevant(model, table)
        where = model.users_.ids.positions(asks[model.user], model.user)
        queries, _ = model._queries(asks)
        skip = model.seen_.skip(where, np.empty(0, np.int64))
        return cls(asks, where, queries, skip, indptr, relevant, len(model.items_.ids), notes)

    def __len__(self) -> int:
        return len(self.where)

    @property
    def seen(self) -> Seen:
        """What each user has seen in training."""
        return Seen(*self.skip)

    def blocks(self, n_users: int) -> Iterator[tuple[slice, Later]]:
        """Yield the users in blocks of ``n_users``."""
        for start in range(0, len(self), n_users):
            rows = slice(start, min(start + n_users, len(self)))
            indptr, relevant = part_of(self.indptr, self.relevant, rows)
            yield (
                rows,
                replace(
                    self,
                    asks=self.asks.slice(rows.start, rows.stop - rows.start),
                    where=self.where[rows],
                    queries=self.queries.take(np.arange(rows.start, rows.stop)),
                    skip=skip_of(self.skip, rows),
                    indptr=indptr,
                    relevant=relevant,
                ),
            )


def part_of(indptr: Positions, items: Positions, rows: slice) -> tuple[Positions, Positions]:
    """Return some rows in a row of a CSR."""
    own = indptr[rows.start : rows.stop + 1]
    return own - own[0], items[own[0] : own[-1]]


def only(indptr: Positions, items: Positions, keep: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Return a CSR with those of its items (n,) that ``keep`` (n,) marks."""
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))[keep]
    return offsets(np.bincount(row, minlength=len(indptr) - 1)), items[keep]


def _relevant(model: Recommender, table: pa.Table) -> tuple[pa.Table, Positions, Positions, list[str]]:
    """Return the first rows of users with something relevant, and the relevant items as CSR."""
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
    seen_key = np.repeat(np.arange(len(ids)), np.diff(skipped)) * span + seen
    seen_key = np.append(seen_key, len(ids) * span)  # sorted, and larger than any key at its end
    again = _is_in(owner * span + wanted, seen_key)
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
    asks = table.select([model.user, *context]).take(pa.array(first[judged]))
    return asks, offsets(counts[judged]), wanted, notes


def times_of(model: Recommender, table: pa.Table) -> NDArray[np.float64] | None:
    """Return the times of interactions in seconds (n,); None where there are none, or not of all."""
    if model.time is None or model.time not in table.column_names:
        return None
    try:
        return seconds_of(table[model.time], model.time)
    except DataError:  # lists need no times
        return None


def _is_in(keys: Positions, known: Positions) -> NDArray[np.bool_]:
    """Return which keys are among the sorted ``known``, the last of which is larger than all."""
    return np.asarray(known[np.searchsorted(known, keys)] == keys)
