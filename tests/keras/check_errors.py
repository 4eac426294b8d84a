"""What wrong options and wrong input are answered with."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from crossfm.errors import DataError, OptionError
from crossfm.keras import BiInteraction, FactorizationMachine, FieldAwareInteraction


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FactorizationMachine(0), "units is 0, but a whole number from 1 on is expected"),
        (lambda: FactorizationMachine(True), "units is True, but a whole number"),
        (lambda: FactorizationMachine(n_factors=-1), "n_factors is -1, but a whole number from 0 on"),
        (lambda: FactorizationMachine(n_factors=2.0), "n_factors is 2.0, but a whole number"),
        (lambda: FieldAwareInteraction([]), "fields is empty, but the field of each feature"),
        (lambda: FieldAwareInteraction([0, -1]), "fields is -1, but a whole number from 0 on"),
        (lambda: FieldAwareInteraction(["user"]), "fields is 'user', but a whole number"),
        (lambda: FieldAwareInteraction(n_factors=0), "n_factors is 0, but a whole number from 1 on"),
    ],
)
def test_an_option_that_means_nothing(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "error", "message"),
    [
        (FactorizationMachine(4), (2, 3), OptionError, r"BiInteraction\(\) with keras.layers.Dense\(4\)"),
        (
            FactorizationMachine(),
            (2, 3, 4),
            DataError,
            r"input of shape \(None, 2, 3, 4\), but \(batch, n_features\)",
        ),
        (FactorizationMachine(), (), DataError, "keras.layers.Flatten"),
        (FactorizationMachine(), (None,), DataError, r"unknown width.*keras.Input\(\(30,\)\)"),
        (
            FactorizationMachine(n_factors=0, use_linear=False),
            (3,),
            OptionError,
            "reads nothing of dense input",
        ),
        (BiInteraction(), (3,), DataError, r"\(None, 3\), but \(batch, n_fields, dim\) is expected"),
        (FieldAwareInteraction(), (3,), DataError, r"fields=\[...\], for dense input"),
        (FieldAwareInteraction(), (3, 4, 2), DataError, "3 fields with vectors for 4"),
        (FieldAwareInteraction(), (None, 3, 2), DataError, "None fields with vectors for 3"),
        (FieldAwareInteraction([0, 1]), (2, 2, 3), DataError, "leave fields out for embedded input"),
        (FieldAwareInteraction([0, 1]), (3,), DataError, "3 features, but fields says the field of 2"),
    ],
)
def test_input_of_the_wrong_shape(layer, shape, error, message):
    with pytest.raises(error, match=message):
        layer(keras.Input(shape))


@pytest.mark.parametrize("layer", [FactorizationMachine, BiInteraction, FieldAwareInteraction])
def test_several_inputs(layer):
    vectors = [keras.Input((4,)), keras.Input((4,))]
    with pytest.raises(
        DataError, match=r"got 2 inputs, but one tensor .* keras.ops.stack\(vectors, axis=1\)"
    ):
        layer()(vectors)


def test_another_number_of_features_than_it_was_built_for():
    layer = FactorizationMachine()
    layer(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 3"):
        layer(np.ones((2, 4), "float32"))
