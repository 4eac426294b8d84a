"""What is done now and then: counts, removing what is old, the log as a table for training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Table, delete, func, select

from crossfm.atomic import atomic_write
from crossfm.serving.store import events as event_log
from crossfm.serving.store.database import Database, Turn
from crossfm.serving.store.events import client_key
from crossfm.serving.store.tables import events, forgotten, impressions, items, logs, users
from crossfm.serving.store.writer import Writer

STEP = 5_000  # rows that are removed in one transaction, between which others write
BATCH = 50_000  # rows of a row group of Parquet

_COUNTS = select(
    select(func.count()).select_from(users).scalar_subquery().label("users"),
    select(func.count())
    .select_from(items)
    .where(items.c.content.is_not(None))
    .scalar_subquery()
    .label("items"),
    select(func.count()).select_from(forgotten).scalar_subquery().label("forgotten"),
    *(
        select(logs.c.last - logs.c.removed).where(logs.c.name == name).scalar_subquery().label(name)
        for name in ("events", "impressions")
    ),
)

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("user", pa.string()),
        ("item", pa.string()),
        ("type", pa.string()),
        ("value", pa.float64()),
        ("time", pa.float64()),
        ("key", pa.string()),
        ("request", pa.string()),
        ("context", pa.string()),
    ]
)


def counts(database: Database) -> dict[str, int]:
    """Return how many users, items, tombstones, events and impressions there are; logs are not scanned for it."""
    return {name: int(value) for name, value in database.read(_COUNTS)[0]._mapping.items()}


def prune(database: Database, writer: Writer, before: float) -> dict[str, int]:
    """Remove events and impressions from before a time, step by step; return how many."""
    return {
        log: sum(_prune(database, writer, log, table, before))
        for log, table in (("events", events), ("impressions", impressions))
    }


def _prune(database: Database, writer: Writer, log: str, table: Table, before: float) -> Iterator[int]:
    old = table.c.time < before
    after = 0
    while True:
        # Looked for in a connection that reads, so that the others' turn to write is not spent on it.
        rows = database.read(
            select(table.c.number).where(old, table.c.number > after).order_by(table.c.number).limit(STEP)
        )
        if not rows:
            return
        first, after = rows[0][0], rows[-1][0]
        removal = delete(table).where(old, table.c.number.between(first, after))

        def remove(turn: Turn, removal: Any = removal) -> int:
            gone: int = turn.connection.execute(removal).rowcount
            turn.removed(log, gone)
            return gone

        yield writer.run(remove)


def export(database: Database, path: str | os.PathLike[str], after: int) -> int:
    """Write events as Parquet in order of their numbers; return how many."""
    count = 0
    with atomic_write(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as parquet:
        while rows := event_log.rows_in_order(database, after, BATCH):
            parquet.write_table(_table(rows))
            after = rows[-1].number
            count += len(rows)
    return count


def _table(rows: Sequence[Any]) -> pa.Table:
    columns = dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True))
    columns["key"] = tuple(map(client_key, columns["user"], columns["key"]))
    return pa.table(columns, schema=SCHEMA)
