"""The second stage: any machine of the package, which orders what recall found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import find_loss
from crossfm.data.rows import Rows, join_rows, offsets_or_width, shift_ids
from crossfm.estimators.kinds import restore
from crossfm.io.parts import part_of
from crossfm.recommender.seen import Positions, Seen
from crossfm.recommender.signals import N_FIELDS, Frame, Signals, frame_of, framed, signal_rows

Floats = NDArray[np.float32]
AT_ONCE = 200_000  # candidates that are scored together


class Ranking:
    """A fitted machine over joined rows: features of the query, of the item, and of both together (``signals``).

    Attributes
    ----------
    estimator : fitted estimator
    name : str
        Its class.
    signals : Signals
        As of the end of training.
    n_query_fields, n_fields : int
        Fields of the item are counted from the first; those of the signals are the last.
    n_candidates : int
        Length of the lists that it learnt from: numbers are measured by as many of a list.
    calibration : (slope, offset)
        The chance of a positive is logistic(slope score + offset).
    held : dict
        NDCG@20 of the candidates of lists that were held out, in the order of "recall" and of "ranking", and how many
        "lists"; empty for impressions, and where none had a choice.
    """

    def __init__(
        self,
        estimator: Any,
        signals: Signals,
        n_query_fields: int,
        n_fields: int,
        n_candidates: int,
        calibration: tuple[float, float] = (1.0, 0.0),
        held: dict[str, float] | None = None,
    ) -> None:
        self.estimator = estimator
        self.name = type(estimator).__name__
        self.signals = signals
        self.n_query_fields = n_query_fields
        self.n_fields = n_fields
        self.n_candidates = n_candidates
        self.calibration = calibration
        self.held = {} if held is None else held

    def raw(self, rows: Rows) -> Floats:
        """Return scores (n_rows,) of joined rows."""
        return np.asarray(self.estimator._raw(rows)[:, 0], np.float32)

    def joined(self, queries: Rows, items: Rows, numbers: Floats, n_past: Any) -> Rows:
        """Put beside each query (n rows) an item, whose ids stand behind those of queries, and its signals.

        ``numbers`` (n, ...) are framed, ``n_past`` (n,) says how many items are known of the user.
        """
        both = join_rows(queries, items, left_fields=self.n_query_fields)
        more = shift_ids(signal_rows(numbers, n_past), items.n_features)
        return join_rows(both, more, left_fields=self.n_fields - N_FIELDS)

    def frame(self, past: Any, items: Positions, recalled: Floats) -> Frame:
        """Return what the numbers of a query are measured by: the list (n,) that recall found, with its scores."""
        n = self.n_candidates
        return frame_of(self.signals.of(past, items[:n], recalled[:n]))

    def scores(
        self,
        query: Rows,
        past: Any,
        items: Rows,
        positions: Positions,
        recalled: Floats,
        frame: Frame | None = None,
    ) -> Floats:
        """Return scores (n,) of items for one query.

        Parameters
        ----------
        past : (n_past,)
            Positions of the items that are known of the user.
        items : Rows (n, ...)
        positions, recalled : (n,)
            Where the items stand in the catalogue, and their scores in recall.
        frame : see the method of this name; None: of these items, which then are the whole list, best first.
        """
        numbers = self.signals.of(past, positions, recalled)
        numbers = framed(numbers, frame_of(numbers[: self.n_candidates]) if frame is None else frame)
        return self.raw(self.beside(query, items, numbers, len(past)))

    def beside(self, query: Rows, items: Rows, numbers: Floats, n_past: int) -> Rows:
        """Return what ``joined`` does for one query (1, ...) beside all items: each number is written once."""
        more = signal_rows(numbers, n_past)
        parts = (
            (query, 0, 0),
            (items, 0, self.n_query_fields),
            (more, items.n_features, self.n_fields - N_FIELDS),
        )
        starts, row = items.offsets(), np.arange(items.n_rows + 1)
        indptr = starts + row * (query.nnz + N_FIELDS)
        middle = np.arange(items.nnz) + np.repeat(indptr[:-1] + query.nnz - starts[:-1], np.diff(starts))
        where = (
            (indptr[:-1, None] + np.arange(query.nnz)).ravel(),
            middle,
            (indptr[1:, None] + np.arange(-N_FIELDS, 0)).ravel(),
        )

        def written(kind: Any, of_part: Any) -> Any:
            out = np.empty(indptr[-1], kind)
            for at, part in zip(where, parts, strict=True):
                own = of_part(*part)
                out[at] = np.tile(own, items.n_rows) if part[0] is query else own
            return out

        known = query.fields is not None and items.fields is not None
        return Rows(
            indices=written(np.uint32, lambda rows, shift, _: rows.indices + np.uint32(shift)),
            n_features=items.n_features + more.n_features,
            values=written(np.float32, lambda rows, *_: rows.value_of_each()),
            fields=written(np.uint32, lambda rows, _, field: rows.field_of_each() + np.uint32(field))
            if known
            else None,
            **offsets_or_width(indptr),
        )

    def scores_of(
        self,
        queries: Rows,
        past: Seen,
        items: Rows,
        positions: Positions,
        recalled: Floats,
        by: tuple[Positions, Floats],
    ) -> Floats:
        """Return scores (n_queries, n) of the lists ``positions`` (n_queries, n) with recall's scores ``recalled``.

        ``past`` has the items that are known of each user, ``items`` is the whole catalogue. ``by`` are lists of recall
        with their scores, best first, by which numbers are measured: the same lists, unless others brought items too.
        Scores are -inf where a position is -1.
        """
        out = np.full(positions.shape, -np.inf, np.float32)
        n_past = np.diff(past.indptr)
        step = max(1, AT_ONCE // max(positions.shape[1], 1))
        for start in range(0, len(positions), step):
            block = np.arange(start, min(start + step, len(positions)))
            there = positions[block] >= 0
            row, _ = np.nonzero(there)
            if len(row):
                numbers = np.concatenate(
                    [
                        self._framed(past, at, (positions[at], recalled[at]), (by[0][at], by[1][at]))
                        for at in block
                    ]
                )
                parts = queries.take(start + row), items.take(positions[block][there])
                out[start : start + len(block)][there] = self.raw(
                    self.joined(*parts, numbers, n_past[start + row])
                )
        return out

    def _framed(
        self, past: Seen, at: int, listed: tuple[Positions, Floats], by: tuple[Positions, Floats]
    ) -> Floats:
        mine = past.of_user(at)
        numbers = self.signals.of(mine, *_there(*listed))
        if np.array_equal(by[0], listed[0]):
            return framed(numbers, frame_of(numbers[: self.n_candidates]))
        return framed(numbers, self.frame(mine, *_there(*by)))

    def probability(self, score: Any) -> Any:
        """Return calibrated chances of scores, of the same shape: that the user takes the item in the time to come.

        That time is as long as the windows that the ranking learnt from; see ``second_stage``. For impressions it is
        the chance of a label of 1.
        """
        slope, offset = self.calibration
        chance = find_loss("logistic").predict(np.asarray(score, np.float64) * slope + offset)
        return float(chance) if np.ndim(score) == 0 else chance

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-able settings."""
        arrays, meta = self.estimator.to_state()
        arrays = {f"estimator.{name}": array for name, array in arrays.items()}
        arrays |= {f"signals.{name}": array for name, array in self.signals.to_state().items()}
        own = {name: getattr(self, name) for name in ("n_query_fields", "n_fields", "n_candidates", "held")}
        return arrays, {"estimator": meta, "calibration": list(self.calibration), **own}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Ranking:
        """Rebuild what ``to_state`` described."""
        slope, offset = meta["calibration"]
        estimator = restore(part_of(arrays, "estimator."), meta["estimator"])
        signals = Signals(**{name: array.copy() for name, array in part_of(arrays, "signals.").items()})
        numbers = meta["n_query_fields"], meta["n_fields"], meta["n_candidates"]
        return cls(estimator, signals, *numbers, (slope, offset), meta["held"])


def _there(items: Positions, scores: Floats) -> tuple[Positions, Floats]:
    """Return the part of a list that holds items."""
    return items[items >= 0], scores[items >= 0]
