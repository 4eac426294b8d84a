"""What another policy would have earned: estimates against loops, and against a truth that is known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from crossfm.errors import DataError, OptionError
from crossfm.recommender.evaluation.replay import NAMES, Replay, replay
from crossfm.recommender.rerank import chances_of, drawn

SCORE = np.array([2.0, 1.5, 1.0, 0.8, 0.5, 0.2, 0.0, -0.4], np.float32)
LIKED = np.array(
    [0.30, 0.05, 0.25, 0.10, 0.02, 0.20, 0.01, 0.15]
)  # chance of a click on an item that is looked at
LOOK = np.array([1.0, 0.7, 0.4])  # chance that a user looks at a place
CLICKED_AWAY = 0.5  # who has clicked above looks on half as often: places hang together, downwards


def clicks(order: Any, rng: np.random.Generator) -> list[float]:
    came: list[float] = []
    for place, item in enumerate(order):
        looks = rng.random() < LOOK[place] * CLICKED_AWAY ** sum(came)
        came.append(float(looks and rng.random() < LIKED[item]))
    return came


def expected(order: Any) -> float:
    """The exact expectation of the clicks on a list."""
    states, total = {0: 1.0}, 0.0  # chance of so many clicks above
    for place, item in enumerate(order):
        after = dict.fromkeys(range(place + 2), 0.0)
        for above, chance in states.items():
            click = LOOK[place] * CLICKED_AWAY**above * LIKED[item]
            total += chance * click
            after[above + 1] += chance * click
            after[above] += chance * (1 - click)
        states = after
    return total


def truth(temperature: float) -> float:
    """The exact value of a policy: all lists, each with its chance."""
    lists = itertools.permutations(range(len(SCORE)), 3)
    return sum(float(np.prod(chances_of(SCORE, each, temperature))) * expected(each) for each in lists)


def logged(n: int, temperature: float, other: float, seed: int) -> tuple[Any, ...]:
    """Return rewards, logged and target chances, and users, of a log drawn at one temperature, for another."""
    rng = np.random.default_rng(seed)
    r, p, q = [], [], []
    for _ in range(n):
        order, chances = drawn(SCORE, 3, temperature, rng)
        r.append(clicks(order, rng))
        p.append(chances)
        q.append(chances_of(SCORE, order.tolist(), other))
    return np.array(r), np.array(p), np.array(q), [f"u{at // 4}" for at in range(n)]


@pytest.fixture(scope="module")
def warm() -> Replay:
    return replay(*logged(6_000, 1.0, 0.4, 1), clip=2.0, n_resamples=300)


def test_the_truth_is_in_the_intervals_and_what_was_logged_is_not_it(warm: Replay) -> None:
    cool, hot = truth(0.4), truth(1.0)
    assert hot < 0.9 * cool
    assert warm.logged.low < hot < warm.logged.high < cool
    for name in ("IPS", "SNIPS", "sequential IPS", "RIPS"):
        value = warm.estimates[name].value
        assert value.low < cool < value.high
        assert value.mean == pytest.approx(cool, rel=0.1)
    assert warm.estimates["clipped IPS"].value.mean < warm.estimates["IPS"].value.mean
    assert warm.weight.low < 1 < warm.weight.high
    assert warm.verdict == "better"


def test_sequential_weights_spread_less_and_tell_more(warm: Replay) -> None:
    def width(name: str) -> float:
        value = warm.estimates[name].value
        return value.high - value.low

    assert width("sequential IPS") < width("IPS")
    assert width("RIPS") < width("SNIPS")
    assert warm.estimates["SNIPS"].lists < warm.estimates["RIPS"].lists < warm.n_lists
    assert [place.lists for place in warm.places] == sorted((p.lists for p in warm.places), reverse=True)
    assert sum(place.target for place in warm.places) == pytest.approx(warm.estimates["RIPS"].value.mean)


def test_nine_intervals_of_ten_hold_the_truth() -> None:
    cool = truth(0.5)
    held = 0
    for seed in range(20):
        value = replay(*logged(400, 1.0, 0.5, seed), n_resamples=200).estimates["RIPS"].value
        held += value.low < cool < value.high
    assert held >= 17


def test_the_policy_that_was_logged_is_estimated_by_its_own_mean() -> None:
    r, p, _, users = logged(200, 0.7, 0.7, 3)
    found = replay(r, p, p, users)
    for one in found.estimates.values():
        assert one.value == pytest.approx(found.logged)
        assert one.difference == pytest.approx((0.0, 0.0, 0.0))
        assert one.lists == pytest.approx(200)
    assert (found.supported, found.verdict, found.needed) == (1.0, "unsure", float("inf"))
    assert found.n_users == 50


@given(st.integers(0, 10_000), st.sampled_from([0.5, 2.0, 100.0]))
def test_estimates_are_those_of_the_formulas(seed: int, clip: float) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, rng.integers(1, 8))
    lists = [
        (rng.integers(0, 2, n).tolist(), rng.uniform(0.1, 1, n).tolist(), rng.uniform(0.01, 1, n).tolist())
        for n in lengths
    ]
    r, p, q = zip(*lists, strict=True)
    found = replay(*map(padded, (r, p, q)), range(len(r)), clip=clip, n_resamples=2)
    told = oracles.off_policy(r, p, q, clip)
    assert {name: one.value.mean for name, one in found.estimates.items()} == pytest.approx(told)
    assert found.logged.mean == pytest.approx(sum(map(sum, r)) / len(r))
    whole = [np.prod(b) / np.prod(a) for a, b in zip(p, q, strict=True)]
    assert found.estimates["IPS"].lists == pytest.approx(sum(whole) ** 2 / sum(w**2 for w in whole))


def padded(lists: Any) -> Any:
    table = np.full((len(lists), max(map(len, lists))), np.nan)
    for row, one in zip(table, lists, strict=True):
        row[: len(one)] = one
    return table


def test_users_are_drawn_whole() -> None:
    r, p, q, _ = logged(40, 1.0, 0.6, 5)
    twice = [np.repeat(each, 25, axis=0) for each in (r, p, q)]
    apart = replay(*twice, range(1_000)).logged
    together = replay(*twice, np.repeat(np.arange(40), 25)).logged
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_policy_that_shows_what_the_log_never_did_is_not_judged() -> None:
    r, p, q, users = logged(500, 1.0, 0.5, 7)
    found = replay(r, p, np.where(p > 0, q * 0.5, q), users)  # half of what it shows is not in the log
    assert found.weight.high < 0.9
    assert found.verdict == "unsupported"
    nothing = replay(r, p, np.zeros_like(q), users)
    assert (nothing.verdict, nothing.supported) == ("unsupported", 0.0)
    assert np.isnan(nothing.estimates["RIPS"].value.mean)
    assert nothing.estimates["IPS"].value.mean == 0.0


def test_chances_that_are_not_those_of_the_draw_show_in_the_weights() -> None:
    r, p, q, users = logged(2_000, 1.0, 0.8, 8)
    found = replay(r, np.maximum(p * 0.6, 1e-9), q, users)
    assert found.weight.low > 1.1
    assert found.verdict == "unsupported"


def test_a_worse_policy_is_called_so_and_few_lists_say_nothing() -> None:
    assert replay(*logged(4_000, 0.6, 2.0, 9)).verdict == "worse"
    few = replay(*logged(60, 1.0, 0.4, 9))
    assert few.verdict == "unsure"
    assert few.needed > 60


def test_long_lists_that_are_all_but_impossible_give_numbers() -> None:
    p, q = np.full((3, 900), 1e-3), np.ones((3, 900))
    found = replay(np.ones((3, 900)), p, q, range(3))
    assert np.isfinite(found.estimates["RIPS"].value.mean)
    assert found.estimates["RIPS"].lists == pytest.approx(3)


def same(table: Any) -> dict[str, Any]:
    return {"rewards": table, "logged": table, "target": table}


BAD = [
    ({"logged": [[0.0, 0.5]]}, "logged, above 0 and at most 1, are expected, but list 0 .* place 1"),
    ({"logged": [[0.5, 1.5]]}, "place 2"),
    ({"target": [[0.5, -0.1]]}, "target, from 0 to 1"),
    ({"rewards": [[np.inf, 0.0]]}, "rewards, finite"),
    ({"rewards": [[1.0, np.nan]]}, "NaN in the same places"),
    ({"rewards": [[1.0]]}, "shapes"),
    ({"users": []}, "0 users"),
    (same([[np.nan, 0.5]]), "NaN in the same places"),
    (same([[0.5, np.nan, 0.5]]), "gap"),
    (same(np.zeros((0, 2))), "not empty"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_is_no_log_is_refused(change: Any, message: str) -> None:
    good = {"rewards": [[1.0, 0.0]], "logged": [[0.5, 0.5]], "target": [[0.5, 0.5]], "users": ["a"]}
    assert set(replay(**good).estimates) == set(NAMES)
    with pytest.raises(DataError, match=message):
        replay(**{**good, **change})


@pytest.mark.parametrize("option", [{"clip": 0}, {"n_resamples": 0}])
def test_options_that_mean_nothing_are_refused(option: Any) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        replay([[1.0]], [[0.5]], [[0.5]], ["a"], **option)
