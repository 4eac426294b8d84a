"""Counts, removing what is old, and the log as a Parquet file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crossfm.serving.store import Event, Impression, Store, upkeep


def test_pruning_removes_what_is_old_and_nothing_else(
    opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "STEP", 3)
    store, now = opened(), time.time()
    ages = [90, 10, 80, 5, 70, 60, 55, 1, 99]  # not in order of their numbers
    store.add_impressions([Impression(f"r{age}", "ann", ["a"], time=now - age) for age in ages])
    store.close()
    store = opened()
    store.add_events([Event("ann", f"i{age}", time=now - age, key=f"{age}") for age in ages])
    assert store.prune(older_than=50) == {"events": 6, "impressions": 6}
    assert [event.item for event in store.events("ann")] == ["i1", "i5", "i10"]
    assert [shown.request for _, shown in store.impressions()] == ["r10", "r5", "r1"]
    counts = store.counts()
    assert (counts["events"], counts["impressions"]) == (3, 3)
    assert store.prune(older_than=50) == {"events": 0, "impressions": 0}
    assert store.add_events([Event("ann", "new")]) == [10]  # numbers are never given twice


def test_the_log_is_exported_whole_in_order(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    events = [Event("ann", f"i{i}", "like", i / 2, float(i), f"k{i}" if i % 2 else None) for i in range(5)]
    events.append(Event("böb", "漢", time=9.0, request="r", context={"hour": 3}))
    store.add_events(events)
    path = tmp_path / "events.parquet"
    assert store.export(path) == 6
    table = pq.read_table(path)
    assert table.schema == upkeep.SCHEMA
    rows = table.to_pylist()
    assert rows[1] == {
        "number": 2, "user": "ann", "item": "i1", "type": "like", "value": 0.5, "time": 1.0,
        "key": "k1", "request": None, "context": None,
    }  # fmt: skip
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["key"] for row in rows] == [None, "k1", None, "k3", None, None]
    assert (rows[5]["user"], rows[5]["item"], rows[5]["context"]) == ("böb", "漢", '{"hour":3}')
    assert store.export(path, after=4) == 2
    assert pq.read_table(path)["number"].to_pylist() == [5, 6]
    assert store.export(path, after=6) == 0
    assert pq.read_table(path).num_rows == 0


def test_counts_name_everything_that_is_kept(store: Store) -> None:
    store.put_users([("ann", {}), ("bob", {})])
    store.put_item("a", {})
    store.delete_item("b")
    store.add_events([Event("ann", "a"), Event("bob", "a"), Event("cec", "a")])
    store.delete_user("bob")
    assert store.counts() == {
        "users": 1,
        "items": 1,
        "forgotten": 1,
        "events": 2,
        "impressions": 0,
        "impressions_waiting": 0,
        "impressions_dropped": 0,
    }
