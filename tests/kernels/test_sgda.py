"""SGD with adaptive regularisation against the oracle, whose penalties move by finite differences."""

import numpy as np
import pytest

from crossfm.core.losses import LOSSES
from crossfm.core.options import Hyper
from crossfm.core.rules import SGDA
from crossfm.kernels.sgda import sgda_pass, start_penalty
from crossfm.kernels.table import Table
from machines import ISAS, as_rows, random_params, random_rows, random_targets, using_isa
from oracles import AdaptiveLearner

N = 9
RATE = 0.08
HYPER = Hyper(learning_rate=RATE, l2_w=0.04, l2_V=0.02)


def setup(k, loss, *, values, grouped=True, weighted=True):
    rng = np.random.default_rng(k)
    parts = []
    for _ in range(2):
        rows = random_rows(rng, 12, N, values=values)
        target = random_targets(rng, 12, loss)
        weight = np.round(rng.random(12) * 2, 2).astype(np.float32) if weighted else None
        parts.append((rows, target, weight, as_rows(rows, N, values=values, target=target, weight=weight)))
    params = random_params(rng, N, k)
    group = rng.integers(0, 3, N).astype(np.uint32) if grouped else None
    return parts, params, group, rng.permutation(12), rng.integers(0, 12, 12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("k", [0, 1, 3, 8, 17])
def test_a_pass_is_the_sequence_of_steps_of_the_paper(k, values, loss):
    (train, held), params, group, order, draws = setup(k, loss, values=values)
    table = Table.start(params, SGDA, HYPER)
    start = start_penalty(table, 3, HYPER)
    learner = AdaptiveLearner(params.bias, params.w, params.V, RATE, group, start[:, : 1 + k])
    total = 0.0
    for at, draw in zip(order, draws, strict=True):
        total += learner.step(train[0][at], train[1][at], float(train[2][at]), loss)
        learner.adapt(held[0][draw], held[1][draw], float(held[2][draw]), loss)
    assert np.abs(learner.lambdas - start[:, : 1 + k]).max() > 1e-4  # they do move
    for isa in ISAS:
        table = Table.start(params, SGDA, HYPER)
        table.penalty = start.copy()
        with using_isa(isa):
            got = sgda_pass(train[3], order, held[3], draws, table, LOSSES[loss], RATE, group)
        assert got == pytest.approx(total, rel=1e-4)
        np.testing.assert_allclose(table.penalty[:, : 1 + k], learner.lambdas, rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(table.w, learner.w, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(table.V, learner.V, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(table.data[:, table.w_at + 1], learner.grad_w, rtol=1e-3, atol=1e-4)
        assert table.bias[0] == pytest.approx(learner.bias, rel=1e-4, abs=1e-5)
        assert not table.data[:, k : table.padded].any()


@pytest.mark.parametrize("isa", ISAS)
def test_one_group_for_all_and_no_weights(isa):
    (train, held), params, _, order, draws = setup(4, "logistic", values=True, grouped=False, weighted=False)
    table = Table.start(params, SGDA, HYPER)
    table.penalty = start_penalty(table, 1, HYPER)
    learner = AdaptiveLearner(params.bias, params.w, params.V, RATE, np.zeros(N, int), table.penalty[:, :5])
    for at, draw in zip(order, draws, strict=True):
        learner.step(train[0][at], train[1][at], 1.0, "logistic")
        learner.adapt(held[0][draw], held[1][draw], 1.0, "logistic")
    with using_isa(isa):
        sgda_pass(train[3], order, held[3], draws, table, LOSSES["logistic"], RATE, None)
    np.testing.assert_allclose(table.penalty[:, :5], learner.lambdas, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("k", [0, 5])
def test_without_draws_it_is_sgd_with_fixed_penalties(k):
    from crossfm.core.rules import RULES
    from crossfm.kernels.fm import train_pass

    (train, held), params, group, order, _ = setup(k, "squared", values=True)
    table = Table.start(params, SGDA, HYPER)
    table.penalty = start_penalty(table, 3, HYPER)
    before = table.penalty.copy()
    total = sgda_pass(train[3], order, held[3], None, table, LOSSES["squared"], RATE, group)
    plain = Table.start(params, RULES["sgd"], HYPER)
    assert total == pytest.approx(train_pass(train[3], order, plain, LOSSES["squared"], HYPER), rel=1e-5)
    np.testing.assert_array_equal(table.penalty, before)
    np.testing.assert_allclose(table.V, plain.V, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.w, plain.w, rtol=1e-5, atol=1e-6)


def test_penalties_never_fall_below_zero():
    (train, held), params, group, order, draws = setup(3, "squared", values=True)
    order, draws = order[:3], draws[:3]
    hyper = Hyper(learning_rate=RATE)
    table = Table.start(params, SGDA, hyper)
    table.penalty = start_penalty(table, 3, hyper)
    learner = AdaptiveLearner(params.bias, params.w, params.V, RATE, group, table.penalty[:, :4])
    for at, draw in zip(order, draws, strict=True):
        learner.step(train[0][at], train[1][at], float(train[2][at]), "squared")
        learner.adapt(held[0][draw], held[1][draw], float(held[2][draw]), "squared")
    sgda_pass(train[3], order, held[3], draws, table, LOSSES["squared"], RATE, group)
    assert (table.penalty >= 0).all()
    assert (table.penalty[:, :4] == 0).any()
    assert (table.penalty > 0).any()
    np.testing.assert_allclose(table.penalty[:, :4], learner.lambdas, rtol=1e-3, atol=2e-5)
