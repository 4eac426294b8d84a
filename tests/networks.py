"""Inputs of neural layers and models: random rows, embeddings and Features."""

import torch

from crossfm.neural.features import Batch, Features
from crossfm.neural.layers import FeatureEmbedding

torch.set_num_threads(1)  # small work: threads only wait for each other


def vectors(*shape, seed=0):
    """Normal numbers in float64, the same for one seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_hot_batch(ids, values=None):
    """Return the Batch of ids (n_rows, n_fields), one feature a field."""
    n_rows, n_fields = ids.shape
    row, field = torch.arange(n_rows).repeat_interleave(n_fields), torch.arange(n_fields).repeat(n_rows)
    return Batch(ids.flatten(), row, field, None if values is None else values.flatten(), n_rows, n_fields)


def ragged_batch(rows, n_fields):
    """Return the Batch of rows, lists of (field, feature, value)."""
    flat = [(r, *entry) for r, row in enumerate(rows) for entry in row]
    columns = [torch.tensor([entry[at] for entry in flat], dtype=torch.int64) for at in range(3)]
    row, field, ids = columns
    values = torch.tensor([entry[3] for entry in flat], dtype=torch.float64)
    return Batch(ids, row, field, values, len(rows), n_fields)


def random_features(model, n_rows, n_fields, n_factors, n_dense=0, *, scale=0.01, seed=0):
    """Return Features that ``model`` declares, all of which want gradients; embeddings have deviation ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    n_features = 10 * n_fields
    table = FeatureEmbedding(n_features, model.embedding_dim(n_fields, n_factors))
    with torch.no_grad():
        table.V.normal_(0.0, scale, generator=generator)
        table.w.normal_(0.0, scale, generator=generator)
    ids = torch.randint(10, (n_rows, n_fields), generator=generator) + 10 * torch.arange(n_fields)
    dense = torch.randn(n_rows, n_dense, generator=generator) if n_dense else None
    x = table.features(one_hot_batch(ids), model.uses, dense)
    return Features(*(None if part is None else part.detach().requires_grad_() for part in x))


def randomize(module, scale=0.5, seed=0):
    """Move every parameter away from its start, so that a term that starts at 0 or 1 is seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * noise.to(parameter.dtype))
    return module
