"""Time BPR and WARP against LightFM on MovieLens-1M as implicit data, with NDCG@10 beside it.

    python -m venv benchmarks/.envs/lightfm
    benchmarks/.envs/lightfm/bin/python -m pip install lightfm-next==1.19.0
    python benchmarks/pairwise.py DIRECTORY_OF_ML_1M [--epochs N] [--rounds N]

Every rating is an interaction; a tenth of each user's, at random, is for testing. Ids only, k = 16, one thread,
AdaGrad, even negatives, the same number of epochs. NDCG@10 over all items without the user's training items. The two
engines take turns, each fit in a process of its own; the medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

K, RATE = 16, 0.05
LIGHTFM = Path(__file__).resolve().parent / ".envs" / "lightfm" / "bin" / "python"


def interactions(directory: Path) -> dict[str, np.ndarray]:
    """Return users and items of training and test, numbered from 0."""
    with gzip.open(directory / "ratings.dat.gz", "rt") as file:
        pairs = np.array([line.split("::")[:2] for line in file], np.int64)
    user = np.unique(pairs[:, 0], return_inverse=True)[1]
    item = np.unique(pairs[:, 1], return_inverse=True)[1]
    test = np.random.default_rng(0).random(len(user)) < 0.1
    return {"user": user[~test], "item": item[~test], "test_user": user[test], "test_item": item[test]}


def ndcg(scores: np.ndarray, data: Any, depth: int = 10) -> float:
    """Mean NDCG@depth over users with test items; scores (n_users, n_items)."""
    scores[data["user"], data["item"]] = -np.inf
    relevant = np.zeros(scores.shape, bool)
    relevant[data["test_user"], data["test_item"]] = True
    top = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    gain = 1.0 / np.log2(np.arange(2, depth + 2))
    dcg = (np.take_along_axis(relevant, top, 1) * gain).sum(1)
    n = relevant.sum(1)
    ideal = np.concatenate([[0.0], np.cumsum(gain)])[np.minimum(n, depth)]
    return float((dcg[n > 0] / ideal[n > 0]).mean())


def fit_lightfm(data: Any, loss: str, epochs: int) -> tuple[float, np.ndarray]:
    """Return seconds an epoch and scores (n_users, n_items)."""
    from lightfm import LightFM
    from scipy.sparse import coo_matrix

    n_users, n_items = data["user"].max() + 1, data["item"].max() + 1
    matrix = coo_matrix((np.ones(len(data["user"]), np.float32), (data["user"], data["item"])))
    model = LightFM(K, loss=loss, learning_rate=RATE, max_sampled=10, random_state=0)
    model.fit_partial(matrix, epochs=1)
    start = time.perf_counter()
    model.fit_partial(matrix, epochs=epochs - 1)
    seconds = (time.perf_counter() - start) / (epochs - 1)
    (_, user), (item_bias, item) = model.get_user_representations(), model.get_item_representations()
    assert (len(user), len(item)) == (n_users, n_items)
    return seconds, user @ item.T + item_bias


def fit_crossfm(data: Any, loss: str, epochs: int) -> tuple[float, np.ndarray]:
    """Return seconds an epoch and scores (n_users, n_items)."""
    from crossfm import FMRanker
    from crossfm.data.rows import Rows

    n_users, n_items = int(data["user"].max()) + 1, int(data["item"].max()) + 1
    queries = Rows(data["user"].astype(np.uint32), n_users, width=1)
    items = Rows(np.arange(n_items, dtype=np.uint32), n_items, width=1)
    model = FMRanker(K, loss=loss, learning_rate=RATE, max_iter=epochs, random_state=0)
    model.fit(queries, data["item"], catalogue=items, groups=data["user"])
    seconds = statistics.mean(epoch["seconds"] for epoch in model.history_[1:])
    params = model.params_
    return seconds, params.V[:n_users] @ params.V[n_users:].T + params.w[n_users:]


ENGINES = {"crossfm": (sys.executable, fit_crossfm), "lightfm": (str(LIGHTFM), fit_lightfm)}


def run_one(engine: str, loss: str, path: str, epochs: int) -> None:
    """Fit in this process and print the figures as JSON."""
    with np.load(path) as file:
        data = dict(file)
    seconds, scores = ENGINES[engine][1](data, loss, epochs)
    print(json.dumps({"seconds": seconds, "ndcg": ndcg(np.array(scores), data), "n": len(data["user"])}))


def main() -> None:
    """Run all engines in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("directory", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs must be at least 2: the first one is not timed")
    if args.one:
        run_one(*args.one, str(args.directory), args.epochs)
        return
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, **interactions(args.directory))
        for _ in range(args.rounds):
            for loss in ("bpr", "warp"):
                for engine, (python, _fit) in ENGINES.items():
                    command = [
                        python,
                        __file__,
                        str(path),
                        "--epochs",
                        str(args.epochs),
                        "--one",
                        engine,
                        loss,
                    ]
                    env = {**os.environ, "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
                    figures.setdefault((loss, engine), []).append(json.loads(done.stdout.splitlines()[-1]))
    print("| loss | engine | s an epoch (range) | ns an interaction | NDCG@10 | ratio to LightFM's speed |")
    print("|---|---|---|---|---|---|")
    for (loss, engine), runs in figures.items():
        seconds = [run["seconds"] for run in runs]
        middle = statistics.median(seconds)
        peer = statistics.median(run["seconds"] for run in figures[loss, "lightfm"])
        score = statistics.median(run["ndcg"] for run in runs)
        print(
            f"| {loss} | {engine} | {middle:.3f} ({min(seconds):.3f} to {max(seconds):.3f}) "
            f"| {1e9 * middle / runs[0]['n']:.0f} | {score:.4f} | {peer / middle:.2f} |"
        )


if __name__ == "__main__":
    main()
