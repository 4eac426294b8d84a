"""Baselines against their naive forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import oracles
from crossfm.errors import DataError, MemoryLimitError, OptionError
from crossfm.recommender import baselines, from_items
from crossfm.recommender.baselines import EASE, ItemKNN, Popularity, fit_baselines, lists
from crossfm.recommender.best import best_items
from crossfm.recommender.seen import Seen

N_USERS, N_ITEMS = 25, 14
LONER = 24  # has seen nothing


def some_log(seed: int = 0) -> tuple[Seen, np.ndarray]:
    """Return interactions and X; the last item has no user, the last user no item."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, N_USERS - 1, 120), rng.zipf(1.4, 120) % (N_ITEMS - 1)
    X = np.zeros((N_USERS, N_ITEMS))
    X[user, item] = 1.0
    return Seen.of(user, item, N_USERS), X


def expected_lists(scores: np.ndarray, X: np.ndarray, n: int, popularity: Any) -> list[list[int]]:
    rows = zip(scores, X, strict=True)
    return [oracles.best_unseen(score, set(np.flatnonzero(own)), n, popularity) for score, own in rows]


def as_lists(found: np.ndarray) -> list[list[int]]:
    return [[int(item) for item in row if item >= 0] for row in found]


@pytest.mark.parametrize("block", [1000, 3])
@pytest.mark.parametrize(("n_neighbours", "shrinkage"), [(3, 0.0), (3, 5.0), (100, 0.5)])
def test_item_knn_is_the_sum_over_neighbours(
    n_neighbours: int, shrinkage: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_items, "ITEMS_A_BLOCK", block)
    seen, X = some_log()
    machine = ItemKNN(n_neighbours, shrinkage).fit(seen, N_ITEMS)
    expected = oracles.knn_scores(X, n_neighbours, shrinkage)
    expected[LONER] = X.sum(axis=0)
    np.testing.assert_allclose(machine.scores(seen), expected, atol=1e-5)
    assert (np.diff(machine.weights_.indptr) <= n_neighbours).all()


@pytest.mark.parametrize("block", [1000, 3])
@pytest.mark.parametrize("l2", [0.5, 50.0])
def test_ease_is_a_ridge_regression_of_each_item_on_the_others(
    l2: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_items, "ITEMS_A_BLOCK", block)
    seen, X = some_log(1)
    machine = EASE(l2).fit(seen, N_ITEMS)
    expected = oracles.ease_weights(X, l2)
    np.testing.assert_allclose(machine.weights_, expected, atol=1e-6)
    scores = X @ expected
    scores[LONER] = X.sum(axis=0)
    np.testing.assert_allclose(machine.scores(seen), scores, atol=1e-5)


@pytest.mark.parametrize("name", baselines.NAMES)
def test_lists_leave_out_what_was_seen_and_put_popular_items_first_among_equals(name: str) -> None:
    seen, X = some_log(2)
    recent = np.random.default_rng(3).random(N_ITEMS)
    (machine,), _ = fit_baselines(seen, X.sum(axis=0), [name])
    expected = expected_lists(machine.scores(seen), X, 6, X.sum(axis=0))
    assert as_lists(lists(machine, seen, 6)) == expected
    fitted, _ = fit_baselines(seen, X.sum(axis=0), [name], recent=recent)
    if name == "popularity":
        assert [one.name for one in fitted] == ["popularity", "recent popularity"]
    order = oracles.best_unseen(recent, set(), N_ITEMS, recent)
    assert as_lists(lists(fitted[-1], seen, N_ITEMS))[LONER] == order


def test_items_without_a_neighbour_that_was_seen_come_by_popularity() -> None:
    seen, X = some_log(2)
    machine = ItemKNN(1).fit(seen, N_ITEMS)
    scores = oracles.knn_scores(X, 1, 10.0)
    scores[LONER] = X.sum(axis=0)
    assert as_lists(lists(machine, seen, N_ITEMS)) == expected_lists(scores, X, N_ITEMS, X.sum(axis=0))


def test_lists_end_where_nothing_is_left() -> None:
    seen = Seen.of(np.array([0, 0, 1]), np.array([0, 2, 1]), 2)
    assert lists(Popularity([3, 2, 1]), seen, 5).tolist() == [[1, -1, -1], [0, 2, -1]]


def test_popularity_halves_with_age() -> None:
    item, day = np.array([0, 1, 1, 2]), 86_400.0 * np.array([9.0, 2.0, 9.0, 9.0 - 14])
    found = Popularity.halved(item, day, 4, half_life=7.0)
    relative = found.counts_ / found.counts_[0]
    np.testing.assert_allclose(relative, [1.0, 1.5, 0.25, 0.0])


@pytest.mark.parametrize("seed", range(4))
def test_the_best_items_are_those_of_a_full_sort(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 3, (8, 40)).astype(np.float32)
    scores[0] = np.where(rng.random(40) < 0.5, 0.0, -0.0)  # equal
    scores[1] *= np.float32(1e-42)  # not normal
    first = rng.permutation(40)
    place = np.argsort(first)
    seen = Seen.of(rng.integers(0, 8, 60), rng.integers(0, 40, 60), 8)
    found = best_items(scores, 9, (seen.indptr, seen.items), first=first)
    for row in range(8):
        own = set(seen.items[seen.indptr[row] : seen.indptr[row + 1]].tolist())
        assert found[row].tolist() == oracles.best_unseen(scores[row], own, 9, -place)


def test_too_many_items_for_ease_are_refused_and_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, X = some_log()
    with pytest.raises(MemoryLimitError, match="14 items would take 1 MB, and the limit is 10 items"):
        EASE(max_items=10).fit(seen, N_ITEMS)
    monkeypatch.setattr(baselines, "EASE", lambda: EASE(max_items=10))
    found, notes = fit_baselines(seen, X.sum(axis=0))
    assert [one.name for one in found] == ["popularity", "item-kNN"]
    assert notes[0].startswith("EASE is left out: EASE inverts a matrix")


def test_settings_that_mean_nothing_are_refused() -> None:
    seen, X = some_log()
    for machine in (EASE(0.0), EASE(-1.0), ItemKNN(0), ItemKNN(5, -1.0)):
        with pytest.raises(OptionError):
            machine.fit(seen, N_ITEMS)
    with pytest.raises(OptionError, match="'BPR', but there are popularity, item-kNN, EASE"):
        fit_baselines(seen, X.sum(axis=0), ["BPR"])
    nothing = Seen.of(np.empty(0, np.int64), np.empty(0, np.int64), 3)
    with pytest.raises(DataError, match="no interactions"):
        EASE().fit(nothing, N_ITEMS)
    with pytest.raises(DataError, match="not positive definite"):
        from_items.inverse_in_place(np.array([[1.0, 2.0], [2.0, 1.0]]))
