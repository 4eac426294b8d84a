"""Losses and negatives of the machine of recall on MovieLens-100K and MovieLens-1M, split by time.

    python benchmarks/recall_training.py DATA [--sets ml-100k ml-1m] [--seeds N]
    python benchmarks/recall_training.py DATA --search 24 [--methods NAME ...]

DATA holds ml-100k/ (u.data.gz, u.user.gz, u.item.gz) and ml-1m/ (ratings.dat.gz, users.dat.gz, movies.dat.gz). All
ratings are interactions; the last fifth by time is the test, and ``--search`` looks at nothing of it: it draws
settings at random and judges them on later windows inside the training part (40 to 60 and 60 to 80 % of ML-100K's log,
60 to 80 % of ML-1M's), by NDCG@20 + Recall@100. It also tries the default's penalties, and on ML-1M what was best on
ML-100K. The best are in ``SETTINGS``: of 24 draws (30 with hard negatives), on ML-1M of 4.

Whole catalogue without what the user has seen; features of users and items, interactions halved by 14 days. One thread;
seconds are processor time of ``FMRanker.fit``, means over seeds. Where ML-1M lacks a time (never in the test), the
user's median time stands in.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossfm import FMRanker, Recommender
from crossfm.datasets.movielens import GENRES
from crossfm.recommender.evaluate import evaluate
from crossfm.recommender.recommender import default_retriever

METRICS = ("ndcg@20", "recall@20", "recall@100", "recall@300")
KS = (20, 100, 300)
WINDOWS = {"ml-100k": [(0.4, 0.6), (0.6, 0.8)], "ml-1m": [(0.6, 0.8)]}
TEST = (0.8, 1.0)
COMMON: dict[str, list[Any]] = {
    "n_factors": [16, 32],
    "schedule": ["linear"],
    "l2_V": [0.0, 0.003, 0.01, 0.03, 0.05, 0.1],
    "l2_w": [0.0, 0.003, 0.01, 0.03],
}
BPR = {**COMMON, "learning_rate": [0.02, 0.05, 0.1, 0.2], "max_iter": [10, 15, 30], "n_pairs": [1, 2]}
SOFTMAX = {
    **COMMON,
    "learning_rate": [0.01, 0.02, 0.05, 0.1],
    "max_iter": [5, 10, 20],
    "n_negatives": [10, 30],
}
HARD = {
    "hard_negatives": [0.1, 0.2, 0.4],
    "hard_ranks": [(0, 100), (0, 300), (20, 200), (50, 500)],
    "hard_every": [1, 3],
}
WHOLE = {
    "n_factors": [16, 32],
    "schedule": ["constant", "linear"],
    "learning_rate": [0.01, 0.02, 0.05, 0.1],
    "max_iter": [10, 20, 40],
    "negative_weight": [0.02, 0.05, 0.1, 0.2, 0.5],
    "l2_V": [0.0, 0.1, 0.3, 1.0, 3.0],
    "l2_w": [0.0, 0.01, 0.1],
    "batch_size": [64, 256],
}
SPACES: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "bpr, uniform": ({"loss": "bpr", "negatives": "uniform"}, BPR),
    "bpr, popularity": ({"loss": "bpr", "negatives": "popularity"}, BPR),
    "bpr, hard": ({"loss": "bpr"}, {**BPR, **HARD, "negatives": ["uniform", "popularity"]}),
    "warp": ({"loss": "warp"}, {**SOFTMAX, "n_negatives": [10, 50]}),
    "softmax, uniform": ({"loss": "softmax", "negatives": "uniform"}, SOFTMAX),
    "softmax, popularity": ({"loss": "softmax", "negatives": "popularity"}, SOFTMAX),
    "softmax, hard": ({"loss": "softmax"}, {**SOFTMAX, **HARD, "negatives": ["uniform", "popularity"]}),
    "ensfm, uniform": ({"loss": "ensfm", "negatives": "uniform"}, WHOLE),
    "ensfm, popularity": ({"loss": "ensfm", "negatives": "popularity"}, WHOLE),
}
USUAL = {
    "n_factors": 16,
    "learning_rate": 0.05,
    "schedule": "linear",
    "max_iter": 15,
    "l2_w": 0.01,
    "l2_V": 0.05,
    "hard_negatives": 0.2,
    "hard_ranks": (50, 500),
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "ml-100k": {
        "bpr, uniform": {
            "loss": "bpr",
            "negatives": "uniform",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.003,
            "l2_w": 0.01,
            "learning_rate": 0.05,
            "max_iter": 30,
            "n_pairs": 1,
        },
        "bpr, popularity": {
            "loss": "bpr",
            "negatives": "popularity",
            "n_factors": 16,
            "learning_rate": 0.05,
            "schedule": "linear",
            "max_iter": 15,
            "l2_w": 0.01,
            "l2_V": 0.05,
        },
        "bpr, hard": {
            "loss": "bpr",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.0,
            "learning_rate": 0.02,
            "max_iter": 30,
            "n_pairs": 2,
            "hard_negatives": 0.2,
            "hard_ranks": [50, 500],
            "hard_every": 1,
            "negatives": "popularity",
        },
        "warp": {
            "loss": "warp",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.05,
            "l2_w": 0.0,
            "learning_rate": 0.02,
            "max_iter": 20,
            "n_negatives": 10,
        },
        "softmax, uniform": {
            "loss": "softmax",
            "negatives": "uniform",
            "n_factors": 16,
            "learning_rate": 0.05,
            "schedule": "linear",
            "max_iter": 15,
            "l2_w": 0.01,
            "l2_V": 0.05,
        },
        "softmax, popularity": {
            "loss": "softmax",
            "negatives": "popularity",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.03,
            "learning_rate": 0.1,
            "max_iter": 10,
            "n_negatives": 30,
        },
        "softmax, hard": {
            "loss": "softmax",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.03,
            "learning_rate": 0.1,
            "max_iter": 20,
            "n_negatives": 30,
            "hard_negatives": 0.4,
            "hard_ranks": [50, 500],
            "hard_every": 3,
            "negatives": "popularity",
        },
        "ensfm, uniform": {
            "loss": "ensfm",
            "negatives": "uniform",
            "n_factors": 32,
            "schedule": "linear",
            "learning_rate": 0.02,
            "max_iter": 40,
            "negative_weight": 0.05,
            "l2_V": 3.0,
            "l2_w": 0.1,
            "batch_size": 64,
        },
        "ensfm, popularity": {
            "loss": "ensfm",
            "negatives": "popularity",
            "n_factors": 16,
            "schedule": "constant",
            "learning_rate": 0.01,
            "max_iter": 40,
            "negative_weight": 0.02,
            "l2_V": 3.0,
            "l2_w": 0.1,
            "batch_size": 64,
        },
    },
    "ml-1m": {
        "bpr, uniform": {
            "loss": "bpr",
            "negatives": "uniform",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.003,
            "learning_rate": 0.05,
            "max_iter": 30,
            "n_pairs": 2,
        },
        "bpr, popularity": {
            "loss": "bpr",
            "negatives": "popularity",
            "n_factors": 16,
            "schedule": "linear",
            "l2_V": 0.05,
            "l2_w": 0.01,
            "learning_rate": 0.1,
            "max_iter": 15,
            "n_pairs": 1,
        },
        "bpr, hard": {
            "loss": "bpr",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.003,
            "learning_rate": 0.05,
            "max_iter": 15,
            "n_pairs": 1,
            "hard_negatives": 0.2,
            "hard_ranks": [0, 100],
            "hard_every": 3,
            "negatives": "popularity",
        },
        "warp": {
            "loss": "warp",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.05,
            "l2_w": 0.0,
            "learning_rate": 0.02,
            "max_iter": 20,
            "n_negatives": 10,
        },
        "softmax, uniform": {
            "loss": "softmax",
            "negatives": "uniform",
            "n_factors": 16,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.01,
            "learning_rate": 0.1,
            "max_iter": 10,
            "n_negatives": 30,
        },
        "softmax, popularity": {
            "loss": "softmax",
            "negatives": "popularity",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.03,
            "learning_rate": 0.1,
            "max_iter": 10,
            "n_negatives": 30,
        },
        "softmax, hard": {
            "loss": "softmax",
            "n_factors": 32,
            "schedule": "linear",
            "l2_V": 0.01,
            "l2_w": 0.03,
            "learning_rate": 0.1,
            "max_iter": 20,
            "n_negatives": 30,
            "hard_negatives": 0.4,
            "hard_ranks": [50, 500],
            "hard_every": 3,
            "negatives": "popularity",
        },
        "ensfm, uniform": {
            "loss": "ensfm",
            "negatives": "uniform",
            "n_factors": 32,
            "schedule": "linear",
            "learning_rate": 0.02,
            "max_iter": 10,
            "negative_weight": 0.5,
            "l2_V": 0.0,
            "l2_w": 0.0,
            "batch_size": 256,
        },
        "ensfm, popularity": {
            "loss": "ensfm",
            "negatives": "popularity",
            "n_factors": 16,
            "schedule": "constant",
            "learning_rate": 0.01,
            "max_iter": 40,
            "negative_weight": 0.02,
            "l2_V": 3.0,
            "l2_w": 0.1,
            "batch_size": 64,
        },
    },
}


def lines(path: Path, separator: str, names: list[str]) -> pd.DataFrame:
    """Read one of the sets' files, all columns as text."""
    with gzip.open(path, "rt", encoding="latin-1") as file:
        return pd.DataFrame([line.rstrip("\n").split(separator) for line in file], columns=names)


def ml_100k(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Interactions, users, items."""
    log = lines(folder / "u.data.gz", "\t", ["user_id", "item_id", "rating", "timestamp"]).astype(int)
    users = lines(folder / "u.user.gz", "|", ["user_id", "age", "gender", "occupation", "zip_code"])
    flags = list(GENRES)
    items = lines(folder / "u.item.gz", "|", ["item_id", "title", "release", "video", "url", *flags])
    genres = ["|".join(g for g in flags if row[g] == "1") for row in items[flags].to_dict("records")]
    return (
        log.drop(columns="rating"),
        users.drop(columns="zip_code").astype({"user_id": int, "age": int}),
        items[["item_id"]].astype(int).assign(genres=genres),
    )


def ml_1m(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Interactions, users, items."""
    log = lines(folder / "ratings.dat.gz", "::", ["user_id", "item_id", "rating", "timestamp"])
    log = log.drop(columns="rating").apply(pd.to_numeric)
    cut = np.nanquantile(log.timestamp.fillna(0), 0.8)
    usual = log[log.timestamp < cut].groupby("user_id").timestamp.median()
    log.timestamp = log.timestamp.fillna(log.user_id.map(usual)).fillna(cut).astype(int)
    users = lines(folder / "users.dat.gz", "::", ["user_id", "gender", "age", "occupation", "zip_code"])
    items = lines(folder / "movies.dat.gz", "::", ["item_id", "title", "genres"])
    return (
        log,
        users.drop(columns="zip_code").astype({"user_id": int, "age": int}),
        items[["item_id", "genres"]].astype({"item_id": int}),
    )


def settings(name: str, method: str) -> dict[str, Any]:
    """Return the options of a method on a set."""
    if method != "default":
        return SETTINGS[name][method]
    options = default_retriever().get_params()
    del options["random_state"]
    return options


READERS = {"ml-100k": ml_100k, "ml-1m": ml_1m}


def judge(tables: Any, window: tuple[float, float], options: dict[str, Any], seed: int) -> dict[str, float]:
    """Train on what is before the window and judge in it."""
    log, users, items = tables
    begin, end = (round(share * len(log)) for share in window)
    machine = FMRanker(random_state=seed, **options)
    model = Recommender(time="timestamp", half_life=14.0, retriever=machine)
    seconds = timed_fit(model, log[:begin], users, items)
    judged = evaluate(model, log[begin:end], ks=KS)
    result = {"seconds": seconds}
    for name in METRICS:
        values = judged.per_user["fm", name]
        result |= {name: float(values.mean()), f"warm {name}": float(values[judged.warm].mean())}
    return result


def timed_fit(model: Recommender, *tables: Any) -> float:
    """Fit, and return the processor seconds that the machine's training took."""
    taken: list[float] = []
    fit = FMRanker.fit

    def timed(self: FMRanker, *args: Any, **more: Any) -> FMRanker:
        start = time.process_time()
        fit(self, *args, **more)
        taken.append(time.process_time() - start)
        return self

    FMRanker.fit = timed  # type: ignore[method-assign]
    try:
        model.fit(*tables)
    finally:
        FMRanker.fit = fit  # type: ignore[method-assign]
    return taken[0]


def search(name: str, tables: Any, methods: list[str], n: int) -> None:
    """Print each method's best of ``n`` random settings, and one more, on the windows inside the training part."""
    for method in methods:
        if method == "default":  # chosen on three windows of ML-100K by NDCG@20
            continue
        fixed, space = SPACES[method]
        rng, tried = random.Random(method), []
        drawn = [{key: rng.choice(values) for key, values in space.items()} for _ in range(n)]
        if name == "ml-1m":
            drawn.insert(0, SETTINGS["ml-100k"][method])
        elif fixed["loss"] != "ensfm":
            drawn.insert(0, {key: value for key, value in USUAL.items() if key in space})
        for options in [fixed | each for each in drawn]:
            runs = [judge(tables, window, options, seed=0) for window in WINDOWS[name]]
            mean = {key: float(np.mean([run[key] for run in runs])) for key in METRICS}
            tried.append((mean["ndcg@20"] + mean["recall@100"], options, mean))
        _, options, mean = max(tried, key=lambda each: each[0])
        print(json.dumps({"set": name, "method": method, "validation": mean, "options": options}), flush=True)


def main() -> None:
    """Search, or judge the settings on the test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(READERS), choices=list(READERS))
    parser.add_argument("--methods", nargs="+", choices=["default", *SPACES])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--search", type=int, default=0, metavar="N")
    args = parser.parse_args()
    for name in args.sets:
        log, *sides = READERS[name](args.data / name)
        tables = (log.sort_values("timestamp", kind="stable").reset_index(drop=True), *sides)
        if args.search:
            search(name, tables, args.methods or list(SPACES), args.search)
            continue
        print(f"\n{name}\n\n| method | {' | '.join(METRICS)} | NDCG@20, known users | s |\n|{'---|' * 7}")
        for method in args.methods or ["default", *SPACES]:
            runs = [judge(tables, TEST, settings(name, method), seed) for seed in range(args.seeds)]
            mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
            cells = [f"{mean[key]:.4f}" for key in (*METRICS, "warm ndcg@20")]
            print(f"| {method} | {' | '.join(cells)} | {mean['seconds']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
