"""Pairwise (BPR) passes against the oracle's steps."""

import math

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows
from crossfm.kernels.pairs import pair_pass
from crossfm.kernels.table import Table
from machines import HYPER, ISAS, SIZES, as_rows, assert_same_machine, random_params, random_rows, using_isa
from oracles import Learner, fm_score

N_QUERY, N_ITEM = 6, 8  # features of the query come first; the sides share features among themselves


def sample(seed, *, shared_values, side_values, n_pairs=9):
    """Queries, sides, the pairs among them and their weights (one is 0)."""
    rng = np.random.default_rng(seed)
    shared = random_rows(rng, 5, N_QUERY, values=shared_values, longest=4)
    sides = random_rows(rng, 7, N_ITEM, values=side_values, longest=4)
    sides = [[(N_QUERY + i, x) for i, x in row] for row in sides]
    at, better, worse = (rng.integers(0, n, n_pairs).astype(np.int64) for n in (5, 7, 7))
    weight = np.round(rng.random(n_pairs) * 2, 2).astype(np.float32)
    weight[3] = 0.0
    return shared, sides, at, better, worse, weight


@pytest.mark.parametrize("side_values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("shared_values", [False, True], ids=["query-ones", "query-values"])
@pytest.mark.parametrize("rule", RULES)
def test_one_pass_is_the_sequence_of_steps_on_the_score_differences(rule, shared_values, side_values):
    shared, sides, at, better, worse, weight = sample(1, shared_values=shared_values, side_values=side_values)
    queries = as_rows(shared, N_QUERY, values=shared_values)
    items = as_rows(sides, N_QUERY + N_ITEM, values=side_values)
    for k in SIZES:
        params = random_params(np.random.default_rng(k), N_QUERY + N_ITEM, k)
        learner = Learner(rule, params.bias, params.w, params.V, HYPER)
        steps = [
            learner.pair_step(shared[q], sides[i], sides[j], float(c))
            for q, i, j, c in zip(at, better, worse, weight, strict=True)
        ]
        for isa in ISAS:
            table = Table.start(params, RULES[rule], HYPER)
            with using_isa(isa):
                total, correct = pair_pass(
                    items, better, worse, table, HYPER, shared=queries, shared_at=at, weight=weight
                )
            assert total == pytest.approx(sum(loss for loss, _ in steps), rel=1e-4), (k, isa)
            assert correct == sum(in_order for _, in_order in steps)
            assert_same_machine(table, learner, context=f"k={k} {isa}")


@pytest.mark.parametrize("rule", RULES)
def test_pairs_of_ids_alone_are_the_same_steps_also_where_ids_meet(rule):
    rng = np.random.default_rng(9)
    users, items = np.array([0, 1, 2, 3], np.uint32), np.array([4, 5, 6, 7, 4, 1], np.uint32)
    at, better, worse = rng.integers(0, 4, 30), rng.integers(0, 6, 30), rng.integers(0, 6, 30)
    same = items[better] == items[worse]
    assert same.any()
    assert ((users[at] == 1) & ((items[better] == 1) ^ (items[worse] == 1))).any()
    for k in SIZES:
        params = random_params(np.random.default_rng(k), 8, k)
        learner = Learner(rule, params.bias, params.w, params.V, HYPER)
        steps = [
            learner.pair_step([(int(q), 1.0)], [(int(i), 1.0)], [(int(j), 1.0)])
            for q, i, j in zip(users[at], items[better], items[worse], strict=True)
        ]
        for isa in ISAS:
            table = Table.start(params, RULES[rule], HYPER)
            q, t = Rows(users, 4, width=1), Rows(items, 8, width=1)
            with using_isa(isa):
                total, correct = pair_pass(t, better, worse, table, HYPER, shared=q, shared_at=at)
            assert total == pytest.approx(sum(loss for loss, _ in steps), rel=1e-4), (k, isa)
            assert correct == sum(in_order for _, in_order in steps)
            assert_same_machine(table, learner, context=f"k={k} {isa}")


@pytest.mark.parametrize("rule", RULES)
def test_pairs_without_a_query_compare_whole_rows(rule):
    _, sides, _, better, worse, _ = sample(2, shared_values=True, side_values=True)
    params = random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 5)
    learner = Learner(rule, params.bias, params.w, params.V, HYPER)
    steps = [learner.pair_step([], sides[i], sides[j]) for i, j in zip(better, worse, strict=True)]
    table = Table.start(params, RULES[rule], HYPER)
    total, correct = pair_pass(as_rows(sides, N_QUERY + N_ITEM), better, worse, table, HYPER)
    assert total == pytest.approx(sum(loss for loss, _ in steps), rel=1e-4)
    assert correct == sum(in_order for _, in_order in steps)
    assert_same_machine(table, learner)


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
def test_an_offset_is_added_to_the_score_of_its_side(values):
    shared, sides, at, better, worse, weight = sample(7, shared_values=values, side_values=values)
    offset = np.random.default_rng(8).normal(size=len(sides)).astype(np.float32)
    params = random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 8)
    learner = Learner("adagrad", params.bias, params.w, params.V, HYPER)
    steps = [
        learner.pair_step(shared[q], sides[i], sides[j], float(c), float(offset[i]) - float(offset[j]))
        for q, i, j, c in zip(at, better, worse, weight, strict=True)
    ]
    queries, items = (as_rows(rows, N_QUERY + N_ITEM, values=values) for rows in (shared, sides))
    for isa in ISAS:
        table = Table.start(params, RULES["adagrad"], HYPER)
        with using_isa(isa):
            total, correct = pair_pass(
                items, better, worse, table, HYPER, shared=queries, shared_at=at, weight=weight, offset=offset
            )
        assert total == pytest.approx(sum(loss for loss, _ in steps), rel=1e-4)
        assert correct == sum(in_order for _, in_order in steps)
        assert_same_machine(table, learner, context=isa)


@pytest.mark.parametrize("k", [0, 4, 17])
def test_the_sgd_step_is_the_gradient_of_the_log_likelihood_by_finite_differences(k):
    rng = np.random.default_rng(3)
    query, better, worse = [(0, 1.5), (1, -0.5)], [(2, 1.0), (3, 2.0)], [(4, 0.7)]
    params, hyper = random_params(rng, 6, k), Hyper(learning_rate=0.5)
    theta = np.concatenate([params.w, params.V.ravel()]).astype(float)

    def objective(theta):
        w, V = theta[:6], theta[6:].reshape(6, k)
        difference = fm_score(query + better, 0.0, w, V) - fm_score(query + worse, 0.0, w, V)
        return math.log(1.0 + math.exp(-difference))

    eye = np.eye(len(theta)) * 1e-6
    expected = np.array([(objective(theta + e) - objective(theta - e)) / 2e-6 for e in eye])
    table = Table.start(params, RULES["sgd"], hyper)
    zero = np.zeros(1, np.int64)
    pair_pass(
        as_rows([better, worse], 6), zero, zero + 1, table, hyper, shared=as_rows([query], 6), shared_at=zero
    )
    after = np.concatenate([table.w, table.V.ravel()]).astype(float)
    np.testing.assert_allclose((theta - after) / hyper.learning_rate, expected, rtol=1e-4, atol=2e-6)


def test_fixed_width_rows_train_like_csr_rows():
    rng = np.random.default_rng(4)
    queries = Rows(indices=np.arange(4, dtype=np.uint32), n_features=12, width=1)
    items = Rows(indices=np.arange(4, 12, dtype=np.uint32), n_features=12, width=2)
    at, better, worse = (rng.integers(0, 4, 10).astype(np.int64) for _ in range(3))
    results = []
    for fixed in (True, False):
        q, t = (
            r if fixed else Rows(indices=r.indices, n_features=12, indptr=r.offsets())
            for r in (queries, items)
        )
        table = Table.start(random_params(np.random.default_rng(5), 12, 8), RULES["adagrad"], HYPER)
        results.append(
            (pair_pass(t, better, worse, table, HYPER, shared=q, shared_at=at), table.data.tobytes())
        )
    assert results[0] == results[1]


@pytest.mark.parametrize("rule", RULES)
def test_racing_threads_on_separate_features_do_the_work_of_one(rule):
    items = Rows(indices=np.arange(40, dtype=np.uint32), n_features=40, width=2)  # 20 rows, none in common
    better = np.concatenate([np.arange(0, 5)] * 20 + [np.arange(10, 15)] * 20)
    worse = better + 5
    params = random_params(np.random.default_rng(6), 40, 8)
    tables = [Table.start(params, RULES[rule], HYPER) for _ in range(2)]
    one, two = (pair_pass(items, better, worse, t, HYPER, n_threads=n + 1) for n, t in enumerate(tables))
    assert two[0] == pytest.approx(one[0])
    assert two[1] == one[1]
    np.testing.assert_array_equal(tables[1].data, tables[0].data)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_extreme_differences_stay_finite(sign):
    w = np.array([sign * 1e4, 0.0], np.float32)
    items = Rows(indices=np.arange(2, dtype=np.uint32), n_features=2, width=1)
    zero = np.zeros(1, np.int64)
    for isa in ISAS:
        table = Table.start(FMParams(0.0, w, np.zeros((2, 3), np.float32)), RULES["sgd"], HYPER)
        with using_isa(isa):
            total, correct = pair_pass(items, zero, zero + 1, table, HYPER)
        assert total == pytest.approx(0.0 if sign > 0 else 1e4)
        assert correct == (sign > 0)
        assert np.isfinite(table.data).all()
