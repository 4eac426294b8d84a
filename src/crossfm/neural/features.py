"""What embeddings give a model: the one noun between the engines and the papers' networks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

USES = ("embedded", "weights", "pooled", "pair", "dense")


class Features(NamedTuple):
    """A batch of rows, looked up; what the model does not use is None.

    ``x`` is the value of a feature in a row (1 for a category), ``v`` its embedding, ``w`` its linear weight.

    Attributes
    ----------
    linear : (batch,)
        sum_i w_i x_i over all features of the row, without bias.
    embedded : (batch, n_fields, dim) or None
        sum_i x_i v_i over the row's features of each field: one feature for a category or a number, several for a
        column with several values, none where the field is empty.
    weights : (batch, n_fields) or None
        sum_i w_i x_i over the row's features of each field.
    pooled : (batch, dim) or None
        Bi-Interaction over the features, sum_{i<j} (x_i v_i) * (x_j v_j): pairs inside a field count too, as in
        the second-order machine.
    pair : (batch,) or None
        ``pooled`` summed over ``dim``: the pair term of the second-order machine.
    dense : (batch, n_dense) or None
        Values of the numeric columns as they are, for the deep part.
    """

    linear: Tensor
    embedded: Tensor | None = None
    weights: Tensor | None = None
    pooled: Tensor | None = None
    pair: Tensor | None = None
    dense: Tensor | None = None


class Batch(NamedTuple):
    """Non-zeros of a batch of rows as tensors on one device, for the engines written in PyTorch.

    Attributes
    ----------
    ids : int64 (nnz,)
    row : int64 (nnz,)
        The row of each, rising, from 0.
    field : int64 (nnz,)
    values : float32 (nnz,) or None
        None when all are 1.
    n_rows, n_fields : int
    """

    ids: Tensor
    row: Tensor
    field: Tensor
    values: Tensor | None
    n_rows: int
    n_fields: int
