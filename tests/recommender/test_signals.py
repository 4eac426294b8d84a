"""Numbers of an item for a query, against their naive forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossfm.recommender.signals import (
    HALF_LIVES,
    KNOWN,
    N_FEATURES,
    NUMBERS,
    Signals,
    frame_of,
    framed,
    signal_rows,
)
from oracles import popularity_halved

N_USERS, N_ITEMS = 5, 7
LOGS = st.lists(
    st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 2)), min_size=1, max_size=40
).map(lambda rows: np.array(rows, np.int64).T)


def fitted(log: Any, n_log: int) -> Signals:
    return Signals.fit(*log, n_users=N_USERS, n_items=N_ITEMS, n_log=n_log)


@given(LOGS, st.sets(st.integers(0, N_ITEMS - 1), max_size=4))
def test_nearness_is_that_of_item_knn(log: Any, past: set[int]) -> None:
    taken = np.zeros((N_USERS, N_ITEMS))
    taken[log[0], log[1]] = 1
    near = np.zeros((N_ITEMS, N_ITEMS))
    users = [set(np.flatnonzero(column)) for column in taken.T]
    for i in range(N_ITEMS):
        for j in range(N_ITEMS):
            common = len(users[i] & users[j])
            if i != j and common:
                near[i, j] = common / (math.sqrt(len(users[i]) * len(users[j])) + 10.0)
    mine, items = np.array(sorted(past), np.int64), np.arange(N_ITEMS)[::-1]
    found = fitted(log, 50).of(mine, items, np.zeros(N_ITEMS, np.float32))[:, 1]
    np.testing.assert_allclose(found, near[mine].sum(axis=0)[::-1], atol=1e-6)


@given(LOGS)
def test_popularity_is_halved_by_interactions_and_age_counts_from_the_first(log: Any) -> None:
    n_log = 64
    found = fitted(log, n_log).of_item
    for row, share in zip(found, HALF_LIVES, strict=False):
        np.testing.assert_allclose(row, np.log1p(popularity_halved(log[1], N_ITEMS, share, n_log)), rtol=1e-5)
    np.testing.assert_allclose(found[-2], np.log1p(np.bincount(log[1], minlength=N_ITEMS)), rtol=1e-6)
    for item in range(N_ITEMS):
        where = np.flatnonzero(log[1] == item)
        age = (len(log[1]) - 1 - where[0]) / n_log if len(where) else 0.0
        assert abs(found[-1, item] - np.log1p(age / HALF_LIVES[0])) < 1e-6


def test_items_that_came_after_training_are_as_items_that_nobody_took() -> None:
    signals = fitted(np.array([[0, 0, 1, 1], [0, 1, 0, 2]]), 4)
    recalled = np.array([0.5, 0.5], np.float32)
    new, never = signals.of(np.array([0, 1, 99]), np.array([N_ITEMS + 3, N_ITEMS - 1]), recalled)
    np.testing.assert_array_equal(new, never)
    assert new[0] == 0.5


def test_the_order_of_the_past_does_not_matter_and_no_past_is_near_nothing() -> None:
    signals = fitted(np.array([[0, 0, 0, 1, 1], [0, 1, 2, 0, 1]]), 5)
    items, recalled = np.arange(3), np.zeros(3, np.float32)
    one, other = (signals.of(np.array(past), items, recalled) for past in ([0, 1], [1, 0]))
    np.testing.assert_array_equal(one, other)
    assert not signals.of(np.empty(0, np.int64), items, recalled)[:, 1].any()
    assert one[2, 1] > 0


def test_numbers_are_told_in_deviations_over_the_list() -> None:
    numbers = np.random.default_rng(0).normal(5.0, 3.0, (40, len(NUMBERS))).astype(np.float32)
    numbers[:, 2] = 7.1
    out = framed(numbers, frame_of(numbers))
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), [1, 1, 0, *[1] * (len(NUMBERS) - 3)], atol=1e-5)
    mean, spread = frame_of(numbers[:0])
    assert not mean.any()
    assert (spread == 1).all()


def test_rows_hold_the_numbers_and_the_step_of_how_much_is_known() -> None:
    numbers = np.arange(2 * len(NUMBERS), dtype=np.float32).reshape(2, -1)
    rows = signal_rows(numbers, [4, 5])
    dense = rows.to_csr().toarray()
    np.testing.assert_array_equal(dense[:, : len(NUMBERS)], numbers)
    steps = np.argmax(dense[:, len(NUMBERS) :], axis=1)
    assert [KNOWN[step] for step in steps] == [1, 5]
    assert dense.shape == (2, N_FEATURES)
