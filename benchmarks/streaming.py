"""Claims: a memory limit is kept on a file ten times as large; epochs from the block cache keep up with memory.

Makes a log of 39 one-hot fields (about 105,000 ids, Zipf) as libsvm text, CSV or Parquet in ``benchmarks/.data``, then
runs ``crossfm train --memory-limit`` on it twice (without and with a cache) and prints the peak of resident memory as
the system counted it. After that, epochs from memory and from the cache take turns in one process, on a million rows.
Processor time is that of both threads: with one core only, it is what counts.

    python benchmarks/streaming.py [--rows 9000000] [--limit 300MB] [--form libsvm] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

N_FIELDS, CHUNK, SEED = 39, 50_000, 7
FOLDER = Path(__file__).resolve().parent / ".data" / "streaming"
SPEED_ROWS = 1_000_000


def make(form: str, n_rows: int) -> Path:
    """Write the log unless it is there."""
    path = FOLDER / f"log-{n_rows}.{form}"
    if path.exists():
        return path
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pacsv
    import pyarrow.parquet as parquet

    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    sizes = np.geomspace(10, 20_000, N_FIELDS).astype(int)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shares = [np.cumsum((p := np.arange(1, n + 1.0) ** -1.1) / p.sum()) for n in sizes]
    places = rng.permutation(starts[-1])  # neighbours in frequency are not neighbours in memory
    weights = rng.normal(0, 0.3, starts[-1])
    tokens = pa.array([f" {at}:1" for at in range(starts[-1])])
    half = path.with_name(path.name + ".half")
    writer: Any = None
    with half.open("wb") as file:
        for start in range(0, n_rows, CHUNK):
            n = min(CHUNK, n_rows - start)
            drawn = [np.minimum(np.searchsorted(s, rng.random(n)), len(s) - 1) for s in shares]
            ids = [places[first + d] for first, d in zip(starts, drawn, strict=False)]
            y = (rng.random(n) < 1 / (1 + np.exp(1.2 - sum(weights[i] for i in ids)))).astype(np.int64)
            if form == "libsvm":
                words = [pa.array(y).cast(pa.string()), *(tokens.take(pa.array(i)) for i in ids)]
                lines = pc.binary_join_element_wise(*words, "")
                file.write("\n".join(lines.to_pylist()).encode() + b"\n")
                continue
            table = pa.table({**{f"field{j}_id": i for j, i in enumerate(ids)}, "click": y})
            if writer is None:
                kind = pacsv.CSVWriter if form == "csv" else parquet.ParquetWriter
                writer = kind(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    os.replace(half, path)
    return path


def run(words: list[str]) -> tuple[int, float, str]:
    """Run a command; return its peak of resident memory (bytes), seconds and standard error."""
    began = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(words)}\n{said}")
    return usage.ru_maxrss * 1024, time.perf_counter() - began, said


def limited(path: Path, limit: str) -> None:
    """Train under a limit, twice; print peaks, times and sizes."""
    for cache in path.parent.glob(f"{path.name}*cache"):
        cache.unlink()
    out = path.with_name("model.crossfm")
    words = [str(Path(sys.executable).with_name("crossfm")), "train", str(path), "--memory-limit", limit]
    words += ["--epochs", "2", "--out", str(out)]
    words += [] if path.suffix == ".libsvm" else ["--target", "click"]
    print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB, limit {limit}, two epochs, a tenth held back")
    for what in ("first run", "cache there"):
        peak, seconds, said = run(words)
        cache = next(path.parent.glob(f"{path.name}*cache"))
        epochs = [line.split("  ")[-1 if not line.endswith("best") else -2] for line in said.splitlines()]
        print(
            f"  {what:<12} peak {peak / 1e6:,.0f} MB, {seconds:.1f} s in all, epochs {', '.join(epochs)}; "
            f"cache {cache.stat().st_size / 1e6:,.0f} MB ({cache.stat().st_size / path.stat().st_size:.0%})"
        )


SPEED = """
import statistics, sys, time
from crossfm import FMClassifier, read, stream
path, rounds = sys.argv[1], int(sys.argv[2])
began = time.perf_counter(); found = stream(path); built = time.perf_counter() - began
began = time.perf_counter(); rows = read(path, n_threads=1); parsed = time.perf_counter() - began
print(f"first pass (parse, pack, write) {built:.1f} s; parse alone {parsed:.1f} s; one thread")
for k in (8, 16, 32):
    wall, cpu, losses = {"memory": [], "cache": []}, {"memory": [], "cache": []}, {}
    for _ in range(rounds):
        for name, X in (("memory", rows), ("cache", found)):
            stamps = []
            clock = lambda epoch, model: stamps.append(time.process_time())
            model = FMClassifier(k, random_state=0, max_iter=2, callbacks=[clock]).fit(X)
            wall[name].append(model.history_[1]["seconds"])
            cpu[name].append(stamps[1] - stamps[0])
            losses[name] = model.history_[1]["train_loss"]
    for what, seconds in (("wall clock", wall), ("processor", cpu)):
        (a, b), (c, d) = ([f(seconds[name]) for name in ("memory", "cache")] for f in (statistics.median, min))
        print(f"k={k:<3} {what:<10} s an epoch: memory {a:.3f} (least {c:.3f}), cache {b:.3f} (least {d:.3f}): "
              f"{a / b:.2f} times the speed ({c / d:.2f})")
    print(f"k={k:<3} training loss of the second epoch: {losses['memory']:.5f}, {losses['cache']:.5f}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=9_000_000)
    parser.add_argument("--limit", default="300MB")
    parser.add_argument("--form", default="libsvm", choices=["libsvm", "csv", "parquet"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.form, options.rows)
        return
    again = [sys.executable, __file__, "--make"]  # elsewhere, so that this process stays small: see ``run``
    run([*again, "--form", options.form, "--rows", str(options.rows)])
    limited(FOLDER / f"log-{options.rows}.{options.form}", options.limit)
    if options.rounds and options.form == "libsvm":
        run([*again, "--form", "libsvm", "--rows", str(SPEED_ROWS)])
        path = FOLDER / f"log-{SPEED_ROWS}.libsvm"
        for cache in path.parent.glob(f"{path.name}*cache"):
            cache.unlink()
        subprocess.run([sys.executable, "-c", SPEED, str(path), str(options.rounds)], check=True)


if __name__ == "__main__":
    main()
