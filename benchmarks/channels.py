"""One list of a factorization machine against channels at the same number of candidates, on MovieLens.

    python benchmarks/channels.py FOLDER [--data ml-100k,ml-1m] [--ranker ffm | none] [--seed 0]

Data and split are those of ``two_stage.py``, with the half-life chosen there inside the training part (7 and 60 days).
"latest" goes by the date of release (ml-100k), or by the year in the title (ml-1m). Printed are recall of the machine's
list, of each channel, and of their unions at 100, 300 and 500 candidates; what each part is worth; NDCG@20 end to
end with some of the 300 candidates from channels, by the same second stage, with the difference to none of them on the
same users; and processor time of single requests.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import crossfm
from common.about import machine
from crossfm import Recommender
from crossfm.cli import stage_words as words
from crossfm.cli.show import print_table
from crossfm.data.infer import infer_columns
from crossfm.data.tables import as_table
from crossfm.metrics import bootstrap_difference, bootstrap_interval
from crossfm.recommender.ask import Ask
from crossfm.recommender.channels.kinds import NAMES
from crossfm.recommender.defaults import default_ranker
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluate import evaluate
from crossfm.recommender.evaluation.channels import BOTH, compare_channels, without
from crossfm.recommender.evaluation.later import Later
from two_stage import K, ml_1m, ml_100k, parts

HALF_LIFE = {"ml-100k": 7.0, "ml-1m": 60.0}
QUOTAS: dict[str, dict[str, int] | None] = {
    "none": None,
    "item-kNN 50": {"item-kNN": 50},
    "20 popular, 50 item-kNN, 20 tags, 10 latest": {"popular": 20, "item-kNN": 50, "tags": 20, "latest": 10},
    "60 of each": dict.fromkeys(NAMES, 60),
}
REQUESTS = 300


def with_times(name: str, folder: Path, items: pd.DataFrame) -> pd.DataFrame:
    """Add the time of release."""
    if name == "ml-1m":
        year = items.title.str.extract(r"\((\d{4})\)\s*$")[0]
        return items.assign(released=pd.to_datetime(year, format="%Y"))
    told = pd.read_csv(folder / "u.item.gz", sep="|", encoding="latin-1", header=None, usecols=[0, 2])
    dates = pd.to_datetime(told[2], format="%d-%b-%Y")
    return items.merge(pd.DataFrame({"item_id": told[0], "released": dates}), on="item_id")


def show_recall(model: Recommender, test: Any, seed: int) -> None:
    later = Later.of(model, test)
    began = time.perf_counter()
    found = compare_channels(model, later, seed=seed)
    print(f"compared in {time.perf_counter() - began:.1f} s")
    systems = dict.fromkeys(row["system"] for row in found.rows)
    rows = [(s, *(words.interval(found.value(s, n)) for n in found.totals)) for s in systems]
    print_table("recall, all users", ("", *map(str, found.totals)), rows)
    for row in found.differences:
        print(f"  {row['system']} minus {row['other']}, {row['total']}: {words.lead(row)}")
    warm = model.seen_.counts(later.where) > 0
    rows = []
    for one in found.parts:
        name, n = one["part"], one["total"]
        loss = (found.per_user[BOTH, n] - found.per_user[without(name), n])[warm]
        known = words.lead(bootstrap_interval(loss, seed=seed)._asdict())
        lost, gain = words.lead(one["loss"]), words.lead(one["gain"])
        alone, same = words.plain(one["unique"], 4), words.plain(one["overlap"])
        rows.append((name, n, lost, known, gain, alone, one["unique_hits"], same, one["verdict"]))
    header = (
        "",
        "K",
        "lost without it",
        "for known users",
        "won by recall and it",
        "by it alone",
        "hits",
        "overlap",
        "",
    )
    print_table(
        f"parts of recall and channels; {int(warm.sum())} of {len(warm)} users are known", header, rows
    )


def show_lists(model: Recommender, test: Any, seed: int) -> None:
    base, rows = None, []
    for name, quotas in QUOTAS.items():
        found = evaluate(model.with_channels(quotas), test, seed=seed)
        own = found.per_user["fm", K]
        base = own if base is None else base
        gain = words.lead(bootstrap_difference(own, base, seed=seed)._asdict(), 4)
        means = [words.plain(found.value("fm", K, segment), 4) for segment in ("all", "warm", "new")]
        rows.append((name, *means, gain))
    print_table(f"{K} with candidates from channels", ("of 300", "all", "known", "new", "difference"), rows)


def show_times(model: Recommender) -> None:
    """Print processor time of single requests, which other work on the machine leaves alone."""
    rng = np.random.default_rng(0)
    users = model.users_.ids.keys.take(rng.integers(0, len(model.users_.ids), REQUESTS)).to_pylist()

    def quantiles(ask: Callable[[Any], object], of: list[Any]) -> tuple[str, str]:
        spent = np.empty(len(of))
        for at, one in enumerate(of):
            began = time.thread_time()
            ask(one)
            spent[at] = 1e3 * (time.thread_time() - began)
        p50, p95 = np.quantile(spent[20:], (0.5, 0.95))
        return f"{p50:.3f}", f"{p95:.3f}"

    rows = []
    for name, quotas in QUOTAS.items():
        engine = Engine(model.with_channels(quotas))
        rows.append((name, *quantiles(lambda user, engine=engine: engine.recommend(Ask(user=user)), users)))
    print_table("processor ms of a request", ("", "p50", "p95"), rows)
    engine = Engine(model.with_channels(QUOTAS["60 of each"]))
    items = engine._catalogue
    assert items.channels is not None
    queries = [engine.queries.of(Ask(user=user), items) for user in users]
    rows = []
    for name, channel in items.channels.channels.items():
        rows.append(
            (name, *quantiles(lambda q, own=channel: own.best(q.past, q.recent, items.alive, 60), queries))
        )
    print_table("processor ms of a channel, 60 items", ("", "p50", "p95"), rows)


def run(name: str, folder: Path, ranker: str, seed: int) -> None:
    log, users, items = {"ml-100k": ml_100k, "ml-1m": ml_1m}[name](folder / name)
    items = with_times(name, folder / name, items)
    train, test = parts(log)
    began = time.perf_counter()
    columns = [
        *infer_columns(as_table(users), exclude=("user_id",)),
        *infer_columns(as_table(items.drop(columns="released")), exclude=("item_id",)),
    ]
    model = Recommender(
        time="timestamp",
        columns=columns,
        half_life=HALF_LIFE[name],
        item_time="released",
        ranker=None if ranker == "none" else default_ranker(ranker, random_state=seed),
    )
    model.fit(train, users, items)
    print(f"\n=== {name}, {ranker}: fit {time.perf_counter() - began:.1f} s", flush=True)
    show_recall(model, test, seed)
    if model.ranking_ is not None:  # by recall's own score nothing that it has not found comes to the front
        show_lists(model, test, seed)
    show_times(model)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="ml-100k,ml-1m")
    parser.add_argument("--ranker", default="ffm")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"crossfm {crossfm.__version__}", machine(), f"numpy {np.__version__}")
    for name in args.data.split(","):
        run(name, args.folder, args.ranker, args.seed)


if __name__ == "__main__":
    main()
