"""Claim: a fitted and a loaded model predict batches at least twice as fast as they train.

    python benchmarks/prediction.py [--rows 1000000] [--factors 8 16 32] [--rounds 5]

``FMClassifier.predict_proba`` of all rows of the made click log (``classic/data.py``), one thread, against an epoch of
training on them with AdaGrad. Each round fits two epochs and times the second, predicts, and predicts with the model
saved and loaded; medians of the rounds, wall time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import crossfm
from crossfm import FMClassifier
from crossfm.data.rows import Rows
from crossfm.kernels.fm import isa

sys.path.insert(0, str(Path(__file__).parent / "classic"))
import data


def seconds(model: FMClassifier, rows: Rows) -> float:
    """Time one batch of all rows."""
    began = time.perf_counter()
    model.predict_proba(rows)
    return time.perf_counter() - began


def main() -> None:
    """Print rows a second of training and prediction for each number of factors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    log = np.load(data.make(given.rows, max(given.rows // 10, 1)) / "train.npz")
    ids, y = log["ids"].astype(np.uint32), log["y"]
    rows = Rows(ids.ravel(), data.N_IDS, width=ids.shape[1])
    times: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.rounds):
            for k in given.factors:
                model = FMClassifier(k, solver="adagrad", max_iter=2, random_state=0).fit(rows, y)
                model.save(f"{folder}/model.crossfm")
                loaded = crossfm.load(f"{folder}/model.crossfm")
                times.setdefault((k, "training"), []).append(model.history_[-1]["seconds"])
                times.setdefault((k, "fitted"), []).append(seconds(model, rows))
                times.setdefault((k, "loaded"), []).append(seconds(loaded, rows))
    print(f"{isa()}; {given.rows} rows of {ids.shape[1]}; thousands of rows a second (times training's)")
    print("| k | training | fitted model | loaded model |")
    print("|---|---|---|---|")
    for k in given.factors:
        one, *others = (statistics.median(times[k, name]) for name in ("training", "fitted", "loaded"))
        cells = [f"{given.rows / t / 1e3:,.0f} ({one / t:.1f})" for t in others]
        print(f"| {k} | {given.rows / one / 1e3:,.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
