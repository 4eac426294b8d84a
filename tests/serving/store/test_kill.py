"""Processes that are killed, and processes that write at once: what was acknowledged is there, once."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from crossfm.serving.store import Store

# Four threads each add three events at a time, say so, and go on.
KILLED = """
import sys, threading
from crossfm.serving.store import Event, Impression, Store
store, name, say = Store(sys.argv[1]), sys.argv[2], threading.Lock()
def add(thread):
    for i in range(100_000):
        call = f"{name}.{thread}.{i}"
        store.add_events([Event(f"user{thread}", f"{call}.{part}", key=f"{call}.{part}") for part in range(3)])
        store.add_impressions([Impression(call, f"user{thread}", ["a"])])
        with say:
            print(call, flush=True)
for thread in range(4):
    threading.Thread(target=add, args=(thread,)).start()
"""

# Sends each event twice, as a client does that got no answer; half of them are the other process's too.
TWICE = """
import sys
from crossfm.serving.store import Event, Store
with Store(sys.argv[1], timeout=30) as store:
    for i in range(25):
        shared, own = Event("shared", f"{i}", key=f"{i}"), Event(sys.argv[2], f"{i}", key=f"{i}")
        first = store.add_events([shared, own])
        assert store.add_events([own, shared]) == first[::-1]
        store.put_item(f"{sys.argv[2]}{i}", {"i": i})
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def killed(url: str, name: str, after: int) -> list[str]:
    """Kill a process that adds once it has said so many lines; return all that it said."""
    child = start(KILLED, url, name)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(after)]
    child.kill()
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait(30)
    return [line.strip() for line in lines if line.endswith("\n")]


def test_no_acknowledged_event_is_lost_and_none_is_half_there(url: str) -> None:
    moments = random.Random(3)
    acknowledged: list[str] = []
    for round in range(3 if url.startswith("sqlite") else 2):
        acknowledged += killed(url, f"{round}", after=moments.randrange(1, 120))
        with Store(url, timeout=10) as store:
            log = [event.item for _, event in store.event_log(limit=100_000)]
            assert len(set(log)) == len(log)
            calls = {item.rpartition(".")[0] for item in log}
            assert set(log) == {f"{call}.{part}" for call in calls for part in range(3)}
            assert calls >= set(acknowledged)
            assert len(calls) - len(acknowledged) <= 4 * (
                round + 1
            )  # at most one call of each thread had no answer
            assert store.counts()["events"] == len(log)
    assert len(acknowledged) > 50


def test_two_processes_that_start_and_write_at_once_do_not_disturb_each_other(url: str) -> None:
    children = [start(TWICE, url, name) for name in ("a", "b")]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0]
    with Store(url) as store:
        assert [number for number, _ in store.event_log()] == list(range(1, 76))
        for user in ("shared", "a", "b"):
            assert sorted(int(event.item) for event in store.events(user)) == list(range(25))
        cursor, puts, _ = store.changed_items()
        assert (cursor, len(puts)) == (50, 50)


@pytest.mark.parametrize("after", [5])
def test_events_that_are_sent_again_after_a_kill_are_stored_once(url: str, after: int) -> None:
    said = killed(url, "x", after)
    from crossfm.serving.store import Event

    with Store(url, timeout=10) as store:
        before = {event.key: number for number, event in store.event_log(limit=100_000)}
        thread = said[0].split(".")[1]
        again = [Event(f"user{thread}", "again", key=f"{said[0]}.{part}") for part in range(3)]
        assert store.add_events(again) == [before[event.key] for event in again]
