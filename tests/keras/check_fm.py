"""FactorizationMachine against the sum over all pairs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from crossfm.keras import FactorizationMachine
from keras_backend import gradients, made_rows, outputs, randomise, values, weights_of
from oracles import entries, fm_score, numeric_gradient


def made(x, seed=0, **options):
    """Return a layer of 64-bit weights, built for ``x``, none of them zero."""
    layer = FactorizationMachine(dtype="float64", **options)
    layer.build(x.shape)
    randomise(layer, np.random.default_rng(seed))
    return layer


def scores(x, weights, units):
    """Return the naive scores of dense rows (n_rows, units)."""
    bias = weights.get("bias", np.zeros(units))
    w = weights.get("kernel", np.zeros((x.shape[1], units)))
    V = weights.get("factors", np.zeros((x.shape[1], units, 0)))
    return np.array([[fm_score(entries(row), bias[u], w[:, u], V[:, u]) for u in range(units)] for row in x])


def embedded_scores(x, bias=0.0):
    n_fields = x.shape[1]
    ones = [(f, 1.0) for f in range(n_fields)]
    return np.array([[fm_score(ones, bias, np.zeros(n_fields), vectors)] for vectors in x])


@pytest.mark.parametrize("n_features", [1, 7])
@pytest.mark.parametrize(("units", "n_factors"), [(1, 8), (1, 1), (1, 0), (3, 5), (4, 0)])
def test_dense_scores_equal_the_sum_over_all_pairs(n_features, units, n_factors):
    x = made_rows(np.random.default_rng(1), (6, n_features))
    layer = made(x, units=units, n_factors=n_factors)
    np.testing.assert_allclose(outputs(layer, x), scores(x, weights_of(layer), units), atol=1e-10)


@pytest.mark.parametrize("left_out", [("use_bias",), ("use_linear",), ("use_bias", "use_linear")])
def test_bias_and_linear_part_can_be_left_out(left_out):
    x = made_rows(np.random.default_rng(2), (5, 4))
    layer = made(x, units=2, n_factors=3, **dict.fromkeys(left_out, False))
    names = {"bias", "kernel", "factors"} - {
        {"use_bias": "bias", "use_linear": "kernel"}[o] for o in left_out
    }
    assert set(weights_of(layer)) == names
    np.testing.assert_allclose(outputs(layer, x), scores(x, weights_of(layer), 2), atol=1e-10)


@pytest.mark.parametrize("shape", [(4, 1, 3), (4, 5, 3), (3, 2, 1)])
def test_embedded_scores_equal_the_sum_over_all_pairs_of_fields(shape):
    x = made_rows(np.random.default_rng(3), shape)
    layer = made(x)
    expected = embedded_scores(x, weights_of(layer)["bias"][0])
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-10)


def test_without_factors_it_is_linear():
    x = made_rows(np.random.default_rng(4), (5, 4))
    layer = made(x, units=2, n_factors=0)
    weights = weights_of(layer)
    np.testing.assert_allclose(outputs(layer, x), x @ weights["kernel"] + weights["bias"], atol=1e-12)


def test_the_pairwise_part_grows_with_the_square_of_the_input():
    x = made_rows(np.random.default_rng(5), (5, 4))
    layer = made(x, use_bias=False, use_linear=False)
    np.testing.assert_allclose(outputs(layer, 3 * x), 9 * outputs(layer, x), atol=1e-10)


def test_the_order_of_fields_does_not_matter():
    x = made_rows(np.random.default_rng(6), (5, 4, 3))
    layer = made(x)
    np.testing.assert_allclose(outputs(layer, x[:, ::-1].copy()), outputs(layer, x), atol=1e-12)


def test_a_row_of_embeddings_scores_as_its_one_hot_row():
    ids = np.array([[0, 3], [2, 4], [1, 3]])
    one_hot = np.eye(5)[ids].sum(axis=1)
    dense = made(one_hot, n_factors=3, use_linear=False)
    embedded = made(np.zeros((3, 2, 3)))
    embedded.bias.assign(weights_of(dense)["bias"])
    vectors = weights_of(dense)["factors"][ids, 0]
    np.testing.assert_allclose(outputs(embedded, vectors), outputs(dense, one_hot), atol=1e-12)


def test_gradients_of_dense_input_match_finite_differences():
    x = made_rows(np.random.default_rng(7), (3, 4))
    layer = made(x, units=2, n_factors=3)
    weights = weights_of(layer)
    by_input, by_weight = gradients(layer, x)
    np.testing.assert_allclose(
        by_input, numeric_gradient(lambda z: scores(z, weights, 2).sum(), x), atol=1e-7
    )
    for name, gradient in by_weight.items():
        expected = numeric_gradient(lambda w, n=name: scores(x, weights | {n: w}, 2).sum(), weights[name])
        np.testing.assert_allclose(gradient, expected, atol=1e-7, err_msg=name)


def test_gradients_of_embedded_input_match_finite_differences():
    x = np.random.default_rng(8).normal(size=(2, 4, 3))
    by_input, by_weight = gradients(made(x), x)
    np.testing.assert_allclose(by_input, numeric_gradient(lambda z: embedded_scores(z).sum(), x), atol=1e-7)
    assert by_weight["bias"].tolist() == [2.0]


def test_masked_fields_count_zero_whatever_is_in_them():
    x = np.random.default_rng(9).normal(size=(2, 4, 3))
    mask = np.array([[True, False, True, True], [True, True, False, False]])
    layer = made(x)
    expected = embedded_scores(x * mask[..., None], weights_of(layer)["bias"][0])
    x[~mask] = np.nan
    np.testing.assert_allclose(outputs(layer, x, mask=mask), expected, atol=1e-12)


def test_the_mask_of_an_embedding_is_used_and_ends_here():
    embedding = keras.layers.Embedding(5, 3, mask_zero=True, dtype="float64")
    ids = keras.Input((4,), dtype="int32")
    layer = FactorizationMachine(dtype="float64")
    y = layer(embedding(ids))
    assert getattr(y, "_keras_mask", None) is None
    model = keras.Model(ids, y)
    rows = np.array([[1, 2, 0, 0], [3, 0, 4, 1]], "int32")
    vectors = weights_of(embedding)["embeddings"][rows] * (rows != 0)[..., None]
    np.testing.assert_allclose(model.predict(rows, verbose=0), embedded_scores(vectors), atol=1e-12)


@pytest.mark.parametrize(("policy", "eps"), [("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)])
@pytest.mark.parametrize("shape", [(4, 300), (4, 300, 2)])
def test_half_precision_rounds_the_result_alone(policy, eps, shape):
    rng = np.random.default_rng(10)
    x = (
        128 * rng.choice([-1.0, 1.0], shape) + rng.integers(-2, 3, shape)
    ) / 128  # a small sum of large squares
    layer = FactorizationMachine(n_factors=2, use_linear=False, dtype=policy)
    layer.build(shape)
    if layer.factors is not None:
        layer.factors.assign(1 + 0.01 * rng.normal(size=layer.factors.shape))
    y = layer(x.astype("float32"))
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    expected = scores(x, weights_of(layer), 1) if len(shape) == 2 else embedded_scores(x)
    np.testing.assert_allclose(values(y), expected, rtol=eps, atol=1e-3)


def test_input_of_whole_numbers_is_taken():
    x = np.array([[0, 1, 2], [1, 1, 0]], "int32")
    layer = made(x, n_factors=2)
    np.testing.assert_allclose(outputs(layer, x), scores(x, weights_of(layer), 1), atol=1e-12)


def test_penalties_are_of_the_weights_they_name():
    layer = made(
        np.zeros((1, 4)),
        units=2,
        n_factors=3,
        bias_regularizer=keras.regularizers.L2(1.0),
        kernel_regularizer=keras.regularizers.L2(10.0),
        factor_regularizer=keras.regularizers.L2(100.0),
    )
    w = {name: (value**2).sum() for name, value in weights_of(layer).items()}
    expected = w["bias"] + 10 * w["kernel"] + 100 * w["factors"]
    assert float(sum(values(loss) for loss in layer.losses)) == pytest.approx(expected)


def test_the_activation_is_applied():
    x = made_rows(np.random.default_rng(11), (5, 4))
    layer = made(x, units=3, activation="relu")
    expected = np.maximum(scores(x, weights_of(layer), 3), 0)
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "expected"), [((None, 4), (None, 3)), ((None, None, 2), (None, 1))])
def test_the_output_shape_is_known_before_there_is_data(shape, expected):
    layer = FactorizationMachine(expected[1])
    assert layer.compute_output_shape(shape) == expected
    assert tuple(layer(keras.Input(shape[1:])).shape) == expected


def test_it_learns_a_product_as_hidden_layer():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(12).choice([-1.0, 1.0], size=(256, 3)).astype("float32")
    y = x[:, 0] * x[:, 1]  # no linear model is better than the constant 0
    model = keras.Sequential([FactorizationMachine(4, 2, activation="tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, y, batch_size=64, epochs=25, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.1
