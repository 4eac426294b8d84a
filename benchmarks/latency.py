"""Claim: one warm row through an estimator takes under 0.2 ms, and through the kernel under 5 microseconds.

    python benchmarks/latency.py [--features 1048576] [--factors 8] [--repeats 2000]

Median and 99th percentile of calls with one row, one thread: the kernel under a machine's parameters, then
``FMClassifier.predict_proba`` of ``Rows``, of a CSR matrix, and of a table with named columns as a dict of
columns and as a DataFrame. The machine has random rows of 39 ids behind it; the table has 10 columns.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from crossfm import FMClassifier
from crossfm.data.rows import Rows
from crossfm.kernels.fm import isa, scores

WIDTH = 39
COLUMNS = 10


def clock(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median and 99th percentile of ``call``, in microseconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return tuple(1e6 * np.percentile(times, [50, 99]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=2**20)
    parser.add_argument("--factors", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    ids = rng.integers(0, given.features, (5000, WIDTH)).astype(np.uint32)
    y = (rng.random(len(ids)) < 0.3).astype(int)
    machine = FMClassifier(given.factors, max_iter=1).fit(
        Rows(ids.ravel(), given.features, width=WIDTH, target=y.astype(np.float64)), y
    )
    row = Rows(ids[0].copy(), given.features, width=WIDTH)
    matrix = sp.csr_matrix((np.ones(WIDTH, np.float32), ids[0], [0, WIDTH]), shape=(1, given.features))
    table = pd.DataFrame({f"c{i}": rng.integers(0, 1000, len(y)).astype(str) for i in range(COLUMNS)})
    tabular = FMClassifier(given.factors, max_iter=1).fit(table, y)
    frame = table.iloc[[0]]
    columns = {name: list(frame[name]) for name in frame}
    params = machine.params_
    calls: dict[str, Callable[[], Any]] = {
        "kernel": lambda: scores(row, params),
        "estimator, Rows": lambda: machine.predict_proba(row),
        "estimator, CSR matrix": lambda: machine.predict_proba(matrix),
        f"estimator, dict of {COLUMNS} columns": lambda: tabular.predict_proba(columns),
        f"estimator, DataFrame of {COLUMNS} columns": lambda: tabular.predict_proba(frame),
    }
    print(
        f"{platform.machine()}, {isa()}, Python {platform.python_version()}, NumPy {np.__version__}; microseconds"
    )
    for name, call in calls.items():
        clock(call, 50)
        median, late = clock(call, given.repeats)
        print(f"{name:36s} median {median:8.1f}  99 % {late:8.1f}", flush=True)


if __name__ == "__main__":
    main()
