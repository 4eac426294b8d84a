"""Factors in bfloat16: how they are rounded, and that all else is what it is with floats."""

import numpy as np
import pytest

from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels import ffm, fm
from crossfm.kernels.half import narrow, widen
from crossfm.kernels.table import Table
from field_rows import as_rows, make_rows, params_for
from machines import HYPER, ISAS, RATES, random_targets, skewed, using_isa
from oracles import nearest_bfloat16

LOGISTIC = find_loss("logistic")


def half(rule):
    return find_rule(rule, "bfloat16")


def spacing(x):
    """Distance of neighbouring bfloat16 numbers around x: 8 significant bits."""
    return 2.0 ** (np.floor(np.log2(np.maximum(np.abs(x), 1e-38))) - 7)


def test_narrow_takes_the_nearest_and_widen_is_exact():
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=2000) * 10.0 ** rng.integers(-30, 30, 2000))
    ties = (np.arange(2000, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    edge = np.float32([0.0, -0.0, 1.0, 1e-40, 3.3e38])
    for numbers in (x, ties, edge):
        got = widen(narrow(numbers))
        np.testing.assert_array_equal(got, [nearest_bfloat16(v) for v in numbers])
        np.testing.assert_array_equal(widen(narrow(got)), got)
    assert np.signbit(widen(narrow(edge)))[1]


def one_hot_rows(rng, n_rows, width, n_features, values):
    ids = np.concatenate([rng.permutation(n_features)[:width] for _ in range(n_rows)])
    x = np.float32(rng.normal(size=len(ids))) if values else None
    return Rows(
        ids.astype(np.uint32),
        n_features,
        width=width,
        values=x,
        target=random_targets(rng, n_rows, "logistic"),
    )


def fm_pair(rows, rule, n_factors, rng, hyper):
    """A table with factors in bfloat16 and one with floats, at the same weights."""
    start = FMParams.start(rows.n_features, n_factors, rng, scale=0.3, bias=0.1)
    start.w[:] = rng.normal(size=rows.n_features)
    table = Table.start(start, half(rule), hyper)
    return table, Table.start(table.params(), find_rule(rule), hyper)


def field_pair(rows, rule, n_factors, rng, hyper):
    params = params_for(rows, 6, n_factors, rng)
    table = ffm.FFMTable.start(params, half(rule), hyper)
    return table, ffm.FFMTable.start(table.params(), find_rule(rule), hyper)


def check_rounded(got, exact):
    """Each number is one of the two bfloat16 numbers around the exact one."""
    assert (np.abs(got - exact) <= spacing(exact) * 1.001 + 1e-6 * np.abs(exact)).all()
    np.testing.assert_array_equal(widen(narrow(got)), got)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_factors", [1, 3, 4, 8, 16, 20, 32, 64])
@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_row_moves_factors_to_a_neighbour_and_all_else_as_with_floats(
    rule, n_factors, values, deterministic
):
    rng = np.random.default_rng(n_factors)
    rows = one_hot_rows(rng, 1, 7, 9, values)
    for isa in ISAS:
        with using_isa(isa):
            table, twin = fm_pair(rows, rule, n_factors, np.random.default_rng(1), HYPER)
            np.testing.assert_allclose(fm.scores(rows, table), fm.scores(rows, twin), rtol=1e-5)
            for one in (table, twin):
                fm.train_pass(rows, np.zeros(1, np.int64), one, LOGISTIC, HYPER, deterministic=deterministic)
            np.testing.assert_allclose(table.w, twin.w, rtol=1e-5)
            np.testing.assert_allclose(table.bias, twin.bias, rtol=1e-5)
            np.testing.assert_allclose(table.state()[0], twin.state()[0], rtol=1e-4, atol=1e-6)
            check_rounded(table.V, twin.V)
            assert (table.V != twin.V).any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("shape", "n_factors"),
    [("full", 4), ("full", 8), ("full", 16), ("full", 12), ("missing", 4), ("multi", 5)],
)
@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_row_of_a_field_aware_machine(rule, shape, n_factors, values, deterministic):
    rng = np.random.default_rng(n_factors)
    lists = make_rows(rng, 6, 6, shape=shape, values=values)
    rows = as_rows(lists, 24, values=values, target=random_targets(rng, 6, "logistic"))
    for isa in ISAS:
        with using_isa(isa):
            table, twin = field_pair(rows, rule, n_factors, np.random.default_rng(2), HYPER)
            np.testing.assert_allclose(ffm.scores(rows, table), ffm.scores(rows, twin), rtol=1e-4, atol=1e-6)
            for one in (table, twin):
                ffm.train_pass(rows, np.array([3]), one, LOGISTIC, HYPER, deterministic=deterministic)
            got, exact = table.params(), twin.params()
            np.testing.assert_allclose(got.w, exact.w, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(table.bias, twin.bias, rtol=1e-4, atol=1e-6)
            for mine, theirs in zip(got.blocks, exact.blocks, strict=True):
                check_rounded(mine.V, theirs.V)
            for kind, other in zip(table.kinds, twin.kinds, strict=True):
                for state in range(0 if table.rule.row_wise else table.rule.states):
                    np.testing.assert_allclose(
                        table.states_of(kind, state), twin.states_of(other, state), rtol=1e-4, atol=1e-6
                    )


@pytest.mark.parametrize("machine", ["fm", "ffm"])
@pytest.mark.parametrize("n_factors", [4, 8, 16])
def test_steps_far_below_the_last_digit_add_up(machine, n_factors):
    """A thousand steps of a hundredth of a digit: rounding to the nearest would stay where it is."""
    n = 1000
    rng = np.random.default_rng(5)
    ids, fields = np.tile(np.arange(6, dtype=np.uint32), n), np.arange(6, dtype=np.uint32)
    rows = Rows(ids, 6, width=6, fields=fields, target=np.ones(n))
    hyper = Hyper(learning_rate=3e-5)
    module, pair = (fm, fm_pair) if machine == "fm" else (ffm, field_pair)
    for isa in ISAS:
        with using_isa(isa):
            moved, exact = [], []
            for _ in range(20):
                table, twin = pair(rows, "sgd", n_factors, rng, hyper)
                before = values_of(table)
                for one in (table, twin):
                    module.train_pass(rows, np.arange(n), one, LOGISTIC, hyper)
                moved.append(values_of(table) - before)
                exact.append(values_of(twin) - before)
            moved, exact = np.concatenate(moved), np.concatenate(exact)
            slope = (moved @ exact) / (exact @ exact)
            assert abs(slope - 1) < 0.1, slope
            assert abs((moved - exact).mean()) < 5 * (moved - exact).std() / np.sqrt(len(moved))


def values_of(table):
    params = table.params()
    V = [params.V] if isinstance(params, FMParams) else [block.V for block in params.blocks]
    return np.concatenate([part.ravel() for part in V]).astype(float)


@pytest.mark.parametrize("machine", ["fm", "ffm"])
@pytest.mark.parametrize("rule", RULES)
def test_one_thread_and_mini_batches_give_the_same_bits_again(machine, rule):
    rng = np.random.default_rng(3)
    lists = make_rows(rng, 300, 6, shape="full", values=False)
    rows = as_rows(lists, 24, values=False, target=random_targets(rng, 300, "logistic"))
    module, pair = (fm, fm_pair) if machine == "fm" else (ffm, field_pair)

    def after(**how):
        table = pair(rows, rule, 8, np.random.default_rng(4), HYPER)[0]
        for _ in range(2):
            module.train_pass(rows, np.arange(300), table, LOGISTIC, HYPER, **how)
        return values_of(table)

    np.testing.assert_array_equal(after(), after())
    one = after(deterministic=True)
    for n_threads in (2, 3):
        np.testing.assert_array_equal(after(deterministic=True, n_threads=n_threads), one)


@pytest.mark.parametrize("n_factors", [4, 12])
@pytest.mark.parametrize("rule", RULES)
def test_threads_merge_copies_in_half_precision(rule, n_factors):
    rows, hyper = skewed(), Hyper(learning_rate=RATES[rule])
    losses = {}
    for precision, n_threads in [("float32", 1), ("bfloat16", 1), ("bfloat16", 2), ("bfloat16", 5)]:
        start = FMParams.start(rows.n_features, n_factors, np.random.default_rng(0), scale=0.03)
        table = Table.start(start, find_rule(rule, precision), hyper)
        for _ in range(2):
            fm.train_pass(rows, np.arange(rows.n_rows), table, LOGISTIC, hyper, n_threads=n_threads)
        scores = fm.scores(rows, table).astype(float)
        losses[precision, n_threads] = float(LOGISTIC.value(scores, rows.target).mean())
    one = losses["float32", 1]
    for loss in losses.values():
        assert loss < one + 0.1 * (np.log(2) - one), losses


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_factors", [3, 5])
@pytest.mark.parametrize("machine", ["fm", "ffm"])
def test_the_state_goes_on_where_it_was(machine, n_factors, rule):
    rng = np.random.default_rng(6)
    lists = make_rows(rng, 60, 6, shape="full", values=True)
    rows = as_rows(lists, 24, values=True, target=random_targets(rng, 60, "logistic"))
    module, pair = (fm, fm_pair) if machine == "fm" else (ffm, field_pair)
    table = pair(rows, rule, n_factors, rng, HYPER)[0]
    module.train_pass(rows, np.arange(60), table, LOGISTIC, HYPER)
    again = module.table(table.params(), half(rule), HYPER)
    again.set_state(*table.state())
    for one in (table, again, copied := table.copy()):
        module.train_pass(rows, np.arange(60), one, LOGISTIC, HYPER)
    np.testing.assert_array_equal(values_of(again), values_of(table))
    np.testing.assert_array_equal(values_of(copied), values_of(table))


def test_a_table_says_its_bytes():
    rng = np.random.default_rng(0)
    rows = as_rows(make_rows(rng, 50, 8, shape="full", values=False), 40, values=False)
    for module in (fm, ffm):
        for rule in ("adagrad", "adagrad-row"):
            sizes = [module.table_bytes(rows, 16, r) for r in (find_rule(rule), half(rule))]
            table = module.start(rows, 16, rng, half(rule), HYPER, scale=0.1, bias=0.0)
            beside = 20 * rows.n_features if module is ffm else 0
            assert sizes[1] == beside + (table.nbytes if module is ffm else table.data.nbytes)
            assert sizes[1] < sizes[0] * (0.72 if rule == "adagrad-row" else 0.85)
