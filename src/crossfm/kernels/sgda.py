"""SGD with adaptive regularisation: one pass over training rows, with a validation row after each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.table import Table


def start_penalty(table: Table, n_groups: int, hyper: Hyper) -> NDArray[np.float32]:
    """Return lambda of w and of each factor (n_groups, 1 + padded): half of L2, as the paper writes the penalty."""
    penalty = np.full((n_groups, 1 + table.padded), hyper.l2_V / 2, np.float32)
    penalty[:, 0] = hyper.l2_w / 2
    return penalty


def sgda_pass(
    rows: Rows,
    order: NDArray[np.int64],
    valid: Rows,
    valid_order: NDArray[np.int64] | None,
    table: Table,
    loss: Loss,
    learning_rate: float,
    group: NDArray[np.uint32] | None,
) -> float:
    """Visit ``rows`` in ``order``, moving ``table`` and its penalty; return the sum of the losses before each update.

    ``valid_order`` (n_order,) names the row of ``valid`` after each; None keeps the penalty. ``group`` (n_features,)
    is the group of each feature, None puts all into one. Both rows carry targets; ids and groups are checked by the
    caller.
    """
    return float(
        _kernels.fm_sgda(
            rows.indptr, rows.indices, rows.values, rows.width, order, rows.target, rows.weight,
            valid.indptr, valid.indices, valid.values, valid.width, valid_order, valid.target, valid.weight,
            table.data, table.padded, table.w_at, table.bias, group, table.penalty, loss.code, learning_rate,
        )
    )  # fmt: skip
