"""Scores of second-order machines against the sum over all pairs."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows, rows_from_dense
from crossfm.kernels.fm import scores
from crossfm.kernels.table import Table
from machines import HYPER, ISAS, SIZES, as_rows, random_params, random_rows, using_isa
from oracles import entries, factor_sums, fm_score

# Float32 sums of at most a few dozen terms of size about 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@st.composite
def machines(draw):
    """Few rows (lists of feature and value), some empty, some with a feature twice, and weights."""
    n_features = draw(st.integers(1, 6))
    value = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.25, -3.0])
    row = st.lists(st.tuples(st.integers(0, n_features - 1), value), max_size=6)
    rows = draw(st.lists(row, max_size=6))
    n_factors = draw(st.one_of(st.sampled_from(SIZES), st.integers(0, 70)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return rows, random_params(rng, n_features, n_factors)


def naive_scores(rows, params):
    return np.array([fm_score(row, params.bias, params.w, params.V) for row in rows])


@given(machines())
@example(([], FMParams(0.5, np.zeros(1, np.float32), np.zeros((1, 3), np.float32))))
@example(([[], []], FMParams(0.5, np.zeros(1, np.float32), np.zeros((1, 8), np.float32))))
def test_scores_equal_the_sum_over_all_pairs(machine):
    rows, params = machine
    for isa in ISAS:
        with using_isa(isa):
            got = scores(as_rows(rows, params.n_features), params)
        np.testing.assert_allclose(got, naive_scores(rows, params), **CLOSE)


@given(machines())
def test_rows_without_values_have_value_one(machine):
    rows, params = machine
    ones = [[(i, 1.0) for i, _ in row] for row in rows]
    without = as_rows(ones, params.n_features, values=False)
    for isa in ISAS:
        with using_isa(isa):
            np.testing.assert_allclose(scores(without, params), naive_scores(ones, params), **CLOSE)


@given(machines())
def test_packed_parameters_score_the_same_bits_and_take_the_same_bytes(machine):
    rows, params = machine
    packed = params.packed()
    assert packed.V.base is packed.w.base
    assert packed.V.strides == (packed.w.strides[0], 4)  # the factors of a feature and its w side by side
    assert packed.V.base.nbytes == params.V.nbytes + params.w.nbytes
    for isa in ISAS:
        with using_isa(isa):
            one, other = (scores(as_rows(rows, params.n_features), p) for p in (params, packed))
        np.testing.assert_array_equal(one, other)


@given(machines())
def test_sums_are_the_factors_weighted_by_the_values(machine):
    rows, params = machine
    expected = [factor_sums(row, params.V) for row in rows]
    for isa in ISAS:
        sums = np.full((len(rows), params.n_factors), np.nan, np.float32)
        with using_isa(isa):
            scores(as_rows(rows, params.n_features), params, sums=sums)
        np.testing.assert_allclose(sums, np.reshape(expected, sums.shape), **CLOSE)


@pytest.mark.parametrize("n_factors", SIZES)
def test_every_size_equals_the_sum_over_all_pairs_with_any_number_of_threads(n_factors):
    rng = np.random.default_rng(n_factors)
    params = random_params(rng, 12, n_factors)
    rows = random_rows(rng, 23, 12, values=True, longest=9)
    for isa in ISAS:
        with using_isa(isa):
            one = scores(as_rows(rows, 12), params)
            many = [scores(as_rows(rows, 12), params, n_threads=n) for n in (2, 3, 40)]
        np.testing.assert_allclose(one, naive_scores(rows, params), **CLOSE)
        for other in many:
            np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_factors", [0, 1, 3, 4, 7, 8, 17, 64])
def test_a_table_scores_like_the_parameters_it_holds(rule, n_factors):
    rng = np.random.default_rng(1)
    params = random_params(rng, 9, n_factors)
    rows = as_rows(random_rows(rng, 7, 9, values=True), 9)
    table = Table.start(params, RULES[rule], HYPER)
    sums, table_sums = np.zeros((2, 7, n_factors), np.float32)
    expected = scores(rows, params, sums=sums)
    np.testing.assert_array_equal(scores(rows, table, sums=table_sums), expected)
    np.testing.assert_array_equal(table_sums, sums)


@pytest.mark.parametrize("values", [False, True])
def test_fixed_width_rows_score_like_csr_rows(values):
    rng = np.random.default_rng(2)
    params = random_params(rng, 20, 8)
    indices = rng.integers(0, 20, 3 * 11).astype(np.uint32)
    x = rng.normal(size=33).astype(np.float32) if values else None
    fixed = Rows(indices=indices, n_features=20, values=x, width=3)
    csr = Rows(indices=indices, n_features=20, values=x, indptr=fixed.offsets())
    np.testing.assert_array_equal(scores(fixed, params), scores(csr, params))


@pytest.mark.parametrize("n_features", [1, 255, 65_537])
def test_the_last_feature_counts_at_any_width(n_features):
    w = np.arange(n_features, dtype=np.float32)
    rows = as_rows([[(n_features - 1, 1.0)]], n_features)
    params = FMParams(0.0, w, np.zeros((n_features, 1), np.float32))
    assert scores(rows, params).tolist() == [n_features - 1]


def test_factors_in_any_memory_layout_score_the_same():
    rng = np.random.default_rng(3)
    params = random_params(rng, 9, 5)
    rows = as_rows(random_rows(rng, 6, 9, values=True), 9)
    wide = np.zeros((9, 10), np.float32)
    wide[:, ::2] = params.V
    expected = scores(rows, params)
    for V in (np.asfortranarray(params.V), wide[:, ::2], params.V[::-1].copy()[::-1]):
        np.testing.assert_array_equal(scores(rows, FMParams(params.bias, params.w, V)), expected)


def test_without_factors_the_machine_is_linear():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(5, 7))
    params = random_params(rng, 7, 0)
    expected = params.bias + X @ params.w.astype(float)
    np.testing.assert_allclose(scores(rows_from_dense(X), params), expected, **CLOSE)


@given(machines(), st.randoms(use_true_random=False))
def test_the_order_of_features_in_a_row_does_not_matter(machine, random):
    rows, params = machine
    shuffled = [random.sample(row, len(row)) for row in rows]
    one, other = (scores(as_rows(r, params.n_features), params) for r in (rows, shuffled))
    np.testing.assert_allclose(one, other, **CLOSE)


@given(machines(), st.sampled_from([-2.0, 0.5, 3.0]))
def test_scaling_a_row_scales_its_pairs_by_the_square(machine, c):
    rows, params = machine
    pairs_only = FMParams(0.0, np.zeros_like(params.w), params.V)
    scaled = [[(i, c * x) for i, x in row] for row in rows]
    one = scores(as_rows(rows, params.n_features), pairs_only)
    other = scores(as_rows(scaled, params.n_features), pairs_only)
    np.testing.assert_allclose(other, c**2 * one, rtol=1e-5, atol=1e-4)


def test_matrix_factorization_is_a_machine_on_two_one_hot_fields():
    rng = np.random.default_rng(5)
    params = random_params(rng, 4 + 6, 3)
    users, items = rng.integers(0, 4, 8), rng.integers(0, 6, 8)
    indices = np.stack([users, 4 + items], axis=1).astype(np.uint32).ravel()
    U, T = params.V[:4].astype(float), params.V[4:].astype(float)
    expected = params.bias + params.w[users] + params.w[4 + items] + (U[users] * T[items]).sum(axis=1)
    np.testing.assert_allclose(
        scores(Rows(indices=indices, n_features=10, width=2), params), expected, **CLOSE
    )


def test_a_dense_row_is_the_list_of_its_non_zeros():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(4, 5)) * (rng.random((4, 5)) < 0.6)
    params = random_params(rng, 5, 4)
    expected = naive_scores([entries(x) for x in X], params)
    np.testing.assert_allclose(scores(rows_from_dense(X), params), expected, **CLOSE)


def test_a_bias_that_is_no_float32_is_rounded():
    rows = rows_from_dense(np.array([[2.0]], np.float32))
    params = FMParams(0.1, np.array([0.5], np.float32), np.zeros((1, 3), np.float32))
    assert scores(rows, params).tolist() == [np.float32(0.1) + np.float32(1.0)]
