"""A log of drawn lists, asked for again: chances come back, and other knobs are judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfm.errors import DataError, MissingFileError, OptionError
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.replay import replay
from crossfm.serving.bundle import write_bundle
from crossfm.serving.registry import Loaded, Registry
from crossfm.serving.replay import open_version, replay_log
from crossfm.serving.settings import Settings
from crossfm.serving.store import Event, Impression, Store
from serving.client import Client
from serving.small import small_model

ASK = {"n": 4, "temperature": 0.6, "candidates": 20}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(small_model(3), version="small")


@pytest.fixture
def loaded(engine: Engine) -> Loaded:
    return Loaded(engine, "small")


@pytest.fixture
def log(tmp_path: Path, engine: Engine) -> Iterator[Store]:
    """Two days ago: 40 requests over HTTP, of users who click on even films at the top; then one by score."""
    import crossfm.serving.app as app

    url = f"sqlite:///{tmp_path}/log.db"
    store = Store(url)
    rng = np.random.default_rng(0)
    with Client(app.build_app(Registry(engine=engine), store, Settings(log_level="error"))) as client:
        for at in range(40):
            user = {"user": str(at % 7)} if at % 8 else {"session": "s", "history": ["3", "8"]}
            told = client.recommend(**user, **ASK, context={"daytime": ("evening", "morning")[at % 2]})
            liked = [one["item"] for one in told["items"] if one["item"] % 2 == 0]
            for item in liked[: int(rng.integers(0, 3))]:
                event = {"user": user.get("user", "visitor"), "item": item, "request_id": told["request_id"]}
                assert client.post("/v1/feedback", {"events": [event]}).status_code == 201
        client.recommend(user="1", n=4)
    store.close()
    store = Store(url)
    ago(store, 2 * 86_400)
    yield store
    store.close()


def ago(store: Store, seconds: float) -> None:
    with store._database.write() as turn:
        for table in ("impressions", "events"):
            turn.connection.exec_driver_sql(f"UPDATE crossfm_{table} SET time = time - {seconds}")


def shown(store: Store) -> list[Impression]:
    return [one for _, one in store.impressions()]


def test_asked_again_as_it_was_the_log_gives_its_own_chances_and_mean(log: Store, loaded: Loaded) -> None:
    found = replay_log(log, loaded, Settings(), knobs={})
    assert (found.n_read, found.replay.n_lists) == (41, 40)
    assert (found.n_checked, found.n_same) == (40, 40)
    (reason,) = found.refused
    assert (found.refused[reason], reason.startswith("have no propensities")) == (1, True)
    clicks = log.counts()["events"]
    assert clicks > 10
    for one in found.replay.estimates.values():
        assert one.value.mean == pytest.approx(clicks / 40, rel=1e-3)
    assert found.replay.n_users == 7 + 1  # one session


def test_other_knobs_weigh_the_log_by_their_own_chances(log: Store, loaded: Loaded, engine: Engine) -> None:
    knobs = {"temperature": 0.3, "popularity": 0.5}
    found = replay_log(log, loaded, Settings(), knobs=knobs)
    # A user's first list is the same request as then, without what came later.
    first = {one.user: one for one in reversed(shown(log)) if one.user and one.propensities}
    asked: list[Any] = []
    real = engine.propensities
    engine.propensities = lambda *given, **more: asked.append((given, real(*given, **more))) or asked[-1][1]  # type: ignore[method-assign]
    try:
        again = replay_log(log, loaded, Settings(), knobs=knobs)
    finally:
        engine.propensities = real  # type: ignore[method-assign]
    assert again.replay.estimates == found.replay.estimates
    for ask, items in (given for given, _ in asked[:40]):
        assert (ask.temperature, ask.popularity, ask.n, ask.n_candidates) == (0.3, 0.5, 4, 20)
        if ask.user is not None and list(first[ask.user].items) == items:
            assert list(ask.history) == []
    assert any(len(ask.history) > 2 for (ask, _), _ in asked)
    table = [[*one.propensities] for one in shown(log) if one.propensities]
    sums = replay(np.zeros((40, 4)), table, [chances for _, chances in asked[:40]], range(40))
    assert found.replay.weight.mean == pytest.approx(sums.weight.mean)
    assert 0 < found.replay.estimates["RIPS"].lists < 40


def test_history_is_what_the_settings_call_so(log: Store, loaded: Loaded) -> None:
    found = replay_log(log, loaded, Settings(positive=("purchase",), not_seen=("click",)), knobs={})
    assert found.n_same < found.n_checked


def test_a_version_by_score_agrees_with_some_lists_only(log: Store, loaded: Loaded) -> None:
    found = replay_log(log, loaded, Settings(), knobs={"temperature": 0.0})
    assert found.replay.supported < 0.5


def test_only_events_of_the_rule_within_the_window_count(log: Store, loaded: Loaded) -> None:
    assert replay_log(log, loaded, Settings(), knobs={}, event="like").replay.logged.mean == 0.0
    one = shown(log)[1]
    for value in (3, 5):
        log.add_events([Event("1", one.items[0], "rating", value, time=one.time + 9e4, request=one.request)])
    for rule, window, clicks in (("rating>=4", 3 * 86_400, 0), ("rating>=3", 1e5, 1), ("rating", 3_600, 0)):
        if window > 2 * 86_400:
            with pytest.raises(DataError, match=r"none of 41 lists .*40 are younger than the window"):
                replay_log(log, loaded, Settings(), knobs={}, event=rule, window=window)
        else:
            found = replay_log(log, loaded, Settings(), knobs={}, event=rule, window=window)
            assert found.replay.logged.mean == pytest.approx(clicks / 40)


def test_the_latest_lists_are_used_where_there_are_more(log: Store, loaded: Loaded) -> None:
    found = replay_log(log, loaded, Settings(), knobs={}, most=10)
    assert found.replay.n_lists == 10
    assert found.refused["are older than the latest 10"] == 30


def test_lists_that_the_version_cannot_be_asked_for_are_counted(log: Store) -> None:
    log.add_impressions(
        [
            Impression(
                "odd",
                "1",
                ["2"],
                context={"moon": "full"},
                propensities=[0.5],
                asked={"temperature": 1.0},
                time=5.0,
            )
        ]
    )
    while log.counts()["impressions"] < 42:
        time.sleep(0.02)
    found = replay_log(log, Loaded(Engine(small_model(3), version="b"), "b"), Settings(), knobs={})
    (why,) = [reason for reason in found.refused if reason.startswith("cannot be asked of b")]
    assert "moon" in why
    assert (found.replay.n_lists, found.n_checked) == (40, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"knobs": {"temperature": -1.0}}, "temperature: Input should be greater than or equal to 0"),
        ({"knobs": {"warmth": 1.0}}, "warmth"),
        ({"knobs": {}, "event": "rating=>4"}, "is no rule for events"),
        ({"knobs": {}, "window": 0}, "window"),
        ({"knobs": {}, "most": 0}, "most"),
    ],
)
def test_what_means_nothing_is_refused(log: Store, loaded: Loaded, given: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replay_log(log, loaded, Settings(), **given)


def test_an_empty_log_says_what_to_do(store: Store, loaded: Loaded) -> None:
    with pytest.raises(
        DataError, match=r"none of 0 lists can be used: the log is empty\. Serve with a temperature"
    ):
        replay_log(store, loaded, Settings(), knobs={})


def test_versions_and_files_are_opened(tmp_path: Path) -> None:
    model = small_model(3)
    write_bundle(tmp_path / "m", model, version="a", golden=2)
    write_bundle(tmp_path / "m", model, version="b", golden=2, activate=False)
    assert open_version(tmp_path / "m").version == "a"
    assert open_version(tmp_path / "m", "b").version == "b"
    model.save(tmp_path / "one.crossfm")
    assert len(open_version(tmp_path / "one.crossfm").version) == 12
    with pytest.raises(OptionError, match="is one model, no folder"):
        open_version(tmp_path / "one.crossfm", "a")
    with pytest.raises(OptionError, match="has no second stage"):
        open_version(tmp_path / "m", ranking=False)
    with pytest.raises(MissingFileError, match="no folder of versions"):
        open_version(tmp_path / "nothing")
    (tmp_path / "m" / "CURRENT").unlink()
    with pytest.raises(OptionError, match="names no current version"):
        open_version(tmp_path / "m")
