"""Passes over choices (BPR, WARP, softmax) against the oracle's steps on the negatives that they draw."""

import math
from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows
from crossfm.kernels.choices import (
    LOSSES,
    NO_ITEM,
    Negatives,
    alias_table,
    choice_pass,
    chosen_bits,
    rank_weights,
)
from crossfm.kernels.table import Table
from crossfm.solvers.pairwise import CatalogueNegatives
from machines import HYPER, ISAS, SIZES, as_rows, assert_same_machine, random_params, random_rows, using_isa
from oracles import Learner, fm_score

N_QUERY, N_ITEM, N_SIDES, N_CHOICES, EACH, SEED = 6, 8, 9, 12, 3, 77


def sample(seed, kind):
    """Queries, sides, the order of visits, weights and a pool by popularity with groups.

    Rows of several features, "ones" or with "values", or "ids": one feature each (two sides have the same one).
    """
    rng = np.random.default_rng(seed)
    if kind == "ids":
        queries = [[(int(i), 1.0)] for i in rng.integers(0, N_QUERY, N_CHOICES)]
        sides = [[(N_QUERY + i % N_ITEM, 1.0)] for i in range(N_SIDES)]
    else:
        queries = random_rows(rng, N_CHOICES, N_QUERY, values=kind == "values", longest=3)
        sides = random_rows(rng, N_SIDES, N_ITEM, values=kind == "values", longest=3)
        sides = [[(N_QUERY + i, x) for i, x in row] for row in sides]
    weight = np.round(rng.random(N_CHOICES) * 2, 2).astype(np.float32)
    pool = CatalogueNegatives(
        rng.integers(0, N_SIDES, N_CHOICES), rng.integers(0, 3, N_CHOICES), N_SIDES, "popularity"
    )
    return queries, sides, rng.integers(0, N_CHOICES, 10), weight, pool


def packed(rows, n_features, kind):
    """``Rows`` in the form that ``kind`` comes in."""
    if kind == "ids":
        return Rows(np.array([row[0][0] for row in rows], np.uint32), n_features, width=1)
    return as_rows(rows, n_features, values=kind == "values")


def oracle_step(loss, learner, query, sides, positive, drawn, weight, offset, banned):
    """Loss of one visit, after which ``learner`` has moved."""
    items = [sides[positive], *(sides[j] for j in drawn)]
    if loss == "bpr":
        difference = float(offset[positive]) - float(offset[drawn[0]])
        return learner.pair_step(query, items[0], items[1], weight, difference)[0]
    if loss == "warp":
        draws = [None if j in banned else sides[j] for j in drawn]
        return learner.warp_step(query, items[0], draws, weight, len(sides))
    return learner.softmax_step(query, items, weight, np.asarray(offset, float)[[positive, *drawn]])


@pytest.mark.parametrize("kind", ["ones", "values", "ids"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_pass_is_the_sequence_of_steps_on_the_negatives_it_draws(loss, rule, kind):
    queries, sides, which, weight, pool = sample(1, kind)
    positive, each = pool.negatives.positive, 1 if loss == "bpr" else EACH
    drawn = pool.negatives.draw(which, each, SEED, chosen_too=loss == "warp")
    assert (drawn >= 0).all()
    group = pool.negatives.group
    for k in SIZES:
        params = random_params(np.random.default_rng(k), N_QUERY + N_ITEM, k)
        learner = Learner(rule, params.bias, params.w, params.V, HYPER)
        total = sum(
            oracle_step(
                loss,
                learner,
                queries[c],
                sides,
                positive[c],
                drawn[i],
                float(weight[c]),
                pool.offset,
                set(positive[group == group[c]]),
            )
            for i, c in enumerate(which)
        )
        for isa in ISAS:
            table = Table.start(params, RULES[rule], HYPER)
            q, t = packed(queries, N_QUERY, kind), packed(sides, N_QUERY + N_ITEM, kind)
            more = {"seed": SEED, "n_negatives": each, "weight": weight, "offset": pool.offset}
            with using_isa(isa):
                got, used = choice_pass(loss, q, t, which, pool.negatives, table, HYPER, **more)
            assert used == len(which)
            assert got == pytest.approx(total, rel=1e-4), (k, isa)
            assert_same_machine(table, learner, context=f"k={k} {isa}")


@pytest.mark.parametrize("kind", ["ones", "ids"])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_a_pass_draws_hard_negatives_and_takes_its_steps_on_them(loss, kind):
    queries, sides, which, weight, pool = sample(2, kind)
    lists = np.array([[5, 6], [7, NO_ITEM], [8, 4]], np.uint32)
    hard_list = np.arange(N_CHOICES) % 4 - 1
    negatives = replace(pool.negatives, hard=lists, hard_list=hard_list, hard_share=0.8)
    positive, each = negatives.positive, 1 if loss == "bpr" else EACH
    drawn = negatives.draw(which, each, SEED)
    assert (drawn != pool.negatives.draw(which, each, SEED)).any()
    for k in (0, 4):
        params = random_params(np.random.default_rng(k), N_QUERY + N_ITEM, k)
        learner = Learner("adagrad", params.bias, params.w, params.V, HYPER)
        total = 0.0
        for i, c in enumerate(which):
            args = queries[c], sides, positive[c], drawn[i], float(weight[c]), pool.offset, set()
            total += oracle_step(loss, learner, *args)
        table = Table.start(params, RULES["adagrad"], HYPER)
        q, t = packed(queries, N_QUERY, kind), packed(sides, N_QUERY + N_ITEM, kind)
        more = {"seed": SEED, "n_negatives": each, "weight": weight, "offset": pool.offset}
        got, used = choice_pass(loss, q, t, which, negatives, table, HYPER, **more)
        assert used == len(which)
        assert got == pytest.approx(total, rel=1e-4)
        assert_same_machine(table, learner, context=f"k={k}")


@pytest.mark.parametrize("k", [0, 4, 8, 17])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_sgd_step_is_the_gradient_by_finite_differences(loss, k):
    rng = np.random.default_rng(3)
    query, sides = [(0, 1.5), (1, -0.5)], [[(2, 1.0), (3, 2.0)], [(4, 0.7)], [(5, 1.0)], [(6, 1.0), (3, 0.5)]]
    params, hyper = random_params(rng, 7, k), Hyper(learning_rate=0.5)
    params.w[2] -= 9.0  # WARP's first draw violates the margin
    theta = np.concatenate([params.w, params.V.ravel()]).astype(float)
    pool = Negatives(4, np.zeros(1, np.int64))
    zero, each = np.zeros(1, np.int64), 2 if loss == "softmax" else 1
    drawn = pool.draw(zero, each, SEED)[0]
    if loss == "warp":
        drawn = pool.draw(zero, each, SEED, chosen_too=True)[0]
        assert drawn[0] != 0

    def objective(theta):
        w, V = theta[:7], theta[7:].reshape(7, k)
        score = [fm_score(query + sides[j], 0.0, w, V) for j in (0, *drawn)]
        if loss == "bpr":
            return math.log1p(math.exp(score[1] - score[0]))
        if loss == "warp":
            return (1 + 1 / 2 + 1 / 3) * (1 - score[0] + score[1])
        return math.log(sum(math.exp(s) for s in score)) - score[0]

    eye = np.eye(len(theta)) * 1e-5
    expected = np.array([(objective(theta + e) - objective(theta - e)) / 2e-5 for e in eye])
    if (
        k
    ):  # a feature drawn twice moves twice, the second time from where it is then: only its own term differs
        assert len(set(drawn)) == each
    table = Table.start(params, RULES["sgd"], hyper)
    q, t = as_rows([query], 7), as_rows(sides, 7)
    total, _ = choice_pass(loss, q, t, zero, pool, table, hyper, seed=SEED, n_negatives=each)
    assert total == pytest.approx(objective(theta), rel=1e-4)
    after = np.concatenate([table.w, table.V.ravel()]).astype(float)
    shared = np.zeros(len(theta), bool)
    shared[3] = shared[7 + 3 * k : 7 + 4 * k] = True  # feature 3 may stand on both sides, and moves twice
    ok = ~shared if k else shared | True
    np.testing.assert_allclose(
        ((theta - after) / hyper.learning_rate)[ok], expected[ok], rtol=1e-3, atol=2e-5
    )


def test_rank_weights_are_harmonic_sums_at_the_estimated_rank():
    expected = [sum(1 / r for r in range(1, max(100 // n, 1) + 1)) for n in range(1, 151)]
    np.testing.assert_allclose(rank_weights(101, 150), expected, rtol=1e-6)


@pytest.mark.parametrize("violates", [False, True])
def test_warp_moves_only_on_a_violated_margin(violates):
    w = np.array([0.0, 0.0 if violates else 1.5, -5.0, -5.0], np.float32)  # query, own item, two others
    table = Table.start(
        FMParams(0.0, w, np.zeros((4, 0), np.float32)), RULES["sgd"], Hyper(learning_rate=1.0)
    )
    if violates:
        table.w[2:] = -0.5
    before = table.w.copy()
    q, t = Rows(np.zeros(1, np.uint32), 4, width=1), Rows(np.arange(1, 4, dtype=np.uint32), 4, width=1)
    zero = np.zeros(1, np.int64)
    total, used = choice_pass(
        "warp", q, t, zero, Negatives(3, zero), table, Hyper(learning_rate=1.0), seed=1, n_negatives=5
    )
    assert used == 1
    assert total == pytest.approx(1.5 * 0.5 if violates else 0.0)  # rank estimate 2: 1 + 1/2
    moved = table.w - before
    assert moved[1] == pytest.approx(1.5 if violates else 0.0)
    assert moved.sum() == pytest.approx(0.0)


@pytest.mark.parametrize("kind", ["ids", "query of two"])
def test_warp_looks_further_than_the_draws_that_it_scores_together(kind):
    n_items, each = 300, 60
    rng = np.random.default_rng(4)
    positive = rng.integers(0, 5, 40)
    pool = CatalogueNegatives(positive, rng.integers(0, 4, 40), n_items, "uniform")
    params = random_params(rng, 2 + n_items, 8)
    params.w[:] = -9.0
    params.w[2:12] = 3.0  # the chosen ones, and a few that violate
    queries = [[(0, 1.0)] if kind == "ids" else [(0, 1.0), (1, 1.0)]] * 40
    sides = [[(2 + i, 1.0)] for i in range(n_items)]
    drawn = pool.negatives.draw(np.arange(40), each, SEED, chosen_too=True)
    assert ((drawn < 10).argmax(axis=1) > 16).sum() > 5
    group = pool.negatives.group
    learner = Learner("adagrad", params.bias, params.w, params.V, HYPER)
    total = sum(
        learner.warp_step(
            queries[c],
            sides[positive[c]],
            [None if j in positive[group == group[c]] else sides[j] for j in drawn[c]],
            1.0,
            n_items,
        )
        for c in range(40)
    )
    t = packed(sides, 2 + n_items, "ids")
    q = (
        packed(queries, 2, "ids")
        if kind == "ids"
        else Rows(np.tile([0, 1], 40).astype(np.uint32), 2, width=2)
    )
    for isa in ISAS:
        table = Table.start(params, RULES["adagrad"], HYPER)
        with using_isa(isa):
            got, _ = choice_pass(
                "warp", q, t, np.arange(40), pool.negatives, table, HYPER, seed=SEED, n_negatives=each
            )
        assert got == pytest.approx(total, rel=1e-4)
        assert_same_machine(table, learner, context=isa)


@pytest.mark.parametrize("chance", [[1.0], [3.0, 1.0], [5.0, 1e-6, 2.0, 2.0, 0.5], np.arange(1.0, 300.0)])
def test_an_alias_table_gives_back_the_chances(chance):
    chance = np.asarray(chance, float)
    keep, alias = alias_table(chance)
    mass = keep.astype(float)
    np.add.at(mass, alias, 1.0 - keep)
    np.testing.assert_allclose(mass / mass.sum(), chance / chance.sum(), atol=1e-6)


def test_what_a_group_chose_is_never_drawn():
    rng = np.random.default_rng(0)
    item, group = rng.integers(0, 40, 300), rng.integers(0, 12, 300)
    for kind in ("uniform", "popularity"):
        drawn = CatalogueNegatives(item, group, 40, kind).negatives.draw(np.arange(300), 50, SEED)
        for g in range(12):
            assert not np.isin(drawn[group == g], item[group == g]).any()


def test_bits_and_lists_say_the_same_of_what_a_group_chose():
    rng = np.random.default_rng(5)
    item, group = rng.integers(0, 70, 400), rng.integers(0, 9, 400)
    pool = CatalogueNegatives(item, group, 70, "uniform").negatives
    assert pool.bits is not None
    dense = np.unpackbits(pool.bits.view(np.uint8), axis=1, bitorder="little").astype(bool)
    expected = np.zeros((9, 96), bool)
    expected[group, item] = True
    np.testing.assert_array_equal(dense, expected)
    by_list = replace(pool, bits=None).draw(np.arange(400), 5, SEED)
    np.testing.assert_array_equal(pool.draw(np.arange(400), 5, SEED), by_list)


def test_bits_are_left_out_where_the_lists_are_far_smaller():
    indptr, chosen = np.array([0, 1, 2]), np.array([3, 127], np.uint32)
    assert chosen_bits(indptr, chosen, 4 * 32).shape == (2, 4)
    assert chosen_bits(indptr, chosen, 4 * 32 + 1) is None


def test_the_corrected_softmax_rests_at_the_log_of_the_frequency():
    """With logQ the start at log(count) is the optimum; without it popular items are pushed down."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 61)
    item = rng.choice(60, 60_000, p=share / share.sum())
    pool = CatalogueNegatives(item, None, 60, "popularity")
    q, t = (
        Rows(np.zeros(60_000, np.uint32), 61, width=1),
        Rows(np.arange(1, 61, dtype=np.uint32), 61, width=1),
    )
    start = np.r_[0.0, np.log(np.bincount(item, minlength=60))].astype(np.float32)
    push = []
    for offset in (pool.offset, None):
        machine = FMParams(0.0, start, np.zeros((61, 0), np.float32))
        hyper = Hyper(learning_rate=1e-4)
        table = Table.start(machine, RULES["sgd"], hyper)
        which = np.arange(60_000)
        choice_pass(
            "softmax", q, t, which, pool.negatives, table, hyper, seed=SEED, n_negatives=5, offset=offset
        )
        push.append((table.w - start)[1:4].mean())
    assert push[1] < -0.1  # 60,000 steps of 1e-4
    assert abs(push[0]) < 0.2 * abs(push[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_seed_decides_the_bits(loss):
    queries, sides, which, _, pool = sample(2, "ones")
    params = random_params(np.random.default_rng(0), N_QUERY + N_ITEM, 8)
    bits = []
    for seed in (5, 5, 6):
        table = Table.start(params, RULES["adagrad"], HYPER)
        q, t = as_rows(queries, N_QUERY, values=False), as_rows(sides, N_QUERY + N_ITEM, values=False)
        choice_pass(loss, q, t, which, pool.negatives, table, HYPER, seed=seed, n_negatives=3)
        bits.append(table.data.tobytes())
    assert bits[0] == bits[1] != bits[2]


@pytest.mark.parametrize("loss", LOSSES)
def test_choices_without_any_negative_move_nothing(loss):
    pool = CatalogueNegatives(np.array([0, 1]), np.array([0, 0]), 2, "uniform")
    table = Table.start(random_params(np.random.default_rng(0), 4, 3), RULES["sgd"], HYPER)
    before = table.data.copy()
    q, t = Rows(np.arange(2, dtype=np.uint32), 4, width=1), Rows(np.arange(2, 4, dtype=np.uint32), 4, width=1)
    total, used = choice_pass(loss, q, t, np.arange(2), pool.negatives, table, HYPER, seed=0)
    assert (total, used) == (0.0, 2 if loss == "warp" else 0)
    np.testing.assert_array_equal(table.data, before)
