"""What every index promises: the best items under exclusions, filters and changes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogues import fm_vectors
from crossfm.errors import DataError, ModelFileError, OptionError
from crossfm.recommender import ivf, layers
from crossfm.recommender.index import ExactIndex, choose_index
from crossfm.recommender.ivf import IVFIndex
from oracles import top_items

KINDS = ["exact", "ivf", "lists"]


@pytest.fixture(params=KINDS)
def build(request, monkeypatch):
    """A function that builds an index; "lists" is one that always looks at lists, at all of them for these sizes."""
    if request.param == "lists":
        for name in ("SCAN", "MASKED_SCAN", "START"):
            monkeypatch.setattr(ivf, name, 0.0)

    def make(vectors, **options):
        if request.param == "exact":
            return ExactIndex(vectors, **options)
        dim = np.shape(vectors)[1]
        queries = np.random.default_rng(9).normal(size=(64, dim))
        return IVFIndex(vectors, queries, **options)

    return make


def as_skip(lists):
    return np.cumsum([0, *map(len, lists)]), np.array([i for ids in lists for i in sorted(ids)], np.uint32)


def assert_found(found, expected, n_best):
    """``expected`` as ``oracles.top_items`` returns it; scores are exact here."""
    ids, scores = found
    assert ids.shape == scores.shape == (len(expected), n_best)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float32
    for row, pairs in enumerate(expected):
        missing = n_best - len(pairs)
        assert ids[row].tolist() == [i for i, _ in pairs] + [-1] * missing
        assert scores[row].tolist() == [s for _, s in pairs] + [-np.inf] * missing


def assert_found_of(found, queries, items, n_best, skip=None, allowed=None):
    assert_found(found, top_items(queries, items, n_best, skip, allowed), n_best)


def assert_honest(found, queries, items, n_best, skip=None, allowed=None):
    """What a search by lists promises: items may be others, but as many, scored, in order, none that is left out."""
    expected = top_items(queries, items, len(items), skip, allowed)
    for row, pairs in enumerate(expected):
        ids = found[0][row][: min(len(pairs), n_best)].tolist()
        score = dict(pairs)
        assert_found((found[0][[row]], found[1][[row]]), [[(i, score[i]) for i in ids]], n_best)
        assert ids == sorted(set(ids), key=lambda i: (-score[i], i))


def whole(rng, *shape, high=4):
    """Small whole numbers: sums are exact, ties are many."""
    return rng.integers(-high, high + 1, shape).astype(np.float32)


@st.composite
def histories(draw):
    """A catalogue, changes one after another, and a search after each."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n_items, dim = draw(st.integers(0, 60)), draw(st.integers(1, 6))
    steps = draw(st.lists(st.sampled_from(["append", "change", "delete", "revive", "fold"]), max_size=5))
    return rng, whole(rng, n_items, dim), steps, draw(st.integers(1, 70))


def changed(index, step, items, rng, dim):
    """Do one step to the index and to ``items``, a dict by position; return the index."""
    if step == "append":
        at = index.n_items + rng.permutation(rng.integers(1, 4))
    elif step == "fold":
        return index.rebuilt()
    else:
        at = rng.integers(0, max(index.n_items, 1), 3) if index.n_items else np.zeros(0, int)
    if step == "delete":
        index.delete(at)
        for position in at:
            items.pop(int(position), None)
        return index
    vectors = whole(rng, len(at), dim)
    index.upsert(at, vectors)
    items.update((int(position), vector) for position, vector in zip(at, vectors, strict=True))
    return index


@given(history=histories())
@pytest.mark.parametrize("kind", KINDS)
def test_any_history_of_changes_is_searched_as_a_list_would_be(kind, history):
    rng, vectors, steps, n_best = history
    dim = vectors.shape[1]
    queries = whole(rng, 3, dim)
    index = ExactIndex(vectors)
    if kind != "exact":
        index = IVFIndex(vectors, rng.normal(size=(40, dim)))
    check = assert_found_of if kind != "lists" else assert_honest
    items = dict(enumerate(vectors))
    with pytest.MonkeyPatch.context() as patch:
        if kind == "lists":
            for name in ("SCAN", "MASKED_SCAN", "START"):
                patch.setattr(ivf, name, 0.0)
        patch.setattr(layers, "LEAST_BUFFER", 2)
        for step in ["nothing", *steps]:
            if step != "nothing":
                index = changed(index, step, items, rng, dim)
            n = index.n_items
            skip = [set(np.flatnonzero(rng.random(n) < 0.3).tolist()) for _ in queries]
            allowed = rng.random(n) < rng.choice([0.1, 0.6, 1.0])
            check(index.search(queries, n_best), queries, items, n_best)
            found = index.search(queries, n_best, skip=as_skip(skip), allowed=allowed)
            check(found, queries, items, n_best, skip, set(np.flatnonzero(allowed).tolist()))
            report = index.report()
            assert (report["n_items"], report["n_deleted"]) == (n, n - len(items))


@pytest.mark.parametrize("n_items", [0, 1, 2, 40])
def test_more_than_there_are_gives_all_and_then_none(build, n_items):
    rng = np.random.default_rng(0)
    items, queries = whole(rng, n_items, 3), whole(rng, 2, 3)
    assert_found(build(items).search(queries, 45), top_items(queries, items, 45), 45)


def test_nothing_allowed_and_all_left_out_give_none(build):
    rng = np.random.default_rng(0)
    items, queries = whole(rng, 40, 3), whole(rng, 2, 3)
    index = build(items)
    assert (index.search(queries, 3, allowed=np.zeros(40, bool))[0] == -1).all()
    assert (index.search(queries, 3, skip=as_skip([set(range(40))] * 2))[0] == -1).all()
    index.delete(np.arange(40))
    assert (index.search(queries, 3)[0] == -1).all()
    assert index.report()["n_deleted"] == 40


def test_equal_vectors_and_queries_of_zeros_are_answered_by_position(build):
    items = np.ones((50, 4), np.float32)
    index = build(items)
    queries = np.array([[1, 2, 3, 4], [0, 0, 0, 0]], np.float32)
    ids, scores = index.search(queries, 50)
    assert ids.tolist() == [list(range(50))] * 2
    assert scores.tolist() == [[10.0] * 50, [0.0] * 50]


def test_a_query_may_leave_popularity_out(build):
    """alpha in the last coordinate: 0 orders by taste alone, and a large one by the items' own scores."""
    rng = np.random.default_rng(1)
    items, queries = whole(rng, 60, 5), whole(rng, 3, 5)
    index = build(items)
    for alpha in (0.0, 0.5, 64.0):
        queries[:, -1] = alpha
        assert_honest(index.search(queries, 20), queries, dict(enumerate(items)), 20)


def test_no_queries_and_none_wanted_are_fine(build):
    index = build(whole(np.random.default_rng(0), 20, 3))
    assert index.search(np.zeros((0, 3), np.float32), 4)[0].shape == (0, 4)
    assert index.search(np.ones((2, 3), np.float32), 0)[0].shape == (2, 0)


def test_a_mask_from_before_an_item_came_leaves_it_out(build):
    index = build(np.ones((20, 2), np.float32))
    mask = np.ones(20, bool)
    index.upsert([20], [[9.0, 9.0]])
    query = np.ones((1, 2), np.float32)
    assert index.search(query, 1)[0].tolist() == [[20]]
    assert index.search(query, 1, allowed=mask)[0].tolist() == [[0]]


def test_vectors_come_back(build):
    rng = np.random.default_rng(0)
    items, other = whole(rng, 30, 3), whole(rng, 2, 3)
    index = build(items)
    index.upsert([30, 4], other)
    np.testing.assert_array_equal(index.vectors([0, 30, 4, 29]), [items[0], *other, items[29]])
    assert index.vectors([]).shape == (0, 3)


def test_a_saved_index_answers_the_same(build):
    vectors, queries = fm_vectors(3000, 40)
    index = build(vectors)
    index.upsert([7, 3000], queries[:2])
    index.delete([11, 12])
    arrays, meta = index.to_state()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = type(index).from_state(arrays, meta)
    for n in (10, 3000):
        for one, other in zip(index.search(queries, n), again.search(queries, n), strict=True):
            np.testing.assert_array_equal(one, other)
    # faiss holds changed and deleted items until it is loaded or built again
    assert again.report() | {"bytes": 0} == index.report() | {"bytes": 0}
    again.upsert([3001], queries[:1])  # what was loaded is its own
    assert index.n_items == 3001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("packed", np.zeros((1, 3, 8), np.float32)),
        ("packed", np.full((2, 3, 16), np.nan, np.float32)),
        ("changes.at", np.array([5, 5])),
        ("changes.at", np.array([-1, 3])),
        ("changes.at", np.array([3, 22])),
        ("changes.rows", np.zeros((1, 3), np.float32)),
        ("changes.live", np.ones(3, np.uint8)),
    ],
)
def test_a_broken_file_is_refused(build, name, value):
    index = build(np.ones((20, 3), np.float32))
    index.upsert([3, 20], np.zeros((2, 3)))
    arrays, meta = index.to_state()
    with pytest.raises(ModelFileError, match="build it again"):
        type(index).from_state(arrays | {name: value}, meta)


def test_bad_input_says_what_was_expected(build):
    index = build(np.ones((20, 3), np.float32))
    with pytest.raises(DataError, match=r"queries have shape \(2, 4\), expected \(n, 3\)"):
        index.search(np.ones((2, 4)), 3)
    with pytest.raises(DataError, match="row 1 of the queries is not finite"):
        index.search(np.array([[1, 1, 1], [1, np.nan, 1]]), 3)
    with pytest.raises(DataError, match="allowed is int64"):
        index.search(np.ones((1, 3)), 3, allowed=np.ones(20, int))
    with pytest.raises(DataError, match="position 20 is not there: expected 0 to 19"):
        index.delete([20])
    with pytest.raises(DataError, match="new ones have the positions from 20 on"):
        index.upsert([21, 22], np.ones((2, 3)))
    with pytest.raises(DataError, match="2 positions, but 1 vectors"):
        index.upsert([1, 2], np.ones((1, 3)))
    with pytest.raises(DataError, match=r"positions are float64"):
        index.delete([0.5])
    assert index.n_items == 20
    assert index.report()["n_deleted"] == 0


def test_searches_see_whole_changes_while_another_thread_makes_them(build, monkeypatch):
    """Vectors are all ones times a number: a half-written one would score something in between."""
    monkeypatch.setattr(layers, "LEAST_BUFFER", 8)
    index = build(np.ones((64, 8), np.float32))
    stop, bad = threading.Event(), []

    def look():
        while not stop.is_set():
            ids, scores = index.search(np.ones((2, 8), np.float32), 100)
            if not (np.isin(scores[scores > -np.inf], [8.0, 16.0, 24.0]).all() and (ids[:, 0] >= 0).all()):
                bad.append(scores)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(60):
        index.upsert(np.arange(step, step + 6), np.full((6, 8), 2.0 + step % 2))
        index.delete([step])
    stop.set()
    for reader in readers:
        reader.join()
    assert not bad
    assert index.report()["n_deleted"] == 60


def test_what_was_changed_during_a_rebuild_is_caught_up(build, monkeypatch):
    rng = np.random.default_rng(5)
    items, queries = whole(rng, 60, 4), whole(rng, 3, 4)
    index = build(items)
    index.upsert([60, 3], whole(rng, 2, 4))
    index.delete([5, 6])
    fresh = index.rebuilt()
    index.upsert([3, 6, 61, 62], whole(rng, 4, 4))  # changed again, back again, new
    index.delete([7, 60, 61])
    fresh.catch_up(index)
    for one, other in zip(index.search(queries, 70), fresh.search(queries, 70), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fresh.report()["n_deleted"] == index.report()["n_deleted"] == 4


def test_an_exact_index_takes_a_long_buffer_in_by_itself(monkeypatch):
    monkeypatch.setattr(layers, "LEAST_BUFFER", 4)
    index = ExactIndex(np.ones((20, 2), np.float32))
    for new in range(20, 30):
        index.upsert([new], [[2.0, 2.0]])
        assert index.report()["n_buffered"] <= 4
        assert not index.stale
    index.delete([25])
    ids, _ = index.search(np.ones((1, 2), np.float32), 10)
    assert ids[0].tolist() == [20, 21, 22, 23, 24, 26, 27, 28, 29, 0]


def test_small_catalogues_are_searched_exactly_and_large_ones_by_lists():
    vectors, queries = fm_vectors(6000, 200)
    assert isinstance(choose_index(vectors, queries), ExactIndex)
    assert isinstance(choose_index(vectors, queries, limit=5000, target=0.8), IVFIndex)
    assert isinstance(choose_index(vectors, queries[:5], limit=5000), ExactIndex)  # too few to measure with
    everything = np.random.default_rng(0).normal(size=(6000, 17)).astype(np.float32)  # clusters of nothing
    assert isinstance(choose_index(everything, everything[:200], limit=5000), ExactIndex)
    with pytest.raises(OptionError, match="recall is at most 1"):
        choose_index(vectors, queries, target=1.5)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_change_nothing(n_threads):
    vectors, queries = fm_vectors(2000, 10)
    expected = ExactIndex(vectors).search(queries, 50)
    found = ExactIndex(vectors, n_threads=n_threads).search(queries, 50)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
