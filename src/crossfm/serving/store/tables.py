"""The tables, the same in SQLite and PostgreSQL, and their version.

There are no foreign keys: events of users and items that were never put are welcome.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.schema import CreateColumn

from crossfm.errors import StoreError

VERSION = 2  # raise it with any change below, and add the step from the older one to ``prepare``

TABLES = MetaData()
# Compared byte by byte in both databases, so that lists have one order; also the faster index.
TEXTS = Text().with_variant(TEXT(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

meta = Table("crossfm_meta", TABLES, Column("name", TEXTS, primary_key=True), Column("value", TEXTS))

# One row for each numbered log: ``last`` number given, and how many of its rows were ``removed``. Whoever writes holds
# these rows until the commit: numbers have no gaps and become visible in order, and counts need no scan.
logs = Table(
    "crossfm_logs",
    TABLES,
    Column("name", TEXTS, primary_key=True),
    Column("last", NUMBER, nullable=False),
    Column("removed", NUMBER, nullable=False),
)

events = Table(
    "crossfm_events",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("user_id", TEXTS, nullable=False),
    Column("item_id", TEXTS, nullable=False),
    Column("type", TEXTS, nullable=False),
    Column("value", Double, nullable=False),
    Column("time", Double, nullable=False),
    Column("key", TEXTS),  # see ``events.own_key``
    Column("request", TEXTS),
    Column("context", TEXTS),
)
# Holds all that a request needs of a history, so that its fifty rows are not fetched from fifty places.
Index(
    "crossfm_events_history",
    *(events.c[name] for name in ("user_id", "time", "number", "item_id", "type", "value")),
)
Index(
    "crossfm_events_key",
    events.c.key,
    unique=True,
    sqlite_where=events.c.key.is_not(None),
    postgresql_where=events.c.key.is_not(None),
)

users = Table(
    "crossfm_users",
    TABLES,
    Column("id", TEXTS, primary_key=True),
    Column("content", TEXTS, nullable=False),
    Column("changed", Double, nullable=False),
)

forgotten = Table(
    "crossfm_forgotten",
    TABLES,
    Column("id", TEXTS, primary_key=True),
    Column("time", Double, nullable=False),
)

items = Table(
    "crossfm_items",
    TABLES,
    Column("id", TEXTS, primary_key=True),
    Column("content", TEXTS),  # None: deleted
    Column("changed", Double, nullable=False),
    Column("change", NUMBER, nullable=False),
    Index("crossfm_items_change", "change", unique=True),
)

impressions = Table(
    "crossfm_impressions",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("request", TEXTS, nullable=False),
    Column("user_id", TEXTS),
    Column("items", TEXTS, nullable=False),
    Column("scores", TEXTS, nullable=False),
    Column("version", TEXTS, nullable=False),
    Column("context", TEXTS),
    Column("experiment", TEXTS),
    Column("variant", TEXTS),
    Column("time", Double, nullable=False),
    Column("candidates", TEXTS),
    Column("propensities", TEXTS),
    Column("asked", TEXTS),
    Index("crossfm_impressions_user", "user_id"),
)
Index(
    "crossfm_impressions_experiment",
    *(impressions.c[name] for name in ("experiment", "variant", "user_id", "time")),
    sqlite_where=impressions.c.experiment.is_not(None),
    postgresql_where=impressions.c.experiment.is_not(None),
)


def is_ready(connection: Connection) -> bool:
    """Tell whether the tables are there, of this version. Raises ``StoreError`` where a newer version made them."""
    return _version(connection) == VERSION


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(meta.name):
        return None
    found = connection.execute(select(meta.c.value).where(meta.c.name == "version")).scalar()
    if found is None:
        return None
    if found in map(str, range(1, VERSION + 1)):
        return int(found)
    raise StoreError(
        f"the state has version {found} of the tables, this crossfm knows version {VERSION}: a newer crossfm made "
        "it. Upgrade crossfm, or name another database"
    )


def prepare(connection: Connection) -> None:
    """Make the tables where they are not there, or bring older ones up to date; several processes may start at once."""
    if connection.dialect.name == "postgresql":  # SQLite's writers have waited for each other already
        connection.execute(text("SELECT pg_advisory_xact_lock(7367017)"))
    found = _version(connection)
    if found == VERSION:
        return
    if found == 1:
        for column in (impressions.c.propensities, impressions.c.asked):
            told = CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(text(f"ALTER TABLE {impressions.name} ADD COLUMN {told}"))
        connection.execute(update(meta).where(meta.c.name == "version").values(value=str(VERSION)))
        return
    TABLES.create_all(connection)
    rows: list[dict[str, Any]] = [{"name": name, "last": 0, "removed": 0} for name in NUMBERED]
    connection.execute(insert(logs), rows)
    connection.execute(insert(meta), {"name": "version", "value": str(VERSION)})


NUMBERED = ("events", "impressions", "items")
