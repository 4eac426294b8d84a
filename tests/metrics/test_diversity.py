"""What lists are like, user by user, against sums over pairs and items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import oracles
from crossfm.errors import DataError, OptionError
from crossfm.metrics import diversity
from crossfm.metrics.lists import novelty

N_ITEMS = 12


def some_lists(seed: int, width: int = 5) -> np.ndarray:
    """Lists of 5, 4, ..., 0 items and more full ones."""
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(N_ITEMS)[:width] for _ in range(9)])
    for row in range(width + 1):
        lists[row, width - row :] = -1
    return lists


def items_of(row: Any) -> list[int]:
    return [int(item) for item in row if item >= 0]


@pytest.mark.parametrize("block", [10**6, 1])
def test_diversity_is_the_mean_distance_over_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "PAIRS_A_BLOCK", block)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((N_ITEMS, 3))
    vectors[4] = 0.0
    sets = [set(rng.integers(0, 6, rng.integers(0, 4)).tolist()) for _ in range(N_ITEMS)]
    indptr = np.cumsum([0, *(len(one) for one in sets)])
    codes = np.array([code for one in sets for code in sorted(one)])
    lists = some_lists(2)

    def cosine_distance(a: int, b: int) -> float:
        norm = np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b])
        return float(1.0 - vectors[a] @ vectors[b] / norm) if norm else 1.0

    expected = [oracles.mean_over_pairs(items_of(row), cosine_distance) for row in lists]
    np.testing.assert_allclose(diversity.vector_diversity(lists, vectors), expected, atol=1e-12)
    expected = [
        oracles.mean_over_pairs(items_of(row), lambda a, b: oracles.jaccard_distance(sets[a], sets[b]))
        for row in lists
    ]
    np.testing.assert_allclose(diversity.set_diversity(lists, indptr, codes), expected, atol=1e-12)


def test_a_value_that_comes_twice_counts_once() -> None:
    twice = diversity.set_diversity([[0, 1]], [0, 3, 4], [5, 5, 2, 5])
    assert twice.tolist() == [0.5]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_head_is_the_fewest_items_with_that_share(share: float) -> None:
    counts = np.random.default_rng(3).integers(0, 9, N_ITEMS)
    assert set(np.flatnonzero(diversity.head_items(counts, share))) == oracles.head(counts.tolist(), share)


def test_novelty_and_head_share_are_means_over_each_list() -> None:
    counts, lists = np.arange(N_ITEMS), some_lists(4)
    mask = diversity.head_items(counts)
    expected = [
        oracles.novelty([items_of(row)], counts.tolist()) if items_of(row) else np.nan for row in lists
    ]
    np.testing.assert_allclose(diversity.self_information(lists, counts), expected)
    shares = [np.mean([mask[i] for i in items_of(row)]) if items_of(row) else np.nan for row in lists]
    np.testing.assert_allclose(diversity.share_in(lists, mask), shares)
    full = lists[6:]
    assert diversity.self_information(full, counts).mean() == pytest.approx(novelty(full, counts))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(DataError, match="holds item 7, but the catalogue has 3 items"):
        diversity.vector_diversity([[7]], np.ones((3, 2)))
    with pytest.raises(DataError, match="holds item 7, but the catalogue has 2 items"):
        diversity.set_diversity([[7]], [0, 1, 2], [0, 0])
    for share in (0.0, 1.0):
        with pytest.raises(OptionError, match="head is"):
            diversity.head_items([1, 2], share)
