"""Layers that make much more than they take and give: a batch goes through them piece by piece."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CELLS = 1 << 20  # numbers that a piece makes at once, 4 MB: they stay in the cache


def in_pieces(layer: Callable[..., Tensor], n_cells: int, *inputs: Tensor) -> Tensor:
    """Return ``layer(*inputs)``, (batch, ...); on a CPU from some rows of all inputs at a time.

    ``n_cells`` is how many numbers the layer makes of a row. Memory of a whole batch's would be got from the system and
    given back at every step, a page at a time, which takes longer than the arithmetic (docs/benchmarks.md).
    """
    n_rows = max(CELLS // max(n_cells, 1), 1)
    batch = inputs[0].shape[0]
    if batch <= n_rows or inputs[0].device.type != "cpu" or torch.compiler.is_compiling():
        return layer(*inputs)
    parts = (slice(start, start + n_rows) for start in range(0, batch, n_rows))
    return torch.cat([layer(*(tensor[part] for tensor in inputs)) for part in parts])
