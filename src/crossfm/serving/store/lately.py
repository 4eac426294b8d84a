"""What happened to one item among the latest answers and events: the ends of two logs are read, no index is kept."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import bindparam, func, select

from crossfm.serving.store.checks import json_text
from crossfm.serving.store.database import Database
from crossfm.serving.store.records import Lately
from crossfm.serving.store.tables import events, impressions, logs

ANSWERS, EVENTS = 2_000, 10_000


def _last(log: str) -> Any:
    return func.coalesce(select(logs.c.last).where(logs.c.name == log).scalar_subquery(), 0)


_LATE_ANSWERS = impressions.c.number > _last("impressions") - ANSWERS
_LATE_EVENTS = events.c.number > _last("events") - EVENTS
_COUNTS = select(
    select(func.count()).select_from(impressions).where(_LATE_ANSWERS).scalar_subquery(),
    select(func.count()).select_from(events).where(_LATE_EVENTS).scalar_subquery(),
)
_LISTS = select(impressions.c["items"]).where(
    _LATE_ANSWERS, impressions.c["items"].like(bindparam("text"), escape="/")
)
_TYPES = (
    select(events.c.type, func.count())
    .where(_LATE_EVENTS, events.c.item_id == bindparam("item"))
    .group_by(events.c.type)
    .order_by(events.c.type)
)


def lately(database: Database, item: str) -> Lately:
    """Return in how many of the latest answers an item was, and its events among the latest, by type."""
    ((answers, n_events),) = database.read(_COUNTS)
    text = re.sub(r"([/%_])", r"/\1", json_text("item", item))
    lists = database.read(_LISTS, {"text": f"%{text}%"})  # some too many: LIKE of SQLite knows no case
    shown = sum(item in json.loads(row.items) for row in lists)
    types = dict(map(tuple, database.read(_TYPES, {"item": item})))
    return Lately(answers, shown, n_events, types)
