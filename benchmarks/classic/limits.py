"""Where the time of one AdaGrad pass goes: the same pass with the table in cache, and with rows in file order.

    python benchmarks/classic/limits.py [--rows 1000000] [--factors 8 16 32]

Processor seconds, best of three, on the made click log of ``data.py``; one thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import data
from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import find_rule
from crossfm.data.rows import Rows
from crossfm.kernels.fm import isa, train_pass
from crossfm.kernels.table import Table

IN_CACHE = 2000  # records that the second-level cache holds


def seconds(rows: Rows, factors: int, order: np.ndarray) -> float:
    """Best processor time of three passes."""
    hyper = Hyper(learning_rate=0.03)
    start = FMParams.start(rows.n_features, factors, np.random.default_rng(0))
    table = Table.start(start, find_rule("adagrad"), hyper)
    times = []
    for _ in range(3):
        began = time.process_time()
        train_pass(rows, order, table, find_loss("logistic"), hyper)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Print the three times for each number of factors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, nargs="+", default=[8, 16, 32])
    given = parser.parse_args()
    log = np.load(data.make(given.rows, max(given.rows // 10, 1)) / "train.npz")
    ids, y = log["ids"].ravel().astype(np.uint32), log["y"].astype(np.float64)
    width = len(ids) // len(y)
    far = Rows(ids, data.N_IDS, width=width, target=y)
    near = Rows(ids % np.uint32(IN_CACHE), IN_CACHE, width=width, target=y)
    shuffled = np.random.default_rng(0).permutation(len(y))
    print(f"{isa()}, {len(y)} rows of {width}; processor seconds a pass")
    print("factors  shuffled  table in cache  rows in file order  both")
    for factors in given.factors:
        times = [
            seconds(rows, factors, order)
            for rows, order in (
                (far, shuffled),
                (near, shuffled),
                (far, np.arange(len(y))),
                (near, np.arange(len(y))),
            )
        ]
        print(f"{factors:7d}  {times[0]:8.2f}  {times[1]:14.2f}  {times[2]:18.2f}  {times[3]:4.2f}")


if __name__ == "__main__":
    main()
