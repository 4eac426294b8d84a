"""Is what replay says of a setting what users do under it? Simulated users on MovieLens-100K, whose truth is known.

    python benchmarks/replay.py FOLDER [--lists 12] [--temperature 0.5] [--keep FOLDER] [--seed 0]

``FOLDER`` holds ml-100k with the original files, gzipped. A recommender learns from the first half of the ratings and
is served with a temperature; users look down each list and click, by a hidden machine that knows all ratings, and what
they click is history in the next list. Then ``crossfm.serving.replay`` judges other settings and another version by
that log alone, and beside it stands the truth: the same requests asked of the new setting, and the exact expectation of
the clicks on its lists. --keep leaves models and state for ``crossfm replay``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common.about import machine
from crossfm import FMRanker, Recommender
from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine
from crossfm.serving.bundle import write_bundle
from crossfm.serving.lists import Lists
from crossfm.serving.past import Past
from crossfm.serving.registry import Loaded, Registry
from crossfm.serving.replay import Log, open_version, replay_log
from crossfm.serving.schemas import RecommendBody
from crossfm.serving.service import Service
from crossfm.serving.settings import Settings
from crossfm.serving.store import Event, Impression, Store
from two_stage import ml_100k

N = 5  # items of a list
LOOK = 1 / np.log2(np.arange(2, N + 2))  # chance that a user looks at a place
LEAVES = 0.5  # who has clicked looks on half as often
DRAWS = 4  # lists of each request that the truth is taken from
TWO_DAYS = 172_800.0


class World:
    """Users whose clicks depend on the item, the place, and the clicks above."""

    def __init__(self, hidden: Engine) -> None:
        self._hidden = hidden
        self._likes: dict[str, dict[str, float]] = {}

    def likes(self, user: str) -> dict[str, float]:
        """Return the chance of a click on each item that the user looks at."""
        if user not in self._likes:
            found = self._hidden.recommend(Ask(user=user, n=5_000, exclude_seen=False)).items
            score = np.array([one.score for one in found])
            chance = 0.6 / (1 + np.exp(-2 * ((score - score.mean()) / score.std() - 1.5)))
            self._likes[user] = dict(zip((str(one.item) for one in found), chance.tolist(), strict=True))
        return self._likes[user]

    def clicks(self, user: str, items: list[str], rng: np.random.Generator) -> list[str]:
        """Return what the user clicks."""
        likes, came = self.likes(user), []
        for look, item in zip(LOOK, items, strict=False):
            if rng.random() < look * LEAVES ** len(came) * likes[item]:
                came.append(item)
        return came

    def expected(self, user: str, items: list[str]) -> float:
        """Return the exact expectation of the number of clicks."""
        likes, above, total = self.likes(user), np.zeros(N + 1), 0.0
        above[0] = 1.0  # chance of so many clicks above
        for look, item in zip(LOOK, items, strict=False):
            click = above * look * LEAVES ** np.arange(N + 1) * likes[item]
            total += float(click.sum())
            above = above - click + np.concatenate([[0.0], click[:-1]])
        return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lists", type=int, default=12, help="of each user")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        run(options, options.keep or Path(folder))


def run(options: Any, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    ratings, users, items = ml_100k(options.folder / "ml-100k")
    half = ratings.sort_values("timestamp", kind="stable").iloc[: len(ratings) // 2]
    world = World(Engine(recommender(options.seed + 1).fit(ratings, users, items)))
    served = recommender(options.seed).fit(half, users, items)
    other = recommender(options.seed, history=10).fit(half, users, items)
    for version, model in (("served", served), ("history", other)):
        write_bundle(home / "models", model, version=version, golden=5, activate=version == "served")
    url = f"sqlite:///{home / 'state.db'}"
    began = time.process_time()
    with Store(url) as store:
        serve(store, Engine(served, version="served"), world, sorted(map(str, set(half.user_id))), options)
    print(f"lists and clicks: {time.process_time() - began:.0f} s of processor time")
    store = Store(url)
    with store._database.write() as turn:  # two days pass
        for table in ("impressions", "events"):
            turn.connection.exec_driver_sql(f"UPDATE crossfm_{table} SET time = time - {TWO_DAYS}")
    for version, knobs in (
        ("served", {"temperature": options.temperature / 2}),
        ("served", {"popularity": 0.5}),
        ("served", {"popularity": 1.5}),
        ("served", {"temperature": 0.0}),
        ("history", {}),
    ):
        judge(store, open_version(home / "models", version), knobs, world)
    store.close()


def recommender(seed: int, **more: Any) -> Recommender:
    return Recommender(retriever=FMRanker(16, max_iter=10, random_state=seed), title="title", **more)


def serve(store: Store, engine: Engine, world: World, users: list[str], options: Any) -> None:
    """Show every user so many lists, one after another."""
    service = Service(Registry(engine=engine), store, Settings(log_level="error"))
    rng = np.random.default_rng(options.seed)
    for at in range(options.lists):
        for user in users:
            name = f"{at}-{user}"
            body = RecommendBody(user=user, n=N, temperature=options.temperature, attributes=False)
            told = Lists(service, name).recommend(body)
            items = [str(one["item"]) for one in told["items"]]
            events = [Event(user, item, request=name) for item in world.clicks(user, items, rng)]
            store.add_events(events)


def judge(store: Store, loaded: Loaded, knobs: dict[str, Any], world: World) -> None:
    """Print what replay says, and the truth."""
    began = time.process_time()
    found = replay_log(store, loaded, Settings(), knobs=knobs)
    spent, r = time.process_time() - began, found.replay
    told = ", ".join(f"{name} {value:g}" for name, value in knobs.items()) or "as logged"
    real = truth(store, loaded, knobs, world)
    print(f"\n{loaded.version}, {told}: {r.n_lists:,} lists, logged {text(r.logged)}, truth {real:.3f}")
    for name, one in r.estimates.items():
        print(
            f"  {name:15} {text(one.value)}  difference {text(one.difference)}  lists in effect {one.lists:,.0f}"
        )
    print(
        f"  verdict {r.verdict}, needed {r.needed:,.0f}; weight {text(r.weight)}; could show {r.supported:.1%}; "
        f"chances again {found.n_same} of {found.n_checked}; {1e3 * spent / r.n_lists:.2f} ms of processor time a list"
    )


def text(one: Any) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


def truth(store: Store, loaded: Loaded, knobs: dict[str, Any], world: World) -> float:
    """Return the expected clicks a list of the same requests, asked of ``loaded`` with ``knobs``."""
    shown: list[Impression] = [one for _, one in store.impressions(limit=1_000_000)]
    log = Log(store, Past(store, Settings()), {str(one.user) for one in shown})
    values = []
    for one in shown[:: len(shown) // 1_500 or 1]:
        ask = log.ask(one, loaded, knobs)
        for _ in range(DRAWS if ask.temperature else 1):
            items = [str(each.item) for each in loaded.engine.recommend(ask).items]
            values.append(world.expected(str(one.user), items))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
