"""All pairs of query and item as one squared loss, without sampling.

C. Chen, M. Zhang, W. Ma, Y. Liu, S. Ma. Efficient Non-Sampling Factorization Machines for Optimal Context-Aware
Recommendation. WWW 2020. Ours also has the pairs inside an item and the linear part (see ``scoring/decompose.py``):

    y(q, v) = const_q + own_v + <S_q, S_v> = <p_q, t_v>,    p = (S_q ; 1 ; const_q),    t = (S_v ; own_v ; 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.memory import available, show_size
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.errors import MemoryLimitError
from crossfm.kernels.embedding import Layout, LookedUp, Memory, Penalties, look_up, sort, update
from crossfm.kernels.table import Table
from crossfm.solvers.pairwise import distinct_rows, group_codes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Positions = NDArray[np.int64]
BYTES_A_PAIR = 4 * 8  # in training: two coefficients, an item, and sorting them once


@dataclass(frozen=True, eq=False)
class WholeData:
    """Choices as a squared loss over all pairs of distinct queries and items.

        L = 1/2 sum_q sum_v c_qv (z_qv - y(q, v))^2

    z is 1 where q chose v and c the summed weight of these choices. Elsewhere z is 0 and c = weight_q * item_weight_v;
    what the group of q chose with other queries has c = 0.

    Attributes
    ----------
    queries : Rows (n_queries, ...)
        Equal rows of choices are one query.
    weight : float32 (n_queries,)
        The mean weight of a query's choices.
    item_weight : float32 (n_items,)
    square, pull : float32 csr_matrix (n_queries, n_items), with the same places
        c - weight_q item_weight_v and c z, where c is not weight_q item_weight_v.
    """

    queries: Rows
    weight: Floats32
    item_weight: Floats32
    square: csr_matrix
    pull: csr_matrix

    @classmethod
    def of(
        cls, rows: Rows, chosen: Positions, groups: Any, item_weight: Floats, weight: Any = None
    ) -> WholeData:
        """Prepare choices: ``rows`` (n,), what each chose (n,), groups (n,) or None, and weights (n,) or None."""
        first, query = distinct_rows(rows)
        n_queries, n_items = len(first), len(item_weight)
        each = np.ones(rows.n_rows) if weight is None else np.asarray(weight, np.float64)
        mean = np.bincount(query, each) / np.bincount(query)
        where = query * n_items + chosen
        sparing = where if groups is None else spared(query, chosen, group_codes(groups), n_items)
        places = np.unique(sparing)  # sorted
        of_query, item = np.divmod(places, n_items)
        pull = np.bincount(np.searchsorted(places, where), each, len(places)).astype(np.float64)
        square: Floats = pull - mean[of_query] * item_weight[item]
        indptr = np.searchsorted(of_query, np.arange(n_queries + 1))
        queries = replace(rows.take(first), target=None, weight=None)

        def matrix(values: Floats) -> csr_matrix:
            from scipy.sparse import csr_matrix

            return csr_matrix((values.astype(np.float32), item, indptr), shape=(n_queries, n_items))

        return cls(
            queries, mean.astype(np.float32), item_weight.astype(np.float32), matrix(square), matrix(pull)
        )

    def best_constants(self) -> Floats:
        """Return the score of each item (n_items,) that is best where it is the same for all queries."""
        pull = np.asarray(self.pull.sum(axis=0), np.float64).ravel()
        square = np.asarray(self.square.sum(axis=0), np.float64).ravel()
        whole = square + self.item_weight * self.weight.sum(dtype=np.float64)
        return np.asarray(np.divide(pull, whole, out=np.zeros_like(pull), where=whole > 0))


def spared(query: Positions, chosen: Positions, group: Positions, n_items: int) -> Positions:
    """Return query * n_items + item of all items that the groups of a query chose. All arrays are (n,).

    Raises ``MemoryLimitError`` where these are too many.
    """
    by_item = np.unique(group * n_items + chosen)
    by_query = np.unique(group * (int(query.max()) + 1) + query)
    of_query, query = np.divmod(by_query, int(query.max()) + 1)
    of_item, item = np.divmod(by_item, n_items)
    start, stop = (np.searchsorted(of_item, of_query, side=side) for side in ("left", "right"))
    length = stop - start
    needed, free = float(length.sum()) * BYTES_A_PAIR, available()
    if free is not None and needed > free:
        raise MemoryLimitError(
            f"groups with many different queries: to spare what each chose takes {show_size(needed)}, but "
            f"{show_size(free)} of memory are free. Leave groups out, or context out of the queries."
        )
    at = np.repeat(start - np.cumsum(length) + length, length) + np.arange(length.sum())
    return np.asarray(np.repeat(query, length) * n_items + item[at])


class OneSide:
    """Queries or items in training: their vectors, and the way back to the features."""

    def __init__(self, rows: Rows, table: Table, n_threads: int) -> None:
        self.rows = replace(rows, fields=np.zeros(rows.width or rows.nnz, np.uint32))
        self.table = table
        self.n_threads = n_threads
        self._layout = Layout.of(self.rows, 1)
        self._memory = Memory()
        self._found = LookedUp()
        self._sorted: Any = None

    def vectors(self, order: Positions) -> tuple[Floats32, Floats32]:
        """Return S (n, n_factors) and l + P (n,) of the rows ``order``, in memory that the next call overwrites."""
        self._found = look_up(
            self.rows,
            order,
            self.table,
            self._layout,
            ("embedded", "pair"),
            self._memory,
            n_threads=self.n_threads,
        )
        assert self._found.linear is not None
        assert self._found.embedded is not None
        assert self._found.pair is not None
        return self._found.embedded[:, 0], self._found.linear + self._found.pair

    def move(self, order: Positions, d_sums: Floats32, d_own: Floats32, hyper: Hyper, l2: float) -> None:
        """Take the step for gradients by what ``vectors`` gave last; ``l2`` multiplies both penalties."""
        if self._sorted is None or self._sorted.order is not order:
            self._sorted = sort(self.rows, order, self._layout, self._memory, n_threads=self.n_threads)
        d_own = np.ascontiguousarray(d_own) / np.float32(len(order))  # the update multiplies: it takes means
        gradients = LookedUp(
            linear=d_own,
            pair=d_own,
            embedded=np.ascontiguousarray(d_sums / np.float32(len(order)))[:, None],
            sums=self._found.sums,
        )
        update(
            self.rows,
            self._sorted,
            self.table,
            self._layout,
            gradients,
            hyper,
            Penalties(l2_V=l2 * hyper.l2_V, l2_w=l2 * hyper.l2_w),
            learning_rate_w=hyper.learning_rate,
            n_threads=self.n_threads,
        )


def whole_gradient(
    p: Floats32, t: Floats32, weight: Floats32, item_weight: Floats32, square: csr_matrix, pull: csr_matrix
) -> tuple[float, Floats32, Floats32]:
    """Return the loss of some queries over all items and its gradients by ``p`` (n, d) and ``t`` (n_items, d).

    ``weight`` is (n,), ``square`` and ``pull`` are (n, n_items); see ``WholeData``. All pairs cost no more than the two
    Gram matrices, eq. (9) and (10) of the paper:

        sum_q sum_v w_q c_v <p_q, t_v>^2 = sum over d, d' of (P^T diag(w) P) * (T^T diag(c) T).
    """
    weighed_p, weighed_t = p * weight[:, None], t * item_weight[:, None]
    gram_p, gram_t = p.T @ weighed_p, t.T @ weighed_t
    row = np.repeat(np.arange(len(p)), np.diff(square.indptr))
    score = np.einsum("ij,ij->i", p[row], t[square.indices])
    slope = square.copy()
    slope.data = square.data * score - pull.data
    pairs = 0.5 * square.data * score**2 - pull.data * (score - 0.5)
    loss = 0.5 * np.vdot(gram_p.astype(np.float64), gram_t) + pairs.sum(dtype=np.float64)
    return float(loss), weighed_p @ gram_t + slope @ t, weighed_t @ gram_p + slope.T @ p


class WholePass:
    """Epochs over the queries of ``WholeData``; every step moves the features of a batch's queries and of all items."""

    def __init__(self, data: WholeData, items: Rows, table: Table, n_threads: int) -> None:
        self.data = data
        self._queries = OneSide(data.queries, table, n_threads)
        self._items = OneSide(items, table, n_threads)
        self._every = np.arange(items.n_rows)

    def step(self, batch: Positions, hyper: Hyper) -> float:
        """Take a step for the queries ``batch``; return their loss before it."""
        data = self.data
        sums, const = self._queries.vectors(batch)
        item_sums, own = self._items.vectors(self._every)
        one, item_one = np.ones(len(batch), np.float32), np.ones(len(own), np.float32)
        p, t = np.column_stack([sums, one, const]), np.column_stack([item_sums, own, item_one])
        loss, d_p, d_t = whole_gradient(
            p, t, data.weight[batch], data.item_weight, data.square[batch], data.pull[batch]
        )
        self._queries.move(batch, d_p[:, :-2], d_p[:, -1], hyper, 1.0)
        share = len(batch) / len(data.weight)  # of the penalty: items are looked at in every batch
        self._items.move(self._every, d_t[:, :-2], d_t[:, -2], hyper, share)
        return loss
