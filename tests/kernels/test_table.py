"""The layout of training tables."""

import numpy as np
import pytest

from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.kernels.table import SPARE, Table, aligned_zeros, padded_factors, record_stride
from machines import HYPER, SIZES, random_params, table_states
from oracles import Learner


@pytest.mark.parametrize("rule", RULES)
def test_parameters_go_in_and_come_out_unchanged(rule):
    for k in SIZES:
        params = random_params(np.random.default_rng(k), 5, k)
        back = Table.start(params, RULES[rule], HYPER).params()
        assert back.bias == params.bias
        np.testing.assert_array_equal(back.w, params.w)
        np.testing.assert_array_equal(back.V, params.V)
        assert back.V.flags.c_contiguous


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_features", [1, 6, 7, 20])
def test_a_table_started_part_by_part_is_that_of_the_whole(monkeypatch, rule, n_features):
    def started(at_once):
        monkeypatch.setattr("crossfm.kernels.table.AT_ONCE", at_once)
        table = Table.drawn(n_features, 5, np.random.default_rng(1), RULES[rule], HYPER, scale=0.3, bias=2.0)
        if rule == "ftrl":
            table.data[:, 2 * table.padded] = 0.5  # some n
        table.start_V(np.arange(0, n_features, 2), table.V[::2] * 2, HYPER)
        return table

    whole, parts = started(100), started(3)
    np.testing.assert_array_equal(parts.data, whole.data)
    np.testing.assert_array_equal(parts.bias, whole.bias)
    drawn = Table.drawn(n_features, 5, np.random.default_rng(1), RULES[rule], HYPER, scale=0.3, bias=2.0)
    params = FMParams.start(n_features, 5, np.random.default_rng(1), scale=0.3, bias=2.0)
    np.testing.assert_array_equal(drawn.data, Table.start(params, RULES[rule], HYPER).data)


@pytest.mark.parametrize("rule", RULES)
def test_states_start_as_the_rule_says(rule):
    for k in SIZES:
        params = random_params(np.random.default_rng(k), 5, k)
        table = Table.start(params, RULES[rule], HYPER)
        learner = Learner(rule, params.bias, params.w, params.V, HYPER)
        of_bias, of_w, of_V = table_states(table)
        for name in of_bias:
            np.testing.assert_allclose(of_bias[name], getattr(learner.bias, name), rtol=1e-6)
            np.testing.assert_allclose(of_w[name], [getattr(w, name) for w in learner.w], rtol=1e-6)
            if k:
                np.testing.assert_allclose(of_V[name], [getattr(v, name) for v in learner.V], rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_ftrl_and_the_rest_keep_their_fields_apart(rule):
    """V, its states, w and its states do not overlap and fit in the record."""
    for k in SIZES:
        table = Table.start(random_params(np.random.default_rng(0), 2, k), RULES[rule], HYPER)
        marks = np.zeros_like(table.data)
        of_w, of_V = table_states(table)[1:]
        table.data[:] = 0
        parts = [table.w, table.V, *of_w.values(), *(of_V.values() if k or rule != "adagrad-row" else ())]
        for part in parts:
            part += 1
            marks += table.data > 0
            assert (table.data <= 1).all()
        assert table.data.sum() == sum(part.size for part in parts)


@pytest.mark.parametrize("rule", RULES)
def test_linear_weights_set_later_are_as_if_they_had_been_there_from_the_start(rule):
    params = random_params(np.random.default_rng(3), 4, 3)
    table = Table.start(FMParams(params.bias, np.zeros(4, np.float32), params.V), RULES[rule], HYPER)
    table.start_w(params.w, HYPER)
    np.testing.assert_array_equal(table.data, Table.start(params, RULES[rule], HYPER).data)


def test_assigning_a_table_takes_over_weights_and_state():
    one, other = (
        Table.start(random_params(np.random.default_rng(n), 4, 3), RULES["adam"], HYPER) for n in (4, 5)
    )
    other.bias[3] = 7
    one.assign(other)
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.bias, other.bias)
    assert not np.shares_memory(one.data, other.data)


def test_copies_share_nothing():
    table = Table.start(random_params(np.random.default_rng(1), 4, 3), RULES["adam"], HYPER)
    copy = table.copy()
    np.testing.assert_array_equal(copy.data, table.data)
    copy.data += 1
    copy.bias += 1
    params = table.params()
    params.w[:] = 9
    assert not np.shares_memory(copy.data, table.data)
    assert not (table.w == 9).any()
    assert (table.bias != copy.bias).all()
    assert (copy.n_factors, copy.w_at) == (table.n_factors, table.w_at)


@pytest.mark.parametrize("n_rows", [0, 1, 7, 1000])
def test_tables_start_at_a_cache_line(n_rows):
    zeros = aligned_zeros(n_rows, 24)
    assert zeros.shape == (n_rows, 24)
    assert zeros.flags.c_contiguous
    assert zeros.ctypes.data % 64 == 0 or n_rows == 0
    assert not zeros.any()


def test_padding_and_strides_are_the_smallest_that_fit():
    sizes = {0: 0, 1: 4, 4: 4, 5: 8, 8: 8, 9: 16, 16: 16, 17: 24, 70: 72}
    assert {k: padded_factors(k) for k in sizes} == sizes
    assert [record_stride(n) for n in (1, 2, 3, 4, 5, 8, 9, 16, 17)] == [1, 2, 4, 4, 8, 8, 16, 16, 24]


def test_eight_factors_of_row_wise_adagrad_fill_one_cache_line():
    params = random_params(np.random.default_rng(2), 3, 8)
    assert Table.start(params, RULES["adagrad-row"], HYPER).data.shape == (3, 16)


@pytest.mark.parametrize(
    ("rule", "length"), [("sgd", 8), ("adagrad-row", 8), ("adagrad", 16), ("adam", 16), ("ftrl", 16)]
)
def test_up_to_four_factors_fit_in_a_cache_line(rule, length):
    for k in (1, 3, 4):
        for precision in ("float32", "bfloat16"):
            params = random_params(np.random.default_rng(2), 3, k)
            table = Table.start(params, find_rule(rule, precision), HYPER)
            assert table.data.shape == (3, length)


@pytest.mark.parametrize("has_room", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_a_grown_table_keeps_its_records_and_starts_new_ones_as_fresh_ones(rule, has_room):
    for k in SIZES:
        params = random_params(np.random.default_rng(k), 5, k)
        table = Table.start(params, RULES[rule], HYPER)
        table = table if has_room else table.copy()
        table.data += 1  # states as no fresh table has them
        before, bias = table.data.copy(), table.bias.copy()
        for n in (6, 7, 40, 40, 12):  # within the room, beyond it (a copy), and not at all
            table.grow(n, HYPER)
            assert len(table.room) >= 10  # room for twice as many
        zeros = FMParams(0.0, np.zeros(35, np.float32), np.zeros((35, k), np.float32))
        assert table.data.shape == (40, before.shape[1])
        assert table.data.ctypes.data % 64 == 0
        np.testing.assert_array_equal(table.data[:5], before)
        np.testing.assert_array_equal(table.data[5:], Table.start(zeros, RULES[rule], HYPER).data)
        np.testing.assert_array_equal(table.bias, bias)
        copy = table.copy()
        table.data[:] = 0
        table.assign(copy)
        np.testing.assert_array_equal(table.data, copy.data)


@pytest.mark.parametrize("rule", RULES)
def test_a_state_taken_out_and_put_back_makes_the_same_record(rule):
    for k in SIZES:
        params = random_params(np.random.default_rng(k), 5, k)
        table = Table.start(params, RULES[rule], HYPER)
        rng = np.random.default_rng(1)
        for states in table_states(table)[1:]:
            for state in states.values():
                state[:] = rng.random(state.shape)
        table.bias[1:] = rng.random(3)
        if RULES[rule].counts:
            table.data[:, table.w_at + 3] = rng.integers(0, 9, 5)
        back = Table.start(table.params(), RULES[rule], HYPER)
        back.set_state(*table.state())
        np.testing.assert_array_equal(back.data, table.data)
        np.testing.assert_array_equal(back.bias, table.bias)


@pytest.mark.parametrize("has_room", [True, False])
def test_spare_records_are_empty_and_lie_right_behind_the_table(has_room):
    params = random_params(np.random.default_rng(6), 5, 3)
    table = Table.start(params, RULES["adagrad"], HYPER)
    before = table.data.copy()
    table = table if has_room else table.copy()
    for n in (3, 40, SPARE + 1):  # the last is more than any table has room for at first
        spare = table.spare(n)
        assert spare.shape == (n, before.shape[1])
        assert not spare.any()
        assert spare.ctypes.data == table.data.ctypes.data + table.data.nbytes
        assert table.data.ctypes.data % 64 == 0
        np.testing.assert_array_equal(table.data, before)
    table.grow(7, HYPER)
    np.testing.assert_array_equal(table.data[:5], before)
    assert table.spare(1).ctypes.data == table.data.ctypes.data + table.data.nbytes
