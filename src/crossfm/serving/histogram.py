"""Many numbers in little memory, so that what several processes have seen can be added up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SMALL = 1e-3  # below it, buckets no longer become narrower


class Histogram:
    """Counts in buckets, each ``width`` of its numbers wide: number v is in bucket floor(asinh(v / SMALL) / width)."""

    def __init__(self, width: float = 0.1) -> None:
        self.width = width
        self.counts: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, values: Iterable[float]) -> None:
        """Count numbers; those that are not finite are left out."""
        self.counts.update(math.floor(math.asinh(v / SMALL) / self.width) for v in values if math.isfinite(v))

    def join(self, other: Histogram) -> None:
        """Add what another of the same width has counted."""
        self.counts.update(other.counts)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return numbers that so many are below, each wrong by at most a bucket. Needs a number at least."""
        ordered, n = sorted(self.counts.items()), len(self)
        told, at, below = [], 0, 0
        for share in shares:  # rising
            while below + ordered[at][1] < share * n:
                below += ordered[at][1]
                at += 1
            bucket, count = ordered[at]
            low, high = self._edge(bucket), self._edge(bucket + 1)
            told.append(low + (high - low) * max(share * n - below, 0.0) / count)
        return told

    def bars(self, low: float, high: float, n: int) -> list[float]:
        """Return how many are in each of ``n`` equal parts of low to high; what lies outside counts at the ends.

        A bucket that reaches over several is split by its width.
        """
        bars, size = [0.0] * n, (high - low) / n
        for bucket, count in self.counts.items():
            first, last = ((self._edge(edge) - low) / size for edge in (bucket, bucket + 1))
            for at in range(min(max(math.floor(first), 0), n - 1), min(max(math.ceil(last), 1), n)):
                begin, end = (-math.inf if at == 0 else at), (math.inf if at == n - 1 else at + 1)
                bars[at] += count * max(min(last, end) - max(first, begin), 0.0) / (last - first)
        return bars

    def _edge(self, bucket: int) -> float:
        return SMALL * math.sinh(bucket * self.width)

    def state(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"width": self.width, "counts": list(self.counts.items())}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Histogram:
        """Return what ``state`` was made of."""
        made = cls(state["width"])
        made.counts.update(dict(map(tuple, state["counts"])))
        return made
