"""Passes and scores of the machines beyond the second-order one: one call each, whatever the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.fields import rows_tuple
from crossfm.kernels.fm import BATCH_ROWS, hyper_dict, single

FFM, FWFM, FMFM, HOFM = range(4)  # Machine of cpp/kernels.hpp
BATCH_FLOATS = 1 << 24  # of scratch, at most, in a synchronous mini-batch


def run_pass(
    machine: int,
    parts: tuple[Any, ...],
    rows: Rows,
    order: NDArray[np.int64],
    table: Any,
    loss: Loss,
    hyper: Hyper,
    coordinates: int,
    *,
    n_threads: int,
    deterministic: bool,
) -> float:
    """Visit the rows in ``order``; ``parts`` is what the machine's binding reads, and is moved.

    ``coordinates`` is the number of factors that share a row-wise accumulator. Threads and ``deterministic`` as in
    ``fm.train_pass``; mini-batches are shorter where a row needs much room.
    """
    common = (
        machine, table.rule.code, rows_tuple(rows), parts, order, table.bias, rows.target, rows.weight, loss.code,
        hyper_dict(hyper, coordinates), n_threads,
    )  # fmt: skip
    if deterministic:
        return float(_kernels.machine_batches(*common, BATCH_ROWS, BATCH_FLOATS))
    visited = table.visited
    table.visited += len(order)
    return float(_kernels.machine_pass(*common, visited))


def run_scores(
    machine: int, parts: tuple[Any, ...], rows: Rows, bias: float, n_threads: int
) -> NDArray[np.float32]:
    """Return raw scores (n_rows,)."""
    out = np.empty(rows.n_rows, np.float32)
    _kernels.machine_scores(machine, rows_tuple(rows), parts, rows.n_rows, single(bias), out, n_threads)
    return out
