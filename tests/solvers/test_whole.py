"""The loss over all pairs, without sampling: its sums and steps against a double loop."""

from __future__ import annotations

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.errors import MemoryLimitError
from crossfm.kernels.table import Table
from crossfm.solvers import whole
from crossfm.solvers.whole import WholeData, WholePass
from machines import as_rows, random_params, random_rows
from oracles import whole_loss

N_QUERY, N_ITEM, N_SIDES, N_CHOICES = 6, 9, 7, 14


def sample(seed, *, values=True, grouped=True):
    """Choices whose rows repeat, in groups that share rows, with weights; items' features are behind the queries'."""
    rng = np.random.default_rng(seed)
    pool = [*random_rows(rng, 4, N_QUERY, values=values, longest=3), []]
    rows = [pool[i] for i in rng.integers(0, len(pool), N_CHOICES)]
    items = random_rows(rng, N_SIDES, N_ITEM, values=values, longest=3)
    items = [[(N_QUERY + i, x) for i, x in row] for row in items]
    chosen = rng.integers(0, N_SIDES - 1, N_CHOICES)  # nobody chose the last one
    groups = rng.integers(0, 3, N_CHOICES) if grouped else None
    return rows, chosen, groups, np.round(rng.random(N_CHOICES) + 0.1, 2), items, rng.random(N_SIDES)


def prepared(case, values=True):
    rows, chosen, groups, weights, items, item_weight = case
    data = WholeData.of(as_rows(rows, N_QUERY, values=values), chosen, groups, item_weight, weights)
    return data, as_rows(items, N_QUERY + N_ITEM, values=values)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("n_factors", [0, 1, 4, 9])
def test_the_loss_is_the_double_loop_in_one_batch_or_in_many(n_factors, grouped):
    case = sample(n_factors, grouped=grouped)
    data, items = prepared(case)
    params = random_params(np.random.default_rng(3), N_QUERY + N_ITEM, n_factors)
    expected = whole_loss(*case, params.w, params.V)
    every = np.arange(len(data.queries))
    for size in (1, 2, len(every)):
        step = WholePass(
            data, items, Table.start(params, RULES["sgd"], still := Hyper(learning_rate=1e-30)), 1
        ).step
        found = sum(step(every[at : at + size], still) for at in range(0, len(every), size))
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("n_factors", [0, 1, 4, 9])
def test_a_step_is_the_gradient_by_finite_differences(n_factors, grouped, values):
    case = sample(10 + n_factors, values=values, grouped=grouped)
    data, items = prepared(case, values)
    n, hyper = N_QUERY + N_ITEM, Hyper(learning_rate=0.5)
    params = random_params(np.random.default_rng(4), n, n_factors)
    theta = np.concatenate([params.w, params.V.ravel()]).astype(float)

    def objective(theta):
        return whole_loss(*case, theta[:n], theta[n:].reshape(n, n_factors))

    eye = np.eye(len(theta)) * 1e-5
    expected = np.array([(objective(theta + e) - objective(theta - e)) / 2e-5 for e in eye])
    table = Table.start(params, RULES["sgd"], hyper)
    WholePass(data, items, table, 1).step(np.arange(len(data.queries)), hyper)
    after = np.concatenate([table.w, table.V.ravel()]).astype(float)
    np.testing.assert_allclose((theta - after) / hyper.learning_rate, expected, rtol=1e-3, atol=2e-4)


def test_the_best_constants_are_where_the_slope_of_the_loss_is_zero():
    case = sample(5)
    data, _ = prepared(case)
    start = data.best_constants()
    ids = [[(i, 1.0)] for i in range(N_SIDES)]

    def objective(scores):  # of items that are nothing but a weight, whatever the query
        rows = [[(N_SIDES + i, x) for i, x in row] for row in case[0]]
        w = np.concatenate([scores, np.zeros(N_QUERY)])
        return whole_loss(rows, *case[1:4], ids, case[5], w, np.zeros((len(w), 0)))

    eye = np.eye(N_SIDES) * 1e-4
    slopes = [(objective(start + e) - objective(start - e)) / 2e-4 for e in eye]
    np.testing.assert_allclose(slopes, 0, atol=1e-6)
    assert start[-1] == 0 < start[:-1].max() <= 1


def test_an_epoch_shrinks_every_query_and_every_item_once():
    rows, chosen, _, weights, _, item_weight = sample(1)
    rows = [[(at % N_QUERY, 1.0)] for at in range(len(rows))]
    items = as_rows([[(N_QUERY + i, 1.0)] for i in range(N_SIDES)], N_QUERY + N_SIDES)
    data = WholeData.of(as_rows(rows, N_QUERY), chosen, None, item_weight, weights * 1e-20)
    params = random_params(np.random.default_rng(4), N_QUERY + N_SIDES, 4)
    hyper = Hyper(learning_rate=0.01, l2_V=0.5, l2_w=0.2)
    table = Table.start(params, RULES["sgd"], hyper)
    for batch in np.split(np.arange(N_QUERY), [1, 3]):
        WholePass(data, items, table, 1).step(batch, hyper)
    np.testing.assert_allclose(table.V / params.V, 1 - 0.01 * 0.5, rtol=1e-4)
    np.testing.assert_allclose(table.w / params.w, 1 - 0.01 * 0.2, rtol=1e-4)


def test_groups_of_many_queries_and_items_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(whole, "available", lambda: 2**20)
    n = 3000
    rows = as_rows([[(i, 1.0)] for i in range(n)], n)
    with pytest.raises(MemoryLimitError, match="Leave groups out"):
        WholeData.of(rows, np.arange(n), np.zeros(n), np.ones(n))


def test_a_machine_without_gradient_stays():
    params = FMParams(0.0, np.zeros(3, np.float32), np.zeros((3, 2), np.float32))
    rows, items = as_rows([[(0, 1.0)]], 1), as_rows([[(1, 1.0)], [(2, 1.0)]], 3)
    data = WholeData.of(rows, np.array([0]), None, np.array([0.0, 0.3]), np.array([0.0]))
    table = Table.start(params, RULES["sgd"], hyper := Hyper(learning_rate=1.0))
    assert WholePass(data, items, table, 1).step(np.array([0]), hyper) == 0.0
    assert not table.w.any()
