"""Hard negatives: items that stand high in a query's list, by the vectors that the machine has now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.kernels.choices import Negatives
from crossfm.kernels.topk import top_items
from crossfm.scoring.decompose import item_vectors, query_vectors
from crossfm.solvers.pairwise import distinct_rows, group_codes

Positions = NDArray[np.int64]
MAX_BYTES = 64_000_000  # that the lists take; of more queries some are drawn each time
AT_ONCE = 4_000_000  # ids that a search finds


class HardNegatives:
    """Lists of the items at ranks [low, high) for each query, without what its owner chose.

    Parameters
    ----------
    rows : Rows (n, ...)
        The query side of each choice.
    items : Rows (n_items, ...)
        With ids behind those of the queries.
    chosen : int64 (n,)
    owners : (n,) or None
        Whose choice each is; None: of whoever has an equal row.
    ranks : (int, int)
        From 0; ``high`` may be beyond the catalogue.
    share : float
        Of the negatives that are drawn from the lists.
    rng : Generator
        Draws the queries that get lists, where all would take more than ``MAX_BYTES``.
    """

    def __init__(
        self,
        rows: Rows,
        items: Rows,
        chosen: Positions,
        owners: Any,
        ranks: tuple[int, int],
        share: float,
        rng: np.random.Generator,
    ) -> None:
        self._items = items
        self._low, self._high = ranks[0], min(ranks[1], items.n_rows)
        self._share = share
        self._rng = rng
        _, query = distinct_rows(rows)
        owner = query if owners is None else group_codes(owners)
        _, first, self._list = np.unique(
            owner * (int(query.max()) + 1) + query, return_index=True, return_inverse=True
        )
        self._queries, self._owner = rows.take(first), owner[first]
        keys = np.unique(owner * items.n_rows + chosen)
        self._indptr = np.searchsorted(keys, np.arange(int(owner.max()) + 2) * items.n_rows)
        self._chosen = (keys % items.n_rows).astype(np.uint32)

    def refreshed(self, negatives: Negatives, params: FMParams, n_threads: int) -> Negatives:
        """Return ``negatives`` with lists by the machine ``params``."""
        n, width = len(self._queries), self._high - self._low
        listed = np.arange(n)
        if n > (most := max(MAX_BYTES // (4 * width), 1)):
            listed = np.sort(self._rng.choice(n, most, replace=False))
        vectors = np.ascontiguousarray(item_vectors(self._items, params, n_threads=n_threads).T)
        hard = np.empty((len(listed), width), np.uint32)
        step = max(AT_ONCE // self._high, 1)
        for at in range(0, len(listed), step):
            part = listed[at : at + step]
            queries, _ = query_vectors(self._queries.take(part), params, n_threads=n_threads)
            found, _ = top_items(
                queries, vectors, self._high, skip=self._chosen_by(self._owner[part]), n_threads=n_threads
            )
            hard[at : at + step] = found[:, self._low :].astype(np.uint32)  # -1 becomes NO_ITEM
        number = np.full(n, -1)
        number[listed] = np.arange(len(listed))
        return replace(negatives, hard=hard, hard_list=number[self._list], hard_share=self._share)

    def _chosen_by(self, owner: Positions) -> tuple[Positions, NDArray[np.uint32]]:
        """Return what the owners (n,) chose, as ``top_items`` skips it."""
        length = self._indptr[owner + 1] - self._indptr[owner]
        indptr = np.concatenate([[0], np.cumsum(length)])
        at = np.repeat(self._indptr[owner] - indptr[:-1], length) + np.arange(indptr[-1])
        return indptr, self._chosen[at]
