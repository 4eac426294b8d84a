"""What the layers share: precision, masks, checks and the algebra of pairs."""

from __future__ import annotations

import operator
from typing import Any

import keras
from keras import ops

from crossfm.errors import DataError, OptionError


class Interaction(keras.Layer):  # type: ignore[misc]
    """A layer that takes differences of large sums: never in less than 32 bits.

    Inputs and weights are widened inside, and only the result is rounded to the policy's ``compute_dtype``. Products
    of matrices are written ``@``: ``keras.ops.matmul`` takes float64 for float32 on PyTorch.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    @property
    def wide(self) -> str:
        """The dtype of the sums: float32 for half-precision policies, else the policy's own."""
        # Not keras.backend.result_type: on some backends it takes float64 and float32 together for float32.
        return "float32" if self.compute_dtype in {"float16", "bfloat16"} else str(self.compute_dtype)

    def weight(self, name: str, shape: tuple[int, ...], initializer: Any, regularizer: Any) -> Any:
        """Add a weight that is read as it is stored: a mixed policy would round it to half precision first."""
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, regularizer=regularizer, autocast=False
        )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None: the axis of the fields is gone."""

    def get_config(self) -> dict[str, Any]:
        """Return the settings to make the layer again."""
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {**super().get_config(), "activity_regularizer": regularizer}

    def widen(self, tensor: Any) -> Any:
        """Return a tensor in the dtype of the sums."""
        return ops.cast(tensor, self.wide)

    def widen_fields(self, inputs: Any, mask: Any) -> Any:
        """Return embedded input in the dtype of the sums, zero where ``mask`` (batch, n_fields) says no."""
        wide = self.widen(inputs)
        if mask is None:
            return wide
        for _ in range(len(inputs.shape) - 2):
            mask = ops.expand_dims(mask, -1)
        return ops.where(ops.cast(mask, "bool"), wide, ops.zeros_like(wide))  # not x * 0: masked NaN are zero


def square_of_sum_less_squares(vectors: Any) -> Any:
    """Return sum_{i<j} v_i * v_j, element by element: (batch, n_fields, dim) -> (batch, dim).

    Half the square of the sum less the sum of squares, both over the fields: Lemma 3.1 of Rendle (2010).
    """
    return 0.5 * (ops.square(ops.sum(vectors, axis=1)) - ops.sum(ops.square(vectors), axis=1))


def one_shape(layer: str, input_shape: Any, expected: str) -> tuple[int | None, ...]:
    """Return the shape of the one input; raises ``DataError`` for a list or a dict of inputs."""
    if isinstance(input_shape, dict) or any(isinstance(size, (tuple, list)) for size in input_shape):
        raise DataError(
            f"{layer} got {len(input_shape)} inputs, but one tensor {expected} is expected; put the vectors of the "
            "fields together, like keras.ops.stack(vectors, axis=1)"
        )
    return tuple(input_shape)


def whole_number(name: str, value: Any, least: int) -> int:
    """Return an option as an int of at least ``least``; raises ``OptionError``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise OptionError(f"{name} is {value!r}, but a whole number from {least} on is expected")
    return number


def factor_start(initializer: Any) -> Any:
    """Return an initializer of factors: normal with deviation 0.01 when none is named, one for each layer."""
    return keras.initializers.get(initializer or keras.initializers.RandomNormal(stddev=0.01))
