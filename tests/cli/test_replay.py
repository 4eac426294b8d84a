"""``crossfm replay``: from a server's state to a verdict."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydantic_settings", reason="pip install 'crossfm[serve]'")

from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine
from crossfm.serving.store import Event, Impression, Store
from serving.small import small_model

LISTS, DAY = 600, 86_400.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a log of sessions that were shown three films at a temperature of 1, and like the first ones."""
    folder = tmp_path_factory.mktemp("replay")
    model = small_model(3)
    model.save(folder / "films.crossfm")
    engine, rng = Engine(model), np.random.default_rng(0)
    best = [one.item for one in engine.recommend(Ask(history=["3"], n=40)).items]
    shown, events = [], []
    for at in range(LISTS):
        found = engine.recommend(Ask(history=["3"], n=3, temperature=1.0, seed=at)).items
        when = time.time() - 2 * DAY + at
        shown.append(
            Impression(
                f"r{at}",
                None,
                [str(one.item) for one in found],
                time=when,
                propensities=[one.propensity for one in found],
                asked={"n": 3, "history": ["3"], "temperature": 1.0},
            )
        )
        events += [
            Event("visitor", str(one.item), request=f"r{at}", time=when + 5)
            for one in found
            if rng.random() < 0.9 * (best.index(one.item) < 8)
        ]
    with Store(f"sqlite:///{folder / 'state.db'}") as store:
        store.add_impressions(shown)
        store.add_events(events)
    return folder


def replay(crossfm: Any, home: Path, *more: Any) -> Any:
    return crossfm("replay", home / "films.crossfm", "--state", f"sqlite:///{home / 'state.db'}", *more)


def test_a_cooler_setting_is_told_to_be_better_with_its_interval(crossfm: Any, home: Path) -> None:
    done = replay(crossfm, home, "--temperature", "0.6", "--json", "out.json")
    assert done.exit_code == 0, done.stderr
    assert "600 lists of 600 users and sessions; of 600 in the log" in done.stdout
    assert "better than what was shown, by +" in done.stdout
    for name in ("IPS", "clipped IPS", "SNIPS", "sequential IPS", "RIPS"):
        assert [line.strip().split("  ")[0] for line in done.stdout.splitlines()].count(name) == 1
    told = json.loads(Path("out.json").read_text())
    assert told["knobs"] == {"temperature": 0.6}
    r = told["replay"]
    assert (r["verdict"], r["n_lists"]) == ("better", LISTS)
    value, logged = r["estimates"]["RIPS"]["value"], r["logged"]["mean"]
    assert logged < value["low"] < value["mean"] < value["high"]
    assert [place["place"] for place in r["places"]] == [1, 2, 3]


def test_the_settings_of_the_log_are_told_to_be_the_same(crossfm: Any, home: Path) -> None:
    done = replay(crossfm, home)
    assert done.exit_code == 0, done.stderr
    assert "the same as what was shown" in done.stdout


def test_what_cannot_be_told_says_how_many_lists_it_would_take(crossfm: Any, home: Path) -> None:
    done = replay(crossfm, home, "--temperature", "0.6", "--lists", "40")
    assert done.exit_code == 0, done.stderr
    assert "560 are older than the latest 40" in done.stdout
    assert "cannot be told: a difference of this size takes about " in done.stdout
    done = replay(crossfm, home, "--temperature", "0", "-q", "--json", "out.json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert json.loads(Path("out.json").read_text())["replay"]["supported"] < 0.2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--version", "a"], "is one model, no folder of versions"),
        (["--state", "sqlite:///nothing.db"], "no such state"),
        (["--temperature", "-1"], "temperature: Input should be"),
        (["--event", "a b"], "is no rule for events"),
        (["--no-ranking"], "no second stage"),
        (["-q"], "name a file with --json"),
        (["--window", "9e6"], "600 are younger than the window"),
    ],
)
def test_what_is_wrong_is_one_line(crossfm: Any, home: Path, more: list[str], message: str) -> None:
    done = replay(crossfm, home, *more)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path("nothing.db").exists()
