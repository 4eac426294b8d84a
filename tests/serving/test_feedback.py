"""Events over HTTP: in the store before the answer, once for each key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crossfm.serving.store import Store
from serving.client import Client


def test_events_are_in_the_store_when_the_answer_comes(client: Client, store: Store) -> None:
    events = [{"user": 7, "item": 3, "type": "rating", "value": 4.5, "time": 12.0, "context": {"a": 1}}]
    answer = client.post("/v1/feedback", {"events": events})
    assert answer.status_code == 201
    assert answer.json() == {"accepted": 1, "numbers": [1]}
    (event,) = store.events("7")
    assert (event.item, event.type, event.value, event.time) == ("3", "rating", 4.5, 12.0)


def test_an_event_with_a_key_is_stored_once(client: Client, store: Store) -> None:
    event = {"user": "7", "item": "3", "key": "abc"}
    first, again = (client.post("/v1/feedback", {"events": [event]}).json() for _ in range(2))
    assert first["numbers"] == again["numbers"]
    assert len(store.events("7")) == 1


@pytest.mark.parametrize(
    "event",
    [
        {"user": "7"},
        {"user": "7", "item": "3", "type": "a b"},
        {"user": "7", "item": "3", "value": "NaN"},
        {"user": "7", "item": "3", "value": 1e300},
        {"user": "7", "item": "3", "time": 1.7e12},
        {"user": "7", "item": "3", "context": {"a": "x" * 5_000}},
    ],
)
def test_a_bad_event_is_refused_and_none_of_its_batch_is_stored(
    client: Client, store: Store, event: dict[str, Any]
) -> None:
    answer = client.post("/v1/feedback", {"events": [{"user": "7", "item": "1"}, event]})
    assert answer.status_code == 422
    assert store.events("7") == []


def test_what_was_shown_is_kept(client: Client, store: Store, serve: Callable[..., Client]) -> None:
    told = client.recommend(user="1", n=2, context={"daytime": "evening"})
    store.close()
    with Store(store._database.name) as again:
        ((_, shown),) = again.impressions()
    assert shown.request == told["request_id"]
    assert list(shown.items) == [one["item"] for one in told["items"]]
    assert shown.version == "one"
    assert shown.context == {"daytime": "evening"}
