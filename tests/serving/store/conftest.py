"""Stores on SQLite and, where its programs are installed, on a real PostgreSQL server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra: pip install 'crossfm[serve]'")

from crossfm.serving.store import Store
from postgres_server import PostgresServer, programs

SCHEMAS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for the whole session."""
    pytest.importorskip("psycopg", reason="needs the extra: pip install 'crossfm[postgres]'")
    folder = programs()
    if folder is None:
        pytest.skip(
            "needs a PostgreSQL server: initdb and postgres were not found (Debian: apt install postgresql)"
        )
    server = PostgresServer(folder)
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty schema."""
    import psycopg

    schema = f"test{next(SCHEMAS)}"
    with psycopg.connect(
        host=str(postgres.home), user="crossfm", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return postgres.url(schema)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def opened(url: str) -> Iterator[Callable[..., Store]]:
    """Open stores on the same database; they are closed at the end."""
    stores: list[Store] = []

    def make(**options: Any) -> Store:
        stores.append(Store(url, **{"timeout": 10.0, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    """An empty store, of either kind."""
    return opened()
