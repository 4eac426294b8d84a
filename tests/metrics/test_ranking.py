"""Top-N metrics against their naive forms, one user at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

import oracles
from crossfm import metrics
from crossfm.errors import DataError, OptionError

N_ITEMS = 9
AT_K = ["recall_at_k", "precision_at_k", "hit_rate_at_k", "mrr_at_k", "map_at_k", "ndcg_at_k"]
lists_of_items = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=6)
# one (list, relevant items with repeats) a user; the first user has a list and something relevant
users = st.lists(
    st.tuples(lists_of_items, st.lists(st.integers(0, N_ITEMS + 2), max_size=8)), max_size=6
).map(lambda more: [([3, 1, 4], [1, 1, 5]), *more])


def pack(users, width=6):
    """Padded lists and CSR-like relevant items."""
    recommended = np.full((len(users), width), -1)
    for row, (ranked, _) in enumerate(users):
        recommended[row, : len(ranked)] = ranked
    relevant = [items for _, items in users]
    flat = [item for items in relevant for item in items]
    indptr = np.cumsum([0] + [len(items) for items in relevant])
    return recommended, indptr, np.array(flat, dtype=np.int64)


@pytest.mark.parametrize("name", AT_K)
@settings(max_examples=60, deadline=None)
@given(users, st.integers(1, 9))
def test_each_user_gets_the_value_of_the_definition(name, users, k):
    judged = [(ranked, set(relevant)) for ranked, relevant in users if relevant]
    expected = [getattr(oracles, name)(ranked, relevant, k) for ranked, relevant in judged]
    np.testing.assert_allclose(getattr(metrics, name)(*pack(users), k), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(users)
def test_lists_are_described_by_the_definitions(users):
    recommended, lists = pack(users)[0], [ranked for ranked, _ in users]
    counts = np.arange(N_ITEMS)
    assert metrics.coverage(recommended, N_ITEMS) == pytest.approx(oracles.coverage(lists, N_ITEMS))
    assert metrics.gini(recommended, N_ITEMS) == pytest.approx(oracles.gini(lists, N_ITEMS))
    assert metrics.novelty(recommended, counts) == pytest.approx(oracles.novelty(lists, counts))


@settings(max_examples=30, deadline=None)
@given(users)
def test_the_report_holds_the_means_of_all_metrics(users):
    data = pack(users)
    report = metrics.ranking_report(*data, ks=(2, 5), item_counts=np.ones(N_ITEMS))
    expected = {"n_users": sum(bool(relevant) for _, relevant in users)}
    for k in (2, 5):
        for name in AT_K:
            expected[name.replace("_at_k", f"@{k}")] = getattr(metrics, name)(*data, k).mean()
        top = data[0][:, :k]
        expected[f"coverage@{k}"] = metrics.coverage(top, N_ITEMS)
        expected[f"gini@{k}"] = metrics.gini(top, N_ITEMS)
        expected[f"novelty@{k}"] = metrics.novelty(top, np.ones(N_ITEMS))
    assert report == pytest.approx(expected)


def test_a_report_without_item_counts_leaves_the_list_metrics_out():
    report = metrics.ranking_report(*pack([([1, 2], [2])]), ks=[1])
    assert set(report) == {"recall@1", "precision@1", "ndcg@1", "mrr@1", "hit_rate@1", "map@1", "n_users"}


def test_ndcg_equals_scikit_learn_on_full_rankings():
    rng = np.random.default_rng(0)
    scores = rng.random((40, 30))
    relevance = rng.random((40, 30)) < 0.2
    relevance[:, 0] = True
    indptr = np.concatenate([[0], np.cumsum(relevance.sum(axis=1))])
    items = np.nonzero(relevance)[1]
    for k in (1, 5, 30):
        got = metrics.ndcg_at_k(np.argsort(-scores, axis=1), indptr, items, k).mean()
        assert got == pytest.approx(ndcg_score(relevance, scores, k=k))


def test_users_with_nothing_relevant_are_left_out_of_the_means():
    data = pack([([1, 2], [1]), ([1, 2], []), ([1, 2], [7])])
    assert metrics.users_with_relevant(data[1]).tolist() == [True, False, True]
    assert metrics.recall_at_k(*data, 2).tolist() == [1.0, 0.0]


def test_a_perfect_list_has_one_also_with_more_relevant_items_than_places():
    data = pack([([4, 2], [2, 4, 6, 8])])
    assert metrics.ndcg_at_k(*data, 2).tolist() == [1.0]
    assert metrics.map_at_k(*data, 2).tolist() == [1.0]
    assert metrics.recall_at_k(*data, 2).tolist() == [0.5]


def test_padding_is_never_a_hit_for_the_next_or_the_last_item():
    # keys of (user, item) pairs lie side by side: -1 of user 1 must not meet the largest item of user 0
    data = pack([([0], [8]), ([8], [8]), ([], [0])])
    assert metrics.hit_rate_at_k(*data, 6).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
def test_ids_of_any_integer_type_are_taken(dtype):
    indptr, items = np.array([0, 1, 2], np.uint64), np.array([2**31 - 1, 5], np.uint64)
    recommended = np.array([[2**31 - 1, 0], [0, 1]], dtype)
    assert metrics.recall_at_k(recommended, indptr, items, 2).tolist() == [1.0, 0.0]


def test_gini_goes_from_zero_to_one():
    assert metrics.gini([[0, 1], [2, 3]], 4) == pytest.approx(0)
    assert metrics.gini([[2], [2]], 4) == pytest.approx(1)
    assert metrics.gini([[0]], 1) == 0


def test_an_item_never_seen_is_as_new_as_one_seen_once():
    assert metrics.novelty([[0]], [0, 1, 7]) == metrics.novelty([[1]], [0, 1, 7]) == 3.0


@pytest.mark.parametrize(
    ("recommended", "indptr", "items", "message"),
    [
        ([[1, 1]], [0, 1], [1], "row 0 has item 1 twice"),
        ([[1, 2], [-1, 2]], [0, 1, 1], [1], "row 1 has an item after -1"),
        ([[1.0]], [0, 1], [1], "float64"),
        ([1], [0, 1], [1], r"shape \(1,\)"),
        (np.zeros((0, 3), int), [0], [], "recommended is empty"),
        ([[-2]], [0, 1], [1], "the id -2"),
        ([[2**31]], [0, 1], [1], "the id 2147483648"),
        ([[1]], [0, 1], [-1], "items holds the id -1"),
        ([[1]], [0, 1], [1.5], "items has type float64"),
        ([[1]], [0, 1, 2], [1, 2], "indptr has shape"),
        ([[1], [2]], [0, 2, 1], [1], "indptr must rise"),
        ([[1]], [0, 2], [1], "indptr must rise"),
        ([[1]], [0, 0], [], "none of the 1 users has a relevant item"),
    ],
)
def test_lists_and_relevant_items_that_cannot_be_are_refused(recommended, indptr, items, message):
    with pytest.raises(DataError, match=message):
        metrics.ranking_report(np.array(recommended), indptr, items)


def test_k_below_one_is_refused():
    with pytest.raises(OptionError, match="k is 0"):
        metrics.recall_at_k([[1]], [0, 1], [1], 0)


def test_list_metrics_refuse_what_does_not_fit_the_catalogue():
    with pytest.raises(DataError, match="item 4, but the catalogue has 4 items"):
        metrics.coverage([[4]], 4)
    with pytest.raises(DataError, match="only padding"):
        metrics.gini([[-1, -1]], 4)
    for counts, message in [([0, 0], "not all zero"), ([1, -1], "none negative"), ([1, np.inf], "finite")]:
        with pytest.raises(DataError, match=message):
            metrics.novelty([[0]], counts)
    with pytest.raises(DataError, match=r"item_counts has shape \(1, 2\)"):
        metrics.novelty([[0]], [[1, 2]])


@settings(max_examples=40, deadline=None)
@given(users)
def test_a_curve_of_recall_is_recall_at_each_k(users):
    data, ks = pack(users), (1, 3, 6, 50)
    curve = metrics.recall_curve(*data, ks)
    np.testing.assert_allclose(curve, np.stack([metrics.recall_at_k(*data, k) for k in ks], axis=1))


def test_a_curve_needs_places_to_look_at():
    with pytest.raises(OptionError, match="k is 0"):
        metrics.recall_curve([[1]], [0, 1], [1], (3, 0))
