"""Intervals over users: against the naive form, known theory, and how they behave."""

from __future__ import annotations

import numpy as np
import pytest

import oracles
from crossfm import metrics
from crossfm.errors import DataError, OptionError
from crossfm.metrics import bootstrap


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_is_the_percentiles_of_resampled_means(weighted):
    rng = np.random.default_rng(3)
    values, w = rng.random(12), rng.random(12) + 0.1 if weighted else np.ones(12)
    means = oracles.bootstrap_means(values, w, 200, np.random.default_rng(5))
    got = metrics.bootstrap_interval(values, w if weighted else None, n_resamples=200, level=0.9, seed=5)
    expected = [np.average(values, weights=w), *np.percentile(means, [5, 95])]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_interval_of_many_users_agrees_with_the_normal_law():
    values = np.random.default_rng(0).exponential(size=4000)
    interval = metrics.bootstrap_interval(values, n_resamples=2000)
    error = 1.96 * values.std() / np.sqrt(4000)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_the_size_of_memory_chunks_does_not_change_the_interval(monkeypatch):
    values = np.random.default_rng(0).random(50)
    whole = metrics.bootstrap_interval(values, n_resamples=100)
    monkeypatch.setattr(bootstrap, "_CHUNK", 70)
    assert metrics.bootstrap_interval(values, n_resamples=100) == whole


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).random(50)
    assert metrics.bootstrap_interval(values, seed=1) == metrics.bootstrap_interval(values, seed=1)
    assert metrics.bootstrap_interval(values, seed=1) != metrics.bootstrap_interval(values, seed=2)


def test_equal_weights_change_nothing_and_users_of_weight_zero_are_left_out():
    values = np.random.default_rng(0).random(30)
    plain = metrics.bootstrap_interval(values)
    np.testing.assert_allclose(metrics.bootstrap_interval(values, np.full(30, 2.5)), plain)
    padded = metrics.bootstrap_interval(np.append(values, 9.0), np.append(np.full(30, 2.5), 0.0))
    np.testing.assert_allclose(padded, plain)


def test_pairing_sees_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(0)
    b = rng.random(300)
    a = b + 0.01 + 0.01 * rng.standard_normal(300)
    one, other = metrics.bootstrap_interval(a), metrics.bootstrap_interval(b)
    assert one.low < other.high
    difference = metrics.bootstrap_difference(a, b)
    assert difference.mean == pytest.approx((a - b).mean())
    assert 0 < difference.low < difference.mean < difference.high < 0.02


def test_one_user_has_an_interval_without_width():
    assert metrics.bootstrap_interval([0.25]) == (0.25, 0.25, 0.25)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="per_user_values is empty"):
        metrics.bootstrap_interval([])
    with pytest.raises(DataError, match="position 1 is nan"):
        metrics.bootstrap_interval([0.0, np.nan])
    with pytest.raises(DataError, match="weights at position 0 is -1"):
        metrics.bootstrap_interval([0.0, 1.0], [-1, 1])
    with pytest.raises(OptionError, match="level is 95"):
        metrics.bootstrap_interval([0.0, 1.0], level=95)
    with pytest.raises(OptionError, match="n_resamples is 0"):
        metrics.bootstrap_interval([0.0, 1.0], n_resamples=0)
    with pytest.raises(DataError, match="a has 2 users and b 3"):
        metrics.bootstrap_difference([0.0, 1.0], [0.0, 1.0, 2.0])


def test_intervals_of_many_columns_are_those_of_each_alone(monkeypatch):
    values = np.random.default_rng(0).random((37, 4))
    for chunk in (2**20, 100):
        monkeypatch.setattr(bootstrap, "_CHUNK", chunk)
        found = metrics.bootstrap_intervals(values, seed=5)
        for column, one in zip(values.T, found, strict=True):
            assert tuple(one) == pytest.approx(tuple(metrics.bootstrap_interval(column, seed=5)))


def test_columns_of_nothing_and_of_gaps_are_refused():
    with pytest.raises(DataError, match="not empty"):
        metrics.bootstrap_intervals(np.empty((0, 3)))
    with pytest.raises(DataError, match=r"position \(1, 0\)"):
        metrics.bootstrap_intervals([[1.0], [np.nan]])
    with pytest.raises(OptionError, match="level"):
        metrics.bootstrap_intervals([[1.0]], level=1.5)
