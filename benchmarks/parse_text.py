"""Claim: libsvm and libffm text is parsed at more than 200 MB/s on one thread.

Prints MB/s (median of 5 runs) of our parser on one and two threads beside scikit-learn's load_svmlight_file,
on made text of 39 features a row. It is in memory for all, so no disk is measured. One thread is timed by the
CPU clock, which other work on the machine disturbs least; two threads by the wall clock.

    python benchmarks/parse_text.py [--megabytes 60]
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import numpy as np
from sklearn.datasets import load_svmlight_file

from crossfm.kernels.text import parse_text

RUNS, WIDTH = 5, 39


def make_text(n_bytes: int, *, libffm: bool, share_of_ones: float) -> bytes:
    """Rows of ``WIDTH`` features with Zipf ids, values 1 or short decimals."""
    rng = np.random.default_rng(0)
    lines: list[str] = []
    size = 0
    while size < n_bytes:
        ids = np.sort(rng.zipf(1.2, (1000, WIDTH)) % 1_000_000, axis=1) + np.arange(WIDTH)
        values = np.where(
            rng.random((1000, WIDTH)) < share_of_ones, "1", rng.random((1000, WIDTH)).round(4).astype(str)
        )
        for row, (row_ids, row_values) in enumerate(zip(ids.tolist(), values.tolist(), strict=True)):
            pairs = enumerate(zip(row_ids, row_values, strict=True))
            tokens = [f"{f}:{i}:{x}" if libffm else f"{i}:{x}" for f, (i, x) in pairs]
            lines.append(" ".join([str(row % 2), *tokens]))
            size += len(lines[-1]) + 1
    return ("\n".join(lines) + "\n").encode()


def speed(n_bytes: int, clock: Callable[[], float], run: Callable[[], object]) -> float:
    """MB/s, the median of ``RUNS`` after one run to warm up."""
    run()
    times = []
    for _ in range(RUNS):
        start = clock()
        run()
        times.append(clock() - start)
    return n_bytes / 1e6 / statistics.median(times)


def processor() -> str:
    """The processor's name, where Linux tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def measure(name: str, text: bytes, *, libffm: bool) -> None:
    """Print one line of the table."""
    parse = partial(parse_text, text, libffm=libffm)
    one = speed(len(text), time.process_time, partial(parse, n_threads=1))
    two = speed(len(text), time.perf_counter, partial(parse, n_threads=2))
    peer = "-"
    if not libffm:
        load = partial(load_svmlight_file, zero_based=True)
        peer = f"{speed(len(text), time.process_time, lambda: load(io.BytesIO(text))):.0f}"
    print(f"{name:<20}{len(text) / 1e6:>6.0f}{one:>12.0f}{two:>12.0f}{peer:>14}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=60)
    n_bytes = parser.parse_args().megabytes * 1_000_000
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{processor()}, {os.cpu_count()} cores{load}")
    packages = " ".join(f"{name} {version(name)}" for name in ("crossfm", "scikit-learn", "numpy"))
    print(f"Python {platform.python_version()} {packages}")
    print(
        f"{'text':<20}{'MB':>6}{'1 thread':>12}{'2 threads':>12}{'scikit-learn':>14}   MB/s, median of {RUNS}"
    )
    measure("libsvm, values 1", make_text(n_bytes, libffm=False, share_of_ones=1.0), libffm=False)
    measure("libsvm, decimals", make_text(n_bytes, libffm=False, share_of_ones=0.3), libffm=False)
    measure("libffm, decimals", make_text(n_bytes, libffm=True, share_of_ones=0.3), libffm=True)


if __name__ == "__main__":
    main()
