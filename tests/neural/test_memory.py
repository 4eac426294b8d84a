"""What layers are said to take, against what PyTorch keeps."""

from __future__ import annotations

import pytest
import torch

from crossfm.neural.features import Features
from crossfm.neural.memory import SORTING, layer_bytes
from crossfm.neural.models import MODELS, find_model

ROWS, FIELDS, FACTORS, DENSE = 200, 5, 8, 2


def kept_by(model, dim):
    """Bytes of what PyTorch keeps for the way back, each tensor once and without the weights, for ROWS rows."""
    shapes = {
        "linear": (), "embedded": (FIELDS, dim), "weights": (FIELDS,), "pooled": (dim,), "pair": (), "dense": (DENSE,)
    }  # fmt: skip
    names = [name for name in shapes if name == "linear" or name in model.uses]
    x = {name: torch.randn(ROWS, *shapes[name], requires_grad=True) for name in names}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in x.values()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = model.train()(Features(**x))
    del scores
    return sum(n for at, n in kept.items() if at not in weights)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_takes_what_is_said_and_not_much_less(name):
    row = find_model(name)
    dim, options = row.model.embedding_dim(FIELDS, FACTORS), {}
    if "hidden" in row.options:
        options = {"hidden": (64, 32), "dropout": 0.2}
    with torch.device("meta"):
        said = layer_bytes(row.build(FIELDS, FACTORS, DENSE, **options), FIELDS, dim, DENSE, 3.0)
    model = row.build(FIELDS, FACTORS, DENSE, **options)
    assert said.weights == sum(parameter.nbytes for parameter in model.parameters())
    kept = kept_by(model, dim) / ROWS
    assert (
        0.95 * kept <= said.row - 3 * SORTING <= 3 * kept
    )  # attention on a CPU keeps other tensors than on "meta"


def test_layers_of_any_size_are_worked_out_without_making_them():
    with torch.device("meta"):
        model = find_model("deepfm").build(2, 4, hidden=(1_000_000, 1_000_000))
    said = layer_bytes(model, 2, 4, 0, 2.0)
    assert said.weights == pytest.approx(4e12, rel=0.01)
    assert said.row > 8e6
