"""Both stages of a recommender on MovieLens, beside popularity, item-kNN and EASE, by full ranking.

    python benchmarks/two_stage.py FOLDER [--data ml-100k,ml-1m] [--ranker nfm] [--report FOLDER] [--seed 0]

``FOLDER`` holds ml-100k and ml-1m with the original files, gzipped. The split is global in time: the latest fifth of
the interactions is the test. On ml-100k every rating is an interaction, on ml-1m a rating of 4 or 5 (in the copy that
this was written for, some ratings of 1 to 3 have no time). Settings of the baselines and the half-life are chosen on
the latest fifth of the training part; the test has no say. The recommender has its default settings, with and without
the user's latest items (history) and that half-life; with --ranker also with a second stage ("fm", "ffm", "fwfm" or the
name of a neural model) behind the one with the half-life. Peers: none; the baselines are ours, and tests compare them
with naive forms.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import crossfm
from common.about import machine
from crossfm import FMRanker, Recommender
from crossfm.cli.stage_report import page
from crossfm.cli.stage_view import show_stages
from crossfm.data.split import time_split
from crossfm.datasets.movielens import GENRES
from crossfm.recommender.baselines import EASE, ItemKNN, Popularity
from crossfm.recommender.config import Config, RankingStage, make_ranker
from crossfm.recommender.evaluation.stages import StageReport, evaluate_stages
from crossfm.recommender.times import seconds_of

HALF_LIVES = (7, 14, 30, 60, 120)
L2 = (50, 100, 250, 500, 1000, 2000, 5000)
NEIGHBOURS = tuple((n, shrinkage) for n in (50, 100, 200, 500, 1000) for shrinkage in (0, 10, 100, 500))
K = "ndcg@20"
N_FACTORS = 16  # of the default retriever


def ml_100k(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return interactions, users and items."""
    log = pd.read_csv(folder / "u.data.gz", sep="\t", names=["user_id", "item_id", "rating", "timestamp"])
    users = pd.read_csv(
        folder / "u.user.gz", sep="|", names=["user_id", "age", "gender", "occupation", "zip_code"]
    )
    names = ["item_id", "title", "release", "video", "url", *GENRES]
    items = pd.read_csv(folder / "u.item.gz", sep="|", encoding="latin-1", names=names)
    flags = items[list(GENRES)].to_numpy()
    items["genres"] = ["|".join(g for g, flag in zip(GENRES, row, strict=True) if flag) for row in flags]
    return log, users.drop(columns="zip_code"), items[["item_id", "title", "genres"]]


def ml_1m(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    read: dict[str, Any] = {"sep": "::", "engine": "python", "encoding": "latin-1"}
    log = pd.read_csv(folder / "ratings.dat.gz", names=["user_id", "item_id", "rating", "timestamp"], **read)
    users = pd.read_csv(
        folder / "users.dat.gz", names=["user_id", "gender", "age", "occupation", "zip_code"], **read
    )
    items = pd.read_csv(folder / "movies.dat.gz", names=["item_id", "title", "genres"], **read)
    log = log[log.rating >= 4]
    return log.astype({"timestamp": np.int64}), users.drop(columns="zip_code"), items


def parts(log: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the earlier four fifths and the latest fifth, in order of time."""
    log = log.sort_values("timestamp", kind="stable").reset_index(drop=True)
    before, after = time_split(log.timestamp.to_numpy(), 0.2)
    return log.iloc[before], log.iloc[after]


def named(machine: Any, name: str) -> Any:
    machine.name = name
    return machine


def catalogue(log: pd.DataFrame, items: pd.DataFrame) -> Recommender:
    """Return a recommender that has learned next to nothing: it knows who has seen what."""
    return Recommender(retriever=FMRanker(1, max_iter=1, random_state=0)).fit(log, items=items)


def halved(model: Recommender, log: pd.DataFrame, days: float) -> Popularity:
    import pyarrow as pa

    item = model.items_.ids.positions(pa.array(log.item_id), "item_id")
    seconds = seconds_of(pa.array(log.timestamp), "timestamp")
    return Popularity.halved(item, seconds, len(model.items_.ids), days)


def best(found: StageReport, tried: Iterable[Any]) -> Any:
    """Return the setting with the best NDCG@20 among ``tried``, printing all."""
    scores = {setting: found.value(str(setting), K)["mean"] for setting in tried}
    print("  " + ", ".join(f"{setting}: {score:.4f}" for setting, score in scores.items()), flush=True)
    return max(scores, key=lambda setting: scores[setting])


def tune(log: pd.DataFrame, items: pd.DataFrame) -> tuple[float, float, tuple[int, float]]:
    """Return half-life, L2 of EASE, neighbours and shrinkage, chosen inside the training part."""
    earlier, later = parts(log)
    model = catalogue(earlier, items)
    recent = [named(halved(model, earlier, days), str(days)) for days in HALF_LIVES]
    print("half-life in days, of recent popularity:")
    half_life = best(evaluate_stages(model, later, baselines=recent, channels=False), HALF_LIVES)
    rest = halved(model, earlier, half_life).counts_
    n_items = len(model.items_.ids)
    ease = [named(EASE(l2).fit(model.seen_, n_items, rest), str(l2)) for l2 in L2]
    print("l2 of EASE:")
    l2 = best(evaluate_stages(model, later, baselines=ease, channels=False), L2)
    near = [named(ItemKNN(*pair).fit(model.seen_, n_items, rest), str(pair)) for pair in NEIGHBOURS]
    print("neighbours and shrinkage of item-kNN:")
    return half_life, l2, best(evaluate_stages(model, later, baselines=near, channels=False), NEIGHBOURS)


def run(name: str, folder: Path, ranker: str | None, report: Path | None, seed: int) -> None:
    log, users, items = {"ml-100k": ml_100k, "ml-1m": ml_1m}[name](folder / name)
    train, test = parts(log)
    half_life, l2, pair = tune(train, items)
    print(f"{name}: half-life {half_life} days, EASE l2 {l2}, item-kNN {pair}")
    models: dict[str, dict[str, Any]] = {
        "defaults": {},
        "history": {"time": "timestamp", "history": 20},
        "half-life": {"time": "timestamp", "half_life": half_life},
        "history and half-life": {"time": "timestamp", "history": 20, "half_life": half_life},
    }
    if ranker is not None:
        machine_of = make_ranker(Config(ranking=RankingStage(machine=ranker), seed=seed), N_FACTORS)
        models[f"half-life and {ranker}"] = {**models["half-life"], "ranker": machine_of}
    for title, options in models.items():
        began = time.perf_counter()
        model = Recommender(**options).fit(train, users, items)
        fitted = time.perf_counter() - began
        recent, n_items = halved(model, train, half_life), len(model.items_.ids)
        beside = [
            Popularity(model.counts_),
            recent,
            ItemKNN(*pair).fit(model.seen_, n_items, recent.counts_),
            EASE(l2).fit(model.seen_, n_items, recent.counts_),
        ]
        began = time.perf_counter()
        found = evaluate_stages(model, test, baselines=beside, seed=seed)
        took = time.perf_counter() - began
        print(f"\n=== {name}, {title}: fit {fitted:.1f} s, evaluation {took:.1f} s, {options}", flush=True)
        show_stages(found)
        if report is not None:
            facts = {key: value for key, value in machine().items() if key != "load_at_start"}
            files = {"model": f"{title}, {name}", "later interactions": f"the latest fifth of {name}"}
            path = report / f"{name}-{title.replace(' ', '-')}.html"
            path.write_text(page(found, {"crossfm": crossfm.__version__, **facts}, files), encoding="utf8")
            print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="ml-100k,ml-1m")
    parser.add_argument("--ranker", help="of a second stage, beside those without one")
    parser.add_argument("--report", type=Path, help="folder for pages")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"crossfm {crossfm.__version__}", machine())
    for name in args.data.split(","):
        run(name, args.folder, args.ranker, args.report, args.seed)


if __name__ == "__main__":
    main()
