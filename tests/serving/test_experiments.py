"""Experiments: the same variant for a user everywhere, shares as set, what was shown kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfm.serving.bundle import point, write_bundle
from crossfm.serving.experiments import assign
from crossfm.serving.registry import Registry
from crossfm.serving.settings import Experiment, Variant
from crossfm.serving.store import Store
from serving.client import Client
from serving.fakes import FakeEngine, FakeModel, open_fake

AB = Experiment(
    name="pop", variants=(Variant(name="a", weight=1), Variant(name="b", weight=3, popularity=0.25))
)
USERS = [str(at) for at in range(4_000)]


def test_a_user_has_the_same_variant_in_every_process() -> None:
    assert [assign([AB], user).variant.name for user in "123456789"] == list("abbaabbbb")  # never to change


@pytest.mark.parametrize("weights", [(1, 3), (3, 1), (0.2, 0.1, 0.1), (1,)])
def test_shares_are_as_set(weights: tuple[float, ...]) -> None:
    variants = tuple(Variant(name=f"v{at}", weight=weight) for at, weight in enumerate(weights))
    experiment = Experiment(name="x", variants=variants)
    counts = Counter(assign([experiment], user).variant.name for user in USERS)
    for at, weight in enumerate(weights):
        assert counts[f"v{at}"] / len(USERS) == pytest.approx(weight / sum(weights), abs=0.025)


def test_a_share_of_users_takes_part_and_the_rest_goes_to_the_next() -> None:
    first = AB.model_copy(update={"name": "first", "share": 0.2})
    rest = AB.model_copy(update={"name": "rest"})
    names = Counter(assign([first, rest], user).experiment.name for user in USERS)
    assert names["first"] / len(USERS) == pytest.approx(0.2, abs=0.02)
    assert assign([first], None) is None


def test_experiments_divide_users_independently_of_each_other() -> None:
    other = AB.model_copy(update={"name": "other"})
    both = Counter((assign([AB], u).variant.name, assign([other], u).variant.name) for u in USERS)
    assert both["b", "b"] / len(USERS) == pytest.approx(0.75**2, abs=0.02)


def test_a_small_share_does_not_tilt_the_variants() -> None:
    small = AB.model_copy(update={"share": 0.25})
    inside = [found.variant.name for user in USERS if (found := assign([small], user))]
    assert inside.count("b") / len(inside) == pytest.approx(0.75, abs=0.04)


def test_the_variants_knobs_hold_unless_the_request_turns_them(
    serve: Callable[..., Client], engine: FakeEngine
) -> None:
    knobs = Variant(name="b", popularity=0.25, diversity=0.5, temperature=0.3, candidates=40)
    client = serve(experiments=(Experiment(name="pop", variants=(knobs,)),))
    told = client.recommend(user="1")
    assert told["experiment"] == {"name": "pop", "variant": "b"}
    assert (engine.asked[-1].popularity, engine.asked[-1].diversity) == (0.25, 0.5)
    assert (engine.asked[-1].n_candidates, engine.asked[-1].temperature) == (40, 0.3)
    client.recommend(user="1", popularity=2.0)
    assert (engine.asked[-1].popularity, engine.asked[-1].diversity) == (2.0, 0.5)
    assert client.recommend()["experiment"] is None  # nobody to count
    assert client.recommend(session="s1")["experiment"]["variant"] == "b"


def test_a_variant_may_be_another_version_and_stays_so(serve: Callable[..., Client], tmp_path: Path) -> None:
    for version, first in (("a", 1), ("b", 101)):
        write_bundle(tmp_path / "m", FakeModel(first=first), version=version, golden=2, opener=open_fake)
    point(tmp_path / "m", "a")
    experiment = Experiment(name="new", variants=(Variant(name="new", version="b"),))
    client = serve(registry=Registry(tmp_path / "m", opener=open_fake, keep=["b"]), experiments=(experiment,))
    assert client.recommend(user="1")["version"] == "b"
    assert client.recommend()["version"] == "a"
    client.post("/v1/models/activate", {"version": "b"})
    client.post("/v1/models/rollback")
    assert client.recommend(user="1")["version"] == "b"


def test_what_came_of_it_is_told(serve: Callable[..., Client], store: Store) -> None:
    client = serve(experiments=(AB,))
    for user in "123456789":
        client.recommend(user=user)
    deadline = time.time() + 5
    while store.counts()["impressions"] < 9 and time.time() < deadline:
        time.sleep(0.02)
    client.post("/v1/feedback", {"events": [{"user": "1", "item": "4"}, {"user": "3", "item": "4"}]})
    (told,) = client.get("/v1/experiments").json()["experiments"]
    rows = {row["variant"]: row for row in told["outcome"]}
    assert (rows["a"]["users"], rows["a"]["converted"]) == (3, 1)
    assert (rows["b"]["users"], rows["b"]["converted"]) == (6, 1)
    assert rows["b"]["low"] < 1 / 6 < rows["b"]["high"]


def test_sessions_without_a_user_are_dealt_shown_and_counted_as_users_are(
    serve: Callable[..., Client], store: Store
) -> None:
    client = serve(experiments=(AB,))
    dealt = {s: client.recommend(session=s)["experiment"]["variant"] for s in "123456789"}
    assert {s: client.recommend(session=s)["experiment"]["variant"] for s in "123456789"} == dealt
    assert client.recommend(user="1", session="2")["experiment"]["variant"] == "a"  # the user's own
    client.recommend()
    deadline = time.time() + 5
    while store.counts()["impressions"] < 20 and time.time() < deadline:
        time.sleep(0.02)
    shown = Counter(one.user for _, one in store.impressions())
    assert shown == {**{f"session:{s}": 2 for s in "123456789"}, "1": 1, None: 1}
    client.post("/v1/feedback", {"events": [{"session": "3", "item": "4"}]}).raise_for_status()
    (told,) = client.get("/v1/experiments").json()["experiments"]
    rows = {row["variant"]: (row["users"], row["converted"]) for row in told["outcome"]}
    sizes = Counter(dealt.values())
    assert rows[dealt["3"]] == (sizes[dealt["3"]] + (dealt["3"] == "a"), 1)
    assert sum(users for users, _ in rows.values()) == 10
    assert sum(converted for _, converted in rows.values()) == 1
    assert client.request("DELETE", "/v1/users/session:3").status_code == 204
    assert not store.events("session:3")


@pytest.mark.parametrize("who", [{}, {"user": "1", "session": "s"}, {"session": ""}, {"session": "x" * 201}])
def test_an_event_is_of_a_user_or_of_a_session(client: Client, who: dict[str, str]) -> None:
    answer = client.post("/v1/feedback", {"events": [{"item": "4", **who}]})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"].startswith("events.0")


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="names a variant twice"):
        Experiment(name="x", variants=(Variant(name="a"), Variant(name="a")))
