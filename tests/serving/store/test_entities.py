"""Users and items: put, changed, deleted, listed; what deletion means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from crossfm.errors import DataError
from crossfm.serving.store import Event, Impression, Store

KINDS = ["user", "item"]


def call(store: Store, verb: str, kind: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(store, f"{verb}_{kind}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_put_is_got_replaced_and_deleted(store: Store, kind: str) -> None:
    put, get, delete = (call(store, verb, kind) for verb in ("put", "get", "delete"))
    content = {"title": "Alién", "genres": ["a", "b"], "year": 1979, "price": 2.5, "none": None, "ok": True}
    assert get("x") is None
    assert put("x", content) is True
    assert get("x") == content
    assert put("x", {"year": 1980}) is False
    assert get("x") == {"year": 1980}
    assert delete("x") is True
    assert get("x") is None
    assert delete("x") is False
    assert put("x", {}) is True
    assert get("x") == {}


@pytest.mark.parametrize("kind", KINDS)
def test_create_only_replaces_nothing(store: Store, kind: str) -> None:
    put, get = call(store, "put", kind), call(store, "get", kind)
    assert put("x", {"a": 1}, create_only=True) is True
    assert put("x", {"a": 2}, create_only=True) is False
    assert get("x") == {"a": 1}
    many = call(store, "put", f"{kind}s")
    assert many([("x", {"a": 3}), ("y", {"a": 3})], create_only=True) == {"y"}
    assert (get("x"), get("y")) == ({"a": 1}, {"a": 3})


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_changes_some_and_null_removes(store: Store, kind: str) -> None:
    put, patch, get = (call(store, verb, kind) for verb in ("put", "patch", "get"))
    assert patch("x", {"a": 1}) is None
    assert get("x") is None
    put("x", {"a": 1, "b": 2})
    assert patch("x", {"b": None, "c": 3}) == {"a": 1, "c": 3}
    assert get("x") == {"a": 1, "c": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_by_id_searched_in_any_case_and_paged(store: Store, kind: str) -> None:
    call(store, "put", f"{kind}s")([(f"id{i:03}", {"title": f"Film {i % 2}"}) for i in range(700)])
    call(store, "put", kind)("Z", {"title": "50% OFF_x"})
    listed = getattr(store, f"{kind}s")
    assert [id for id, _ in listed(limit=2)] == ["Z", "id000"]  # byte by byte, in both databases
    assert [id for id, _ in listed(limit=2, offset=700)] == ["id699"]
    assert [id for id, _ in listed("fILM 1", limit=2, offset=1)] == ["id003", "id005"]
    assert [id for id, _ in listed("ID69")] == [f"id69{i}" for i in range(10)]
    assert listed("0% off_") == [("Z", {"title": "50% OFF_x"})]
    assert listed("%%") == []
    call(store, "delete", kind)("Z")
    assert listed("off") == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_stored_is_refused(store: Store, kind: str) -> None:
    put, get = call(store, "put", kind), call(store, "get", kind)
    for id, content, message in [
        ("", {}, "0 characters"),
        ("x", {"a": "y" * 16_400}, "bytes as JSON, but may have 16384"),
        ("x", [1], "must be an object"),
        ("x", {"a": float("nan")}, "cannot be written as JSON"),
    ]:
        with pytest.raises(DataError, match=message):
            put(id, content)
    put("x", {"a": "y" * 10_000})
    with pytest.raises(DataError, match="bytes as JSON, but may have 16384"):
        call(store, "patch", kind)("x", {"b": "y" * 10_000})
    assert get("x") == {"a": "y" * 10_000}


def test_a_deleted_user_is_forgotten_with_all_events_and_impressions(store: Store) -> None:
    store.put_user("ann", {"age": 3})
    store.add_events([Event("ann", "a", key="1"), Event("bob", "b"), Event("ann", "c")])
    store.add_impressions([Impression("r1", "ann", ["a"]), Impression("r2", "bob", ["b"])])
    wait_for(store, impressions=2)
    before = time.time()
    assert store.delete_user("ann") is True
    known = store.known("ann")
    assert (known.features, known.history) == (None, [])
    assert known.forgotten is not None
    assert before <= known.forgotten <= time.time()
    assert [event.user for _, event in store.event_log()] == ["bob"]
    assert [shown.user for _, shown in store.impressions()] == ["bob"]
    assert store.counts() | {"events": 1, "impressions": 1, "users": 0, "forgotten": 1} == store.counts()


def test_a_user_who_comes_back_starts_afresh_and_the_tombstone_stays(store: Store) -> None:
    assert store.delete_user("ann") is False  # known to a model, perhaps
    assert store.is_forgotten("ann")
    assert not store.is_forgotten("bob")
    first = store.known("ann").forgotten
    assert store.put_user("ann", {"age": 4}) is True
    assert store.add_events([Event("ann", "new")]) == [1]
    known = store.known("ann")
    assert (known.features, known.forgotten) == ({"age": 4}, first)
    assert [past.item for past in known.history] == ["new"]
    store.delete_user("ann")
    assert (store.known("ann").forgotten or 0) > (first or 0)


def test_late_events_from_before_a_deletion_do_not_bring_a_user_back(store: Store) -> None:
    late = Event("ann", "a", key="1")
    queued = Impression("r", "ann", ["a"])
    store.delete_user("ann")
    assert store.add_events([late, Event("bob", "b"), Event("ann", "c")]) == [0, 1, 2]
    store.add_impressions([queued, Impression("r2", "ann", ["a"])])
    wait_for(store, impressions=1)
    assert [past.item for past in store.known("ann").history] == ["c"]
    assert [shown.request for _, shown in store.impressions()] == ["r2"]


def test_servers_ask_for_the_items_that_changed(store: Store) -> None:
    assert store.changed_items() == (0, [], [])
    store.put_items([("a", {"v": 1}), ("b", {"v": 1}), ("c", {"v": 1})])
    cursor, puts, deletes = store.changed_items()
    assert (puts, deletes) == ([("a", {"v": 1}), ("b", {"v": 1}), ("c", {"v": 1})], [])
    assert store.changed_items(cursor) == (cursor, [], [])
    store.put_item("a", {"v": 2})
    store.delete_item("b")
    store.delete_item("only the model knows it")
    store.patch_item("c", {"v": 3})
    store.put_item("a", {"v": 4})
    later, puts, deletes = store.changed_items(cursor)
    assert (puts, deletes) == ([("c", {"v": 3}), ("a", {"v": 4})], ["b", "only the model knows it"])
    assert later > cursor
    store.put_item("b", {"v": 5})
    assert store.changed_items(later)[1:] == ([("b", {"v": 5})], [])
    assert store.counts()["items"] == 3


def test_changes_of_items_come_in_parts(store: Store) -> None:
    store.put_items([(f"i{i}", {"v": i}) for i in range(5)])
    found, cursor = [], 0
    while True:
        cursor, puts, _ = store.changed_items(cursor, limit=2)
        if not puts:
            break
        found.append([id for id, _ in puts])
    assert found == [["i0", "i1"], ["i2", "i3"], ["i4"]]


def wait_for(store: Store, impressions: int) -> None:
    """Wait until so many impressions have been written."""
    for _ in range(500):
        if store.counts()["impressions"] >= impressions and not store.counts()["impressions_waiting"]:
            return
        time.sleep(0.01)
    raise AssertionError(store.counts())
