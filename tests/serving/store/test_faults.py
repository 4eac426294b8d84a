"""Locks, full disks, lost connections: a clear error, nothing half written, and on it goes afterwards."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from crossfm.errors import StoreError
from crossfm.serving.store import Event, Impression, Store
from crossfm.serving.store.faults import store_error
from postgres_server import PostgresServer

BIG = {"text": "x" * 4_000}


@contextmanager
def locked(url: str, postgres: PostgresServer | None) -> Iterator[None]:
    """Hold the right to write, as another program would."""
    if postgres is None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    else:
        import psycopg

        connection = psycopg.connect(host=str(postgres.home), user="crossfm", dbname="postgres")
        connection.execute(f"SET search_path = {url.split('search_path%3D')[1]}")
        connection.execute("SELECT * FROM crossfm_logs FOR UPDATE")
    try:
        yield
    finally:
        connection.rollback() if postgres else connection.execute("ROLLBACK")
        connection.close()


def test_a_lock_of_another_process_is_waited_for_then_reported(
    opened: Callable[..., Store], url: str, request: pytest.FixtureRequest
) -> None:
    postgres = request.getfixturevalue("postgres") if url.startswith("postgresql") else None
    store = opened(timeout=0.2)
    store.add_events([Event("ann", "before")])
    with locked(url, postgres):
        start = time.monotonic()
        with pytest.raises(
            StoreError, match=r"kept the .* locked; nothing of this call was stored.*Try again"
        ) as caught:
            store.add_events([Event("ann", "a"), Event("ann", "b", key="1")])
        assert 0.15 < time.monotonic() - start < 5
        assert caught.value.retry
        with pytest.raises(StoreError):
            store.put_user("ann", {"age": 3})
        assert [event.item for event in store.events("ann")] == ["before"]  # readers need no lock
        store.add_impressions([Impression("r", "ann", ["a"])])
        time.sleep(0.7)  # one try of the queue falls into the lock
    assert store.add_events([Event("ann", "b", key="1")]) == [2]
    assert (store.get_user("ann"), store.counts()["events"]) == (None, 2)
    for _ in range(500):
        if store.impressions():
            return
        time.sleep(0.01)
    raise AssertionError("the impression was not tried again")


def fill(store: Store) -> tuple[int, StoreError]:
    """Add events until there is no room; return how many calls were acknowledged, and the error."""
    count = 0
    with pytest.raises(StoreError) as caught:  # noqa: PT012  (which of the calls is what is asked)
        for count in range(10_000):
            store.add_events([Event("ann", f"{count}", context=BIG), Event("bob", f"{count}", context=BIG)])
    return count, caught.value


def check(store: Store, acknowledged: int) -> None:
    """Look whether all that was acknowledged is there, each call whole, and nothing else."""
    log = [(event.user, event.item) for _, event in store.event_log(limit=20_000)]
    assert log == [(user, f"{i}") for i in range(acknowledged) for user in ("ann", "bob")]


def test_a_full_database_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        limit_pages(store, 60)
        count, error = fill(store)
        assert count > 5
        assert "no space is left" in str(error)
        assert "Make room" in str(error)
        assert error.retry
        check(store, count)
        limit_pages(store, 10_000)
        assert store.add_events([Event("ann", f"{count}"), Event("bob", f"{count}")]) == [
            count * 2 + 1,
            count * 2 + 2,
        ]
        check(store, count + 1)
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        check(store, count + 1)


def limit_pages(store: Store, pages: int) -> None:
    with store._database._writer.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system (root)")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(300_000))
        with Store(f"sqlite:///{disk}/s.db") as store:
            count, error = fill(store)
            assert count > 5
            assert ("no space is left" in str(error), error.retry) == (True, True)
            check(store, count)
            ballast.unlink()
            store.add_events([Event("ann", f"{count}"), Event("bob", f"{count}")])
            check(store, count + 1)
        with Store(f"sqlite:///{disk}/s.db") as store:
            check(store, count + 1)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_refuses_is_reported_and_goes_on_afterwards(tmp_path: Path) -> None:
    code = f"""
import resource
import test_faults as t
store = t.Store("sqlite:///{tmp_path}/s.db")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, -1))
count, error = t.fill(store)
t.check(store, count)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
store.add_events([t.Event("ann", f"{{count}}"), t.Event("bob", f"{{count}}")])
print(count, error.retry, error)
"""
    assert resource.RLIM_INFINITY == -1
    path = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, retry, message = done.stdout.split(" ", 2)
    assert (retry, int(count) > 5) == ("True", True)
    assert "the disk refused to read or write" in message or "no space is left" in message
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        check(store, int(count) + 1)


def test_postgresql_stops_and_starts_again_and_the_store_goes_on(
    postgres: PostgresServer, postgres_url: str
) -> None:
    with Store(postgres_url) as store:
        store.add_events([Event("ann", "before")])
        store.known("ann")
        postgres.stop()
        try:
            for call in (
                lambda: store.add_events([Event("ann", "lost")]),
                lambda: store.known("ann"),
                store.ping,
            ):
                with pytest.raises(
                    StoreError, match=r"connection to PostgreSQL broke|PostgreSQL is stopping"
                ) as caught:
                    call()
                assert caught.value.retry
        finally:
            postgres.start()
        assert [past.item for past in store.known("ann").history] == ["before"]
        assert store.add_events([Event("ann", "after")]) == [2]
        # Stopped and started between two calls: the connections are broken, but nobody notices.
        postgres.stop()
        postgres.start()
        assert [past.item for past in store.known("ann").history] == ["after", "before"]
        postgres.stop()
        postgres.start()
        assert store.add_events([Event("ann", "again")]) == [3]


def test_reading_leaves_no_transaction_open(postgres: PostgresServer, postgres_url: str) -> None:
    import psycopg

    with Store(postgres_url) as store:
        for _ in range(8):  # psycopg prepares a statement at its fifth use
            store.known("ann")
            store.events("ann")
        with psycopg.connect(host=str(postgres.home), user="crossfm", dbname="postgres") as connection:
            states = connection.execute("SELECT state FROM pg_stat_activity WHERE state LIKE 'idle in%'")
            assert states.fetchall() == []


class SaidError(Exception):
    """What a driver raises, with PostgreSQL's code."""

    sqlstate = ""


@pytest.mark.parametrize(
    ("state", "retry", "words"),
    [
        ("53100", True, "no space is left for PostgreSQL"),
        ("53300", True, "no more memory or connections"),
        ("57P03", True, "stopping or starting"),
        ("40P01", True, "in the way"),
        ("55P03", True, "locked"),
        ("25006", False, "only reads"),
        ("XX001", False, "damaged"),
        ("42501", False, "refused"),
    ],
)
def test_codes_of_postgresql_are_told_apart(state: str, retry: bool, words: str) -> None:
    said = SaidError("its own words")
    said.sqlstate = state
    error = store_error(OperationalError("SELECT secret", {"user": "secret"}, said))
    assert error.retry is retry
    assert words in str(error)
    assert "its own words" in str(error)
    assert "secret" not in str(error)
