"""The pooling of NFM."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from crossfm.errors import DataError
from crossfm.keras.interaction import Interaction, one_shape, square_of_sum_less_squares

EXPECTED = "(batch, n_fields, dim)"


@keras.saving.register_keras_serializable(package="crossfm")
class BiInteraction(Interaction):
    """Products of all pairs of vectors, summed: (batch, n_fields, dim) -> (batch, dim).

    sum_{i<j} v_i * v_j, element by element. Its sum over ``dim`` is the pair term of a factorization machine; with
    ``Dense`` layers behind it, it is a neural factorization machine. It owns no weights. Where the input carries a
    mask (batch, n_fields), masked fields count zero.

    References
    ----------
    X. He, T.-S. Chua. Neural Factorization Machines for Sparse Predictive Analytics. SIGIR 2017, eq. (3) and (4).
    """

    def build(self, input_shape: Any) -> None:
        """Check the shape of the input."""
        shape = one_shape("BiInteraction", input_shape, EXPECTED)
        if len(shape) != 3:
            raise DataError(
                f"BiInteraction got input of shape {shape}, but {EXPECTED} is expected: one vector a field, as "
                "keras.layers.Embedding makes them. For dense input use FactorizationMachine(units)"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the pooled pairs (batch, dim)."""
        pooled = square_of_sum_less_squares(self.widen_fields(inputs, mask))
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (batch, dim)."""
        return (input_shape[0], input_shape[2])
