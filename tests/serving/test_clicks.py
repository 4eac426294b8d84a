"""Which list an event came of: the one it names, else the latest that showed it."""

from __future__ import annotations

from typing import Any

import pytest

from crossfm.serving.clicks import rewards
from crossfm.serving.store import Event, Impression

SHOWN = [
    Impression("r1", "ann", ["a", "b"], time=100.0),
    Impression("r2", "ann", ["b", "c"], time=150.0),
    Impression("r3", None, ["a", "d"], time=160.0),
    Impression("r4", "bob", ["a", "b"], time=120.0),
    Impression("r1", "ann", ["b", "a"], time=170.0),  # a client that counts its requests anew
]


def at(*events: Event) -> list[list[float]]:
    return rewards(SHOWN, events, 50.0)


def one(list_: int, place: int) -> list[list[float]]:
    return [[float((n, k) == (list_, place)) for k in range(2)] for n in range(len(SHOWN))]


NOTHING = one(-1, -1)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"item": "b", "request": "r2", "time": 160.0}, one(1, 0)),
        ({"item": "b", "request": "r1", "time": 180.0}, one(4, 0)),  # the latest of this name
        ({"item": "b", "request": "r2", "time": 149.0}, one(1, 0)),  # a client's clock is a little behind
        ({"item": "d", "request": "r3", "time": 170.0}, one(2, 1)),  # a session has any user
        ({"item": "b", "request": "r4", "time": 140.0}, one(0, 1)),  # another user's list: by time
        ({"item": "c", "request": "r1", "time": 160.0}, one(1, 1)),  # which did not show it: by time
        ({"item": "b", "request": "r2", "time": 500.0}, NOTHING),
        ({"item": "b", "time": 149.0}, one(0, 1)),
        ({"item": "b", "time": 150.0}, one(1, 0)),
        ({"item": "a", "time": 151.0}, NOTHING),  # 51 s after
        ({"item": "a", "time": 150.0}, one(0, 0)),
        ({"item": "b", "time": 99.0}, NOTHING),
        ({"item": "d", "time": 170.0}, NOTHING),  # a session's list belongs to nobody
        ({"item": "a", "time": 130.0, "user": "bob"}, one(3, 0)),
        ({"item": "z", "time": 130.0, "user": "eve"}, NOTHING),
    ],
)
def test_an_event_belongs_to_one_list_or_none(event: Any, expected: Any) -> None:
    assert at(Event(**{"user": "ann", **event})) == expected


def test_an_item_of_a_list_counts_once() -> None:
    twice = [Event("ann", "b", request="r2", time=160.0 + t) for t in range(2)]
    assert at(*twice) == one(1, 0)
    assert at() == NOTHING
