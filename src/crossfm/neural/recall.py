"""Which networks are second-order machines, whose order an inner product finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm.core.field_params import FieldPairParams
from crossfm.core.params import FMParams
from crossfm.errors import OptionError
from crossfm.neural.layers.mlp import BatchNorm
from crossfm.neural.table import NetworkParams
from crossfm.scoring.decompose import FactorWeighted
from crossfm.scoring.field_weighted import FieldWeighted


def second_order(model: str, params: NetworkParams) -> FMParams | FactorWeighted | FieldWeighted:
    """Return the machine with the same scores as the network ``model`` (a name of the table) with ``params``.

    Raises ``OptionError`` for a network with hidden layers or pairs that no inner product makes.
    """
    plain = FMParams(params.bias, params.w, params.V)
    if model == "fm":
        return plain
    if model == "fwfm":
        r = np.asarray(params.layers["interaction.r"], np.float32)
        return FieldWeighted.of_pairs(
            FieldPairParams(params.bias, params.w, params.V, params.n_fields, r)
        )  # fmt: skip
    if model != "nfm":
        raise OptionError(
            f"the score of the neural {model!r} does not split into a query and an item: its layers read both sides "
            "together. Recall with fm, fwfm, or nfm without hidden layers; rank with this one."
        )
    if any(name.startswith("mlp.") for name in params.layers):
        raise OptionError(
            "nfm with hidden layers does not split into a query and an item: they read both sides together. Fit it "
            "with hidden=() for recall; rank with this one."
        )
    h, shift = _without_norm(params)
    return FactorWeighted(FMParams(params.bias + shift, params.w, params.V), h)


def _without_norm(params: NetworkParams) -> tuple[NDArray[np.float32], float]:
    """Return a weight for each factor, and a constant: <h, a pooled + b>, where normalization is a and b."""
    layers = {name: np.asarray(array, np.float64) for name, array in params.layers.items()}
    h = layers["h"]
    if "pooling.0.weight" not in layers:
        return h.astype(np.float32), 0.0
    scale = layers["pooling.0.weight"] / np.sqrt(layers["pooling.0.running_var"] + BatchNorm(1).eps)
    shift = layers["pooling.0.bias"] - scale * layers["pooling.0.running_mean"]
    return (h * scale).astype(np.float32), float(h @ shift)
