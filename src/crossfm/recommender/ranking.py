"""The second stage: any machine of the package, which orders what recall found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import find_loss
from crossfm.data.rows import Rows, join_rows
from crossfm.estimators.kinds import restore

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]
AT_ONCE = 200_000  # candidates that are scored together


class Ranking:
    """A fitted machine over joined rows: features of the query, then of the item.

    Attributes
    ----------
    estimator : fitted estimator
    name : str
        Its class.
    n_query_fields, n_fields : int
        Fields of the item are counted from the first; the place is the last.
    calibration : (slope, offset)
        The chance of a positive is logistic(slope score + offset).
    """

    def __init__(
        self,
        estimator: Any,
        n_query_fields: int,
        n_fields: int,
        calibration: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        self.estimator = estimator
        self.name = type(estimator).__name__
        self.n_query_fields = n_query_fields
        self.n_fields = n_fields
        self.calibration = calibration

    def raw(self, rows: Rows) -> Floats:
        """Return scores (n_rows,) of joined rows."""
        return np.asarray(self.estimator._raw(rows)[:, 0], np.float32)

    def joined(self, queries: Rows, items: Rows, place: Floats) -> Rows:
        """Put the item's features, whose ids stand behind those of the queries, and the place (n,) beside each query.

        The place is recall's score in deviations from the mean of its list: one feature behind all others.
        """
        n = len(place)
        last = Rows(
            np.full(n, items.n_features, np.uint32),
            items.n_features + 1,
            values=place.astype(np.float32),
            fields=np.zeros(1, np.uint32),
            width=1,
        )
        both = join_rows(queries, items, left_fields=self.n_query_fields)
        return join_rows(both, last, left_fields=self.n_fields - 1)

    def scores(self, query: Rows, items: Rows, place: Floats) -> Floats:
        """Return scores (n,) of items (n, ...) with their places (n,) for one query."""
        return self.raw(self.joined(query.take(np.zeros(len(place), np.int64)), items, place))

    def scores_of(self, queries: Rows, items: Rows, positions: Positions, recalled: Floats) -> Floats:
        """Return scores (n_queries, n) of items at ``positions`` (n_queries, n), found with scores ``recalled``.

        They are -inf where a position is -1, and ``recalled`` too.
        """
        out = np.full(positions.shape, -np.inf, np.float32)
        mean, spread = of_lists(recalled)
        place = (recalled - mean[:, None]) / spread[:, None]
        step = max(1, AT_ONCE // max(positions.shape[1], 1))
        for start in range(0, len(positions), step):
            block = slice(start, start + step)
            there = positions[block] >= 0
            row, _ = np.nonzero(there)
            if len(row):
                parts = queries.take(start + row), items.take(positions[block][there])
                out[block][there] = self.raw(self.joined(*parts, place[block][there]))
        return out

    def probability(self, score: Any) -> Any:
        """Return calibrated chances of scores, of the same shape."""
        slope, offset = self.calibration
        chance = find_loss("logistic").predict(np.asarray(score, np.float64) * slope + offset)
        return float(chance) if np.ndim(score) == 0 else chance

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-able settings."""
        arrays, meta = self.estimator.to_state()
        own = {"n_query_fields": self.n_query_fields, "n_fields": self.n_fields}
        return arrays, {"estimator": meta, "calibration": list(self.calibration), **own}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Ranking:
        """Rebuild what ``to_state`` described."""
        slope, offset = meta["calibration"]
        estimator = restore(arrays, meta["estimator"])
        return cls(estimator, meta["n_query_fields"], meta["n_fields"], (slope, offset))


def of_lists(score: Floats) -> tuple[Floats, Floats]:
    """Return mean and deviation (n_lists,) of the scores (n_lists, n) that are not -inf."""
    there = np.isfinite(score)
    n = np.maximum(there.sum(axis=1), 1)
    mean = np.where(there, score, 0).sum(axis=1) / n
    spread = np.sqrt((np.where(there, score - mean[:, None], 0) ** 2).sum(axis=1) / n)
    return mean.astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)
