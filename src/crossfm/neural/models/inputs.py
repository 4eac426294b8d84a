"""What the models read of ``Features``, and the deep part that most of them have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.neural.features import Features
from crossfm.neural.layers.mlp import MLP

HIDDEN = (256, 128)


def check_sizes(n_fields: int, n_factors: int, n_dense: int = 0) -> int:
    """Return the width of the flattened embeddings and the dense values beside them."""
    check_count("n_fields", n_fields, low=1)
    check_count("n_factors", n_factors, low=1)
    return n_fields * n_factors + check_count("n_dense", n_dense)


def part(x: Features, name: str) -> Tensor:
    """Return a part of ``x`` that the model uses, or raise ``OptionError`` where it was not computed."""
    value: Tensor | None = getattr(x, name)
    if value is None:
        raise OptionError(
            f"this model reads {name!r} of Features, but it is None: compute what Model.uses says"
        )
    return value


def beside(inputs: Tensor, x: Features, n_dense: int) -> Tensor:
    """Return ``inputs`` (batch, n) with the dense values, if any, to their right: (batch, n + n_dense)."""
    return torch.cat([inputs, part(x, "dense").to(inputs.dtype)], dim=1) if n_dense else inputs


def flat(x: Features, n_dense: int) -> Tensor:
    """Return the embeddings field by field and the dense values: (batch, n_fields * dim + n_dense)."""
    return beside(part(x, "embedded").flatten(1), x, n_dense)


def deep_part(
    n_in: int,
    hidden: Sequence[int],
    dropout: float | Sequence[float],
    activation: str,
    batch_norm: bool,
    *,
    always: bool = False,
) -> MLP | None:
    """Return an MLP with one output and no constant (the model has the bias), or None where there is none.

    Without hidden layers there is no deep part, unless ``always`` asks for the output layer alone. Options are checked
    in any case.
    """
    mlp = MLP(
        max(n_in, 1),
        hidden,
        dropout=dropout,
        activation=activation,
        batch_norm=batch_norm,
        n_out=1,
        out_bias=False,
    )
    return mlp if n_in and (always or len(hidden)) else None


def score(mlp: MLP | None, inputs: Tensor) -> Tensor:
    """Return the output (batch,) of a deep part; 0 where there is none."""
    if mlp is None:
        return inputs.new_zeros(inputs.shape[0])
    out: Tensor = mlp(inputs)
    return out.squeeze(1)
