"""The log of events: added in groups, read newest first or by number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Double, bindparam, cast, insert, null, select, union_all

from crossfm.serving.store.checks import (
    MAX_LABEL,
    check_finite,
    check_optional,
    check_text,
    check_time,
    json_object,
)
from crossfm.serving.store.database import Database, Turn
from crossfm.serving.store.records import Event, Known, Past
from crossfm.serving.store.tables import TEXTS, events, forgotten, users

STEP = 500  # values of one IN list
ALL = 2**62  # no limit

_BY_NUMBER = [
    events.c[name] for name in ("user_id", "item_id", "type", "value", "time", "key", "request", "context")
]
_OF_USER = (
    select(events.c.number, *_BY_NUMBER)
    .where(events.c.user_id == bindparam("user"), events.c.time >= bindparam("since"))
    .order_by(events.c.time.desc(), events.c.number.desc())
    .limit(bindparam("n"))
)
_LOG = (
    select(events.c.number, *_BY_NUMBER)
    .where(events.c.number > bindparam("after"))
    .order_by(events.c.number)
    .limit(bindparam("n"))
)
_KEYS = select(events.c.key, events.c.number).where(events.c.key.in_(bindparam("keys", expanding=True)))
_FORGOTTEN = select(forgotten.c.id, forgotten.c.time).where(
    forgotten.c.id.in_(bindparam("ids", expanding=True))
)

# The way of a request: features, tombstone and history in one statement of one round trip. The first row is the user's
# own (it has no type).
_HISTORY = (
    select(events.c.item_id, events.c.type, events.c.value, events.c.time)
    .where(events.c.user_id == bindparam("user"))
    .order_by(events.c.time.desc(), events.c.number.desc())
    .limit(bindparam("n"))
    .subquery()
)
KNOWN = union_all(
    select(
        select(users.c.content).where(users.c.id == bindparam("user")).scalar_subquery(),
        cast(null(), TEXTS),
        cast(null(), Double),
        select(forgotten.c.time).where(forgotten.c.id == bindparam("user")).scalar_subquery(),
    ),
    select(_HISTORY),
)


def row_of(event: Event) -> dict[str, Any]:
    """Return an event as a row without its number; raises ``DataError`` for what cannot be stored."""
    key = check_optional("key", event.key)
    user = check_text("user", event.user)
    return {
        "user_id": user,
        "item_id": check_text("item", event.item),
        "type": check_text("type", event.type, MAX_LABEL),
        "value": check_finite("value", event.value),
        "time": check_time("time", event.time),
        "key": None if key is None else own_key(user, key),
        "request": check_optional("request", event.request),
        "context": None if event.context is None else json_object("context", event.context),
    }


def own_key(user: str, key: str) -> str:
    """Return a client's key with its user before it: one column, so that many are looked up by one index at once."""
    return f"{len(user)}:{user}{key}"


def add_rows(turn: Turn, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Add events; return a number for each.

    One whose key is known gets the number that it had. One from before its user was deleted is not kept, and gets 0.
    """
    known = _numbers_of_keys(turn, {row["key"] for row in rows} - {None})
    gone = forgotten_at(turn, {row["user_id"] for row in rows})
    fresh: list[dict[str, Any]] = []
    places: list[int | dict[str, Any]] = []
    for row in rows:
        key = row["key"]
        if row["time"] <= gone.get(row["user_id"], -1.0):
            places.append(0)
        elif key in known:
            places.append(known[key])
        else:
            entry = dict(row)
            fresh.append(entry)
            places.append(entry)
            if key is not None:
                known[key] = entry
    if fresh:
        for entry, number in zip(fresh, turn.numbers("events", len(fresh)), strict=True):
            entry["number"] = number
        turn.connection.execute(insert(events), fresh)
    return [place if isinstance(place, int) else place["number"] for place in places]


def _numbers_of_keys(turn: Turn, keys: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts(keys):
        found.update((row.key, row.number) for row in turn.connection.execute(_KEYS, {"keys": part}))
    return found


def forgotten_at(turn: Turn, ids: set[str]) -> dict[str, float]:
    """Return when users were deleted, of those that were."""
    found: dict[str, float] = {}
    for part in parts(ids):
        found.update((row.id, row.time) for row in turn.connection.execute(_FORGOTTEN, {"ids": part}))
    return found


def parts(values: set[str]) -> list[list[str]]:
    """Return values in lists of at most ``STEP``."""
    ordered = sorted(values)
    return [ordered[start : start + STEP] for start in range(0, len(ordered), STEP)]


def of_user(database: Database, user: str, limit: int, since: float) -> list[Event]:
    """Return a user's events, newest first."""
    rows = database.read(_OF_USER, {"user": user, "n": limit, "since": since})
    return [_event(row) for row in rows]


def in_order(database: Database, after: int, limit: int) -> list[tuple[int, Event]]:
    """Return events by number, those above ``after``."""
    return [(row.number, _event(row)) for row in rows_in_order(database, after, limit)]


def rows_in_order(database: Database, after: int, limit: int) -> Sequence[Any]:
    """Return the same as rows, with ``key`` as it is stored."""
    return database.read(_LOG, {"after": after, "n": limit})


def client_key(user: str, key: str | None) -> str | None:
    """Return the key that ``own_key`` was made of."""
    return None if key is None else key[len(own_key(user, "")) :]


def known(database: Database, user: str, limit: int) -> Known:
    """Return what the store knows of a user."""
    rows = database.read_hot(KNOWN, {"user": user, "n": limit})
    content, _, _, gone = rows[0]
    history = [Past._make(row) for row in rows[1:]]
    return Known(None if content is None else json.loads(content), gone, history)


def _event(row: Any) -> Event:
    _, user, item, kind, value, time, key, request, context = row
    return Event(
        user,
        item,
        kind,
        value,
        time,
        client_key(user, key),
        request,
        None if context is None else json.loads(context),
    )
