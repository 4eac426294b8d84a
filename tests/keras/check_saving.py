"""Settings, ``.keras`` files, SavedModel folders and ONNX."""

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec
from types import ModuleType

import keras
import numpy as np
import pytest

from crossfm.errors import OptionError
from crossfm.keras import BiInteraction, FactorizationMachine, FieldAwareInteraction, export_saved_model
from keras_backend import BACKEND, randomise, values

ROWS = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")

SET = {
    FactorizationMachine: {
        "units": 3,
        "n_factors": 2,
        "activation": "tanh",
        "use_bias": False,
        "use_linear": False,
        "bias_initializer": keras.initializers.Constant(0.5),
        "kernel_initializer": "zeros",
        "factor_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
        "bias_regularizer": keras.regularizers.L2(0.1),
        "kernel_regularizer": keras.regularizers.L1(0.2),
        "factor_regularizer": keras.regularizers.L2(0.3),
    },
    FieldAwareInteraction: {
        "fields": np.array([1, 0, 1]),
        "n_factors": np.int64(3),
        "factor_initializer": "ones",
        "factor_regularizer": keras.regularizers.L2(0.3),
    },
    BiInteraction: {},
}


def model():
    """Return a model with every layer in every use, none of its weights zero."""
    x = keras.Input((6,), name="x")
    vectors = keras.layers.Reshape((2, 3))(x)
    blocks = keras.layers.Reshape((2, 2, 2))(keras.layers.Dense(8)(x))
    parts = [
        FactorizationMachine(4, 3, activation="tanh")(x),
        FactorizationMachine()(vectors),
        BiInteraction()(vectors),
        FieldAwareInteraction([0, 2, 0, 1, 2, 2], 2)(x),
        FieldAwareInteraction()(blocks),
    ]
    made = keras.Model(x, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    randomise(made, np.random.default_rng(1))
    return made


@pytest.mark.parametrize("layer", SET, ids=lambda layer: layer.__name__)
def test_settings_make_the_same_layer_again(layer):
    options = SET[layer]
    named = set(inspect.signature(layer.__init__).parameters) - {"self", "kwargs"}
    assert named == (set() if layer is BiInteraction else set(options))
    first = layer(**options, dtype="mixed_bfloat16", activity_regularizer="l2", name="it")
    config = first.get_config()
    assert named <= set(config)
    again = layer.from_config(config)
    assert again.get_config() == config
    assert again.compute_dtype == "bfloat16"
    assert again.activity_regularizer is not None


def test_two_layers_do_not_start_with_the_same_factors():
    layers = [FactorizationMachine(use_linear=False) for _ in range(2)]
    for layer in layers:
        layer.build((None, 4))
    assert (values(layers[0].factors) != values(layers[1].factors)).all()


def test_a_loaded_model_predicts_the_same(tmp_path):
    made = model()
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(ROWS, verbose=0), made.predict(ROWS, verbose=0))


def test_onnx_predicts_the_same_for_any_number_of_rows(tmp_path):
    needed = {"torch": "onnx", "jax": "jax2onnx", "tensorflow": "tf2onnx"}[BACKEND]
    pytest.importorskip(needed, reason=f"ONNX from Keras on {BACKEND} needs {needed}")
    runtime = pytest.importorskip("onnxruntime")
    made = model()
    made(ROWS)  # Keras exports to ONNX what has been called; with JAX predict does not count
    path = str(tmp_path / "model.onnx")
    made.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    (name,) = [given.name for given in session.get_inputs()]
    for rows in (ROWS, ROWS[:1], ROWS[[0, 1, 2] * 7]):
        (y,) = session.run(None, {name: rows})
        np.testing.assert_allclose(y, made.predict(rows, verbose=0), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND == "torch" or not find_spec("tensorflow"), reason="a SavedModel needs TensorFlow")
def test_versions_of_a_saved_model_follow_each_other(tmp_path):
    import tensorflow as tf

    made = model()
    folder = tmp_path / "served"
    assert export_saved_model(made, folder) == folder / "1"
    (folder / "9").mkdir()
    (folder / "notes").mkdir()
    assert export_saved_model(made, folder) == folder / "10"
    assert sorted(path.name for path in folder.iterdir()) == ["1", "10", "9", "notes"]
    served = tf.saved_model.load(str(folder / "10"))
    for rows in (ROWS, ROWS[:1]):
        np.testing.assert_allclose(
            served.serve(rows).numpy(), made.predict(rows, verbose=0), rtol=1e-4, atol=1e-4
        )


@pytest.mark.skipif(BACKEND == "torch" or not find_spec("tensorflow"), reason="a SavedModel needs TensorFlow")
def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    made = model()

    def half_way(path, **options):
        path.mkdir()
        raise RuntimeError("no space")

    monkeypatch.setattr(made, "export", half_way)
    with pytest.raises(RuntimeError, match="no space"):
        export_saved_model(made, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    BACKEND != "jax", reason="it needs no TensorFlow, so one that writes SavedModels is enough"
)
def test_a_version_appears_when_it_is_whole_and_follows_the_last(tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "tensorflow", ModuleType("tensorflow")
    )  # asked for only whether it is there
    meanwhile = []

    class Writes:
        def export(self, path, *, format, verbose):
            assert format == "tf_saved_model"
            path.mkdir()
            (path / "saved_model.pb").write_text("half")
            meanwhile.append([p.name for p in path.parent.iterdir() if not p.name.startswith(".")])
            (path / "saved_model.pb").write_text("whole")

    assert export_saved_model(Writes(), tmp_path) == tmp_path / "1"
    assert export_saved_model(Writes(), tmp_path) == tmp_path / "2"
    (tmp_path / "9").mkdir()
    assert export_saved_model(Writes(), tmp_path) == tmp_path / "10"
    assert meanwhile[:2] == [[], ["1"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "10", "2", "9"]
    assert (tmp_path / "10" / "saved_model.pb").read_text() == "whole"


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends can")
def test_a_backend_without_saved_models_says_what_to_do(tmp_path):
    with pytest.raises(OptionError, match="the torch backend writes no SavedModel; save"):
        export_saved_model(model(), tmp_path / "served")
    assert not (tmp_path / "served").exists()
