"""Training passes against the oracle's sequence of steps: every rule, loss, size and instruction set."""

from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.losses import LOSSES
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows
from crossfm.kernels import fm
from crossfm.kernels.fm import adam_scale, train_pass
from crossfm.kernels.table import Table
from machines import (
    HYPER,
    ISAS,
    SIZES,
    as_rows,
    assert_same_machine,
    random_params,
    random_rows,
    random_targets,
    using_isa,
)
from oracles import Learner, fm_score, loss_value

N_FEATURES = 9


def sample(seed, loss, *, values, n_rows=11, n_features=N_FEATURES):
    """Rows as lists, targets, weights (one is 0) and an order that leaves a row out and repeats one."""
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, n_rows, n_features, values=values)
    target = random_targets(rng, n_rows, loss)
    weight = np.round(rng.random(n_rows) * 2, 2).astype(np.float32)
    weight[2] = 0.0
    order = rng.permutation(n_rows)[1:]
    return rows, target, weight, np.append(order, order[0]).astype(np.int64)


def learn(rule, params, rows, target, weight, order, loss, hyper=HYPER):
    learner = Learner(rule, params.bias, params.w, params.V, hyper)
    total = sum(learner.step(rows[n], target[n], float(weight[n]), loss) for n in order)
    return learner, total


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rule", RULES)
def test_one_pass_is_the_sequence_of_steps_of_the_paper(rule, loss, values):
    rows, target, weight, order = sample(7, loss, values=values)
    built = as_rows(rows, N_FEATURES, values=values, target=target, weight=weight)
    for k in SIZES:
        params = random_params(np.random.default_rng(k), N_FEATURES, k)
        learner, expected = learn(rule, params, rows, target, weight, order, loss)
        for isa in ISAS:
            table = Table.start(params, RULES[rule], HYPER)
            with using_isa(isa):
                total = train_pass(built, order, table, LOSSES[loss], HYPER)
            assert total == pytest.approx(expected, rel=1e-4), (k, isa)
            assert_same_machine(table, learner, context=f"k={k} {isa}")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [0, 1, 3, 4, 8, 16, 65])
def test_mini_batches_equal_the_oracle_for_any_number_of_threads(rule, k, monkeypatch):
    monkeypatch.setattr(fm, "BATCH_ROWS", 4)
    rows, target, weight, order = sample(8, "logistic", values=True)
    built = as_rows(rows, N_FEATURES, target=target, weight=weight)
    params = random_params(np.random.default_rng(k), N_FEATURES, k)
    learner = Learner(rule, params.bias, params.w, params.V, HYPER)
    expected = 0.0
    for start in range(0, len(order), 4):
        at = order[start : start + 4]
        expected += learner.batch([rows[n] for n in at], target[at], weight[at].astype(float), "logistic")
    for isa in ISAS:
        tables, totals = [], []
        for n_threads in (1, 2, 3):
            table = Table.start(params, RULES[rule], HYPER)
            with using_isa(isa):
                total = train_pass(
                    built, order, table, LOSSES["logistic"], HYPER, n_threads=n_threads, deterministic=True
                )
            tables.append(table)
            totals.append(total)
        assert totals[0] == totals[1] == totals[2] == pytest.approx(expected, rel=1e-4)
        assert_same_machine(tables[0], learner, context=isa)
        for table in tables[1:]:
            np.testing.assert_array_equal(table.data, tables[0].data)
            np.testing.assert_array_equal(table.bias, tables[0].bias)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
def test_several_full_batches_give_the_same_bits_with_one_two_and_three_threads(rule, values):
    rng = np.random.default_rng(9)
    rows = random_rows(rng, 2 * fm.BATCH_ROWS + 50, 40, values=values)
    target = random_targets(rng, len(rows), "squared")
    built = as_rows(rows, 40, values=values, target=target)
    order = rng.permutation(len(rows)).astype(np.int64)
    params = random_params(rng, 40, 8)
    results = []
    for n_threads in (1, 2, 3):
        table = Table.start(params, RULES[rule], HYPER)
        total = train_pass(
            built, order, table, LOSSES["squared"], HYPER, n_threads=n_threads, deterministic=True
        )
        results.append((total, table.data.tobytes(), table.bias.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("rule", RULES)
def test_one_thread_repeats_bit_for_bit(rule):
    rows, target, weight, order = sample(10, "logistic", values=True)
    built = as_rows(rows, N_FEATURES, target=target, weight=weight)
    params = random_params(np.random.default_rng(0), N_FEATURES, 17)
    tables = [Table.start(params, RULES[rule], HYPER) for _ in range(2)]
    totals = [train_pass(built, order, table, LOSSES["logistic"], HYPER) for table in tables]
    assert totals[0] == totals[1]
    assert tables[0].data.tobytes() == tables[1].data.tobytes()
    assert tables[0].bias.tobytes() == tables[1].bias.tobytes()


@pytest.mark.parametrize(("rule", "at"), [("adagrad", 1), ("adagrad-row", 1), ("adam", 2), ("ftrl", 2)])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_racing_threads_on_separate_features_do_the_work_of_one(rule, at, n_threads):
    """The bias is common to all rows: a huge sum of squares (state ``at``) keeps it out of the race."""
    rng = np.random.default_rng(11)
    n_rows = 60 * n_threads
    rows = [[(8 * (n // 60) + int(i), 1.5) for i in rng.choice(8, 3, replace=False)] for n in range(n_rows)]
    built = as_rows(rows, 8 * n_threads, target=rng.normal(size=n_rows))
    start = random_params(rng, 8 * n_threads, 8)
    order = np.arange(n_rows, dtype=np.int64)
    tables, totals = [], []
    for threads in (1, n_threads):
        table = Table.start(FMParams(0.0, start.w, start.V), RULES[rule], HYPER)
        table.bias[at] = 1e30
        totals.append(train_pass(built, order, table, LOSSES["squared"], HYPER, n_threads=threads))
        tables.append(table)
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)
    np.testing.assert_allclose(tables[1].data, tables[0].data, rtol=1e-5, atol=1e-6)
    assert (tables[0].V != start.V).all()


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("rule", RULES)
def test_fixed_width_rows_train_like_csr_rows(rule, values):
    rng = np.random.default_rng(12)
    x = rng.normal(size=33).astype(np.float32) if values else None
    indices = np.concatenate([rng.choice(20, 3, replace=False) for _ in range(11)]).astype(np.uint32)
    fixed = Rows(indices=indices, n_features=20, values=x, width=3, target=rng.normal(size=11))
    csr = Rows(indices=indices, n_features=20, values=x, indptr=fixed.offsets(), target=fixed.target)
    params = random_params(rng, 20, 8)
    tables = []
    for rows in (fixed, csr):
        for deterministic in (False, True):
            table = Table.start(params, RULES[rule], HYPER)
            order = np.arange(11, dtype=np.int64)
            train_pass(rows, order, table, LOSSES["squared"], HYPER, deterministic=deterministic)
            tables.append(table.data.tobytes())
    assert tables[0] == tables[2]
    assert tables[1] == tables[3]
    assert tables[0] != tables[1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("k", [0, 3, 8, 17])
def test_the_sgd_step_is_the_gradient_of_the_loss_by_finite_differences(loss, k):
    rng = np.random.default_rng(13)
    row = [(4, 1.5), (0, -0.7), (2, 2.0)]
    target, weight, hyper = 1.0, 0.8, Hyper(learning_rate=0.5, l2_w=0.04, l2_V=0.06)
    params = random_params(rng, 5, k)
    size = [1, 5, 5 * k]
    theta = np.concatenate([[params.bias], params.w, params.V.ravel()]).astype(float)

    def objective(theta):
        bias, w, V = theta[0], theta[1:6], theta[6:].reshape(5, k)
        touched = [i for i, _ in row]
        penalty = hyper.l2_w * (w[touched] ** 2).sum() + hyper.l2_V * (V[touched] ** 2).sum()
        return weight * loss_value(loss, fm_score(row, bias, w, V), target) + 0.5 * penalty

    eye = np.eye(sum(size)) * 1e-6
    expected = np.array([(objective(theta + e) - objective(theta - e)) / 2e-6 for e in eye])
    table = Table.start(params, RULES["sgd"], hyper)
    rows = as_rows([row], 5, target=[target], weight=[weight])
    train_pass(rows, np.zeros(1, np.int64), table, LOSSES[loss], hyper)
    moved = table.params()
    after = np.concatenate([[moved.bias], moved.w, moved.V.ravel()]).astype(float)
    np.testing.assert_allclose((theta - after) / hyper.learning_rate, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("rule", RULES)
def test_features_that_no_row_has_stay_as_they_are(rule):
    params = random_params(np.random.default_rng(14), 6, 5)
    table = Table.start(params, RULES[rule], HYPER)
    before = table.data.copy()
    rows = as_rows([[(1, 1.0), (4, 2.0)]], 6, target=[3.0])
    train_pass(rows, np.zeros(1, np.int64), table, LOSSES["squared"], HYPER)
    others = [0, 2, 3, 5]
    np.testing.assert_array_equal(table.data[others], before[others])
    assert (table.data[[1, 4], table.w_at] != before[[1, 4], table.w_at]).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "ids", [[1, 0, 1], [0, 1, 2, 1], [0, 1, 2, 3, 4, 4, 5, 6], [2, 2, 2, 2, 2], range(9)]
)
def test_groups_of_features_move_and_a_feature_twice_in_a_row_moves_twice(rule, ids):
    """Records are moved four at a time, but one after another where an id comes twice."""
    xs = np.random.default_rng(15).normal(size=len(ids)).astype(np.float32)
    rows = [[(i, float(x)) for i, x in zip(ids, xs, strict=True)]]
    params = random_params(np.random.default_rng(15), 9, 8)
    built = as_rows(rows, 9, target=[1.5])
    learner, _ = learn(rule, params, rows, [1.5], [1.0], [0], "squared")
    for isa in ISAS:
        table = Table.start(params, RULES[rule], HYPER)
        with using_isa(isa):
            train_pass(built, np.zeros(1, np.int64), table, LOSSES["squared"], HYPER)
        assert_same_machine(table, learner, context=isa)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [3, 8, 32])
def test_the_factors_of_a_feature_alone_in_its_row_do_not_move(rule, k):
    """Their gradient is 0. Adam would make a full step of a rounding error, however small it is."""
    hyper, x, target = Hyper(learning_rate=0.1), 17.3, 300.0
    # elsewhere a rounding error stays one: of x V, times learning rate, slope and x
    tolerance = 0.0 if rule == "adam" else 0.1 * target * x * 1e-6
    params = random_params(np.random.default_rng(16), 1, k)
    rows = as_rows([[(0, x)]], 1, target=[target])
    for isa in ISAS:
        for deterministic in (False, True):
            table = Table.start(params, RULES[rule], hyper)
            with using_isa(isa):
                train_pass(
                    rows, np.zeros(1, np.int64), table, LOSSES["squared"], hyper, deterministic=deterministic
                )
            np.testing.assert_allclose(table.V, params.V, rtol=0, atol=tolerance, err_msg=isa)
            assert table.w[0] != params.w[0]


def test_an_empty_row_moves_the_bias_alone():
    params = random_params(np.random.default_rng(17), 3, 4)
    table = Table.start(params, RULES["sgd"], HYPER)
    rows = as_rows([[]], 3, target=[2.0])
    total = train_pass(rows, np.zeros(1, np.int64), table, LOSSES["squared"], HYPER)
    assert total == pytest.approx(0.5 * (params.bias - 2.0) ** 2, rel=1e-6)
    assert table.bias[0] == pytest.approx(params.bias - 0.07 * (params.bias - 2.0), rel=1e-6)
    np.testing.assert_array_equal(table.V, params.V)


def test_an_empty_order_changes_nothing():
    params = random_params(np.random.default_rng(18), 3, 4)
    rows = as_rows([[(0, 1.0)]], 3, target=[2.0])
    for deterministic in (False, True):
        table = Table.start(params, RULES["adam"], HYPER)
        before = table.data.copy()
        total = train_pass(
            rows,
            np.zeros(0, np.int64),
            table,
            LOSSES["squared"],
            HYPER,
            n_threads=2,
            deterministic=deterministic,
        )
        assert total == 0.0
        np.testing.assert_array_equal(table.data, before)


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("score", [-1e4, 1e4])
def test_extreme_scores_leave_logistic_training_finite(score, target):
    hyper = Hyper(learning_rate=0.1)
    w = np.full(1, score, np.float32)
    rows = as_rows([[(0, 1.0)]], 1, target=[target])
    wrong = (score > 0) != (target == 1)
    for isa in ISAS:
        table = Table.start(FMParams(0.0, w, np.zeros((1, 2), np.float32)), RULES["sgd"], hyper)
        with using_isa(isa):
            total = train_pass(rows, np.zeros(1, np.int64), table, LOSSES["logistic"], hyper)
        assert total == pytest.approx(1e4 if wrong else 0.0)
        assert table.bias[0] == pytest.approx((-0.1 if score > 0 else 0.1) if wrong else 0.0)


def test_numbers_that_leave_the_finite_range_stay_visible():
    """The divergence check reads the loss: no instruction set may hide inf or NaN."""
    for isa in ISAS:
        table = Table.start(
            FMParams(0.0, np.full(1, np.nan, np.float32), np.zeros((1, 8), np.float32)), RULES["sgd"], HYPER
        )
        rows = as_rows([[(0, 1.0)]], 1, target=[1.0])
        with using_isa(isa):
            assert np.isnan(train_pass(rows, np.zeros(1, np.int64), table, LOSSES["logistic"], HYPER))
        assert np.isnan(table.bias[0])


def test_the_bias_correction_of_adam_runs_until_it_is_one():
    scale = adam_scale(0.9, 0.999)
    t = np.arange(1, len(scale) + 1)
    np.testing.assert_allclose(scale, np.sqrt(1 - 0.999**t) / (1 - 0.9**t), rtol=1e-6)
    assert scale[-1] == 1.0
    assert adam_scale(0.0, 0.0).tolist() == [1.0]


def test_adam_past_the_table_of_corrections_uses_one():
    hyper = Hyper(learning_rate=0.05, adam_beta1=0.1, adam_beta2=0.2)
    rows = [[(0, 1.0), (1, 0.5)]]
    built = as_rows(rows, 2, target=[5.0])
    params = random_params(np.random.default_rng(19), 2, 3)
    order = np.zeros(2 * len(adam_scale(0.1, 0.2)), np.int64)
    learner, _ = learn("adam", params, rows, [5.0], [1.0], order, "squared", hyper)
    table = Table.start(params, RULES["adam"], hyper)
    train_pass(built, order, table, LOSSES["squared"], hyper)
    np.testing.assert_allclose(table.V, learner.params()[2], rtol=1e-3)
    assert table.data[0, table.w_at + 3] == len(order)


@pytest.mark.parametrize("decay", [1.0, 0.97, 0.5])
@pytest.mark.parametrize("l1", [0.0, 0.4])
def test_ftrl_forgets_as_the_oracle_does_over_many_steps(decay, l1):
    hyper = replace(HYPER, ftrl_decay=decay, l1_w=l1, l1_V=l1)
    rows, target, weight, _ = sample(21, "logistic", values=True, n_rows=40)
    order = np.random.default_rng(0).integers(0, 40, 200)
    params = random_params(np.random.default_rng(1), N_FEATURES, 5)
    learner, total = learn("ftrl", params, rows, target, weight, order, "logistic", hyper)
    built = as_rows(rows, N_FEATURES, target=target, weight=weight)
    for isa in ISAS:
        table = Table.start(params, RULES["ftrl"], hyper)
        with using_isa(isa):
            assert train_pass(built, order, table, LOSSES["logistic"], hyper) == pytest.approx(
                total, rel=1e-4
            )
        assert_same_machine(table, learner, rtol=1e-3, atol=1e-4, context=f"{decay} {l1} {isa}")


def test_without_a_gradient_ftrl_forgets_and_no_weight_moves():
    hyper = replace(HYPER, ftrl_decay=0.5, l1_w=0.3, l1_V=0.1)
    rows, target, _, order = sample(22, "squared", values=True)
    params = random_params(np.random.default_rng(1), N_FEATURES, 3)
    table = Table.start(params, RULES["ftrl"], hyper)
    train_pass(as_rows(rows, N_FEATURES, target=target), order, table, LOSSES["squared"], hyper)
    before, n = table.params(), table.data[:, table.w_at + 2].copy()
    row = as_rows([[(i, 1.0) for i in range(N_FEATURES)]], N_FEATURES, target=[1.0], weight=[0.0])
    train_pass(row, np.zeros(1, np.int64), table, LOSSES["squared"], hyper)
    np.testing.assert_allclose(table.data[:, table.w_at + 2], 0.5 * n, rtol=1e-6)
    np.testing.assert_allclose(table.w, before.w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(table.V, before.V, rtol=1e-4, atol=1e-6)
