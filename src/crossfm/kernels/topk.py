"""Exact maximum inner product search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels


def top_items(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    n_best: int,
    *,
    skip: tuple[NDArray[np.int64], NDArray[np.uint32]] | None = None,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return ids and scores (n_queries, n_best) of the items with the largest inner products, best first.

    ``queries`` is (n_queries, dim); ``items`` is (dim, n_items), C-contiguous: one coordinate of all items
    together. ``skip`` is (offsets (n_queries + 1,), item ids sorted within each query) to leave out. Ties
    go to the smaller id; where fewer than ``n_best`` items are left, ids are -1 and scores -inf.
    """
    ids = np.empty((len(queries), n_best), np.int64)
    best = np.empty((len(queries), n_best), np.float32)
    indptr, skipped = (None, None) if skip is None else skip
    _kernels.top_items(queries, items, indptr, skipped, ids, best, n_threads)
    return ids, best
