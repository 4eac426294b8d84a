"""The second-order factorization machine."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from crossfm.errors import DataError, OptionError
from crossfm.keras.interaction import (
    Interaction,
    factor_start,
    one_shape,
    square_of_sum_less_squares,
    whole_number,
)

EXPECTED = "(batch, n_features) or (batch, n_fields, dim)"


@keras.saving.register_keras_serializable(package="crossfm")
class FactorizationMachine(Interaction):
    """Second-order factorization machine, as the last layer or as a hidden one.

    Dense input (batch, n_features) -> (batch, units), each unit a machine of its own::

        y_u = b_u + sum_i W_iu x_i + sum_{i<j} <V_iu, V_ju> x_i x_j

    computed as 1/2 sum_f [(sum_i V_iuf x_i)^2 - sum_i V_iuf^2 x_i^2]: weights *and* input are squared, and the
    factors are summed. Embedded input (batch, n_fields, dim) -> (batch, 1)::

        y = b + sum_{i<j} <v_i, v_j>

    where the vectors come from ``Embedding`` layers before it, times the feature's value where that is not 1. There is
    no ``x`` then: of the options only ``activation`` and those of the bias count, and the linear part is an
    ``Embedding`` of dimension 1, added. Where embedded input carries a mask (batch, n_fields), masked fields count
    zero.

    Parameters
    ----------
    units : int, default=1
        Outputs of dense input.
    n_factors : int, default=8
        Length of each vector of ``V``; 0 gives a linear layer.
    activation : str or callable, default=None
        Applied to y.
    use_bias, use_linear : bool, default=True
        Whether there are ``b`` and ``W``.
    bias_initializer, kernel_initializer : default="zeros", "glorot_uniform"
        Start of ``b`` and ``W``.
    factor_initializer : default=None
        Start of ``V``; None is normal with deviation 0.01.
    bias_regularizer, kernel_regularizer, factor_regularizer : default=None
        Penalties on ``b``, ``W`` and ``V``.

    Attributes
    ----------
    bias, kernel, factors : keras.Variable or None
        ``b`` (units,), ``W`` (n_features, units), ``V`` (n_features, units, n_factors).

    References
    ----------
    S. Rendle. Factorization Machines. ICDM 2010, eq. (1) and Lemma 3.1.
    """

    def __init__(
        self,
        units: int = 1,
        n_factors: int = 8,
        *,
        activation: Any = None,
        use_bias: bool = True,
        use_linear: bool = True,
        bias_initializer: Any = "zeros",
        kernel_initializer: Any = "glorot_uniform",
        factor_initializer: Any = None,
        bias_regularizer: Any = None,
        kernel_regularizer: Any = None,
        factor_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = whole_number("units", units, 1)
        self.n_factors = whole_number("n_factors", n_factors, 0)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.use_linear = use_linear
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.factor_initializer = factor_start(factor_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.factor_regularizer = keras.regularizers.get(factor_regularizer)
        self.bias = self.kernel = self.factors = None

    def build(self, input_shape: Any) -> None:
        """Make the weights that this shape of input needs."""
        shape = one_shape("FactorizationMachine", input_shape, EXPECTED)
        if len(shape) == 2:
            self._build_dense(shape[1])
        elif len(shape) == 3:
            if self.units > 1:
                raise OptionError(
                    f"units is {self.units}, but embedded input (batch, n_fields, dim) has one pair term a row; use "
                    f"BiInteraction() with keras.layers.Dense({self.units}) behind it, or units=1"
                )
            self.input_spec = keras.layers.InputSpec(ndim=3)
        else:
            raise DataError(
                f"FactorizationMachine got input of shape {shape}, but {EXPECTED} is expected; bring dense input to "
                "one row of features with keras.layers.Flatten, embeddings to one vector a field"
            )
        if self.use_bias:
            self.bias = self.weight("bias", (self.units,), self.bias_initializer, self.bias_regularizer)
        self.built = True

    def _build_dense(self, n_features: int | None) -> None:
        if n_features is None:
            raise DataError(
                "FactorizationMachine got dense input of unknown width, but each feature has weights; say how many "
                "there are, like keras.Input((30,))"
            )
        if not (self.use_linear or self.n_factors):
            raise OptionError(
                "n_factors=0 with use_linear=False reads nothing of dense input; set one of them"
            )
        if self.use_linear:
            self.kernel = self.weight(
                "kernel", (n_features, self.units), self.kernel_initializer, self.kernel_regularizer
            )
        if self.n_factors:
            self.factors = self.weight(
                "factors",
                (n_features, self.units, self.n_factors),
                self.factor_initializer,
                self.factor_regularizer,
            )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={1: n_features})

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return y (batch, units)."""
        if len(inputs.shape) == 3:
            vectors = self.widen_fields(inputs, mask)
            y = ops.sum(square_of_sum_less_squares(vectors), axis=-1, keepdims=True)
        else:
            y = self._dense(self.widen(inputs))
        if self.bias is not None:
            y = y + self.widen(self.bias)
        return ops.cast(self.activation(y), self.compute_dtype)

    def _dense(self, x: Any) -> Any:
        y: Any = 0
        if self.kernel is not None:
            y = x @ self.widen(self.kernel)
        if self.factors is not None:
            V = self.widen(self.factors)
            sums = x @ ops.reshape(V, (-1, self.units * self.n_factors))
            sums = ops.reshape(sums, (-1, self.units, self.n_factors))  # sum_i V_iuf x_i
            squares = ops.square(x) @ ops.sum(ops.square(V), axis=-1)  # sum_f sum_i V_iuf^2 x_i^2
            y = y + 0.5 * (ops.sum(ops.square(sums), axis=-1) - squares)
        return y

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (batch, units)."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the settings to make the layer again."""
        return {
            **super().get_config(),
            "units": self.units,
            "n_factors": self.n_factors,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "use_linear": self.use_linear,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "factor_initializer": keras.initializers.serialize(self.factor_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "factor_regularizer": keras.regularizers.serialize(self.factor_regularizer),
        }
