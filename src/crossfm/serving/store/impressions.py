"""Answers that were shown: queued, written in batches, read for training and experiments."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select

from crossfm.errors import DataError
from crossfm.serving.store.checks import (
    MAX_LABEL,
    check_finite,
    check_optional,
    check_text,
    check_time,
    json_object,
    json_text,
)
from crossfm.serving.store.database import Database, Turn
from crossfm.serving.store.events import forgotten_at
from crossfm.serving.store.records import Impression
from crossfm.serving.store.tables import impressions

_LOG = (
    select(impressions)
    .where(impressions.c.number > bindparam("after"))
    .order_by(impressions.c.number)
    .limit(bindparam("n"))
)


class Queue:
    """Rows that wait to be written, at most ``size``; what comes when it is full is dropped and counted."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.dropped = 0
        self._rows: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()
        self._since = 0.0  # when the oldest one came, by the monotonic clock

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Queue rows; return whether there were none before, so that the writer is to be woken."""
        with self._lock:
            was_empty = not self._rows
            room = self.size - len(self._rows)
            self._rows.extend(rows[: max(room, 0)])
            self.dropped += max(len(rows) - room, 0)
            if was_empty:
                self._since = time.monotonic()
            return was_empty

    def age(self) -> float:
        """Return for how many seconds the oldest row has waited; 0 where there is none."""
        with self._lock:
            return time.monotonic() - self._since if self._rows else 0.0

    def take(self, count: int) -> list[dict[str, Any]]:
        """Remove and return the oldest rows."""
        with self._lock:
            taken = [self._rows.popleft() for _ in range(min(count, len(self._rows)))]
            self._since = time.monotonic()
            return taken

    def give_back(self, rows: Sequence[dict[str, Any]]) -> None:
        """Put rows that could not be written back to the front, as many as have room."""
        with self._lock:
            room = max(self.size - len(self._rows), 0)
            kept = rows[len(rows) - min(room, len(rows)) :]
            self._rows.extendleft(reversed(kept))
            self.dropped += len(rows) - len(kept)

    def drop(self, count: int) -> None:
        """Count rows that are lost."""
        with self._lock:
            self.dropped += count


def row_of(shown: Impression) -> dict[str, Any]:
    """Return an impression as a row without its number; raises ``DataError`` for what cannot be stored."""
    return {
        "request": check_text("request", shown.request),
        "user_id": check_optional("user", shown.user),
        "items": _list("items", [check_text("item", item) for item in shown.items]),
        "scores": _list("scores", [float(score) for score in shown.scores]),
        "version": shown.version and check_text("version", shown.version, MAX_LABEL),
        "context": None if shown.context is None else json_object("context", shown.context),
        "experiment": check_optional("experiment", shown.experiment, MAX_LABEL),
        "variant": check_optional("variant", shown.variant, MAX_LABEL),
        "time": check_time("time", shown.time),
        "candidates": None if shown.candidates is None else _list("candidates", list(shown.candidates)),
        "propensities": None if shown.propensities is None else _propensities(shown),
        "asked": None if shown.asked is None else json_object("asked", shown.asked),
    }


def add_rows(turn: Turn, rows: Sequence[dict[str, Any]]) -> None:
    """Write impressions, but those from before their user was deleted."""
    gone = forgotten_at(turn, {row["user_id"] for row in rows if row["user_id"] is not None})
    kept = [row for row in rows if row["time"] > gone.get(row["user_id"], -1.0)]
    if kept:
        numbers = turn.numbers("impressions", len(kept))
        entries = [{**row, "number": number} for row, number in zip(kept, numbers, strict=True)]
        turn.connection.execute(insert(impressions), entries)


def in_order(database: Database, after: int, limit: int) -> list[tuple[int, Impression]]:
    """Return impressions by number, those above ``after``."""
    return [(row.number, _impression(row)) for row in database.read(_LOG, {"after": after, "n": limit})]


def _propensities(shown: Impression) -> str:
    chances = [check_finite("propensity", chance) for chance in shown.propensities or ()]
    if len(chances) != len(shown.items) or not all(0 < chance <= 1 for chance in chances):
        raise DataError(
            f"propensities are {chances[:5]} for {len(shown.items)} items, but one for each, above 0 and at most 1, is "
            "expected; leave them out where they are not known"
        )
    return _list("propensities", chances)


def _list(name: str, values: list[Any]) -> str:
    return json_text(name, values, limit=None)


def _impression(row: Any) -> Impression:
    return Impression(
        request=row.request,
        user=row.user_id,
        items=json.loads(row.items),
        scores=json.loads(row.scores),
        version=row.version,
        context=None if row.context is None else json.loads(row.context),
        experiment=row.experiment,
        variant=row.variant,
        time=row.time,
        candidates=None if row.candidates is None else json.loads(row.candidates),
        propensities=None if row.propensities is None else json.loads(row.propensities),
        asked=None if row.asked is None else json.loads(row.asked),
    )
