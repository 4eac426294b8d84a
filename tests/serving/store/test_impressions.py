"""Impressions: queued, bounded, counted; and what came of experiments."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

import oracles
from crossfm.errors import DataError, OptionError
from crossfm.serving.store import Event, Impression, Store
from crossfm.serving.store.impressions import Queue
from crossfm.serving.store.outcomes import wilson


def test_an_impression_comes_back_as_it_went_in(opened: Callable[..., Store]) -> None:
    store = opened()
    full = Impression(
        "r",
        "ann",
        ["a", "b"],
        [0.5, -1.0],
        "v1",
        {"hour": 3},
        "exp",
        "A",
        5.0,
        ["a", "b", "c"],
        [0.25, 1.0],
        {"n": 2},
    )
    session = Impression("r2", None, [], [])
    store.add_impressions([full, session])
    store.close()  # writes what waits
    assert [shown for _, shown in opened().impressions()] == [full, session]
    assert [number for number, _ in opened().impressions(after=1)] == [2]


def test_impressions_are_written_within_a_second_of_a_quiet_time(store: Store) -> None:
    store.add_impressions([Impression("r", "ann", ["a"])])
    start = time.monotonic()
    while not store.impressions():
        assert time.monotonic() - start < 5
        time.sleep(0.01)


def test_a_full_queue_drops_and_counts_and_nobody_waits(opened: Callable[..., Store]) -> None:
    import threading

    store = opened(max_waiting=3)
    release = threading.Event()
    holder = threading.Thread(target=store._writer.run, args=(lambda _: release.wait(10),))
    holder.start()
    store.add_impressions([Impression(f"r{i}", "ann", ["a"]) for i in range(5)])
    store.add_impressions([Impression("r5", "ann", ["a"])])
    counts = store.counts()
    assert (counts["impressions_waiting"], counts["impressions_dropped"]) == (3, 3)
    release.set()
    holder.join()
    store.close()
    assert [shown.request for _, shown in opened().impressions()] == ["r0", "r1", "r2"]


def test_rows_given_back_come_first_again_and_the_oldest_go_when_there_is_no_room() -> None:
    queue = Queue(4)
    assert queue.add([{"n": n} for n in range(3)]) is True
    assert queue.add([{"n": 3}]) is False
    taken = queue.take(3)
    queue.add([{"n": 4}])
    queue.give_back(taken)
    assert queue.dropped == 1
    assert [row["n"] for row in queue.take(9)] == [1, 2, 3, 4]
    assert queue.age() == 0


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (Impression("", "u", []), "request has 0"),
        (Impression("r", "u", [""]), "item has 0"),
        (Impression("r", "u", ["a"], [float("nan")]), "scores cannot be written"),
        (Impression("r", "u", ["a"], version="v" * 65), "version has 65"),
        (Impression("r", "u", ["a"], context={"x": "y" * 20_000}), "context has"),
        (Impression("r", "u", ["a"], asked={"deny": ["y" * 20_000]}), "asked has"),
        (Impression("r", "u", ["a"], propensities=[0.0]), "above 0 and at most 1"),
        (Impression("r", "u", ["a"], propensities=[1.5]), "above 0 and at most 1"),
        (Impression("r", "u", ["a", "b"], propensities=[0.5]), "for 2 items"),
    ],
)
def test_what_cannot_be_stored_is_refused(store: Store, shown: Impression, message: str) -> None:
    with pytest.raises(DataError, match=message):
        store.add_impressions([shown])


def test_outcomes_equal_counting_by_hand(opened: Callable[..., Store]) -> None:
    rng = np.random.default_rng(5)
    shown = [
        Impression(
            f"r{i}",
            None if rng.random() < 0.1 else f"u{rng.integers(25)}",
            ["a"],
            experiment=["e", "other", None][rng.integers(3)],
            variant=["A", "B"][rng.integers(2)],
            time=float(rng.integers(100)),
        )
        for i in range(150)
    ]
    events = [
        Event(f"u{rng.integers(30)}", "a", ["click", "like"][rng.integers(2)], time=float(rng.integers(120)))
        for _ in range(90)
    ]
    store = opened()
    store.add_impressions(shown)
    store.close()
    store = opened()
    store.add_events(events)
    for window in (1e-9, 7.0, 1e9):
        found = {one.variant: (one.users, one.converted) for one in store.outcome("e", "click", window)}
        assert found == oracles.outcome(shown, events, "e", "click", window)
    assert found["A"][1] > 0  # those of the last window
    assert store.outcome("nothing", "click", 1.0) == []
    with pytest.raises(OptionError, match="window"):
        store.outcome("e", "click", 0)


def test_an_outcome_has_its_rate_and_interval(opened: Callable[..., Store]) -> None:
    store = opened()
    store.add_impressions(
        [Impression("r", f"u{i}", ["a"], experiment="e", variant="A", time=1.0) for i in range(8)]
    )
    store.close()
    store = opened()
    store.add_events([Event(f"u{i}", "a", time=2.0) for i in range(3)])
    (found,) = store.outcome("e", "click", 1.0)
    expected = binomtest(3, 8).proportion_ci(method="wilson")
    assert (found.variant, found.users, found.converted, found.rate) == ("A", 8, 3, 3 / 8)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_intervals_equal_scipys() -> None:
    pairs = [(0, 1), (1, 1), (0, 50), (50, 50), (7, 30), (400, 100_000)]
    low, high = wilson([k for k, _ in pairs], [n for _, n in pairs])
    expected = [binomtest(k, n).proportion_ci(method="wilson") for k, n in pairs]
    np.testing.assert_allclose(low, [one.low for one in expected], atol=1e-12)
    np.testing.assert_allclose(high, [one.high for one in expected], atol=1e-12)
