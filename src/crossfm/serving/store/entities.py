"""Users and items: put, changed in parts, deleted, listed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, or_, select, update

from crossfm.serving.store.checks import json_object
from crossfm.serving.store.database import Database, Turn
from crossfm.serving.store.events import parts
from crossfm.serving.store.tables import events, forgotten, impressions, items, users

KINDS = {"users": users, "items": items}
_CHANGES = (
    select(items.c.id, items.c.content, items.c.change)
    .where(items.c.change > bindparam("after"))
    .order_by(items.c.change)
    .limit(bindparam("n"))
)
_ONE = {kind: select(table.c.content).where(table.c.id == bindparam("id")) for kind, table in KINDS.items()}


def get(database: Database, kind: str, id: str) -> dict[str, Any] | None:
    """Return what was put under an id, None where there is nothing (any more)."""
    return _content(database.read(_ONE[kind], {"id": id}))


def put(turn: Turn, kind: str, contents: Mapping[str, str], *, create_only: bool = False) -> set[str]:
    """Write JSON by id; return the ids that were not there. ``create_only`` leaves the others as they are."""
    table = KINDS[kind]
    there: dict[str, Any] = {}
    for part in parts(set(contents)):
        found = turn.connection.execute(select(table.c.id, table.c.content).where(table.c.id.in_(part)))
        there.update((row.id, row.content) for row in found)
    new = {id for id in contents if there.get(id) is None}
    _write(turn, table, {id: contents[id] for id in contents if id in new or not create_only}, set(there))
    return new


def patch(turn: Turn, kind: str, id: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Change some values, None removes one (RFC 7396, top level); return all, or None where there was nothing."""
    content = _content(turn.connection.execute(_ONE[kind], {"id": id}).all())
    if content is None:
        return None
    merged = {name: value for name, value in {**content, **changes}.items() if value is not None}
    _write(turn, KINDS[kind], {id: json_object(f"{kind[:-1]} {id}", merged)}, {id})
    return merged


def listed(
    database: Database, kind: str, search: str, limit: int, offset: int
) -> list[tuple[str, dict[str, Any]]]:
    """Return (id, content) by id; ``search`` is part of the id or of a value, in any case."""
    table = KINDS[kind]
    statement = select(table.c.id, table.c.content).where(table.c.content.is_not(None))
    if search:
        anywhere = (column.icontains(search, autoescape=True) for column in (table.c.id, table.c.content))
        statement = statement.where(or_(*anywhere))
    rows = database.read(statement.order_by(table.c.id).limit(limit).offset(offset))
    return [(id, json.loads(content)) for id, content in rows]


def delete_user(turn: Turn, id: str) -> bool:
    """Forget a user and all that was done; leave when. Return whether there was anything."""
    found = 0
    for log, table in (("events", events), ("impressions", impressions)):
        gone = turn.connection.execute(delete(table).where(table.c.user_id == id)).rowcount
        turn.removed(log, gone)
        found += gone
    found += turn.connection.execute(delete(users).where(users.c.id == id)).rowcount
    now = {"time": time.time()}
    if not turn.connection.execute(update(forgotten).where(forgotten.c.id == id).values(now)).rowcount:
        turn.connection.execute(insert(forgotten), {"id": id, **now})
    return found > 0


def delete_item(turn: Turn, id: str) -> bool:
    """Note that an item is gone, also one that only the model knows; return whether it was not noted before."""
    rows = turn.connection.execute(_ONE["items"], {"id": id}).all()
    if rows and rows[0].content is None:
        return False
    _write(turn, items, {id: None}, {id} if rows else set())
    return True


def changed_items(
    database: Database, after: int, limit: int
) -> tuple[int, list[tuple[str, dict[str, Any]]], list[str]]:
    """Return (cursor, what was put, what was deleted) since the cursor ``after``."""
    rows = database.read(_CHANGES, {"after": after, "n": limit})
    puts = [(row.id, json.loads(row.content)) for row in rows if row.content is not None]
    return (rows[-1].change if rows else after), puts, [row.id for row in rows if row.content is None]


def _write(turn: Turn, table: Table, contents: Mapping[str, str | None], there: set[str]) -> None:
    now = time.time()
    rows: list[dict[str, Any]] = [
        {"id": id, "content": text, "changed": now} for id, text in contents.items()
    ]
    if table is items:
        for row, number in zip(rows, turn.numbers("items", len(rows)), strict=True):
            row["change"] = number
    old = [{f"new_{name}": value for name, value in row.items()} for row in rows if row["id"] in there]
    if old:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name != "id"}
        turn.connection.execute(update(table).where(table.c.id == bindparam("new_id")).values(values), old)
    if new := [row for row in rows if row["id"] not in there]:
        turn.connection.execute(insert(table), new)


def _content(rows: Any) -> dict[str, Any] | None:
    if not rows or rows[0].content is None:
        return None
    content: dict[str, Any] = json.loads(rows[0].content)
    return content
