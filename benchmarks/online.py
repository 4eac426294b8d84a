"""Time partial_fit on data that grows, and crossfm follow, by the size of what is known already.

    python benchmarks/online.py [--rounds N]

A model that knows a number of users learns batches of 1,000 rows (user, item, hour; k = 8, AdaGrad), a tenth of whose
users are new. Medians over the batches, processor time. Then ``crossfm follow --once`` on 200,000 lines of CSV with 5
columns and of libsvm with 39 features, less the time it takes on an empty file.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from crossfm import Categorical, FMClassifier

COLUMNS = [Categorical("user"), Categorical("item"), Categorical("hour")]
BATCH, LINES = 1_000, 200_000
FOLLOW = [sys.executable, "-c", "from crossfm.cli.app import main; main()", "follow", "--once", "-q"]


def batch(rng: np.random.Generator, users: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Rows of these users."""
    n = len(users)
    table = {"user": users, "item": rng.integers(0, 20_000, n), "hour": rng.integers(0, 24, n)}
    return table, (rng.random(n) < 0.3).astype(int)


def grow(known: int, rounds: int) -> tuple[float, int]:
    """Return the median seconds of a batch, and how many features there are in the end."""
    rng = np.random.default_rng(0)
    model = FMClassifier(columns=COLUMNS, random_state=0).partial_fit(*batch(rng, np.arange(known)))
    seconds, next_user = [], known
    for _ in range(rounds):
        new = np.arange(next_user, next_user + BATCH // 10)
        next_user += len(new)
        rows = batch(rng, np.concatenate([new, rng.integers(0, known, BATCH - len(new))]))
        started = time.process_time()
        model.partial_fit(*rows)
        seconds.append(time.process_time() - started)
    return statistics.median(seconds[3:]), model.encoder_.n_features


def follow(folder: Path, name: str, lines: list[str], header: str) -> float:
    """Return lines a second of processor time."""
    first, live, empty = (folder / f"{part}.{name}" for part in ("first", "live", "empty"))
    first.write_text(header + "".join(lines[:5_000]))
    live.write_text(header + "".join(lines))
    empty.write_text(header)
    model = folder / f"{name}.crossfm"
    train = [*FOLLOW[:3], "train", str(first), "-o", str(model), "-q", "--epochs", "1"]
    subprocess.run(train, check=True)
    spent = []
    for path in (empty, live):
        words = [str(path), "--format", name, "-m", str(model), "-o", str(folder / "out.crossfm")]
        before = children()
        subprocess.run([*FOLLOW, *words], check=True)
        spent.append(children() - before)
    return len(lines) / (spent[1] - spent[0])


def children() -> float:
    """Processor time of the processes waited for."""
    import os

    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    for known in (10_000, 100_000, 1_000_000):
        seconds, features = grow(known, rounds)
        print(
            f"{known:9,} users known: {1e3 * seconds:6.1f} ms for {BATCH:,} rows, {features:,} features after"
        )
    rng = np.random.default_rng(1)
    users, items = rng.zipf(1.2, LINES) % 200_000, rng.zipf(1.3, LINES) % 50_000
    label = (users + items) % 3 == 0
    rows = zip(users, items, rng.integers(0, 24, LINES), rng.gamma(2, 3, LINES), label, strict=True)
    table = [f"u{u},i{i},{h},{p:.2f},{int(y)}\n" for u, i, h, p, y in rows]
    ids = rng.zipf(1.2, (LINES, 39)) % 20_000 + np.arange(39) * 20_000
    wide = [
        f"{int(y)} " + " ".join(f"{j}:1" for j in row) + "\n"
        for y, row in zip(label, ids.tolist(), strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, lines, header in (("csv", table, "user,item,hour,price,click\n"), ("libsvm", wide, "")):
            print(f"follow {name}: {follow(Path(folder), name, lines, header):,.0f} lines a second")


if __name__ == "__main__":
    main()
