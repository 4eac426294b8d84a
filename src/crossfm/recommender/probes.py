"""How many lists of an inverted file it takes for a recall, measured on queries that it was not made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Positions = NDArray[np.int64]
RANKS = tuple(n * 10**power for power in range(1, 6) for n in (1, 2, 3, 5, 7))


@dataclass(frozen=True, eq=False)
class Probes:
    """Lists to look at for the best items up to a rank.

    Attributes
    ----------
    ranks : int64 (n_ranks,)
        Rising.
    counts : int64 (n_ranks,)
    """

    ranks: Positions
    counts: Positions

    def at(self, rank: float) -> int | None:
        """Return the lists for the best items up to ``rank``; None above the largest rank that was measured."""
        where = int(np.searchsorted(self.ranks, rank))
        return None if where == len(self.ranks) else int(self.counts[where])

    def raised(self, factor: float, most: int) -> Probes:
        """Return more lists, at most ``most``."""
        more = np.maximum(self.counts + 1, np.ceil(self.counts * factor).astype(np.int64))
        return Probes(self.ranks, np.minimum(more, most))

    @classmethod
    def measured(cls, needed: Positions, target: float) -> Probes:
        """Return the fewest lists that hold a share of ``target`` of the best items, for each rank.

        ``needed`` (n_queries, n_best) says for each query's best items, best first, how many lists it takes until
        theirs is among them.
        """
        n_best = needed.shape[1]
        ranks = [rank for rank in RANKS if rank < n_best] + [n_best]
        counts = [int(np.quantile(needed[:, :rank], target, method="higher")) for rank in ranks]
        return cls(np.array(ranks, np.int64), np.maximum.accumulate(np.array(counts, np.int64)))


def lists_needed(centroids: Floats32, queries: Floats32, lists: NDArray[np.integer[Any]]) -> Positions:
    """Return how many lists a query (n_queries, dim) looks at until each of ``lists`` (n_queries, n) is among them."""
    distance = np.einsum("ij,ij->i", centroids, centroids) - 2.0 * queries @ centroids.T
    order = np.argsort(distance, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(len(centroids))[None], 1)
    return np.asarray(np.take_along_axis(place, lists, 1) + 1)


def recall_of(found: Positions, best: Positions) -> float:
    """Return the share of ``best`` (n_queries, k; -1 for none) that is in ``found`` (n_queries, n)."""
    hits = sum(np.isin(b[b >= 0], f).sum() for f, b in zip(found, best, strict=True))
    return float(hits / max(int((best >= 0).sum()), 1))
