"""CPU of one answer by event loop and HTTP parser, and by number of scoring threads (Linux).

    python benchmarks/http_loop.py [SECONDS] [ROUNDS]

A server process with a small trained recommender and SQLite, a client with four connections on loopback. The server's
CPU is read from /proc; cases take turns and the least of each counts, as other processes only add.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
CASES = [
    ("uvloop", "httptools", 2),
    ("asyncio", "h11", 2),
    ("uvloop", "httptools", 1),
    ("uvloop", "httptools", 8),
]
CONNECTIONS = 4
Told = tuple[float, float, float, float]


def serve(loop: str, http: str, threads: int, port: int, folder: str) -> None:
    """Run the server."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import uvicorn

    from crossfm.recommender.engine import Engine
    from crossfm.serving.app import build_app
    from crossfm.serving.registry import Registry
    from crossfm.serving.settings import Settings
    from crossfm.serving.store import Store
    from serving.small import small_model

    with Store(f"sqlite:///{folder}/state.db") as store:
        app = build_app(Registry(engine=Engine(small_model(0))), store, Settings(threads=threads))
        uvicorn.run(app, port=port, loop=loop, http=http, access_log=False, log_level="error")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def ask(port: int, until: float, times: list[float]) -> None:
    """Send one request after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    rng = random.Random(0)
    while time.perf_counter() < until:
        body = json.dumps({"user": rng.randrange(30), "n": 10}).encode()
        head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        start = time.perf_counter()
        writer.write(b"POST /v1/recommend HTTP/1.1\r\n" + head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        times.append(time.perf_counter() - start)
    writer.close()


async def load(port: int, seconds: float, pid: int) -> Told:
    """Return CPU of an answer (ms), requests a second, p50 and p99 (ms) of ``seconds`` of load."""
    times: list[float] = []
    before, start = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(ask(port, start + seconds, times) for _ in range(CONNECTIONS)))
    rate, spent = len(times) / (time.perf_counter() - start), cpu_seconds(pid) - before
    times.sort()
    p50, p99 = (1e3 * times[int(len(times) * q)] for q in (0.5, 0.99))
    return 1e3 * spent / len(times), rate, p50, p99


def measure(case: tuple[str, str, int], port: int, seconds: float) -> Told:
    """Start a server, warm it and load it."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["serve", *map(str, case), str(port), folder]
        server = subprocess.Popen([sys.executable, __file__, *words], stderr=subprocess.DEVNULL)
        while True:
            try:
                asyncio.run(load(port, 1.0, server.pid))
                break
            except OSError:
                time.sleep(0.2)
        told = asyncio.run(load(port, seconds, server.pid))
        server.terminate()
        server.wait()
    return told


def main() -> None:
    given = [float(word) for word in sys.argv[1:3]]
    seconds, rounds = (*given, *(3.0, 3.0)[len(given) :])
    best: dict[tuple[str, str, int], Told] = {}
    for turn in range(int(rounds)):
        for at, case in enumerate(CASES):
            told = measure(case, 18_800 + turn * len(CASES) + at, seconds)
            best[case] = min(told, best.get(case, told))
    for (loop, http, threads), (cpu, rate, p50, p99) in best.items():
        line = f"{cpu:.2f} ms CPU  {rate:4.0f} requests/s  p50 {p50:5.2f} ms  p99 {p99:6.2f} ms"
        print(f"{loop:8} {http:10} {threads} threads  {line}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        main()
