"""Events: what goes in comes out, once, newest first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossfm.errors import CrossFMError, DataError, OptionError
from crossfm.serving.store import Event, Past, Store
from crossfm.serving.store.events import KNOWN

WIDE = "\U0001f600" * 256  # the longest id, four bytes a character


def items(store: Store, user: str) -> list[str]:
    return [event.item for event in store.events(user)]


def test_an_event_comes_back_as_it_went_in(store: Store) -> None:
    event = Event(
        "ann", "alien", "rating", 4.5, 1e9 + 0.25, "k1", "r1", {"device": "phone", "hours": [1, 2.5, None]}
    )
    assert store.add_events([event]) == [1]
    assert store.events("ann") == [event]
    assert store.event_log() == [(1, event)]


def test_an_event_has_defaults(store: Store) -> None:
    before = time.time()
    store.add_events([Event("ann", "alien")])
    (event,) = store.events("ann")
    assert (event.type, event.value, event.key, event.request, event.context) == (
        "click",
        1.0,
        None,
        None,
        None,
    )
    assert before <= event.time <= time.time()


@pytest.mark.parametrize(
    "odd", [WIDE, "'; DROP TABLE crossfm_events; --", "a%b_c/d\\", "\n\t\x1f", "é漢字", " ", "NULL"]
)
def test_any_text_is_an_id(store: Store, odd: str) -> None:
    event = Event(odd, odd, odd[:64], key=odd, request=odd, context={odd: odd})
    assert store.add_events([event, event]) == [1, 1]
    assert store.events(odd) == [event]
    assert store.known(odd).history == [Past(odd, odd[:64], 1.0, event.time)]


def test_events_are_newest_first_and_later_numbers_win_ties(store: Store) -> None:
    times = [5.0, 9.0, 1.0, 9.0]
    store.add_events([Event("ann", f"i{i}", time=t) for i, t in enumerate(times)])
    store.add_events([Event("bob", "other", time=7.0)])
    assert items(store, "ann") == ["i3", "i1", "i0", "i2"]
    assert [event.item for event in store.events("ann", limit=2)] == ["i3", "i1"]
    assert [event.item for event in store.events("ann", since=5.0)] == ["i3", "i1", "i0"]
    assert store.events("ann", limit=0) == []
    assert store.events("nobody") == []


def test_what_is_known_of_a_user_is_read_at_once(store: Store) -> None:
    store.put_user("ann", {"age": 3})
    store.add_events([Event("ann", f"i{i}", "like", 0.5, time=float(i)) for i in range(4)])
    known = store.known("ann", limit=2)
    assert known.features == {"age": 3}
    assert known.forgotten is None
    assert known.history == [Past("i3", "like", 0.5, 3.0), Past("i2", "like", 0.5, 2.0)]
    nobody = store.known("nobody")
    assert (nobody.features, nobody.forgotten, nobody.history) == (None, None, [])


def test_a_history_is_read_from_its_index_alone(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        with store._database.write() as turn:
            statement = str(KNOWN.compile(dialect=turn.connection.dialect))
            plan = turn.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.replace('?', '1')}").all()
        steps = [row[-1] for row in plan]
        assert any("USING COVERING INDEX crossfm_events_history (user_id=?)" in step for step in steps)
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN crossfm") for step in steps)


def test_a_key_sent_again_is_stored_once_with_the_number_it_had(store: Store) -> None:
    assert store.add_events(
        [Event("ann", "a", key="1"), Event("ann", "b", key="1"), Event("ann", "c", key="2")]
    ) == [1, 1, 2]
    assert store.add_events([Event("ann", "d", key="2"), Event("ann", "e"), Event("ann", "f", key="1")]) == [
        2,
        3,
        1,
    ]
    assert items(store, "ann") == ["e", "c", "a"]


def test_keys_of_different_users_never_meet(store: Store) -> None:
    pairs = [("ann", "1"), ("bob", "1"), ("a", "nn1"), ("1:a", "b"), ("1", ":ab")]
    assert store.add_events([Event(user, "x", key=key) for user, key in pairs]) == [1, 2, 3, 4, 5]
    assert [store.events(user)[0].key for user, _ in pairs] == [key for _, key in pairs]


def test_more_keys_and_users_than_one_statement_holds(store: Store) -> None:
    many = [Event(f"u{i}", "x", key=f"k{i}", time=1.0) for i in range(1_201)]
    assert store.add_events(many) == list(range(1, 1_202))
    assert store.add_events(many[::-1]) == list(range(1_201, 0, -1))
    assert store.counts()["events"] == 1_201


def test_the_log_is_read_page_by_page(store: Store) -> None:
    store.add_events([Event("ann", f"i{i}") for i in range(5)])
    pages, after = [], 0
    while page := store.event_log(after, limit=2):
        pages.append([event.item for _, event in page])
        after = page[-1][0]
    assert pages == [["i0", "i1"], ["i2", "i3"], ["i4"]]


def test_callers_at_the_same_time_all_get_numbers_of_their_own(store: Store) -> None:
    def add(user: int) -> list[int]:
        return [store.add_events([Event(f"u{user}", f"i{i}", time=float(i))])[0] for i in range(8)]

    with ThreadPoolExecutor(12) as pool:
        numbers = list(pool.map(add, range(12)))
    assert sorted(number for own in numbers for number in own) == list(range(1, 97))
    assert all(own == sorted(own) for own in numbers)
    log = dict(store.event_log())
    for user, own in enumerate(numbers):
        assert [(log[number].user, log[number].item) for number in own] == [
            (f"u{user}", f"i{i}") for i in range(8)
        ]


def hold(store: Store) -> threading.Event:
    """Keep the writer busy until the event is set, so that calls gather."""
    started, release = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        started.set()
        release.wait(10)

    threading.Thread(target=store._writer.run, args=(wait,)).start()
    started.wait(10)
    return release


def test_calls_that_wait_together_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []
    run = store._writer._run
    monkeypatch.setattr(store._writer, "_run", lambda tasks: groups.append(len(tasks)) or run(tasks))
    release = hold(store)
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(store.add_events, [Event("ann", f"i{i}")]) for i in range(6)]
        while len(store._writer._tasks) < 6:
            time.sleep(0.001)
        release.set()
        assert sorted(call.result()[0] for call in calls) == [1, 2, 3, 4, 5, 6]
    assert groups[-1] == 6


def test_a_call_that_fails_fails_alone(store: Store) -> None:
    release = hold(store)

    def fail(turn: object) -> None:
        raise DataError("only this one")

    with ThreadPoolExecutor(3) as pool:
        good = pool.submit(store.add_events, [Event("ann", "a")])
        while not store._writer._tasks:
            time.sleep(0.001)
        bad = pool.submit(store._writer.run, fail)
        also = pool.submit(store.put_user, "bob", {})
        while len(store._writer._tasks) < 3:
            time.sleep(0.001)
        release.set()
        with pytest.raises(DataError, match="only this one"):
            bad.result()
        assert good.result() == [1]
        assert also.result() is True
    assert items(store, "ann") == ["a"]


BAD = [
    (Event("", "a"), "user has 0 characters, but must have 1 to 256"),
    (Event("u" * 257, "a"), "user has 257 characters"),
    (Event(5, "a"), r"user is 5 \(int\), but must be text"),  # type: ignore[arg-type]
    (Event("u", "a\0b"), "NUL"),
    (Event("u", "\ud800"), "lone surrogate"),
    (Event("u", "a", "t" * 65), "type has 65 characters, but must have 1 to 64"),
    (Event("u", "a", value=float("nan")), "value is nan, but must be a finite number"),
    (Event("u", "a", value="4"), "value is '4'"),  # type: ignore[arg-type]
    (Event("u", "a", value=10**400), "value is 1000"),
    (Event("u", "a", time=1.7e12), "milliseconds"),
    (Event("u", "a", time=-1.0), "seconds since 1970"),
    (Event("u", "a", key=""), "key has 0 characters"),
    (Event("u", "a", request="r" * 257), "request has 257"),
    (Event("u", "a", context={"x": "y" * 16_384}), "context has 16392 bytes as JSON, but may have 16384"),
    (Event("u", "a", context={"x": float("inf")}), "cannot be written as JSON"),
    (Event("u", "a", context={"x": object()}), "cannot be written as JSON"),
    (Event("u", "a", context={"x": "\udfff"}), "lone surrogate"),
    (Event("u", "a", context=["x"]), "must be an object"),  # type: ignore[arg-type]
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/s.db") as store:
        yield store


@pytest.mark.parametrize(("event", "message"), BAD)
def test_what_cannot_be_stored_is_refused_and_its_neighbours_with_it(
    small: Store, event: Event, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        small.add_events([Event("good", "a"), event])
    assert small.events("good") == []


def test_numbers_of_answers_are_checked(small: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: small.events("u", limit=-1),
        lambda: small.events("u", since=float("nan")),
        lambda: small.event_log(after=-1),
        lambda: small.event_log(after=2**63),
        lambda: small.known("u", limit=True),
        lambda: small.users(limit=10_001),
    ]
    for call in calls:
        with pytest.raises(OptionError):
            call()
    with pytest.raises(DataError, match="10001 events in one call"):
        small.add_events([Event("u", "a")] * 10_001)
    with pytest.raises(CrossFMError, match="user is None"):
        small.events(None)  # type: ignore[arg-type]
