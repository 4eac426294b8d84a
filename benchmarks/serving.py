"""Time the server by HTTP: one worker on loopback under wrk, recommenders from ten thousand to millions of items.

    python benchmarks/serving.py [--sizes 10000 200000 1000000] [--connections 1 4 16] [--seconds S] [--rounds R]

Needs wrk (Debian's package). Each size is a bundle of a drawn recommender (``common/catalogue.py``: 16 factors, 20
items of history, two context columns, an NFM with a layer of 64 that ranks 500 candidates), served by ``crossfm
serve`` and asked by ``serving.lua`` for ten items with attributes: random users and context, some sessions, some
GETs. Of the rounds the one with the best median is told: other work on the machine only adds. "CPU" is the server's
processor time of a request, which other work changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from common.about import machine
from common.catalogue import recommender
from crossfm import NFMClassifier
from crossfm.serving.bundle import write_bundle

SCRIPT = Path(__file__).with_name("serving.lua")
USERS = 20_000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running ``crossfm serve``."""

    process: subprocess.Popen[str]
    url: str
    seconds: float  # until it answered

    @classmethod
    def start(cls, bundle: Path, folder: Path, *options: str) -> Server:
        """Serve a bundle at a free port, with its state in ``folder``."""
        words = ["-c", "from crossfm.cli.app import main; main()", "serve", str(bundle), "--port", "0"]
        log = (folder / "log").open("w")
        begin = time.perf_counter()
        state = f"sqlite:///{folder}/state.db"
        process = subprocess.Popen(
            [sys.executable, *words, "--state", state, *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        found = re.search(r"at (http://\S+)", process.stdout.readline())
        if found is None:
            raise SystemExit(f"the server did not start: {(folder / 'log').read_text()}")
        while True:
            try:
                httpx.get(f"{found[1]}/health/live", timeout=30)
                break
            except httpx.TransportError:
                time.sleep(0.02)
        return cls(process, found[1], time.perf_counter() - begin)

    def cpu(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> tuple[int, int]:
        """Bytes of resident memory now and at most."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        now, most = (int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) for name in ("VmRSS", "VmHWM"))
        return now * 1024, most * 1024

    def stop(self) -> None:
        """End it and wait."""
        self.process.terminate()
        self.process.wait(60)


def ask(server: Server, n_items: int, connections: int, seconds: float) -> dict[str, Any]:
    """Let wrk ask; return its numbers (ms), and the server's processor time of a request."""
    env = {**os.environ, "USERS": str(USERS), "ITEMS": str(n_items)}
    words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), server.url]
    before, load = server.cpu(), os.getloadavg()[0]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.split("RESULT ")[1])
    told["cpu"] = 1e3 * (server.cpu() - before) / max(told["requests"], 1)
    return {**told, "qps": told["requests"] / told["seconds"], "load": load}


def measure(bundle: Path, n_items: int, args: argparse.Namespace) -> None:
    """Print the rows of one size."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(bundle, Path(folder), *args.option)
        try:
            started = server.memory()[0]
            ask(server, n_items, 4, 2)  # warm
            for connections in args.connections:
                rounds = [ask(server, n_items, connections, args.seconds) for _ in range(args.rounds)]
                failed = sum(one["failed"] for one in rounds)
                one = min(rounds, key=lambda told: told["p50"])
                print(
                    f"| {n_items:,} | {connections} | {one['p50']:.1f} | {one['p99']:.1f} | {one['qps']:.0f} | "
                    f"{one['cpu']:.2f} | {one['load']:.0f} | {failed} |",
                    flush=True,
                )
            told = httpx.get(f"{server.url}/v1/stats").json()
            stages = {one["stage"]: one["p50"] for one in told["stages"]}
            print(f"  stages, p50 ms: {stages}")
            now, most = server.memory()
            index = told["index"]
            print(
                f"  start {server.seconds:.1f} s; memory {started / 1e6:.0f} MB at the start, {now / 1e6:.0f} after, "
                f"{most / 1e6:.0f} at most; index {index['kind']}, {index['bytes'] / n_items:.0f} bytes an item, "
                f"recall {index['recall']['value']}",
                flush=True,
            )
        finally:
            server.stop()


def main() -> None:
    """Build each size, serve and ask it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000, 1_000_000])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--models", type=Path, help="folder that keeps the bundles for the next run")
    parser.add_argument("--option", action="append", default=[], help="of crossfm serve")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    print(
        machine() | {"wrk": subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.split()[1]}
    )
    print(
        "| items | connections | p50 ms | p99 ms | requests/s | CPU ms | load | failed |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for n_items in args.sizes:
            home = (args.models or Path(folder)) / f"{n_items}-{args.candidates}"
            if not (home / "CURRENT").exists():
                ranker = NFMClassifier(n_factors=16, hidden=(64,), max_iter=1, random_state=0)
                model = recommender(n_items, USERS, n_candidates=args.candidates, ranker=ranker)
                write_bundle(home, model, golden=20)
                del model
            measure(home, n_items, args)


if __name__ == "__main__":
    main()
