"""Break a real server process under load, again and again, and count what was lost.

    python benchmarks/faults.py MODELS [--rounds 10]

MODELS is a folder of bundles with a current version, such as ``crossfm fit-recommender`` leaves; it is copied. Each
round: feedback from four callers and lists from two, then ``kill -9`` and a new start on the same state; every
acknowledged event must be there, once. Then versions are changed at the folder and by HTTP under the same load, a
damaged one among them: no answer may fail, and each is of one version in header and body. Ends with 1 where anything
is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from crossfm.serving.bundle import point, pointed
from crossfm.serving.store import Store
from serving import Server


class Load:
    """Callers that send events and ask for lists until they are stopped or the server is gone."""

    def __init__(self, url: str, items: list[Any], begin: int) -> None:
        self.url, self.items, self.begin = url, items, begin
        self.acknowledged: list[tuple[str, str]] = []
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.mixed = 0
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(f"caller{at}",)) for at in range(4)]
        self.threads += [threading.Thread(target=self.ask) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def send(self, user: str) -> None:
        """Send events with keys; note those that were acknowledged."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for at in range(self.begin, self.begin + 1_000_000):
                key = f"{user}-{at}"
                event = {
                    "user": user,
                    "item": self.items[at % len(self.items)],
                    "key": key,
                    "request_id": key,
                }
                try:
                    answer = client.post("/v1/feedback", json={"events": [event]})
                except httpx.TransportError:
                    return
                self.statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    self.acknowledged.append((user, key))
                if self.done.is_set():
                    return

    def ask(self) -> None:
        """Ask for lists; count versions, and answers whose header and body disagree."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self.done.is_set():
                try:
                    answer = client.post("/v1/recommend", json={"user": "caller0", "n": 10})
                except httpx.TransportError:
                    return
                self.statuses[answer.status_code] += 1
                told = answer.json()
                self.versions[str(told.get("version"))] += 1
                self.mixed += answer.headers.get("X-Model-Version") != told.get("version")

    def stop(self) -> None:
        """Wait for all callers."""
        self.done.set()
        for thread in self.threads:
            thread.join()


def kills(models: Path, folder: Path, rounds: int) -> int:
    """Kill and start again; return how many acknowledged events are lost or there twice."""
    acknowledged: list[tuple[str, str]] = []
    for at in range(rounds):
        server = Server.start(models, folder)
        load = Load(server.url, items_of(server.url), at * 1_000_000)
        time.sleep(1.5 + 0.37 * (at % 3))
        server.process.kill()
        server.process.wait()
        load.stop()
        acknowledged += load.acknowledged
    with Store(f"sqlite:///{folder}/state.db") as store:
        there = Counter((event.user, event.request) for _, event in store.event_log(0, 10_000_000))
    lost = sum(one not in there for one in acknowledged)
    twice = sum(count > 1 for count in there.values())
    print(
        f"kill -9, {rounds} times: {len(acknowledged)} events acknowledged, {lost} lost, {twice} twice",
        flush=True,
    )
    return lost + twice


def swaps(models: Path, folder: Path, rounds: int) -> int:
    """Change versions under load; return how many answers were wrong."""
    first = pointed(models)
    assert first is not None
    for version in ("other", "damaged"):
        copy_version(models, first, version)
    with (models / "damaged" / "model.crossfm").open("r+b") as file:
        file.seek(-1_000, 2)
        file.write(b"damage")
    server = Server.start(models, folder)
    load = Load(server.url, items_of(server.url), 10**9)
    refused = 0
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for at in range(rounds):
            client.post("/v1/models/activate", json={"version": ("other", first)[at % 2]}).raise_for_status()
            refused += client.post("/v1/models/activate", json={"version": "damaged"}).status_code == 409
            point(models, "damaged")  # as a careless copy would
            time.sleep(2.5)
            ready = client.get("/health/ready").json()
            refused += ready["version"] != "damaged" and ready["refused"] is not None
            time.sleep(0.5)
    load.stop()
    server.stop()
    bad = sum(count for status, count in load.statuses.items() if status >= 300) + load.mixed
    print(
        f"versions changed {rounds} times: answers {dict(load.statuses)}, versions {dict(load.versions)}, "
        f"{load.mixed} mixed; damaged one refused {refused} of {2 * rounds} times",
        flush=True,
    )
    return bad + (2 * rounds - refused)


def copy_version(models: Path, version: str, name: str) -> None:
    """Copy a version under another name."""
    shutil.copytree(models / version, models / name)
    manifest = models / name / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"{version}"', f'"{name}"'))


def items_of(url: str) -> list[Any]:
    """Return some ids."""
    return [one["id"] for one in httpx.get(f"{url}/v1/items?limit=50", timeout=60).json()["items"]]


def main() -> None:
    """Run all of it on a copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        models, folder = Path(home) / "models", Path(home) / "state"
        shutil.copytree(args.models, models)
        folder.mkdir()
        wrong = kills(models, folder, args.rounds) + swaps(models, folder, args.rounds)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
