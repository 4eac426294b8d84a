"""Splits: every row on one side, and the promise of each kind of split."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.data.split import group_split, leave_last_out, random_split, time_split
from crossfm.errors import DataError, OptionError

TIMES = st.lists(st.integers(0, 9), min_size=2, max_size=30)


def both(sides, n_rows):
    """Check what holds for every split, and return the sides as lists."""
    train, test = sides
    assert train.dtype == test.dtype == np.int64
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    assert sorted([*train, *test]) == list(range(n_rows))
    assert len(train)
    assert len(test)
    return train.tolist(), test.tolist()


@given(st.integers(2, 200), st.floats(0.3, 0.7), st.integers(0, 2**32))
def test_a_random_split_has_the_wanted_size_and_follows_the_seed(n_rows, fraction, seed):
    _, test = both(random_split(n_rows, fraction, seed), n_rows)
    assert len(test) == round(n_rows * fraction)
    assert random_split(n_rows, fraction, seed)[1].tolist() == test


def test_seeds_differ():
    assert random_split(100, 0.5, 0)[1].tolist() != random_split(100, 0.5, 1)[1].tolist()


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), None, "0.2", True])
def test_a_fraction_lies_between_0_and_1(fraction):
    for split in (
        lambda: random_split(10, fraction, 0),
        lambda: group_split(range(10), fraction, 0),
        lambda: time_split(range(10), fraction),
    ):
        with pytest.raises(OptionError):
            split()


def test_an_empty_side_is_an_error():
    with pytest.raises(DataError, match="test side would be empty"):
        random_split(3, 0.01, 0)
    with pytest.raises(DataError, match="train side would be empty"):
        random_split(3, 0.99, 0)
    with pytest.raises(DataError, match="train side"):
        random_split(0, 0.5, 0)
    with pytest.raises(DataError, match="test side"):
        time_split([1, 2], cutoff=3)
    with pytest.raises(DataError, match="all rows have one time"):
        time_split([1, 1], 0.5)
    with pytest.raises(DataError, match="no user has more than 2 rows"):
        leave_last_out(["a", "a", "b"], [1, 2, 3], n=2)
    with pytest.raises(DataError, match="test side would be empty"):
        group_split(["a", "a"], 0.2, 0)


@given(TIMES, st.floats(0.05, 0.95))
def test_every_test_row_is_later_than_every_train_row_at_the_nearest_step(times, fraction):
    if len(set(times)) == 1:
        return
    train, test = both(time_split(times, fraction), len(times))
    assert max(times[i] for i in train) < min(times[i] for i in test)
    sizes = [sum(t >= step for t in times) for step in sorted(set(times))[1:]]
    wanted = fraction * len(times)
    assert abs(len(test) - wanted) == min(abs(size - wanted) for size in sizes)


DAYS = [dt.datetime(2020, 1, day) for day in (3, 1, 2, 3)]


@pytest.mark.parametrize(
    "times",
    [
        DAYS,
        [day.date() for day in DAYS],
        np.array(DAYS, "datetime64[s]"),
        pd.Series(DAYS),
        pd.Series(DAYS).dt.tz_localize("UTC"),
        pl.Series(DAYS),
        pa.array(DAYS),
        pa.chunked_array([DAYS[:2], DAYS[2:]]),
    ],
    ids=lambda times: f"{type(times).__module__}.{type(times).__name__}",
)
@pytest.mark.parametrize("cutoff", ["2020-01-03", dt.date(2020, 1, 3), dt.datetime(2020, 1, 3), None])
def test_dates_of_any_library_split_alike(times, cutoff):
    sides = time_split(times, 0.5) if cutoff is None else time_split(times, cutoff=cutoff)
    assert both(sides, 4) == ([1, 2], [0, 3])


def test_a_cutoff_with_a_zone_is_compared_in_utc():
    zone = dt.timezone(dt.timedelta(hours=2))
    cutoff = dt.datetime(2020, 1, 3, 2, tzinfo=zone)  # midnight in UTC
    assert both(time_split(DAYS, cutoff=cutoff), 4) == ([1, 2], [0, 3])


@pytest.mark.parametrize("arguments", [{}, {"test_fraction": 0.5, "cutoff": 3}, {"cutoff": "2020"}])
def test_a_time_split_needs_one_fitting_boundary(arguments):
    with pytest.raises(OptionError):
        time_split([1, 2, 3], **arguments)


@pytest.mark.parametrize("cutoff", [3, 2.5, "yesterday"])
def test_a_cutoff_among_dates_is_a_date(cutoff):
    with pytest.raises(OptionError, match="date"):
        time_split(DAYS, cutoff=cutoff)


@pytest.mark.parametrize("times", [["a", "b"], [[1, 2], [3, 4]], [1, "b"], [True, False]])
def test_times_are_numbers_or_dates(times):
    with pytest.raises(DataError, match="times"):
        time_split(np.array(times, object) if times == [1, "b"] else times, 0.5)


@pytest.mark.parametrize(
    "times", [[1.0, float("nan"), 2.0], np.array(["2020", "NaT", "2021"], "M8[D]"), [DAYS[0], None, DAYS[1]]]
)
def test_a_missing_time_is_named(times):
    with pytest.raises(DataError, match="row 1 has no time"):
        time_split(times, 0.5)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=25), st.integers(1, 3)
)
def test_the_last_rows_of_each_user_are_left_out(rows, n):
    users, times = [user for user, _ in rows], [time for _, time in rows]
    expected = []
    for user in set(users):
        own = sorted((times[i], i) for i in range(len(rows)) if users[i] == user)
        expected += [i for _, i in own[-n:]] if len(own) > n else []
    if not expected:
        with pytest.raises(DataError):
            leave_last_out(users, times, n)
        return
    assert both(leave_last_out(users, times, n), len(rows))[1] == sorted(expected)


def test_users_are_compared_as_categories():
    for users in ([1, 1, 2], np.array([1.0, 1.0, 2.0]), pl.Series(["1", "1", "2"]), pa.array([1, 1, 2])):
        assert both(leave_last_out(users, [5, 4, 1]), 3) == ([1, 2], [0])


def test_wrong_users_are_named():
    with pytest.raises(DataError, match="row 1 has no user"):
        leave_last_out(["a", None, "a"], [1, 2, 3])
    with pytest.raises(DataError, match="2 users, but 3 times"):
        leave_last_out(["a", "a"], [1, 2, 3])
    for n in (0, -1, 1.5, True):
        with pytest.raises(OptionError, match="n is"):
            leave_last_out(["a", "a"], [1, 2], n)


@given(st.lists(st.integers(0, 8), min_size=2, max_size=40), st.integers(0, 99))
def test_groups_stay_whole_and_row_order_does_not_matter(groups, seed):
    n_groups = len(set(groups))
    if not 0 < round(n_groups / 2) < n_groups:
        return
    train, test = both(group_split(groups, 0.5, seed), len(groups))
    drawn = {groups[i] for i in test}
    assert not drawn & {groups[i] for i in train}
    assert len(drawn) == round(n_groups / 2)
    back = groups[::-1]
    assert {back[i] for i in group_split(back, 0.5, seed)[1]} == drawn


@pytest.mark.parametrize("seed", [-1, "a", None])
def test_a_seed_that_is_no_count_is_refused(seed):
    with pytest.raises(OptionError, match="seed="):
        random_split(10, 0.2, seed)
    with pytest.raises(OptionError, match="seed="):
        group_split(["a", "b", "c"], 0.4, seed)
