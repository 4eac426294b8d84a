"""``solver="sgda"``: penalties that are learnt on validation rows while the machine is learnt on the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.sgda import sgda_pass, start_penalty
from crossfm.kernels.table import Table
from crossfm.solvers.epochs import Visit


def adaptive_visit(
    model: Any,
    data: Sequence[Rows],
    valid: Sequence[Rows],
    tables: Sequence[Table],
    loss: Loss,
    hyper: Hyper,
    rng: np.random.Generator,
) -> Visit:
    """Return what visits training rows, ``data`` and ``valid`` with one target a machine.

    Groups are the columns of a table, else all features are one. In the first epoch the penalties stay: gradients
    are still missing, by which the next step is foreseen.
    """
    group = None if model.encoder_ is None else model.encoder_.feature_fields
    n_groups = 1 if model.encoder_ is None else len(model.encoder_.fields)
    for table in tables:
        if table.penalty is None or len(table.penalty) != n_groups:
            table.penalty = start_penalty(table, n_groups, hyper)

    def visit(order: NDArray[np.int64], hyper: Hyper) -> float:
        draws = rng.integers(0, valid[0].n_rows, len(order)) if model.history_ else None
        return sum(
            sgda_pass(part, order, held, draws, table, loss, hyper.learning_rate, group)
            for part, held, table in zip(data, valid, tables, strict=True)
        )

    return visit
