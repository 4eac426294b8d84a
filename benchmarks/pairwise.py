"""Time BPR and WARP against LightFM on MovieLens-1M as implicit data, with NDCG@10 beside it.

    python -m venv benchmarks/.envs/lightfm
    benchmarks/.envs/lightfm/bin/python -m pip install lightfm-next==1.19.0
    python benchmarks/pairwise.py DIRECTORY_OF_ML_1M [--epochs N] [--rounds N] [--rates R ...]

Every rating is an interaction; a tenth at random is for testing. Ids only, k = 16, one thread, AdaGrad, the same number
of epochs, at most 10 draws for WARP. NDCG@10 over all items without the user's training items. Each engine trains each
loss at the one of the same learning rates that does best on another tenth, taken out of training for that (with one
rate nothing is searched). The engines take turns, each fit in a process of its own; medians of the rounds are printed.

Negatives are even but for LightFM's BPR, which draws them by popularity; FMRanker has that too, with a correction that
LightFM does not make: "crossfm, popular".
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

K = 16
LIGHTFM = Path(__file__).resolve().parent / ".envs" / "lightfm" / "bin" / "python"


def interactions(directory: Path) -> dict[str, np.ndarray]:
    """Return users and items of training and test, numbered from 0."""
    with gzip.open(directory / "ratings.dat.gz", "rt") as file:
        pairs = np.array([line.split("::")[:2] for line in file], np.int64)
    user = np.unique(pairs[:, 0], return_inverse=True)[1]
    item = np.unique(pairs[:, 1], return_inverse=True)[1]
    return hold_out({"user": user, "item": item, "shape": np.array([user.max() + 1, item.max() + 1])}, seed=0)


def hold_out(data: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Move a tenth of the interactions from training to test; what was for testing is gone."""
    user, item = data["user"], data["item"]
    test = np.random.default_rng(seed).random(len(user)) < 0.1
    held = {"test_user": user[test], "test_item": item[test]}
    return {"user": user[~test], "item": item[~test], "shape": data["shape"], **held}


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


def fit_lightfm(data: Any, loss: str, epochs: int, rate: float) -> tuple[float, np.ndarray]:
    """Return seconds an epoch and scores (n_users, n_items)."""
    from lightfm import LightFM
    from scipy.sparse import coo_matrix

    ones = np.ones(len(data["user"]), np.float32)
    matrix = coo_matrix((ones, (data["user"], data["item"])), shape=tuple(data["shape"]))
    model = LightFM(K, loss=loss, learning_rate=rate, max_sampled=10, random_state=0)
    model.fit_partial(matrix, epochs=1)
    start = time.perf_counter()
    model.fit_partial(matrix, epochs=epochs - 1)
    seconds = (time.perf_counter() - start) / (epochs - 1)
    (_, user), (item_bias, item) = model.get_user_representations(), model.get_item_representations()
    return seconds, user @ item.T + item_bias


def fit_crossfm(
    data: Any, loss: str, epochs: int, rate: float, negatives: str = "uniform"
) -> tuple[float, np.ndarray]:
    """Return seconds an epoch and scores (n_users, n_items)."""
    from crossfm import FMRanker
    from crossfm.data.rows import Rows

    n_users, n_items = map(int, data["shape"])
    queries = Rows(data["user"].astype(np.uint32), n_users, width=1)
    items = Rows(np.arange(n_items, dtype=np.uint32), n_items, width=1)
    model = FMRanker(K, loss=loss, negatives=negatives, learning_rate=rate, max_iter=epochs, random_state=0)
    model.fit(queries, data["item"], catalogue=items, groups=data["user"])
    seconds = statistics.mean(epoch["seconds"] for epoch in model.history_[1:])
    params = model.params_
    return seconds, params.V[:n_users] @ params.V[n_users:].T + params.w[n_users:]


def fit_popular(data: Any, loss: str, epochs: int, rate: float) -> tuple[float, np.ndarray]:
    """As ``fit_crossfm``, with negatives drawn by popularity."""
    return fit_crossfm(data, loss, epochs, rate, "popularity")


ENGINES = {
    "crossfm": (sys.executable, fit_crossfm, ("bpr", "warp")),
    "crossfm, popular": (sys.executable, fit_popular, ("bpr",)),
    "lightfm": (str(LIGHTFM), fit_lightfm, ("bpr", "warp")),
}


def run_one(engine: str, loss: str, rate: float, path: str, epochs: int) -> None:
    """Fit in this process and print the figures as JSON."""
    with np.load(path) as file:
        data = dict(file)
    seconds, scores = ENGINES[engine][1](data, loss, epochs, rate)
    print(json.dumps({"seconds": seconds, "ndcg": ndcg(np.array(scores), data), "n": len(data["user"])}))


def run_apart(engine: str, loss: str, rate: float, path: Path, epochs: int) -> dict[str, float]:
    """``run_one`` in a process of the engine's own Python."""
    command = [
        ENGINES[engine][0],
        __file__,
        str(path),
        "--epochs",
        str(epochs),
        "--one",
        engine,
        loss,
        str(rate),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run all engines in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("directory", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.2])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs must be at least 2: the first one is not timed")
    if args.one:
        engine, loss, rate = args.one
        run_one(engine, loss, float(rate), str(args.directory), args.epochs)
        return
    cases = [
        (loss, name) for loss in ("bpr", "warp") for name, engine in ENGINES.items() if loss in engine[2]
    ]
    figures: dict[tuple[str, str], list[dict[str, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        final, search = Path(folder) / "final.npz", Path(folder) / "search.npz"
        data = interactions(args.directory)
        np.savez(final, **data)
        np.savez(search, **hold_out(data, seed=1))
        best = dict.fromkeys(cases, args.rates[0])
        for loss, engine in cases if len(args.rates) > 1 else []:
            found = {rate: run_apart(engine, loss, rate, search, args.epochs)["ndcg"] for rate in args.rates}
            best[loss, engine] = max(found, key=lambda rate: found[rate])
            print(loss, engine, {rate: round(score, 4) for rate, score in found.items()}, file=sys.stderr)
        for _ in range(args.rounds):
            for loss, engine in cases:
                figures[loss, engine].append(run_apart(engine, loss, best[loss, engine], final, args.epochs))
    print(
        "| loss | engine | rate | s an epoch (range) | ns an interaction | NDCG@10 | ratio to LightFM's speed |"
    )
    print("|---|---|---|---|---|---|---|")
    for (loss, engine), runs in figures.items():
        seconds = [run["seconds"] for run in runs]
        middle = statistics.median(seconds)
        peer = statistics.median(run["seconds"] for run in figures[loss, "lightfm"])
        score = statistics.median(run["ndcg"] for run in runs)
        print(
            f"| {loss} | {engine} | {best[loss, engine]} | {middle:.3f} ({min(seconds):.3f} to {max(seconds):.3f}) "
            f"| {1e9 * middle / runs[0]['n']:.0f} | {score:.4f} | {peer / middle:.2f} |"
        )


if __name__ == "__main__":
    main()
