"""The pairs of the field-aware factorization machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from crossfm.errors import DataError, OptionError
from crossfm.keras.interaction import Interaction, factor_start, one_shape, whole_number

DENSE = "(batch, n_features)"
EMBEDDED = "(batch, n_fields, n_fields, dim)"


@keras.saving.register_keras_serializable(package="crossfm")
class FieldAwareInteraction(Interaction):
    """The pair term of a field-aware factorization machine; bias and linear part are a ``Dense(1)`` beside it.

    Embedded input (batch, n_fields, n_fields, dim) -> (batch, 1), no weights::

        y = sum_{p<q} <E_pq, E_qp>

    where ``E_pq`` is the vector for field q of the feature that stands in field p: an ``Embedding`` of length
    n_fields * dim, reshaped. The vectors ``E_pp`` meet nothing. Where the input carries a mask (batch, n_fields),
    masked fields count zero.

    Dense input (batch, n_features) -> (batch, 1), with ``fields``::

        y = sum_{i<j} <V_{i,f_j}, V_{j,f_i}> x_i x_j

    in O(n_features * n_fields * n_factors) a row: the vectors of each field are summed first. Pairs of features of one
    field count too.

    Parameters
    ----------
    fields : sequence of int or None, default=None
        The field of each feature of dense input; None takes embedded input.
    n_factors : int, default=8
        Length of each vector of ``V``, for dense input.
    factor_initializer : default=None
        Start of ``V``; None is normal with deviation 0.01.
    factor_regularizer : default=None
        Penalty on ``V``.

    Attributes
    ----------
    factors : keras.Variable or None
        ``V`` (n_features, n_fields, n_factors), fields in the order of their numbers.

    References
    ----------
    Y. Juan, Y. Zhuang, W.-S. Chin, C.-J. Lin. Field-aware Factorization Machines for CTR Prediction. RecSys 2016,
    eq. (4).
    """

    def __init__(
        self,
        fields: Sequence[int] | None = None,
        n_factors: int = 8,
        *,
        factor_initializer: Any = None,
        factor_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fields = None if fields is None else [whole_number("fields", field, 0) for field in fields]
        if self.fields == []:
            raise OptionError("fields is empty, but the field of each feature is expected, like [0, 0, 1]")
        self.n_factors = whole_number("n_factors", n_factors, 1)
        self.factor_initializer = factor_start(factor_initializer)
        self.factor_regularizer = keras.regularizers.get(factor_regularizer)
        self.factors = None

    def build(self, input_shape: Any) -> None:
        """Check the shape of the input, and make ``V`` for dense input."""
        expected = EMBEDDED if self.fields is None else DENSE
        shape = one_shape("FieldAwareInteraction", input_shape, expected)
        if len(shape) != (4 if self.fields is None else 2):
            advice = (
                "say the field of each feature, fields=[...], for dense input"
                if self.fields is None
                else "leave fields out for embedded input"
            )
            raise DataError(
                f"FieldAwareInteraction got input of shape {shape}, but {expected} is expected; {advice}"
            )
        if self.fields is None:
            if shape[1] is None or shape[1] != shape[2]:
                raise DataError(
                    f"FieldAwareInteraction got {shape[1]} fields with vectors for {shape[2]}, but each needs a vector "
                    f"for each field, {EMBEDDED}; reshape the embeddings so"
                )
            self.input_spec = keras.layers.InputSpec(ndim=4, axes={1: shape[1], 2: shape[2]})
        else:
            self._build_dense(shape[1], self.fields)
        self.built = True

    def _build_dense(self, n_features: int | None, fields: list[int]) -> None:
        if n_features != len(fields):
            raise DataError(
                f"FieldAwareInteraction got {n_features} features, but fields says the field of {len(fields)}; give "
                "one for each feature"
            )
        names, sizes = np.unique(np.asarray(fields), return_counts=True)
        self._sizes = [int(size) for size in sizes]
        self._order = np.argsort(fields, kind="stable").astype("int32")
        self.factors = self.weight(
            "factors",
            (len(fields), len(names), self.n_factors),
            self.factor_initializer,
            self.factor_regularizer,
        )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={1: len(fields)})

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the pair term (batch, 1)."""
        if self.fields is None:
            pairs = _across(self.widen_fields(inputs, mask), inputs.shape[1])
        else:
            pairs = self._dense(self.widen(inputs))
        return ops.cast(pairs, self.compute_dtype)

    def _dense(self, x: Any) -> Any:
        n_fields, k = len(self._sizes), self.n_factors
        V = ops.reshape(self.widen(self.factors), (-1, n_fields * k))
        if self.fields != sorted(self.fields or []):  # fields side by side; rows are what ONNX can gather
            x = ops.transpose(ops.take(ops.transpose(x), self._order, axis=0))
            V = ops.take(V, self._order, axis=0)
        sums, within, end = [], [], 0
        for p, size in enumerate(self._sizes):
            start, end = end, end + size
            own = slice(p * k, (p + 1) * k)
            x_p, V_p = x[:, start:end], V[start:end]
            total = x_p @ V_p  # sum_i V_iq x_i over the field's features, for each field q
            alone = ops.square(x_p) @ ops.sum(ops.square(V_p[:, own]), axis=-1, keepdims=True)
            sums.append(total)
            within.append(ops.sum(ops.square(total[:, own]), axis=-1, keepdims=True) - alone)
        E = ops.reshape(ops.stack(sums, axis=1), (-1, n_fields, n_fields, k))
        return _across(E, n_fields) + 0.5 * sum(within[1:], within[0])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return (batch, 1)."""
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        """Return the settings to make the layer again."""
        return {
            **super().get_config(),
            "fields": self.fields,
            "n_factors": self.n_factors,
            "factor_initializer": keras.initializers.serialize(self.factor_initializer),
            "factor_regularizer": keras.regularizers.serialize(self.factor_regularizer),
        }


def _across(E: Any, n_fields: int) -> Any:
    """Return sum_{p<q} <E_pq, E_qp>: (batch, n_fields, n_fields, dim) -> (batch, 1)."""
    meets = ops.sum(E * ops.transpose(E, (0, 2, 1, 3)), axis=-1)
    above = ops.convert_to_tensor(np.triu(np.ones((n_fields, n_fields)), 1), dtype=meets.dtype)
    return ops.expand_dims(ops.sum(meets * above, axis=(1, 2)), -1)
