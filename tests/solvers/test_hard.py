"""Hard negatives: which items stand in the lists, and how they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from crossfm.core.params import FMParams
from crossfm.kernels.choices import NO_ITEM, Negatives
from crossfm.solvers import hard as module
from crossfm.solvers.hard import HardNegatives
from crossfm.solvers.pairwise import CatalogueNegatives
from machines import as_rows, random_params, random_rows
from oracles import hard_items

N_QUERY, N_ITEM, N_SIDES, N_CHOICES = 5, 9, 12, 20


def sample(seed=0, n_factors=4):
    """Choices whose rows repeat, also among owners; items with features behind those of the queries; a machine."""
    rng = np.random.default_rng(seed)
    pool = random_rows(rng, 4, N_QUERY, values=True, longest=3)
    rows = [pool[i] for i in rng.integers(0, 4, N_CHOICES)]
    items = random_rows(rng, N_SIDES, N_ITEM, values=True, longest=3)
    items = [[(N_QUERY + i, x) for i, x in row] for row in items]
    params = random_params(rng, N_QUERY + N_ITEM, n_factors)
    return rows, rng.integers(0, N_SIDES, N_CHOICES), rng.integers(0, 3, N_CHOICES), items, params


def prepared(rows, chosen, owners, items, ranks, share=0.5, seed=1):
    rng = np.random.default_rng(seed)
    items = as_rows(items, N_QUERY + N_ITEM, values=True)
    return HardNegatives(as_rows(rows, N_QUERY, values=True), items, chosen, owners, ranks, share, rng)


def lists_of(found):
    """The list of each choice."""
    return [found.hard[at][found.hard[at] != NO_ITEM].tolist() for at in found.hard_list]


@pytest.mark.parametrize("ranks", [(0, 4), (2, 7), (5, 100), (1, 2)])
@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("n_factors", [0, 4])
def test_lists_are_the_ranks_of_a_full_sort_without_what_the_owner_chose(n_factors, owned, ranks):
    rows, chosen, owners, items, params = sample(2, n_factors)
    owners = owners if owned else None
    found = prepared(rows, chosen, owners, items, ranks).refreshed(Negatives(N_SIDES, chosen), params, 1)
    expected = hard_items(rows, chosen, owners, items, ranks, params.w, params.V)
    assert lists_of(found) == expected
    assert found.hard.shape[1] == min(ranks[1], N_SIDES) - ranks[0]


def test_a_share_of_the_draws_comes_from_the_list_and_the_rest_from_the_catalogue():
    rows, chosen, owners, items, params = sample(3)
    pool = CatalogueNegatives(chosen, owners, N_SIDES, "uniform")
    found = prepared(rows, chosen, owners, items, (1, 4), share=0.7).refreshed(pool.negatives, params, 1)
    n, at = 20_000, 6
    drawn = found.draw(np.full(n, at), 1, seed=5).ravel()
    share = np.bincount(drawn[drawn >= 0], minlength=N_SIDES) / n  # of a few nothing is found
    banned = np.unique(chosen[owners == owners[at]])
    assert (share[banned] == 0).all()
    listed = lists_of(found)[at]
    assert len(listed) == 3
    expected = np.full(N_SIDES, 0.3 / (N_SIDES - len(banned)))
    expected[listed] += 0.7 / 3
    expected[banned] = 0
    np.testing.assert_allclose(share, expected, atol=0.015)


def test_what_a_list_cannot_give_is_drawn_from_the_catalogue():
    """The owner chose all items but two: a list of ranks 1 to 3 has one, and no more."""
    rows, chosen = [[(0, 1.0)]] * 10, np.arange(10)
    items = [[(N_QUERY + i % N_ITEM, 1.0 + i)] for i in range(N_SIDES)]
    params = random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 2)
    found = prepared(rows, chosen, None, items, (1, 4), share=1.0)
    found = found.refreshed(CatalogueNegatives(chosen, np.zeros(10), N_SIDES, "uniform").negatives, params, 1)
    (listed,) = lists_of(found)[0]
    drawn = found.draw(np.zeros(6000, np.int64), 1, seed=2).ravel()
    share = np.bincount(drawn[drawn >= 0], minlength=N_SIDES) / 6000
    tries = (1 - (10 / 12) ** 11) / 2  # for each of the two, where a draw of three finds no place of the list
    other = ({10, 11} - {listed}).pop()
    assert share[listed] == pytest.approx(1 / 3 + 2 / 3 * tries, abs=0.03)
    assert share[other] == pytest.approx(2 / 3 * tries, abs=0.03)
    assert share[:10].sum() == 0


def test_lists_keep_to_their_memory_and_other_queries_get_one_each_time(monkeypatch):
    n = 100
    rows, chosen = [[(at % N_QUERY, 1.0 + at)] for at in range(n)], np.arange(n) % N_SIDES
    items = [[(N_QUERY + i % N_ITEM, 1.0)] for i in range(N_SIDES)]
    params = random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 2)
    monkeypatch.setattr(module, "MAX_BYTES", 4 * 3 * 20)
    monkeypatch.setattr(module, "AT_ONCE", 7 * 4)  # seven queries a search
    lists, again = (prepared(rows, chosen, None, items, (1, 4)) for _ in range(2))
    with_list = []
    for _ in range(2):
        found = lists.refreshed(Negatives(N_SIDES, chosen), params, 1)
        same = again.refreshed(Negatives(N_SIDES, chosen), params, 1)
        assert np.array_equal(found.hard, same.hard)
        assert np.array_equal(found.hard_list, same.hard_list)
        assert found.hard.nbytes == module.MAX_BYTES
        listed = np.flatnonzero(found.hard_list >= 0)
        assert np.array_equal(found.hard_list[listed], np.arange(20))
        whole = hard_items(rows, chosen, None, items, (1, 4), params.w, params.V)
        assert [found.hard[found.hard_list[at]].tolist() for at in listed] == [whole[at] for at in listed]
        with_list.append(set(listed.tolist()))
    assert with_list[0] != with_list[1]
    without = next(iter(set(range(n)) - with_list[1]))
    share = np.bincount(found.draw(np.full(5000, without), 1, seed=0).ravel(), minlength=N_SIDES) / 5000
    np.testing.assert_allclose(np.delete(share, chosen[without]), 1 / (N_SIDES - 1), atol=0.03)


def test_the_draws_of_a_machine_without_lists_stay():
    chosen = np.arange(10) % 4
    pool = CatalogueNegatives(chosen, None, N_SIDES, "popularity").negatives
    rows, items = [[(0, 1.0)]] * 10, [[(N_QUERY, 1.0)]] * N_SIDES
    params = FMParams(
        0.0, *(random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 2).__dict__[n] for n in "wV")
    )
    found = prepared(rows, chosen, None, items, (0, 3), share=0.0).refreshed(pool, params, 1)
    which = np.arange(10)
    assert np.array_equal(found.draw(which, 5, seed=3), pool.draw(which, 5, seed=3))
