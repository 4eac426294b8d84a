"""Time the state of a server: events made durable a second, and what a request reads.

    python benchmarks/store.py [--users N] [--seconds S] [--folder FOLDER]

SQLite in FOLDER, and PostgreSQL with its default settings on the same disk where its programs are installed (a server
is started and stopped). Each user has 50 events. "Callers" are threads that each send one event and wait until it is
durable; the disk's own fdatasync and the bare driver are timed beside, in the same run.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.about import machine
from crossfm.serving.store import Event, Store
from crossfm.serving.store.events import KNOWN

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from postgres_server import PostgresServer, programs

HISTORY = 50


def quantiles(seconds: list[float], scale: float) -> str:
    """Median and 99 % of times."""
    return f"{np.median(seconds) * scale:9.2f} {np.quantile(seconds, 0.99) * scale:9.2f}"


def fdatasync(folder: Path, count: int = 300) -> list[float]:
    """Seconds of one page written and synced."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return times


def load(store: Store, users: int) -> float:
    """Put users and 50 events of each; return events a second."""
    start = time.perf_counter()
    for first in range(0, users, 200):
        some = range(first, min(first + 200, users))
        store.put_users([(f"user{u}", {"age": u % 80, "city": f"c{u % 500}"}) for u in some])
        store.add_events(
            [
                Event(f"user{u}", f"item{(u * 7 + i * 13) % 20_000}", time=1e9 + i)
                for i in range(HISTORY)
                for u in some
            ]
        )
    return users * HISTORY / (time.perf_counter() - start)


def write(store: Store, callers: int, seconds: float) -> tuple[float, list[float]]:
    """Return events a second, and the seconds of each call."""
    times: list[list[float]] = [[] for _ in range(callers)]
    end = time.perf_counter() + seconds

    def call(caller: int) -> None:
        while (start := time.perf_counter()) < end:
            store.add_events([Event(f"caller{caller}", "item")])
            times[caller].append(time.perf_counter() - start)

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [value for own in times for value in own]
    return len(every) / (time.perf_counter() - started), every


def read(call: Callable[[str], object], users: int, count: int = 5_000) -> list[float]:
    """Seconds of a call for users at random."""
    times = []
    for user in np.random.default_rng(0).integers(0, users, count + 500):
        start = time.perf_counter()
        call(f"user{user}")
        times.append(time.perf_counter() - start)
    return times[500:]


def bare(path: Path) -> Callable[[str], object]:
    """The statement of ``known`` by the bare driver, prepared once, as the floor."""
    connection = sqlite3.connect(path)
    with Store(f"sqlite:///{path}") as store, store._database.write() as turn:
        compiled = KNOWN.compile(dialect=turn.connection.dialect)
    order = compiled.positiontup or []

    def call(user: str) -> object:
        values = compiled.construct_params({"user": user, "n": HISTORY})
        return connection.execute(str(compiled), tuple(values[name] for name in order)).fetchall()

    return call


def measure(name: str, url: str, users: int, seconds: float) -> None:
    """Print one database's rows."""
    with Store(url, timeout=30) as store:
        print(f"{name}: {load(store, users):,.0f} events/s in calls of 10,000")
        for callers in (1, 8, 64):
            rate, times = write(store, callers, seconds)
            print(
                f"{name}: {callers:3d} callers {rate:8,.0f} events/s, ms {quantiles(times, 1e3)}", flush=True
            )
        calls: dict[str, Callable[[str], object]] = {
            "known, 50 events": lambda user: store.known(user, limit=50),
            "known, 1 event": lambda user: store.known(user, limit=1),
            "events, 50": lambda user: store.events(user, limit=50),
            "get_user": store.get_user,
        }
        for what, call in calls.items():
            print(f"{name}: {what:18s} microseconds {quantiles(read(call, users), 1e6)}", flush=True)


def main() -> None:
    """Measure SQLite, then PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        print(f"fdatasync of a page, ms: {quantiles(fdatasync(folder), 1e3)}")
        path = folder / "state.db"
        measure("SQLite", f"sqlite:///{path}", given.users, given.seconds)
        size = path.stat().st_size / (given.users * HISTORY)
        print(f"SQLite: {size:.0f} bytes an event, with indexes")
        floor = read(bare(path), given.users)
        print(f"SQLite: bare driver, 50   microseconds {quantiles(floor, 1e6)}")
        print(f"fdatasync of a page, ms: {quantiles(fdatasync(folder), 1e3)}")
    if (found := programs()) is None:
        print("PostgreSQL: not installed")
        return
    server = PostgresServer(found, durable=True)
    try:
        measure("PostgreSQL", server.url(), given.users, given.seconds)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
