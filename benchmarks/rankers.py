"""Machines of the second stage on MovieLens, end to end, beside recall alone, EASE and item-kNN.

    python benchmarks/rankers.py FOLDER [--data ml-100k,ml-1m] [--machines ffm,fm,...] [--history 0] [--seed 0]

Data, splits and settings of the baselines are those of ``two_stage.py``. "validation" trains on the first 64 % of the
interactions and judges on the next 16 %, where the machines' settings were chosen; "test" trains on 80 % and judges on
the rest. A difference is that of the mean NDCG@20 to recall alone on the same users, with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import crossfm
from common.about import machine
from crossfm import Recommender
from crossfm.metrics import bootstrap_difference
from crossfm.recommender.baselines import EASE, ItemKNN
from crossfm.recommender.defaults import default_ranker
from crossfm.recommender.evaluate import evaluate
from crossfm.recommender.evaluation.stages import evaluate_stages
from two_stage import K, halved, ml_1m, ml_100k, parts, tune

SEGMENTS = ("all", "warm", "new")


def judge(
    name: str, data: tuple[Any, Any, Any, Any], options: dict[str, Any], machines: list[str], seed: int
) -> None:
    before, after, users, items = data
    base = None
    for kind in [None, *machines]:
        began = time.perf_counter()
        ranker = None if kind is None else default_ranker(kind, random_state=seed)
        model = Recommender(time="timestamp", ranker=ranker, **options).fit(before, users, items)
        took = time.perf_counter() - began
        found = evaluate(model, after, seed=seed)
        means = " ".join(f"{found.value('fm', K, segment)['mean']:.4f}" for segment in SEGMENTS)
        more = ""
        if base is None:
            base = found.per_user["fm", K]
        else:
            gain = bootstrap_difference(found.per_user["fm", K], base, seed=seed)
            more = f"  {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        print(f"{name:20} {kind or 'recall alone':14} {means}  fit {took:.1f} s{more}", flush=True)


def run(name: str, folder: Path, machines: list[str], history: int, seed: int) -> None:
    log, users, items = {"ml-100k": ml_100k, "ml-1m": ml_1m}[name](folder / name)
    train, test = parts(log)
    half_life, l2, pair = tune(train, items)
    options = {"half_life": half_life, "history": history}
    print(f"{name}: {options}; NDCG@20 of all, warm and new users")
    for what, (before, after) in {"validation": parts(train), "test": (train, test)}.items():
        judge(f"{name} {what}", (before, after, users, items), options, machines, seed)
        model = Recommender(time="timestamp", half_life=half_life).fit(before, users, items)
        rest, n_items = halved(model, before, half_life).counts_, len(model.items_.ids)
        beside = [EASE(l2).fit(model.seen_, n_items, rest), ItemKNN(*pair).fit(model.seen_, n_items, rest)]
        found = evaluate_stages(model, after, baselines=beside, channels=False, seed=seed)
        for system in ("EASE", "item-kNN"):
            print(f"{name} {what:12} {system:14} {found.value(system, K)['mean']:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="ml-100k,ml-1m")
    parser.add_argument("--machines", default="ffm,fm,fwfm,nfm,deepfm")
    parser.add_argument("--history", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"crossfm {crossfm.__version__}", machine(), f"numpy {np.__version__}")
    for name in args.data.split(","):
        run(name, args.folder, args.machines.split(","), args.history, args.seed)


if __name__ == "__main__":
    main()
