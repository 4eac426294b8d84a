"""Channels that are one order for all: what is popular, and what is new."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.channels.postings import Mask
from crossfm.recommender.seen import Positions

Floats64 = NDArray[np.float64]
LEAST = 64  # places of an order that are looked at together


def first_of(order: Positions, may: Mask, n: int) -> Positions:
    """Return the first ``n`` of ``order`` that ``may`` come; no more of it is looked at than needed."""
    parts: list[Positions] = []
    left, start, step = n, 0, max(LEAST, 2 * n)
    while left > 0 and start < len(order):
        part = order[start : start + step]
        part = part[may[part]][:left]
        parts.append(part)
        left, start, step = left - len(part), start + step, 2 * step
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Popular:
    """Items by falling popularity, ties by position; those that nobody took are left out.

    Attributes
    ----------
    order : int64 (n,)
    """

    order: Positions

    @classmethod
    def of(cls, popularity: Floats64) -> Popular:
        """Take the popularity (n_items,): halved by age where the recommender has a half-life."""
        order = np.argsort(-popularity, kind="stable")
        return cls(order[: np.count_nonzero(popularity > 0)])

    def best(self, past: Positions, recent: Positions, may: Mask, n: int) -> Positions:
        """Return up to ``n`` positions; see ``Channel``."""
        return first_of(self.order, may, n)


@dataclass(frozen=True, eq=False)
class Latest:
    """Items by time, the latest first, ties by position; those without a time are left out.

    Attributes
    ----------
    order : int64 (n,)
    born : float64 (n_items,)
        Seconds, NaN where unknown.
    """

    order: Positions
    born: Floats64

    @classmethod
    def of(cls, born: Floats64) -> Latest:
        """Take the times (n_items,) in seconds."""
        known = np.flatnonzero(np.isfinite(born))
        return cls(known[np.argsort(-born[known], kind="stable")], born)

    def best(self, past: Positions, recent: Positions, may: Mask, n: int) -> Positions:
        """Return up to ``n`` positions; see ``Channel``."""
        return first_of(self.order, may, n)

    def changed(self, where: Positions, born: Floats64, n_items: int) -> Latest:
        """Return the channel with other times ``born`` (n,) at ``where`` (n,), positions of which may be new."""
        times = np.concatenate([self.born, np.full(n_items - len(self.born), np.nan)])
        times[where] = born
        order = self.order[~np.isin(self.order, where)]
        fresh = where[np.isfinite(born)]
        fresh = fresh[np.lexsort((fresh, -times[fresh]))]
        key, at = -times[order], []
        for one in fresh.tolist():
            low, high = (int(np.searchsorted(key, -times[one], side)) for side in ("left", "right"))
            at.append(low + int(np.searchsorted(order[low:high], one)))
        return replace(self, order=np.insert(order, at, fresh), born=times)
