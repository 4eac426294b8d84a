"""A second-order score as an inner product: what recall searches with.

Split the features of a row into a query side Q and an item side T. With S_A = sum_{i in A} x_i V_i,
l_A = sum_{i in A} w_i x_i and P_A the sum over pairs inside A,

    y = [bias + l_Q + P_Q] + <(S_Q ; 1), (S_T ; l_T + P_T)>,

because the pairs across the two sides sum to <S_Q, S_T>. The bracket is the same for every item, so ordering
items by the inner product is ordering them by the machine's own score.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.kernels.fm import scores

Floats32 = NDArray[np.float32]


def item_vectors(items: Rows, params: FMParams, *, n_threads: int = 1) -> Floats32:
    """Return (S_T ; l_T + P_T) of each row, (n_items, n_factors + 1)."""
    vectors, own = _sums(items, replace(params, bias=0.0), n_threads)
    vectors[:, -1] = own
    return vectors


def query_vectors(queries: Rows, params: FMParams, *, n_threads: int = 1) -> tuple[Floats32, Floats32]:
    """Return (S_Q ; 1), (n_queries, n_factors + 1), and the constants bias + l_Q + P_Q, (n_queries,)."""
    vectors, constant = _sums(queries, params, n_threads)
    vectors[:, -1] = 1.0
    return vectors, constant


def _sums(rows: Rows, params: FMParams, n_threads: int) -> tuple[Floats32, Floats32]:
    sums = np.empty((rows.n_rows, params.n_factors), np.float32)
    score = scores(rows, params, n_threads=n_threads, sums=sums)
    out = np.empty((rows.n_rows, params.n_factors + 1), np.float32)
    out[:, :-1] = sums
    return out, score
