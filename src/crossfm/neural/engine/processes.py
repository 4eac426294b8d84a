"""A batch that several processes share: who has which rows, and their parts put together again."""

from __future__ import annotations

import torch
from torch import Tensor


def share(n_rows: int, world: int, rank: int) -> slice:
    """Return which of ``n_rows`` the process ``rank`` of ``world`` takes: parts are equal but for a row."""
    return slice(n_rows * rank // world, n_rows * (rank + 1) // world)


def together(tensor: Tensor, n_rows: int, world: int) -> Tensor:
    """Return the parts of all processes, one after another, (n_rows, ...); each gives its ``share``."""
    parts = [share(n_rows, world, rank) for rank in range(world)]
    sizes = [part.stop - part.start for part in parts]
    padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    every = [torch.empty_like(padded) for _ in sizes]
    torch.distributed.all_gather(every, padded)
    return torch.cat([one[:size] for one, size in zip(every, sizes, strict=True)])
