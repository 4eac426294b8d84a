"""What users have interacted with, and the items that an answer leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Skip = tuple[Positions, NDArray[np.uint32]]  # offsets and sorted items, as ``kernels.topk`` takes them


@dataclass(frozen=True, eq=False)
class Seen:
    """The items of each user as CSR: sorted, or in the order of time where it says so.

    Attributes
    ----------
    indptr : int64 (n_users + 1,)
    items : uint32 (n_seen,)
        Positions in the catalogue.
    """

    indptr: Positions
    items: NDArray[np.uint32]

    @classmethod
    def of(cls, user: Positions, item: Positions, n_users: int) -> Seen:
        """Collect pairs of positions (n,); repeats count once."""
        users, items = distinct_pairs(user, item)
        return cls(offsets(np.bincount(users, minlength=n_users)), items.astype(np.uint32))

    def counts(self, where: Positions) -> Positions:
        """Return how many items each user (n,) has seen; -1, an unknown user, has seen none."""
        at = np.maximum(where, 0)
        return np.where(where >= 0, self.indptr[at + 1] - self.indptr[at], 0)

    def of_user(self, at: int | np.integer[Any]) -> NDArray[np.uint32]:
        """Return the items of one user."""
        return self.items[self.indptr[at] : self.indptr[at + 1]]

    def of_users(self, where: Positions) -> Seen:
        """Return the items of the users at ``where`` (-1: unknown, none)."""
        length = self.counts(where)
        indptr = offsets(length)
        start = np.repeat(self.indptr[np.maximum(where, 0)] - indptr[:-1], length)
        return Seen(indptr, self.items[start + np.arange(indptr[-1])])

    def skip(self, where: Positions, always: Positions) -> Skip:
        """Return what to leave out for the users at ``where`` (-1: unknown): what they have seen, and ``always``."""
        mine = self.of_users(where)
        indptr, items = mine.indptr, mine.items
        if not len(always):
            return indptr, items
        length = np.diff(indptr)
        row = np.arange(len(where))
        row, both = distinct_pairs(
            np.concatenate([np.repeat(row, length), np.repeat(row, len(always))]),
            np.concatenate([items.astype(np.int64), np.tile(always, len(where))]),
        )
        return offsets(np.bincount(row, minlength=len(where))), both.astype(np.uint32)


def no_items(n: int) -> Seen:
    """Return ``n`` users who have seen nothing."""
    return Seen(np.zeros(n + 1, np.int64), np.empty(0, np.uint32))


def skip_of(skip: Skip, rows: slice) -> Skip:
    """Return the part of ``skip`` for some queries in a row."""
    indptr = skip[0][rows.start : rows.stop + 1]
    return indptr - indptr[0], skip[1][indptr[0] : indptr[-1]]


def distinct_pairs(first: Positions, second: Positions) -> tuple[Positions, Positions]:
    """Return the distinct pairs of numbers from 0, sorted."""
    span = int(second.max(initial=0)) + 1
    key = np.sort(first * span + second)  # np.unique would hash: slow on millions
    key = key[np.r_[True, key[1:] != key[:-1]]] if len(key) else key
    return key // span, key % span


def offsets(counts: Positions) -> Positions:
    """Return CSR offsets (n + 1,) of parts with these lengths."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
