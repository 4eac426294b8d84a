"""One database behind one interface: connections, transactions, and the settings that make writes durable."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    create_engine,
    event,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from crossfm.errors import MissingLibraryError, OptionError, StoreError
from crossfm.serving.store.faults import is_lost, store_error
from crossfm.serving.store.tables import is_ready, logs, prepare

READERS = 16  # connections of PostgreSQL that are kept for reading, at most
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
CHECKED = 64 << 20  # bytes of a SQLite file up to which it is looked through at the start


@dataclass(frozen=True)
class Turn:
    """A transaction that writes; no other process is in one.

    ``last`` holds the last number given in each log.
    """

    connection: Connection
    last: dict[str, int]

    def numbers(self, log: str, count: int) -> range:
        """Return the next ``count`` numbers of a log."""
        first = self.last[log] + 1
        self.last[log] += count
        self.connection.execute(update(logs).where(logs.c.name == log).values(last=self.last[log]))
        return range(first, first + count)

    def removed(self, log: str, count: int) -> None:
        """Note that rows of a log are gone."""
        if count:
            more = logs.c.removed + count
            self.connection.execute(update(logs).where(logs.c.name == log).values(removed=more))


class Database:
    """Connections to SQLite or PostgreSQL.

    Parameters
    ----------
    url : str
        ``sqlite:///PATH`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.
    timeout : float
        Seconds to wait for a lock, for a connection, for a server that does not answer.

    Raises ``OptionError`` for another kind of URL, ``MissingLibraryError`` without the driver, ``StoreError`` where the
    database cannot be used.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = _checked_url(url)
        self.kind = self.url.get_backend_name()
        self.name = self.url.render_as_string(hide_password=True)
        self._closed = False
        self._compiled: dict[int, _Compiled] = {}
        make = _sqlite if self.kind == "sqlite" else _postgresql
        self._writer, self._reader = make(self.url, timeout)
        self._open()

    def _open(self) -> None:
        try:
            with self._writer.connect() as connection:
                if self.kind == "postgresql":
                    _check_encoding(connection)
                if is_ready(connection):
                    return
            with self._writer.begin() as connection:
                prepare(connection)
        except SQLAlchemyError as exc:
            self.close()
            raise _named(self.name, store_error(exc)) from exc
        except StoreError as exc:
            self.close()
            raise _named(self.name, exc) from None

    def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return the rows of one statement; a connection that broke since its last use is made anew once."""
        try:
            return self._rows(statement, values)
        except SQLAlchemyError as exc:
            if not is_lost(exc):
                raise store_error(exc) from exc
        try:
            return self._rows(statement, values)
        except SQLAlchemyError as exc:
            raise store_error(exc) from exc

    def _rows(self, statement: Executable, values: Mapping[str, Any] | None) -> Sequence[Any]:
        self._check_open()
        with self._reader.connect() as connection:
            return connection.execute(statement, values).all()

    def read_hot(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows of one statement as plain tuples, by the bare driver: for the way of a request.

        The statement is SQLAlchemy's as everywhere, but compiled once and run without its result and connection
        objects, which take longer than SQLite does. Where the driver fails, ``read`` does it again and says why.
        """
        self._check_open()
        compiled = self._compiled.get(id(statement))
        if compiled is None:
            compiled = self._compiled[id(statement)] = _Compiled(statement, self._reader)
        try:
            return compiled.rows(values)
        except (compiled.failure, SQLAlchemyError):
            return self.read(statement, values)

    @contextmanager
    def write(self) -> Iterator[Turn]:
        """Run a transaction: all of it is durable at the end of the block, or nothing after an exception."""
        with self._writer.begin() as connection:
            rows: Sequence[Any] = connection.execute(_LOCK).all()
            yield Turn(connection, dict(rows))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store has been closed; make a new one")

    def close(self) -> None:
        """Close all connections that are not in use; there will be no new ones."""
        self._closed = True
        self._writer.dispose()
        self._reader.dispose()


class _Compiled:
    """A statement in the words of a driver; ``failure`` is what the driver raises."""

    def __init__(self, statement: Executable, engine: Engine) -> None:
        compiled: Any = statement.compile(engine)  # type: ignore[attr-defined]
        self.statement = statement  # kept, so that its id stays its own
        self.failure: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._connect = engine.raw_connection
        self._text = str(compiled)
        self._given = dict(compiled.params)
        self._order = compiled.positiontup  # None: by name

    def rows(self, values: Mapping[str, Any]) -> Sequence[Any]:
        given = {**self._given, **values}
        connection = self._connect()
        try:
            cursor = connection.cursor()
            cursor.execute(
                self._text, given if self._order is None else [given[name] for name in self._order]
            )
            rows = cursor.fetchall()
            cursor.close()
        finally:
            connection.close()
        return rows


_LOCK = select(
    logs.c.name, logs.c.last
).with_for_update()  # SQLite locks by BEGIN IMMEDIATE, and leaves this out


def _checked_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as exc:
        raise OptionError(
            "the state's URL cannot be read; write sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        ) from exc
    kind = url.drivername.split("+")[0]
    if url.drivername not in (*DRIVERS, *DRIVERS.values()):
        raise OptionError(
            f"the state's URL begins with {url.drivername}://, but must begin with sqlite:/// or postgresql+psycopg://"
        )
    if kind == "sqlite" and (url.database in (None, "", ":memory:") or str(url.database).startswith("file:")):
        raise OptionError("a state in memory would not be durable: name a file, as in sqlite:///crossfm.db")
    return url.set(drivername=DRIVERS[kind])


def _engine(url: URL, timeout: float, **options: Any) -> Engine:
    common = {"pool_timeout": timeout, "pool_use_lifo": True, "hide_parameters": True}
    try:
        return create_engine(url, **common, **options)
    except ModuleNotFoundError as exc:
        raise MissingLibraryError(
            f"{url.drivername} needs {exc.name}, which is not installed: pip install 'crossfm[postgres]'"
        ) from exc


def _sqlite(url: URL, timeout: float) -> tuple[Engine, Engine]:
    """Return engines for writing and reading."""
    path = Path(str(url.database))
    try:
        if not path.parent.is_dir():
            raise StoreError(
                f"{path}: the folder of the state is not there; make it first, or name another one"
            )
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it will hold what people did
    except PermissionError as exc:
        raise StoreError(
            f"{path} cannot be opened: {exc.strerror}; let this user read and write there"
        ) from exc
    given = {"timeout": timeout, "isolation_level": None}  # this module begins transactions, not the driver
    writer = _engine(url, timeout, connect_args=given, pool_size=1, max_overflow=0)
    reader = _engine(
        url,
        timeout,
        connect_args={"timeout": timeout},
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=32,
        max_overflow=-1,
    )

    @event.listens_for(writer, "connect")
    def _durable(connection: Any, _: Any) -> None:
        _set_sqlite(connection, path, timeout)

    @event.listens_for(writer, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return writer, reader


def _log_ahead(connection: Any, timeout: float) -> str:
    """Turn the write-ahead log on and return the mode; SQLite itself does not wait for others that open the file."""
    latest = time.monotonic() + timeout
    while time.monotonic() < latest:
        with suppress(sqlite3.OperationalError):  # locked
            return _mode(connection)
        time.sleep(0.01)
    return _mode(connection)


def _mode(connection: Any) -> str:
    return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])


def _set_sqlite(connection: Any, path: Path, timeout: float) -> None:
    """Set a writing connection; raises ``StoreError`` for a file system or file that does not do."""
    mode = _log_ahead(connection, timeout)
    if mode != "wal":
        raise StoreError(
            f"{path}: SQLite's write-ahead log does not work here (a network folder?); use a local disk"
        )
    connection.execute("PRAGMA synchronous=FULL")  # the log is on the disk before a commit returns
    connection.execute("PRAGMA fullfsync=ON")  # macOS: really on the disk; elsewhere without effect
    connection.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten
    connection.execute("PRAGMA journal_size_limit=67108864")
    if path.stat().st_size <= CHECKED:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            found = " ".join(found.split())
            raise StoreError(
                f"the database file is damaged ({found}); put a backup in its place (docs/state.md)"
            )


def _postgresql(url: URL, timeout: float) -> tuple[Engine, Engine]:
    """Return engines for writing and reading."""
    given: dict[str, Any] = {"connect_timeout": max(2, math.ceil(timeout))}
    given["tcp_user_timeout"] = math.ceil(timeout * 1000)
    given = {name: value for name, value in given.items() if name not in url.query}
    writer = _engine(url, timeout, connect_args=given, pool_size=1, max_overflow=0, pool_pre_ping=True)
    reader = _engine(
        url,
        timeout,
        connect_args=given,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=READERS,
        max_overflow=0,
    )
    for engine in (writer, reader):

        @event.listens_for(engine, "connect")
        def _set(connection: Any, _: Any) -> None:
            _set_postgresql(connection, timeout)

    return writer, reader


def _set_postgresql(connection: Any, timeout: float) -> None:
    before, connection.autocommit = connection.autocommit, True
    milliseconds = math.ceil(timeout * 1000)
    connection.execute(f"SET lock_timeout = {milliseconds}")
    # A frozen process must not keep the others from writing for ever.
    connection.execute(f"SET idle_in_transaction_session_timeout = {max(10_000, milliseconds * 2)}")
    connection.execute(
        "SET max_parallel_workers_per_gather = 0"
    )  # small reads; parts of a union stay in order
    if connection.execute("SHOW synchronous_commit").fetchone()[0] == "off":
        connection.execute("SET synchronous_commit = local")
    connection.autocommit = before


def _check_encoding(connection: Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise StoreError(
            f"the PostgreSQL database has the encoding {encoding}, but must have UTF8; make another one"
        )


def _named(name: str, error: StoreError) -> StoreError:
    return StoreError(f"{name}: {error}", retry=error.retry)
