"""Pairwise learning over ``Rows``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.fm import hyper_dict
from crossfm.kernels.table import Table

Positions = NDArray[np.int64]


def pair_pass(
    sides: Rows,
    better: Positions,
    worse: Positions,
    table: Table,
    hyper: Hyper,
    *,
    shared: Rows | None = None,
    shared_at: Positions | None = None,
    weight: NDArray[np.float32] | None = None,
    offset: NDArray[np.float32] | None = None,
    n_threads: int = 1,
) -> tuple[float, int]:
    """Visit pairs in order, moving ``table`` so that ``better`` scores above ``worse``.

    ``better`` and ``worse`` (n_pairs,) are rows of ``sides``; both are joined with row ``shared_at`` of
    ``shared`` (the query side) when given. ``offset`` (n_sides,) is added to each side's score while training
    (the logQ correction of negatives that are not drawn evenly). Returns the sum of -log sigmoid(difference)
    before each update and the number of pairs that were in order.
    """
    query = (
        (None, None, None, 0)
        if shared is None
        else (shared.indptr, shared.indices, shared.values, shared.width)
    )
    total, correct = _kernels.fm_pairs(
        table.rule.code, *query, shared_at, sides.indptr, sides.indices, sides.values, sides.width, better,
        worse, weight, offset, table.data, table.padded, table.w_at, hyper_dict(hyper, table.n_factors), n_threads,
    )  # fmt: skip
    return float(total), int(correct)
