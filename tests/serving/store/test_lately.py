"""What happened to one item among the latest answers and events."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crossfm.serving.store import Event, Impression, Store, lately


@pytest.mark.parametrize("item", ["a", "50", 'a"b', "100%", "a_b", "x/y", "é\\n"])
def test_an_item_is_found_by_its_very_id(opened: Callable[..., Store], item: str) -> None:
    store = opened()
    near = ["A", "5", "500", "aXb", "100", item * 2]
    store.add_impressions([Impression(f"r{at}", "ann", [item, *near][at % 2 :]) for at in range(5)])
    store.add_events([Event("ann", each, kind) for each in (item, *near) for kind in ("click", "buy")])
    store.close()  # writes what waits
    told = opened().lately(item)
    assert (told.answers, told.shown) == (5, 3)
    assert (told.events, told.types) == (14, {"buy": 1, "click": 1})


def test_only_the_latest_are_looked_at(opened: Callable[..., Store]) -> None:
    store = opened()
    store.add_events([Event("ann", "a") for _ in range(9_000)])
    store.add_events([Event("ann", "b") for _ in range(2_000)])
    assert store.lately("a").types == {"click": 8_000}
    assert store.lately("b").events == lately.EVENTS


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert store.lately("a") == lately.Lately(0, 0, 0, {})
