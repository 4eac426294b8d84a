"""What came after an index was built: new, changed and deleted items, beside a base that stays as it is.

A search takes one ``Changes`` and never sees it move: a writer makes another and puts it in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import DataError
from crossfm.kernels.topk import LANES, pack_items, top_items
from crossfm.recommender.seen import Skip

Floats32 = NDArray[np.float32]
Mask = NDArray[np.uint8]
Positions = NDArray[np.int64]
Found = tuple[Positions, Floats32]


@dataclass(frozen=True, eq=False)
class Changes:
    """Items of the base that still count, and a buffer of others that is searched exactly.

    Attributes
    ----------
    n_items : int
        Positions there are: those of the base first, deleted ones included.
    live : uint8 (n_base,) or None
        0 where the base's vector no longer counts; None where all do.
    at : int64 (n_buffer,)
        Positions of the buffer, rising.
    rows : float32 (n_buffer, dim)
    packed : float32 (n_blocks, dim, LANES)
        The rows as they are searched.
    """

    n_items: int
    live: Mask | None
    at: Positions
    rows: Floats32
    packed: Floats32

    @classmethod
    def none(cls, n_base: int, dim: int, live: Mask | None = None) -> Changes:
        """Return no changes to a base of ``n_base`` items."""
        return cls.of(n_base, live, np.zeros(0, np.int64), np.zeros((0, dim), np.float32))

    @classmethod
    def of(cls, n_items: int, live: Mask | None, at: Positions, rows: Floats32) -> Changes:
        """Return changes with this buffer."""
        return cls(n_items, live, at, rows, pack_items(rows))

    def put(self, positions: Positions, vectors: Floats32, n_base: int) -> Changes:
        """Return changes with other vectors (n, dim) at ``positions`` (n,); of a position given twice the last counts.

        Raises ``DataError`` where positions behind the last one leave a gap.
        """
        last_first, first = np.unique(positions[::-1], return_index=True)
        vectors = vectors[::-1][first]
        new = last_first[last_first >= self.n_items]
        if len(new) and (new[-1] != self.n_items + len(new) - 1):
            raise DataError(
                f"{len(new)} new items up to position {new[-1]}, but there are {self.n_items} items: new ones have "
                f"the positions from {self.n_items} on, without gaps"
            )
        less = self.drop(last_first[last_first < self.n_items], n_base)
        at, rows = np.concatenate([less.at, last_first]), np.concatenate([less.rows, vectors])
        order = np.argsort(at)
        return Changes.of(self.n_items + len(new), less.live, at[order], rows[order])

    def drop(self, positions: Positions, n_base: int) -> Changes:
        """Return changes without the items at ``positions``."""
        live, of_base = self.live, positions[positions < n_base]
        if len(of_base):
            live = np.ones(n_base, np.uint8) if live is None else live.copy()
            live[of_base] = 0
        stay = ~np.isin(self.at, positions)
        if stay.all():
            return replace(self, live=live)
        return Changes.of(self.n_items, live, self.at[stay], self.rows[stay])

    def alive(self, n_base: int) -> int:
        """Return how many items are left."""
        return len(self.at) + (n_base if self.live is None else int(np.count_nonzero(self.live)))

    def present(self, n_base: int) -> Mask | None:
        """Return 1 for each position (n_items,) that has an item; None where all have."""
        mask = np.zeros(self.n_items, np.uint8)
        mask[:n_base] = 1 if self.live is None else self.live
        mask[self.at] = 1
        return None if mask.all() else mask

    def folded(self, base: Floats32) -> Floats32:
        """Return the packed ``base`` with the buffer written into it, for a base of all ``n_items``."""
        out = np.zeros((-(-self.n_items // LANES), *base.shape[1:]), np.float32)
        out[: len(base)] = base
        out[self.at // LANES, :, self.at % LANES] = self.rows
        return out

    def base_mask(self, allowed: Mask | None, n_base: int) -> Mask | None:
        """Return which of the base's items (n_base,) count for a search that allows ``allowed`` (n_items,)."""
        if allowed is None:
            return self.live
        return allowed[:n_base] if self.live is None else allowed[:n_base] & self.live

    def search(
        self, queries: Floats32, n_best: int, skip: Skip | None, allowed: Mask | None, n_threads: int
    ) -> Found:
        """Return the best of the buffer, as ``Index.search`` does."""
        ids, scores = top_items(
            queries,
            self.packed,
            n_best,
            n_items=len(self.at),
            skip=self._own_skip(skip),
            allowed=None if allowed is None else np.ascontiguousarray(allowed[self.at]),
            n_threads=n_threads,
        )
        return np.where(ids >= 0, self.at[ids], -1), scores

    def _own_skip(self, skip: Skip | None) -> Skip | None:
        """Return ``skip`` by places in the buffer."""
        if skip is None:
            return None
        indptr, ids = skip
        place = np.minimum(np.searchsorted(self.at, ids), len(self.at) - 1)
        hit = self.at[place] == ids
        return np.concatenate([[0], np.cumsum(hit)])[indptr], place[hit].astype(np.uint32)


def merged(one: Found, other: Found) -> Found:
    """Return the best (n_queries, n_best) of two lists of that shape, ties by position."""
    ids, scores = np.concatenate([one[0], other[0]], axis=1), np.concatenate([one[1], other[1]], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, : one[0].shape[1]]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
