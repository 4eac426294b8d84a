"""Drawing of pairs: which are legal, and how often each comes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.data.rows import Rows
from crossfm.errors import DataError, OptionError
from crossfm.solvers.pairwise import (
    CatalogueNegatives,
    LabelPairs,
    distinct_rows,
    group_codes,
    popularity_start,
)
from machines import as_rows
from oracles import legal_pairs


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=14))
def test_pairs_are_the_legal_ones_and_all_of_them(entries):
    y, groups = (np.array(column) for column in zip(*entries, strict=True))
    legal = legal_pairs(y, groups)
    pairs = LabelPairs.of(y.astype(float), groups)
    assert sorted(pairs.better.tolist()) == sorted(legal)
    for better, low, high in zip(pairs.better, pairs.low, pairs.high, strict=True):
        assert sorted(pairs.rows[low:high].tolist()) == legal[int(better)]


def test_lower_labels_are_drawn_evenly():
    y, groups = np.array([2.0, 0, 1, 0, 2, 1, 5]), np.array([0, 0, 0, 0, 0, 0, 1])
    pairs, legal = LabelPairs.of(y, groups), legal_pairs(y, groups)
    rng, n = np.random.default_rng(0), 4000
    for at in range(len(pairs)):
        better, worse = pairs.draw(np.full(n, at), rng)
        lower = legal[int(better[0])]
        share = np.bincount(worse, minlength=len(y))[lower] / n
        assert share.sum() == 1.0
        np.testing.assert_allclose(share, 1 / len(lower), atol=4 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize(
    "groups", [["b", "a", "b"], [2**60, 5, 2**60], [0.5, -1.0, 0.5], [True, False, True]]
)
def test_groups_are_anything_that_can_be_compared(groups):
    assert group_codes(groups).tolist() == [1, 0, 1]


@pytest.mark.parametrize("groups", [[1, "a", None], [[1, 2], [3, 4]]])
def test_groups_that_cannot_be_compared_are_refused(groups):
    with pytest.raises(DataError, match="groups"):
        group_codes(np.array(groups, dtype=object))


def draw_many(pool, which, n=20_000, seed=0):
    """Return the share of each item among the negatives of one position."""
    worse = pool.negatives.draw(np.full(n, which), 1, seed).ravel()
    return np.bincount(worse, minlength=pool.n_items) / len(worse)


def test_uniform_negatives_leave_out_what_the_group_chose():
    chosen, groups = np.array([0, 3, 3, 5]), np.array(["u", "v", "u", "v"])
    pool = CatalogueNegatives(chosen, groups, 6, "uniform")
    assert pool.offset is None
    for which, banned in ((0, [0, 3]), (1, [3, 5]), (2, [0, 3]), (3, [3, 5])):
        share = draw_many(pool, which)
        assert (share[banned] == 0).all()
        np.testing.assert_allclose(share[np.setdiff1d(range(6), banned)], 0.25, atol=0.015)


def test_without_groups_only_the_own_choice_is_left_out():
    pool = CatalogueNegatives(np.array([0, 3, 3]), None, 4, "uniform")
    for which, own in ((0, 0), (1, 3), (2, 3)):
        share = draw_many(pool, which)
        assert share[own] == 0
        np.testing.assert_allclose(np.delete(share, own), 1 / 3, atol=0.015)


@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 1.0, 4.0, 1.0])])
def test_popular_negatives_come_by_the_power_of_their_weight(weight):
    chosen = np.array([0, 0, 1, 2, 0])
    pool = CatalogueNegatives(chosen, None, 4, "popularity", weight)
    count = [
        sum(1.0 if weight is None else weight[i] for i in range(5) if chosen[i] == item) for item in range(4)
    ]
    chance = np.array([(c + 1) ** 0.75 for c in count])
    np.testing.assert_allclose(pool.count, count)
    share = draw_many(pool, 3)  # of the item 2
    expected = np.delete(chance, 2) / np.delete(chance, 2).sum()
    np.testing.assert_allclose(np.delete(share, 2), expected, atol=0.015)
    difference = np.asarray(pool.offset, float)[:, None] - pool.offset
    np.testing.assert_allclose(difference, -np.log(chance[:, None] / chance), atol=1e-6)


def test_a_pair_is_given_up_where_no_negative_is_left():
    pool = CatalogueNegatives(np.array([0, 1, 0]), np.array([0, 0, 1]), 2, "uniform")
    drawn = pool.negatives.draw(np.array([0, 1, 2, 2]), 1, seed=0)
    assert drawn.ravel().tolist() == [-1, -1, 1, 1]
    assert pool.any_negative()
    assert not CatalogueNegatives(np.array([0, 1, 0]), np.array([0, 0, 0]), 2, "uniform").any_negative()


def test_an_unknown_kind_of_negatives_is_refused():
    with pytest.raises(OptionError, match="negatives='hard'"):
        CatalogueNegatives(np.array([0]), None, 2, "hard")


def scores_of(items: Rows, w):
    """Linear scores of the items."""
    return [
        sum(w[i] * x for i, x in zip(items.indices[a:b], items.value_of_each()[a:b], strict=True))
        for a, b in zip(items.offsets()[:-1], items.offsets()[1:], strict=True)
    ]


def naive_looks(chosen, groups, chance, each):
    """Go through the choices, and share each one's negatives out among what its group leaves."""
    queries, items = np.zeros(len(chosen)), np.zeros(len(chance))
    for row, item in enumerate(chosen):
        banned = (
            {item} if groups is None else {i for i, g in zip(chosen, groups, strict=True) if g == groups[row]}
        )
        left = [i for i in range(len(chance)) if i not in banned]
        if left:
            queries[row] = 1 + each
            items[item] += 1
            items[left] += each * chance[left] / chance[left].sum()
    return queries, items


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_how_often_items_are_looked_at_is_what_the_naive_count_says(kind, grouped):
    chosen = np.array(
        [0, 1, 2, 3, 0, 0, 1, 2, 2]
    )  # the first group leaves nothing, nobody chose item 4 otherwise
    chosen, groups = np.r_[chosen, 4], np.array([0, 0, 0, 0, 1, 2, 2, 2, 3, 0]) if grouped else None
    pool = CatalogueNegatives(chosen, groups, 5, kind)
    chance = (pool.count + 1) ** 0.75 if kind == "popularity" else np.ones(5)
    for each in (1, 3):
        found, expected = pool.looks(each), naive_looks(chosen, groups, chance, each)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
        assert found[0].sum() == pytest.approx(found[1].sum())  # a query and an item at a time
    assert not CatalogueNegatives(np.array([0, 1]), np.array([0, 0]), 2, kind).looks(2)[1].any()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=14))
def test_how_often_rows_of_pairs_are_looked_at_is_what_the_naive_count_says(entries):
    y, groups = (np.array(column) for column in zip(*entries, strict=True))
    expected = np.zeros(len(y))
    for better, lower in legal_pairs(y, groups).items():
        expected[better] += 1
        expected[lower] += 1 / len(lower)
    looks = LabelPairs.of(y.astype(float), groups).looks()
    np.testing.assert_allclose(looks, expected, atol=1e-12)


def test_machines_start_at_the_order_by_popularity():
    items = as_rows([[(0, 1.0), (9, 1.0)], [(1, 1.0), (2, -2.0), (9, 0.5)], [(9, 1.0)], [(3, 0.5)], []], 11)
    count = np.array([4.0, 9.0, 100.0, 0.0, 3.0])
    w = popularity_start(items, count)
    np.testing.assert_allclose(scores_of(items, w), np.log1p([4.0, 9.0, 0.0, 0.0, 0.0]), rtol=1e-6)
    assert w[9] == w[10] == 0  # shared, or nobody's


def test_a_feature_of_value_zero_carries_no_popularity():
    """A number that only one item has, and that is 0 there: dividing by it gave infinite weights."""
    items = as_rows([[(0, 1.0), (2, 0.0)], [(1, 1.0)], [(3, 0.0)]], 4)
    w = popularity_start(items, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(w, [np.log(2), np.log(3), 0, 0], rtol=1e-6)


def test_equal_rows_are_one_query_whatever_form_they_come_in():
    rows = [[(0, 1.0)], [(1, 1.0)], [(0, 1.0)], [(0, 2.0)], [], [(0, 1.0), (1, 1.0)], []]
    first, code = distinct_rows(as_rows(rows, 2, values=True))
    assert first.tolist() == [0, 1, 3, 4, 5]
    assert code.tolist() == [0, 1, 0, 2, 3, 4, 3]
    wide = replace(as_rows([[(0, 1.0)], [(1, 1.0)], [(0, 1.0)]], 2), fields=np.zeros(1, np.uint32))
    assert distinct_rows(wide)[1].tolist() == [0, 1, 0]
