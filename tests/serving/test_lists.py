"""Lists over HTTP: what is stored of a user counts, filters hold, an answer is of one version."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from crossfm.errors import StoreError
from crossfm.recommender.engine import Engine
from crossfm.serving.lists import BLIND
from crossfm.serving.registry import Registry
from crossfm.serving.settings import Experiment, Variant
from crossfm.serving.store import Store
from serving.client import Client
from serving.fakes import FakeEngine
from serving.small import small_model


def click(client: Client, user: str, item: str, kind: str = "click", **more: Any) -> None:
    event = {"user": user, "item": item, "type": kind, **more}
    assert client.post("/v1/feedback", {"events": [event]}).status_code == 201


def test_an_answer_has_everything_that_a_page_shows(client: Client) -> None:
    told = client.recommend(user="1", n=3, explain=True)
    assert [one["rank"] for one in told["items"]] == [1, 2, 3]
    first = told["items"][0]
    assert first["attributes"]["title"] == "Film 1"
    assert {part["columns"][0] for part in first["why"]} == {"item_id", "history"}
    assert told["funnel"] == {"catalogue": 20, "allowed": 18, "recalled": 18, "ranked": 18, "returned": 3}
    assert set(told["timings"]) == {"query", "recall", "rank", "rerank", "total"}
    assert told["known"]
    assert told["user"] == "1"
    assert len(told["recalled"]) == 3


def test_the_header_names_the_version_and_the_request_of_the_body(client: Client) -> None:
    answer = client.post("/v1/recommend", {"user": "1"}, headers={"X-Request-ID": "mine-7"})
    assert answer.headers["X-Model-Version"] == answer.json()["version"] == "one"
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine-7"


def test_a_request_id_that_could_break_logs_is_replaced(client: Client) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": 'a"b c'})
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_click_changes_the_very_next_answer(client: Client, engine: FakeEngine) -> None:
    before = client.items(user="nobody", n=5)
    click(client, "nobody", "2")  # a horror film
    after = client.items(user="nobody", n=5)
    assert "2" not in after
    assert after != before
    assert all(engine.catalogue[item]["genre"] == "Horror" for item in after)


def test_history_goes_oldest_first_and_the_request_comes_behind_it(
    client: Client, engine: FakeEngine
) -> None:
    for at, item in enumerate(("5", "6", "7")):
        click(client, "9", item, time=1_000.0 + at)
    client.recommend(user="9", history=["8"])
    assert engine.asked[-1].history == ["5", "6", "7", "8"]


def test_only_positive_events_are_history_and_all_others_count_as_seen(
    serve: Callable[..., Client], engine: FakeEngine
) -> None:
    client = serve(positive=("like", "rating>=4"), not_seen=("hover",))
    for item, kind, value in (("1", "like", 1), ("2", "rating", 5), ("3", "rating", 2), ("4", "hover", 1)):
        click(client, "9", item, kind, value=value)
    client.recommend(user="9")
    ask = engine.asked[-1]
    assert set(ask.history) == {"1", "2"}
    assert list(ask.seen) == ["3"]


def test_a_session_needs_no_user(client: Client, engine: FakeEngine) -> None:
    told = client.recommend(history=["3", "6"], n=3)
    assert told["user"] is None
    assert all(engine.catalogue[one["item"]]["genre"] == "Comedy" for one in told["items"])


def test_allow_deny_and_where_hold(client: Client, engine: FakeEngine) -> None:
    assert set(client.items(allow=["4", "5"], n=10)) == {"4", "5"}
    assert "1" not in client.items(deny=["1"], n=20)
    drama = client.items(where={"genre": "Drama"}, n=20)
    assert {engine.catalogue[item]["genre"] for item in drama} == {"Drama"}


def test_fewer_than_asked_for_is_explained(client: Client) -> None:
    told = client.recommend(allow=["4"], n=3)
    assert told["note"] == "1 of 3: no more are left"


def test_the_knobs_reach_the_engine(client: Client, engine: FakeEngine) -> None:
    knobs = {
        "popularity": 0.5,
        "diversity": 0.3,
        "freshness": 0.2,
        "exploration": 0.4,
        "temperature": 0.6,
        "seed": 5,
        "caps": {"genre": 2},
        "exclude_seen": False,
    }
    client.recommend(user="1", candidates=77, context={"daytime": "evening"}, features={"age": 9}, **knobs)
    ask = engine.asked[-1]
    assert {name: getattr(ask, name) for name in knobs} == knobs
    assert ask.n_candidates == 77
    assert ask.context == {"daytime": "evening"}
    assert ask.features == {"age": 9}


def shown(store: Store, n: int) -> list[Any]:
    deadline = time.time() + 5
    while store.counts()["impressions"] < n and time.time() < deadline:
        time.sleep(0.02)
    return [one for _, one in store.impressions()]


def test_a_drawn_list_is_kept_with_its_chances_and_what_was_asked(
    serve: Callable[..., Client], store: Store
) -> None:
    knobs = Variant(name="warm", temperature=0.5, candidates=12)
    client = serve(
        registry=Registry(engine=Engine(small_model(3), version="small")),
        experiments=(Experiment(name="x", variants=(knobs,)),),
    )
    asked = {"n": 3, "history": ["4"], "deny": ["5"], "where": {"genre": "Drama"}, "features": {}}
    told = client.recommend(
        user="7", context={"daytime": "evening"}, explain=True, attributes=False, session="s", **asked
    )
    (one,) = shown(store, 1)
    assert one.propensities == [each["propensity"] for each in told["items"]]
    assert all(0 < chance < 1 for chance in one.propensities)
    assert one.asked == {
        "n": 3,
        "history": ["4"],
        "deny": ["5"],
        "where": {"genre": "Drama"},
        "temperature": 0.5,
        "candidates": 12,
    }
    assert one.context == {"daytime": "evening"}


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.0},
        {"seed": 4},
        {"exploration": 0.2},
        {"deny": [f"nothing {at:>240}" for at in range(99)]},
    ],
)
def test_lists_that_are_no_draw_of_chance_are_kept_without_it(
    serve: Callable[..., Client], store: Store, more: dict[str, Any]
) -> None:
    client = serve(registry=Registry(engine=Engine(small_model(3), version="small")))
    client.recommend(**{"user": "7", "n": 3, "temperature": 0.5, **more})
    (one,) = shown(store, 1)
    assert (len(one.items), one.propensities, one.asked) == (3, None, None)


def test_stored_features_go_to_the_model_as_far_as_it_has_such_columns(
    client: Client, engine: FakeEngine
) -> None:
    client.request("PUT", "/v1/users/77", json={"features": {"age": 50, "name": "Ada"}})
    client.recommend(user="77")
    assert engine.asked[-1].features == {"age": 50}
    client.recommend(user="77", features={"age": 60})
    assert engine.asked[-1].features == {"age": 60}


def test_the_short_form_gives_the_same_list(client: Client) -> None:
    answer = client.get("/v1/recommend/1?n=4")
    assert [one["item"] for one in answer.json()["items"]] == client.items(user="1", n=4)


def test_recall_and_rank_are_stages_of_their_own(client: Client) -> None:
    recalled = client.post("/v1/recall", {"user": "1", "n": 2}).json()
    assert len(recalled["items"]) == 2
    ranked = client.post("/v1/rank", {"user": "1", "items": ["9", "1", "nowhere"]}).json()
    assert [one["item"] for one in ranked["items"]] == ["1", "9"]
    assert "nowhere" in ranked["note"]


def test_parts_of_a_score_add_up(client: Client) -> None:
    told = client.post("/v1/explain", {"user": "1", "item": "3", "history": ["6"]}).json()
    assert told["score"] == pytest.approx(told["bias"] + sum(part["value"] for part in told["parts"]))
    assert told["because"][0]["attributes"]["title"] == "Film 6"


def test_similar_items_leave_the_item_out(client: Client) -> None:
    told = client.get("/v1/items/3/similar?n=2").json()
    assert [one["item"] for one in told["items"]] == ["6", "9"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/items/none/similar", None),
        ("POST", "/v1/explain", {"item": "none"}),
        ("GET", "/v1/items/none", None),
        ("GET", "/v1/users/none", None),
        ("DELETE", "/v1/items/none", None),
        ("DELETE", "/v1/users/none", None),
        ("PATCH", "/v1/users/none", {"features": {}}),
    ],
)
def test_what_is_not_there_is_404(client: Client, method: str, path: str, body: Any) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": "ten"}, "n", "valid integer"),
        ({"usr": "1"}, "usr", "Extra inputs"),
        ({"context": {"weather": "sun"}}, None, "the context columns are"),
        ({"features": {"height": 3}}, None, "users have the features"),
        ({"where": {"price": 3}}, None, "where has 'price'"),
        ({"diversity": 2}, "diversity", "less than or equal to 1"),
        ({"user": ""}, "user.constrained-str", "at least 1 character"),
        ({"user": True}, "user.constrained-str", "valid string"),
        ({"deny": ["a\x00b"]}, "deny.0.constrained-str", "pattern"),
    ],
)
def test_a_bad_request_is_told_what_and_where(client: Client, body: Any, field: str, words: str) -> None:
    answer = client.post("/v1/recommend", body)
    error = answer.json()["error"]
    assert answer.status_code == 422
    assert words in error["message"]
    assert error.get("field") == field
    assert error["request_id"] == answer.headers["X-Request-ID"]


def test_lists_go_on_when_the_store_does_not_answer(serve: Callable[..., Client], store: Store) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            if name in ("changed_items", "waiting"):  # the latter asks no database
                return getattr(store, name)

            def fail(*_: Any, **__: Any) -> Any:
                raise StoreError("the database is locked", retry=True)

            return fail

    client = serve(store=Broken())
    told = client.recommend(user="1", n=3)
    assert len(told["items"]) == 3
    assert BLIND in told["note"]
    answer = client.post("/v1/feedback", {"events": [{"user": "1", "item": "2"}]})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert 'crossfm_store_failures_total{action="known"} 1.0' in client.get("/metrics").text
    assert client.get("/health/ready").json()["store"] == "the database is locked"
    assert client.get("/v1/stats").json()["store"] == "the database is locked"
