"""Opening a state: which URLs, which files, which versions."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfm.errors import MissingLibraryError, OptionError, StoreError
from crossfm.serving.store import Event, Impression, Store, tables


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("crossfm.db", "cannot be read; write sqlite:///PATH"),
        ("mysql://u:secret@h/d", "begins with mysql://, but must begin with sqlite:/// or"),
        ("sqlite+aiosqlite:///x.db", "begins with sqlite.aiosqlite"),
        ("sqlite://", "in memory would not be durable"),
        ("sqlite:///:memory:", "in memory would not be durable"),
        ("sqlite:///file::memory:?uri=true", "in memory would not be durable"),
    ],
)
def test_other_urls_are_refused_without_their_password(url: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_timeout_is_a_number_above_zero(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="timeout"):
        Store(f"sqlite:///{tmp_path}/s.db", timeout=0)


def test_a_state_that_is_opened_again_is_as_it_was(opened: Callable[..., Store]) -> None:
    store = opened()
    store.add_events([Event("ann", "a")])
    store.put_user("ann", {"age": 3})
    store.close()
    again = opened()
    assert [event.item for event in again.events("ann")] == ["a"]
    assert again.add_events([Event("ann", "b")]) == [2]


def test_a_file_of_state_is_its_owners_alone_and_durable_by_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store(f"sqlite:///{path}") as store:
        assert path.stat().st_mode & 0o077 == 0
        with store._database.write() as turn:
            read = turn.connection.exec_driver_sql
            assert read("PRAGMA journal_mode").scalar() == "wal"
            assert read("PRAGMA synchronous").scalar() == 2  # FULL: the log is synced at each commit
            assert read("PRAGMA secure_delete").scalar() == 1


def test_a_closed_store_says_so(opened: Callable[..., Store]) -> None:
    store = opened()
    store.close()
    store.close()
    calls = [
        lambda: store.add_events([Event("u", "a")]),
        lambda: store.events("u"),
        lambda: store.known("u"),
        store.ping,
    ]
    for call in calls:
        with pytest.raises(StoreError, match="closed") as caught:
            call()
        assert not caught.value.retry


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no/s\.db: the folder of the state is not there; make it first"):
        Store(f"sqlite:///{tmp_path}/no/s.db")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}")


def grown(path: Path) -> bytes:
    """Make a state of many pages; return its bytes."""
    with Store(f"sqlite:///{path}") as store:
        store.put_users([(f"u{i}", {"text": "x" * 200}) for i in range(500)])
    return path.read_bytes()


@pytest.mark.parametrize("harm", ["other file", "middle", "cut off"])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "s.db"
    whole = grown(path)
    middle = len(whole) // 2 // 4096 * 4096
    broken = {
        "other file": b"a,b\n1,2\n" * 2_000,
        "middle": whole[:middle] + b"\xa5" * 8192 + whole[middle + 8192 :],
        "cut off": whole[:middle],
    }[harm]
    path.write_bytes(broken)
    with pytest.raises(StoreError, match=r"s\.db: the .*(damaged|no SQLite database).*backup") as caught:
        Store(f"sqlite:///{path}")
    assert not caught.value.retry
    assert path.read_bytes() == broken


def test_a_state_of_a_newer_version_is_refused_with_what_to_do(
    opened: Callable[..., Store], url: str
) -> None:
    store = opened()
    with store._database.write() as turn:
        turn.connection.execute(tables.meta.update().values(value="7"))
    store.close()
    with pytest.raises(
        StoreError, match=r"has version 7 .* knows version 2.* Upgrade crossfm, or name another"
    ) as caught:
        Store(url)
    assert not caught.value.retry


def test_a_state_of_version_1_is_brought_up_to_date_and_keeps_what_it_has(
    opened: Callable[..., Store],
) -> None:
    store = opened()
    store.add_impressions([Impression("old", "ann", ["a"], [0.5], "v1", time=5.0)])
    store.add_events([Event("ann", "a")])
    store.close()
    store = opened()
    with store._database.write() as turn:  # as the first version made it
        for name in ("propensities", "asked"):
            turn.connection.exec_driver_sql(f"ALTER TABLE crossfm_impressions DROP COLUMN {name}")
        turn.connection.execute(tables.meta.update().values(value="1"))
    store.close()
    new = Impression("new", "ann", ["b"], [1.5], propensities=[0.5], asked={"n": 1}, time=6.0)
    again, beside = opened(), opened()
    again.add_impressions([new])
    again.close()
    assert [shown.request for _, shown in beside.impressions()] == ["old", "new"]
    old, came = (shown for _, shown in beside.impressions())
    assert (old.scores, old.propensities, old.asked) == ([0.5], None, None)
    assert came == new
    assert [event.item for event in beside.events("ann")] == ["a"]


def test_other_tables_of_the_same_database_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (mine TEXT)")
    connection.close()
    with Store(f"sqlite:///{path}") as store:
        assert store.add_events([Event("u", "a")]) == [1]


def test_a_state_that_may_only_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    grown(path)
    code = f"""
import os, sqlite3  # before there is nothing left that may be read
if os.getuid() == 0:
    os.chown({str(path)!r}, 65534, 65534)
    os.chown({str(tmp_path)!r}, 65534, 65534)
os.chmod({str(path)!r}, 0o400)
os.chmod({str(tmp_path)!r}, 0o500)
from crossfm.serving.store import Store, Event
from crossfm.errors import StoreError
if os.getuid() == 0:
    os.chdir("/")
    os.setuid(65534)
try:
    Store({f"sqlite:///{path}"!r}).add_events([Event("u", "a")])
except StoreError as exc:
    print(exc, exc.retry)
"""
    # The folders above a test's own are root's alone: they are opened for the child.
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    tmp_path.chmod(0o700)
    assert "may not be written to" in done.stdout or "cannot be opened" in done.stdout, (
        done.stdout + done.stderr
    )
    assert "False" in done.stdout


def test_postgresql_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingLibraryError, match=r"psycopg.*pip install 'crossfm\[postgres\]'"):
        Store("postgresql://u:secret@h/d")


def test_a_server_that_is_not_there_may_come_later(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="connection") as caught:
        Store(f"postgresql://u:secret@/d?host={tmp_path}")
    assert caught.value.retry
    assert "secret" not in str(caught.value)


def test_wrong_databases_and_users_are_named(postgres_url: str) -> None:
    for wrong, message in [("/postgres?", "/nothing?"), ("crossfm@", "nobody@")]:
        with pytest.raises(StoreError, match="does not exist") as caught:
            Store(postgres_url.replace(wrong, message))
        assert not caught.value.retry
