"""An index that looks at a part of the items reaches the recall it was asked for, and says what it reached."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from catalogues import fm_vectors
from crossfm.errors import DataError, MissingLibraryError, ModelFileError, OptionError
from crossfm.kernels.topk import pack_items
from crossfm.recommender import ivf
from crossfm.recommender.index import ExactIndex
from crossfm.recommender.ivf import IVFIndex
from crossfm.recommender.probes import Probes, lists_needed, recall_of
from crossfm.recommender.whiten import Whitening

N_ITEMS = 20_000


@pytest.fixture(scope="module")
def large():
    """Items, an index by lists, the exact one, and queries that neither has seen."""
    vectors, queries = fm_vectors(N_ITEMS, 700)
    return vectors, IVFIndex(vectors, queries[:500]), ExactIndex(vectors), queries[500:]


@pytest.fixture
def by_lists(monkeypatch):
    """Look at lists whatever it costs: for this size an exact search costs less."""
    for name in ("SCAN", "MASKED_SCAN", "START"):
        monkeypatch.setattr(ivf, name, 0.0)


@pytest.fixture
def looks(monkeypatch):
    """Count the searches that look at all items."""
    counted = []
    plain = IVFIndex.__mro__[1]._search_base

    def count(self, layers, queries, *rest):
        counted.append(len(queries))
        return plain(self, layers, queries, *rest)

    monkeypatch.setattr(IVFIndex.__mro__[1], "_search_base", count)
    return counted


def test_new_queries_get_the_recall_that_was_asked_for(large, by_lists, looks):
    _, index, exact, queries = large
    for k in (10, 100, 500):
        found, best = index.search(queries, k)[0], exact.search(queries, k)[0]
        assert looks.pop() == len(queries)  # the exact index alone
        assert not looks
        assert recall_of(found, best) >= 0.98, k  # of other queries than the 0.99 was measured on
        assert index.share(k) < 0.6


def test_the_report_says_what_was_measured(large):
    _, index, exact, _ = large
    report = index.report()
    recall = report["recall"]
    assert (report["kind"], report["n_items"], report["n_lists"]) == ("ivf", N_ITEMS, 256)
    assert recall["value"] >= recall["target"] == 0.99
    assert recall["k"] == 100
    assert recall["queries"] == 125  # a quarter
    assert 1 <= recall["probes"] < 256
    assert report["bytes"] > exact.report()["bytes"] >= N_ITEMS * 17 * 4


def test_what_was_measured_is_the_recall_on_queries_that_were_held_out(large, by_lists):
    _, index, exact, _ = large
    held_out = index._queries[3::4]
    value = recall_of(index.search(held_out, 100)[0], exact.search(held_out, 100)[0])
    assert value == pytest.approx(index.report()["recall"]["value"], abs=1e-9)


def test_scores_are_those_of_the_exact_search(large, by_lists):
    _, index, exact, queries = large
    ids, scores = index.search(queries, 100)
    best, expected = exact.search(queries, 2000)
    for row in range(len(queries)):
        score = dict(zip(best[row].tolist(), expected[row].tolist(), strict=True))
        assert scores[row].tolist() == [score[i] for i in ids[row].tolist()]


@pytest.mark.parametrize("target", [0.7, 0.9, 0.999])
def test_a_higher_target_looks_at_more(target, large, by_lists):
    vectors, index, exact, queries = large
    other = IVFIndex(vectors, index._queries, target=target)
    assert (other.share(100) > index.share(100)) == (target > 0.99)
    assert other.report()["recall"]["value"] >= target
    assert recall_of(other.search(queries, 100)[0], exact.search(queries, 100)[0]) >= target - 0.02


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.03])
def test_filters_keep_the_recall_and_the_number(large, by_lists, share):
    _, index, exact, queries = large
    allowed = np.random.default_rng(0).random(N_ITEMS) < share
    ids, _ = index.search(queries, 100, allowed=allowed)
    assert (ids >= 0).all()
    assert allowed[ids].all()
    assert recall_of(ids, exact.search(queries, 100, allowed=allowed)[0]) >= 0.97


def test_a_filter_far_from_the_query_still_gives_as_many_as_there_are(large, by_lists, looks):
    """The worst two thirds of the items for the query: none of them is in the lists that are looked at first."""
    vectors, index, _, queries = large
    order = np.argsort(-(vectors @ queries[0]))
    for far in (order[N_ITEMS // 3 :], order[-150:]):
        allowed = np.zeros(N_ITEMS, bool)
        allowed[far] = True
        ids, _ = index.search(queries[:1], 100, allowed=allowed)
        assert (ids >= 0).all()
        assert allowed[ids].all()
        assert len(set(ids[0].tolist())) == 100
    ids, _ = index.search(queries[:1], 200, allowed=allowed)
    assert sorted(ids[0][:150].tolist()) == sorted(far.tolist())
    assert (ids[0][150:] == -1).all()


def test_long_lists_of_exclusions_are_left_out_and_replaced(large, by_lists):
    _, index, exact, queries = large
    best = exact.search(queries[:20], 400)[0]
    skip = np.arange(21) * 400, np.sort(best, axis=1).ravel().astype(np.uint32)
    ids, _ = index.search(queries[:20], 100, skip=skip)
    assert (ids >= 0).all()
    assert not any(np.isin(row, out).any() for row, out in zip(ids, best, strict=True))
    assert recall_of(ids, exact.search(queries[:20], 100, skip=skip)[0]) >= 0.97


def test_new_changed_and_deleted_items_count_at_once(large, by_lists):
    vectors, _, exact, queries = large
    index = IVFIndex(vectors, queries)
    first = exact.search(queries[:1], 5)[0][0]
    index.delete(first[:2])
    index.upsert([first[2], N_ITEMS], np.stack([-queries[0], 10 * queries[0]]))
    ids, _ = index.search(queries[:1], 3)
    assert ids[0].tolist() == [N_ITEMS, *first[3:5].tolist()]


def test_a_long_buffer_asks_for_a_rebuild_which_takes_it_in(large):
    vectors, _, _, queries = large
    index = IVFIndex(vectors[:15_000], queries)
    assert not index.stale
    index.upsert(np.arange(15_000, 17_000), vectors[15_000:17_000])
    index.delete(np.arange(100))
    assert index.stale
    fresh = index.rebuilt()
    assert not fresh.stale
    assert (fresh.report()["n_items"], fresh.report()["n_deleted"]) == (17_000, 100)
    assert fresh.report()["n_buffered"] == 0
    assert index.stale  # it stays as it was
    expected = ExactIndex(vectors[:17_000])
    expected.delete(np.arange(100))
    found = fresh.search(queries, 100)[0]
    assert recall_of(found, expected.search(queries, 100)[0]) >= 0.98


def test_searches_of_several_threads_agree(large, by_lists):
    _, index, _, queries = large
    expected = [index.search(query[None], 50)[0].tolist() for query in queries[:40]]
    found = {}

    def work(part):
        for n in range(part, 40, 4):
            found[n] = index.search(queries[n : n + 1], 50)[0].tolist()

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(40)] == expected


def test_other_users_of_faiss_keep_their_threads(large, by_lists):
    import faiss

    vectors, index, _, queries = large
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        index.search(queries[:2], 10)
        IVFIndex(vectors[:500], queries)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_one_seed_gives_one_index(large):
    vectors, _, _, queries = large
    one, other = (IVFIndex(vectors[:3000], queries, seed=4) for _ in range(2))
    for name, array in one.to_state()[0].items():
        np.testing.assert_array_equal(array, other.to_state()[0][name], err_msg=name)


def test_without_faiss_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors, queries = fm_vectors(100, 20)
    with pytest.raises(MissingLibraryError, match=r"pip install 'crossfm\[recommend\]'"):
        IVFIndex(vectors, queries)


def test_too_few_queries_and_impossible_targets_are_refused():
    vectors, queries = fm_vectors(100, 20)
    with pytest.raises(DataError, match="7 different queries, but it takes 8"):
        IVFIndex(vectors, np.tile(queries[:7], (3, 1)))
    with pytest.raises(OptionError, match="recall is at most 1"):
        IVFIndex(vectors, queries, target=1.01)
    with pytest.raises(OptionError, match="target=0"):
        IVFIndex(vectors, queries, target=0)
    with pytest.raises(OptionError, match="n_lists=0"):
        IVFIndex(vectors, queries, n_lists=0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lists", lambda a: np.full_like(a, 64)),
        ("lists", lambda a: np.full_like(a, -1)),
        ("lists", lambda a: a[:-1]),
        ("lists", lambda a: a.astype(np.int64)),
        ("centroids", lambda a: a[:, :-1]),
        ("centroids", lambda a: a * np.nan),
        ("centroids", lambda a: a[:0]),
        ("forth", lambda a: a[:-1]),
        ("back", lambda a: a.astype(np.float64)),
        ("probes.counts", lambda a: a * 0),
        ("probes.counts", lambda a: a + 1000),
        ("probes.ranks", lambda a: a[::-1].copy()),
    ],
)
def test_faiss_is_given_no_arrays_that_do_not_fit(name, change):
    vectors, queries = fm_vectors(500, 30)
    arrays, meta = IVFIndex(vectors, queries).to_state()
    with pytest.raises(ModelFileError, match="build it again"):
        IVFIndex.from_state(arrays | {name: change(arrays[name])}, meta)


@pytest.mark.parametrize("spread", [1.0, 0.0])
def test_whitened_neighbours_are_in_the_order_of_inner_products(spread):
    """Also where queries never leave a line, and the inverse has to be kept from the infinite."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(333, 6)).astype(np.float32) + np.float32(0.5)
    queries = rng.normal(size=(50, 6)) * spread + rng.normal(size=(50, 1)) * np.arange(6)
    queries = queries.astype(np.float32)
    own = Whitening.fit(pack_items(items), 333, queries)
    turned = np.concatenate(list(own.items(pack_items(items), 333)))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.sqrt(own.radius2), rtol=1e-5)
    distance = ((own.queries(queries)[:, None] - turned[None]) ** 2).sum(axis=2, dtype=np.float64)
    inner = queries.astype(np.float64) @ items.T
    # |q - t|^2 is a constant of the query less twice the inner product
    const = distance + 2 * inner
    np.testing.assert_allclose(const, np.broadcast_to(const[:, :1], const.shape), rtol=2e-4, atol=2e-3)
    moments = own.queries(queries)[:, :-1].T.astype(np.float64) @ own.queries(queries)[:, :-1]
    if spread:  # queries are spread alike in all directions
        np.testing.assert_allclose(moments, np.eye(6) * moments[0, 0], atol=1e-3 * moments[0, 0])


def test_probes_are_counted_as_a_walk_through_the_lists_would():
    rng = np.random.default_rng(0)
    centroids, queries = rng.normal(size=(9, 3)), rng.normal(size=(5, 3))
    lists = rng.integers(0, 9, (5, 20))
    needed = lists_needed(centroids.astype(np.float32), queries.astype(np.float32), lists)
    for q, query in enumerate(queries):
        walk = np.argsort(((centroids - query) ** 2).sum(axis=1)).tolist()
        assert needed[q].tolist() == [walk.index(at) + 1 for at in lists[q]]
    probes = Probes.measured(needed, 0.9)
    assert probes.ranks.tolist() == [10, 20]
    for rank, count in zip(probes.ranks, probes.counts, strict=True):
        assert (needed[:, :rank] <= count).mean() >= 0.9
    assert (needed[:, :10] <= probes.counts[0] - 1).mean() < 0.9
    assert (probes.at(1), probes.at(10.5)) == (probes.counts[0], probes.counts[1])
    assert probes.at(21) is None
