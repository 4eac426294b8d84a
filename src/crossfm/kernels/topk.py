"""Exact maximum inner product search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels

LANES: int = _kernels.TOP_LANES  # items of a block
Floats32 = NDArray[np.float32]


def pack_items(vectors: Floats32) -> Floats32:
    """Return ``vectors`` (n_items, dim) as the search reads them fastest: (n_blocks, dim, LANES).

    One coordinate of the ``LANES`` items of a block stands side by side; zeros behind the last item.
    """
    n_items, dim = vectors.shape
    whole = n_items // LANES
    packed = np.zeros((-(-n_items // LANES), dim, LANES), np.float32)
    packed[:whole] = vectors[: whole * LANES].reshape(whole, LANES, dim).transpose(0, 2, 1)
    if n_items > whole * LANES:
        packed[whole, :, : n_items - whole * LANES] = vectors[whole * LANES :].T
    return packed


def unpack_items(packed: Floats32, positions: NDArray[np.int64]) -> Floats32:
    """Return the vectors (n, dim) of the items at ``positions`` (n,)."""
    return np.asarray(packed[positions // LANES, :, positions % LANES])


def top_items(
    queries: Floats32,
    items: Floats32,
    n_best: int,
    *,
    n_items: int | None = None,
    skip: tuple[NDArray[np.int64], NDArray[np.uint32]] | None = None,
    allowed: NDArray[np.uint8] | None = None,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], Floats32]:
    """Return ids and scores (n_queries, n_best) of the items with the largest inner products, best first.

    Parameters
    ----------
    queries : float32 (n_queries, dim)
        Asked together they cost less: the items are read from memory once for all.
    items : float32 (dim, n_items), or packed (n_blocks, dim, LANES)
        C-contiguous; see ``pack_items``.
    n_best : int
    n_items : int or None, default=None
        Of packed items; None takes all that there is room for.
    skip : (int64 (n_queries + 1,), uint32 (n_skipped,)) or None, default=None
        Offsets, and item ids sorted within each query, to leave out.
    allowed : uint8 (n_items,) or None, default=None
        0 for items to leave out for all queries. Blocks without an allowed item are not read.
    n_threads : int, default=1
        They share out the items; the answer is the same for any number.

    Ties go to the smaller id; where fewer than ``n_best`` items are left, ids are -1 and scores -inf. An item whose
    score is NaN or -inf is not returned. Callers check shapes.
    """
    ids = np.empty((len(queries), n_best), np.int64)
    best = np.empty((len(queries), n_best), np.float32)
    if n_items is None:
        n_items = items.shape[1] if items.ndim == 2 else len(items) * LANES
    indptr, skipped = (None, None) if skip is None else skip
    _kernels.top_items(queries, items, n_items, indptr, skipped, allowed, ids, best, n_threads)
    return ids, best
