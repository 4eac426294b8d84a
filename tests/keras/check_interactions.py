"""BiInteraction and FieldAwareInteraction against sums over pairs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from crossfm.keras import BiInteraction, FactorizationMachine, FieldAwareInteraction
from keras_backend import gradients, made_rows, outputs, randomise, values, weights_of
from oracles import ffm_score, numeric_gradient


def bi_interaction(x):
    """Return sum_{i<j} v_i * v_j of one row (n_fields, dim): eq. (3) of He and Chua (2017)."""
    n_fields = len(x)
    return sum((x[i] * x[j] for i in range(n_fields) for j in range(i + 1, n_fields)), np.zeros(x.shape[1]))


def pooled(x):
    return np.array([bi_interaction(row) for row in x])


def embedded_pairs(E):
    """Return the naive pair terms of (n_rows, n_fields, n_fields, dim): field p holds feature p."""
    n_fields = E.shape[1]
    row = [(p, p, 1.0) for p in range(n_fields)]
    return np.array([[ffm_score(row, 0.0, np.zeros(n_fields), vectors)] for vectors in E])


def dense_pairs(x, fields, V):
    w = np.zeros(len(fields))
    rows = [[(fields[i], i, float(x_i)) for i, x_i in enumerate(row)] for row in x]
    return np.array([[ffm_score(row, 0.0, w, V)] for row in rows])


def made(x, fields, seed=0, **options):
    layer = FieldAwareInteraction(fields, dtype="float64", **options)
    layer.build(x.shape)
    randomise(layer, np.random.default_rng(seed))
    return layer


@pytest.mark.parametrize("shape", [(4, 1, 3), (4, 5, 3), (3, 2, 1)])
def test_pooling_equals_the_sum_over_all_pairs_of_fields(shape):
    x = made_rows(np.random.default_rng(1), shape)
    np.testing.assert_allclose(outputs(BiInteraction(dtype="float64"), x), pooled(x), atol=1e-12)


def test_the_sum_of_the_pooled_pairs_is_the_machine():
    x = made_rows(np.random.default_rng(2), (4, 5, 3))
    machine = outputs(FactorizationMachine(dtype="float64"), x)
    sums = outputs(BiInteraction(dtype="float64"), x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sums, machine, atol=1e-12)


def test_gradients_of_pooling_match_finite_differences():
    x = np.random.default_rng(3).normal(size=(2, 4, 3))
    by_input, _ = gradients(BiInteraction(dtype="float64"), x)
    np.testing.assert_allclose(by_input, numeric_gradient(lambda z: pooled(z).sum(), x), atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 1, 1, 2), (3, 4, 4, 2), (2, 2, 2, 1)])
def test_embedded_fields_meet_through_the_vectors_for_each_other(shape):
    E = made_rows(np.random.default_rng(4), shape)
    layer = FieldAwareInteraction(dtype="float64")
    np.testing.assert_allclose(outputs(layer, E), embedded_pairs(E), atol=1e-12)


@pytest.mark.parametrize(
    "fields", [[0], [0, 0, 0], [0, 1, 2], [0, 0, 1, 2, 2], [2, 0, 1, 0, 2, 1]], ids=lambda fields: str(fields)
)
def test_dense_features_meet_through_the_vectors_for_the_fields_of_each_other(fields):
    x = made_rows(np.random.default_rng(5), (4, len(fields)))
    layer = made(x, fields, n_factors=3)
    V = weights_of(layer)["factors"]
    assert V.shape == (len(fields), max(fields) + 1, 3)
    np.testing.assert_allclose(outputs(layer, x), dense_pairs(x, fields, V), atol=1e-10)


def test_numbers_of_fields_may_have_gaps():
    x = made_rows(np.random.default_rng(6), (4, 4))
    gaps, none = made(x, [7, 2, 7, 5]), made(x, [2, 0, 2, 1])
    np.testing.assert_array_equal(outputs(gaps, x), outputs(none, x))


def test_with_one_field_it_is_the_machine():
    x = made_rows(np.random.default_rng(7), (4, 5))
    layer = made(x, [0] * 5, n_factors=3)
    machine = FactorizationMachine(n_factors=3, use_bias=False, use_linear=False, dtype="float64")
    machine.build(x.shape)
    machine.factors.assign(weights_of(layer)["factors"])
    np.testing.assert_allclose(outputs(layer, x), outputs(machine, x), atol=1e-12)


def test_gradients_of_dense_features_match_finite_differences():
    fields = [1, 0, 2, 1]
    x = np.random.default_rng(8).normal(size=(3, 4))
    layer = made(x, fields, n_factors=2)
    V = weights_of(layer)["factors"]
    by_input, by_weight = gradients(layer, x)
    expected = numeric_gradient(lambda z: dense_pairs(z, fields, V).sum(), x)
    np.testing.assert_allclose(by_input, expected, atol=1e-7)
    expected = numeric_gradient(lambda v: dense_pairs(x, fields, v).sum(), V)
    np.testing.assert_allclose(by_weight["factors"], expected, atol=1e-7)


def test_gradients_of_embedded_fields_match_finite_differences():
    E = np.random.default_rng(9).normal(size=(2, 3, 3, 2))
    by_input, _ = gradients(FieldAwareInteraction(dtype="float64"), E)
    np.testing.assert_allclose(by_input, numeric_gradient(lambda z: embedded_pairs(z).sum(), E), atol=1e-7)


def test_masked_fields_count_zero_whatever_is_in_them():
    rng = np.random.default_rng(10)
    mask = np.array([[True, False, True], [True, True, False]])
    x, E = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 3, 4))
    expected = pooled(x * mask[..., None]), embedded_pairs(E * mask[..., None, None])
    x[~mask] = np.nan
    E[~mask] = np.nan
    layers = BiInteraction(dtype="float64"), FieldAwareInteraction(dtype="float64")
    np.testing.assert_allclose(outputs(layers[0], x, mask=mask), expected[0], atol=1e-12)
    np.testing.assert_allclose(outputs(layers[1], E, mask=mask), expected[1], atol=1e-12)


@pytest.mark.parametrize(("policy", "eps"), [("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)])
def test_half_precision_rounds_the_result_alone(policy, eps):
    rng = np.random.default_rng(11)
    x = (128 * rng.choice([-1.0, 1.0], (4, 200, 2)) + rng.integers(-2, 3, (4, 200, 2))) / 128
    y = BiInteraction(dtype=policy)(x.astype("float32"))  # a small sum of large squares
    np.testing.assert_allclose(values(y), pooled(x), rtol=eps)
    fields = [i % 3 for i in range(100)]
    dense = FieldAwareInteraction(fields, 2, factor_initializer="random_normal", dtype=policy)
    y = dense(x[:, :100, 0].astype("float32"))
    expected = dense_pairs(x[:, :100, 0], fields, weights_of(dense)["factors"])
    np.testing.assert_allclose(values(y), expected, rtol=eps, atol=1e-6)
    E = x[:, :196].reshape(4, 14, 14, 2)
    y = FieldAwareInteraction(dtype=policy)(E.astype("float32"))
    np.testing.assert_allclose(values(y), embedded_pairs(E), rtol=eps)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (BiInteraction, (None, None, 2), (None, 2)),
        (FieldAwareInteraction, (None, 3, 3, 2), (None, 1)),
        (lambda: FieldAwareInteraction([0, 1]), (None, 2), (None, 1)),
    ],
)
def test_the_output_shape_is_known_before_there_is_data(layer, shape, expected):
    assert layer().compute_output_shape(shape) == expected
    assert tuple(layer()(keras.Input(shape[1:])).shape) == expected
