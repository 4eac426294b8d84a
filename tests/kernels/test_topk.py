"""Exact maximum inner product search against a full sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.kernels.fm import scores
from crossfm.kernels.topk import LANES, pack_items, top_items, unpack_items
from machines import ISAS, as_rows, random_params, random_rows, using_isa
from oracles import recall_vectors
from oracles import top_items as naive_top_items


def as_skip(lists):
    """Sorted ids per query as (offsets, ids)."""
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return offsets, np.array([i for ids in lists for i in sorted(ids)], np.uint32)


def assert_best(queries, items, n_best, skip=None, n_threads=1, allowed=None):
    """``items`` is (n_items, dim) here; integers, so that the scores are exact and ties are many."""
    expected = naive_top_items(queries, items, n_best, skip, allowed)
    mask = None
    if allowed is not None:
        mask = np.zeros(len(items), np.uint8)
        mask[list(allowed)] = 1
    for isa in ISAS:
        for layout in (np.ascontiguousarray(items.T), pack_items(items)):
            with using_isa(isa):
                ids, best = top_items(
                    queries,
                    layout,
                    n_best,
                    n_items=len(items),
                    skip=None if skip is None else as_skip(skip),
                    allowed=mask,
                    n_threads=n_threads,
                )
            assert ids.shape == best.shape == (len(queries), n_best)
            for row, pairs in enumerate(expected):
                missing = n_best - len(pairs)
                assert ids[row].tolist() == [i for i, _ in pairs] + [-1] * missing, (isa, layout.ndim)
                assert best[row].tolist() == [s for _, s in pairs] + [-np.inf] * missing, (isa, layout.ndim)


@st.composite
def searches(draw):
    n_queries, n_items = draw(st.integers(0, 9)), draw(st.integers(0, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    dim = draw(st.integers(1, 9))
    high = draw(st.sampled_from([1, 2, 5]))  # 1: every vector is zero, all scores tie
    queries, items = (
        rng.integers(-high + 1, high, (n, dim)).astype(np.float32) for n in (n_queries, n_items)
    )
    share = draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    skip = [set(np.flatnonzero(rng.random(n_items) < share).tolist()) for _ in range(n_queries)]
    share = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    allowed = set(np.flatnonzero(rng.random(n_items) < share).tolist())
    n_best = draw(st.integers(0, n_items + 3))
    return queries, items, n_best, draw(st.sampled_from([None, skip])), draw(st.sampled_from([None, allowed]))


@given(searches(), st.integers(1, 3))
def test_the_best_items_are_those_of_a_full_sort(search, n_threads):
    *search, allowed = search
    assert_best(*search, n_threads=n_threads, allowed=allowed)


@pytest.mark.parametrize("n_queries", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("n_best", [1, 5, 300])
def test_lists_that_change_with_every_item_end_right(n_best, n_queries):
    """Scores rise or fall with the id, or by chance with many ties: what is kept is thinned out again and again."""
    n = 3000
    rng = np.random.default_rng(n_best)
    items = np.stack([np.arange(n), rng.integers(0, 50, n)], axis=1).astype(np.float32)
    queries = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)[np.arange(n_queries) % 4]
    assert_best(queries, items, n_best)
    assert_best(queries, items, n_best, n_threads=3, allowed=set(range(0, n, 7)))
    assert_best(queries, items, n_best, [set(range(q, n, 3)) for q in range(n_queries)])


def test_few_allowed_items_are_found_wherever_they_stand():
    items = np.arange(5000, dtype=np.float32)[:, None] % 977
    queries = np.array([[1.0], [-1.0]], np.float32)
    for allowed in ({0}, {4999}, {15, 16, 4998}, {2048}, set()):
        assert_best(queries, items, 2, allowed=allowed)
        assert_best(queries, items, 2, [{4999}, {15}], n_threads=2, allowed=allowed)


def test_scores_do_not_depend_on_what_is_worked_on_at_once():
    """Bit by bit: alone or together, packed or not, any threads, any subset of the items."""
    rng = np.random.default_rng(3)
    queries, items = (rng.normal(size=(n, 33)).astype(np.float32) for n in (19, 777))
    packed = pack_items(items)
    for isa in ISAS:
        with using_isa(isa):
            ids, best = top_items(queries, packed, 50, n_items=777)
            for number, query in enumerate(queries):
                alone = top_items(query[None], np.ascontiguousarray(items.T), 50, n_threads=2)
                few = np.sort(ids[number])
                of_few = top_items(query[None], pack_items(items[few]), 50, n_items=50)
                assert alone[0].tolist() == [ids[number].tolist()] == [few[of_few[0][0]].tolist()]
                assert alone[1].tolist() == [best[number].tolist()] == of_few[1].tolist()


@pytest.mark.parametrize("n_items", [0, 1, 15, 16, 17, 40])
def test_packed_vectors_come_back(n_items):
    vectors = np.random.default_rng(n_items).normal(size=(n_items, 5)).astype(np.float32)
    packed = pack_items(vectors)
    assert packed.shape == (-(-n_items // LANES), 5, LANES)
    assert not packed.transpose(0, 2, 1).reshape(-1, 5)[n_items:].any()
    np.testing.assert_array_equal(unpack_items(packed, np.arange(n_items)), vectors)


@pytest.mark.parametrize("n_items", [1, 1023, 1024, 1025, 1040, 2048, 2055])
def test_blocks_of_items_meet_without_a_seam(n_items):
    rng = np.random.default_rng(n_items)
    queries = rng.integers(-3, 4, (5, 4)).astype(np.float32)
    items = rng.integers(-3, 4, (n_items, 4)).astype(np.float32)
    edges = {i for i in (0, 1022, 1023, 1024, 1025, 2047, 2048, n_items - 1) if i < n_items}
    skip = [set(), edges, set(range(n_items)), set(range(0, n_items, 2)), edges]
    assert_best(queries, items, 7)
    assert_best(queries, items, 7, skip)
    assert_best(queries, items, n_items + 1, skip)


@pytest.mark.parametrize("n_queries", [1, 2, 3, 4, 5, 7, 8, 13])
def test_any_number_of_queries_gets_the_same_answers_with_any_number_of_threads(n_queries):
    rng = np.random.default_rng(n_queries)
    queries = rng.integers(-4, 5, (n_queries, 3)).astype(np.float32)
    items = rng.integers(-4, 5, (50, 3)).astype(np.float32)
    skip = [set(rng.choice(50, 10, replace=False).tolist()) for _ in range(n_queries)]
    for n_threads in (1, 2, 3, 20):
        assert_best(queries, items, 6, skip, n_threads)


def test_equal_items_score_equal_wherever_they_stand():
    """Real-valued scores round the same in whole vectors and in the rest behind them, so ties stay ties."""
    rng = np.random.default_rng(1)
    items = np.repeat(rng.normal(size=(1, 17)), 45, axis=0).astype(np.float32)
    queries = np.repeat(rng.normal(size=(1, 17)), 6, axis=0).astype(
        np.float32
    )  # a group of four and two more
    for isa in ISAS:
        with using_isa(isa):
            ids, best = top_items(queries, np.ascontiguousarray(items.T), 45)
        assert ids.tolist() == [list(range(45))] * 6, isa
        assert len(np.unique(best)) == 1


def test_the_last_coordinate_of_a_large_catalogue_is_read():
    items = np.zeros((33, 3000), np.float32)
    items[32] = np.arange(3000)
    ids, best = top_items(np.ones((1, 33), np.float32), items, 3)
    assert ids.tolist() == [[2999, 2998, 2997]]
    assert best.tolist() == [[2999.0, 2998.0, 2997.0]]


def test_no_queries_no_items_and_none_wanted_are_fine():
    items = np.ones((2, 5), np.float32)
    assert top_items(np.ones((0, 2), np.float32), items, 3)[0].shape == (0, 3)
    assert top_items(np.ones((2, 2), np.float32), items, 0)[0].shape == (2, 0)
    assert top_items(np.ones((1, 2), np.float32), np.ones((2, 0), np.float32), 2)[0].tolist() == [[-1, -1]]


def test_items_with_nan_scores_are_never_returned():
    items = np.array([[1.0, np.nan, 3.0]], np.float32)
    for isa in ISAS:
        with using_isa(isa):
            assert top_items(np.ones((1, 1), np.float32), items, 3)[0].tolist() == [[2, 0, -1]]


@pytest.mark.parametrize("n_factors", [0, 1, 8, 13])
def test_recall_by_inner_product_is_ranking_by_the_score(n_factors):
    rng = np.random.default_rng(n_factors)
    params = random_params(rng, 6 + 15, n_factors)
    queries = random_rows(rng, 5, 6, values=True)
    items = [[(6 + i, x) for i, x in row] for row in random_rows(rng, 40, 15, values=True)]
    split = [[recall_vectors(q, t, params.bias, params.w, params.V) for t in items] for q in queries]
    q = np.array([row[0][1] for row in split], np.float32)
    t = np.array([vectors[2] for vectors in split[0]], np.float32)
    ids, best = top_items(q, np.ascontiguousarray(t.T), len(items))
    for number, query in enumerate(queries):
        whole = scores(as_rows([query + item for item in items], 21), params)
        const = split[number][0][0]
        np.testing.assert_allclose(const + best[number], whole[ids[number]], rtol=1e-5, atol=1e-5)
        assert (np.diff(whole[ids[number]]) <= 1e-5).all()
