"""Numbers in buckets: quantiles near the exact ones, sums that are as if one had counted all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.serving.histogram import SMALL, Histogram
from crossfm.serving.series import Series, Tally

WIDTH = 0.05
NUMBERS = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=200)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0)


def of(values: list[float], width: float = WIDTH) -> Histogram:
    made = Histogram(width)
    made.add(values)
    return made


@given(NUMBERS)
def test_quantiles_are_within_a_bucket_of_the_exact_ones(values: list[float]) -> None:
    exact = np.quantile(values, SHARES, method="inverted_cdf")
    for share, got, want in zip(SHARES, of(values).quantiles(SHARES), exact, strict=True):
        assert abs(got - want) <= 1.1 * WIDTH * math.hypot(want, SMALL) + 1e-12, share


@given(NUMBERS, NUMBERS)
def test_what_two_have_counted_adds_up(a: list[float], b: list[float]) -> None:
    both = of(a)
    both.join(Histogram.of(of(b).state()))
    assert both.counts == of(a + b).counts
    assert len(both) == len(a) + len(b)


@given(NUMBERS)
def test_bars_count_everything(values: list[float]) -> None:
    bars = of(values).bars(-3.0, 5.0, 16)
    assert sum(bars) == pytest.approx(len(values))
    assert min(bars) >= 0


def test_bars_stand_where_the_numbers_are() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.5, 20_000).clip(-0.9, 2.9)
    exact, _ = np.histogram(values, bins=20, range=(-1, 3))
    np.testing.assert_allclose(of(values.tolist(), 0.02).bars(-1.0, 3.0, 20), exact, atol=0.01 * len(values))


def test_what_is_not_finite_is_left_out() -> None:
    assert len(of([1.0, math.nan, math.inf])) == 1


def test_a_series_keeps_its_steps_and_forgets_older_ones() -> None:
    series = Series(60, 3)
    for minute in (0, 1, 4, 5):
        series.at(60.0 * minute).counts["x"] += 1
    assert [(begin, tally.counts["x"]) for begin, tally in series.latest(320.0)] == [(240, 1), (300, 1)]
    assert series.total(320.0).counts["x"] == 2
    assert len(series.state()) == 2
    assert series.latest(1_000.0) == []


def test_an_empty_step_between_is_told() -> None:
    series = Series(60, 9)
    series.at(0.0).note("ms", [1.0])
    series.at(130.0).note("ms", [2.0])
    assert [len(tally.histograms) for _, tally in series.latest(130.0)] == [1, 0, 1]


def test_series_of_two_processes_add_up_step_by_step() -> None:
    one, other = Series(60, 9), Series(60, 9)
    one.at(0.0).counts["x"] += 1
    other.at(0.0).counts["x"] += 2
    other.at(60.0).note("ms", [3.0])
    one.take(other.state())
    (_, first), (_, second) = one.latest(60.0)
    assert first.counts["x"] == 3
    assert second.histograms["ms"].counts == of([3.0], 0.1).counts
    assert Tally.of(second.state()).state() == second.state()
