"""What the layers of a network take of memory, worked out on shapes alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.model import Model

SORTING = 32  # bytes a non-zero, see ``kernels.embedding.sort``


class LayerBytes(NamedTuple):
    """Bytes of the layers.

    Attributes
    ----------
    weights : int
    row : int
        Of each row of a batch on its way through the network and back.
    """

    weights: int
    row: int


def layer_bytes(model: Model, n_fields: int, dim: int, n_dense: int, nonzeros: float) -> LayerBytes:
    """Return what ``model``, on PyTorch's device "meta", takes; rows have ``nonzeros`` each.

    A row takes what was looked up and PyTorch keeps for the way back, with room for two more of the largest (the
    gradients on both sides of a layer), and what is sorted.
    """
    two, three = (_kept(model, n, n_fields, dim, n_dense) for n in (2, 3))
    grown = [more - few for few, more in zip(two, three, strict=True)]  # weights do not grow
    weights = sum(parameter.nbytes for parameter in model.parameters())
    return LayerBytes(weights, sum(grown) + 2 * max(grown) + round(SORTING * nonzeros))


def _kept(model: Model, n: int, n_fields: int, dim: int, n_dense: int) -> list[int]:
    """Return the bytes of all that is kept of ``n`` rows on their way, what was looked up first."""
    shapes = {
        "linear": (n,),
        "embedded": (n, n_fields, dim),
        "weights": (n, n_fields),
        "pooled": (n, dim),
        "pair": (n,),
        "dense": (n, n_dense),
    }
    storages: dict[int, torch.UntypedStorage] = {}  # a part keeps the whole, and two parts the same

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[id(storage)] = storage
        return tensor

    def same(tensor: Any) -> Any:
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, same):
        names = [name for name in shapes if name == "linear" or name in model.uses]
        x = {name: keep(torch.empty(shapes[name], requires_grad=True)) for name in names}
        model.train()(Features(**x))
    return [storage.nbytes() for storage in storages.values()]
