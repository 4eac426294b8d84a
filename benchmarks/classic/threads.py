"""Claim: several threads learn as well as one, and two are faster.

    python benchmarks/classic/threads.py [--threads 1 2 4 8] [--rules adagrad adagrad-row ftrl] [--rounds 3]

One epoch on the made click log of ``data.py``, k = 8. Test log loss, and seconds by the wall clock (best of the
rounds, which take turns): meaningful where as many cores are idle.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from cores import nanoseconds

import data
from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import find_rule
from crossfm.data.rows import Rows
from crossfm.kernels.fm import scores, train_pass
from crossfm.kernels.table import Table

PARTS = 5  # calls an epoch, as the estimators make


def main() -> None:
    """Print seconds and log loss for each rule and number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rules", nargs="+", default=["adagrad", "adagrad-row", "ftrl"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = data.make(1_000_000, 100_000)
    train, test = (
        Rows(
            log["ids"].ravel().astype(np.uint32),
            data.N_IDS,
            width=data.N_FIELDS,
            target=log["y"].astype(float),
        )
        for log in (np.load(folder / f"{part}.npz") for part in ("train", "test"))
    )
    loss, hyper = find_loss("logistic"), Hyper(learning_rate=0.04)
    print(f"A line goes from core to core in {nanoseconds()}.\n")
    print("| rule | threads | s an epoch | test log loss (rounds) |")
    print("|---|---|---|---|")
    for rule in given.rules:
        seconds: dict[int, list[float]] = {}
        losses: dict[int, list[float]] = {}
        for seed in range(given.rounds):
            order = np.random.default_rng(seed).permutation(train.n_rows)
            for threads in given.threads:
                start = FMParams.start(data.N_IDS, 8, np.random.default_rng(seed), scale=0.01, bias=-1.1)
                table = Table.start(start, find_rule(rule), hyper)
                began = time.perf_counter()
                for part in np.array_split(order, PARTS):
                    train_pass(train, part, table, loss, hyper, n_threads=threads)
                seconds.setdefault(threads, []).append(time.perf_counter() - began)
                found = loss.value(scores(test, table).astype(np.float64), test.target).mean()
                losses.setdefault(threads, []).append(float(found))
        for threads in given.threads:
            found = ", ".join(f"{value:.4f}" for value in losses[threads])
            print(f"| {rule} | {threads} | {min(seconds[threads]):.3f} | {found} |", flush=True)


if __name__ == "__main__":
    main()
