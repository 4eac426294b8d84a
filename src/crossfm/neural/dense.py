"""What a network asks of all rows at once: fields, numbers for the deep part, and how often features come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.kernels.fm import mark
from crossfm.kernels.machine import Data, windows

ROWS_AT_ONCE = 1 << 16
MANY_FIELDS = 4096


class Survey(NamedTuple):
    """What one look at all rows has found.

    Attributes
    ----------
    n_rows : int
    n_fields : int
        Where every feature is a field of its own, as many as features, whether or not some row has them.
    dense_ids : int64 (n_dense,)
        The features that hold a number, by rising field. A field holds one when exactly one of its features has values
        other than 1 and at most one more occurs in it, as the encoder writes numeric columns (the number, or the
        feature of missing cells).
    seen : bool (n_features,)
        The features that some row has.
    counts : int64 (n_features,) or None
        How often each comes.
    """

    n_rows: int
    n_fields: int
    dense_ids: NDArray[np.int64]
    seen: NDArray[np.bool_]
    counts: NDArray[np.int64] | None


def survey(rows: Data, *, fields: bool, counted: bool) -> Survey:
    """Look at all rows; without ``fields`` as if all features were of one field."""
    n_rows, shape = 0, _Shape(rows.n_features)
    seen = np.zeros(rows.n_features, bool)
    counts = np.zeros(rows.n_features, np.int64) if counted else None
    for part in windows(rows):
        n_rows += part.n_rows
        if counts is None:
            mark(part, seen)
        else:
            counts += np.bincount(part.indices, minlength=len(counts))
        if fields and part.fields is not None:
            shape.add(part)
        del part  # a stream reads the next ones
    return Survey(n_rows, *shape.found(), seen if counts is None else counts > 0, counts)


class _Shape:
    """The fields, and which of them hold a number."""

    def __init__(self, n_features: int) -> None:
        self.every, self.special = _Few(), _Few()
        self.n_features, self.own = n_features, n_features <= MANY_FIELDS

    def add(self, part: Rows) -> None:
        """Look at more rows."""
        for start in range(0, part.n_rows, ROWS_AT_ONCE):
            some = part.take(np.arange(start, min(start + ROWS_AT_ONCE, part.n_rows)))
            fields = some.field_of_each()
            assert fields is not None
            self.own = self.own and np.array_equal(some.indices, fields)
            self.every.add(some.indices, fields)
            if some.values is not None:
                other = some.values != 1
                self.special.add(some.indices[other], fields[other])

    def found(self) -> tuple[int, NDArray[np.int64]]:
        """Return the number of fields, and the features that hold a number."""
        numeric = [
            ids
            for ids, all_ids in zip(self.special.ids, self.every.ids, strict=False)
            if len(ids) == 1 and len(all_ids) < 3
        ]
        n_fields = self.n_features if self.own and self.every.ids else len(self.every.ids)
        return max(n_fields, 1), np.array([next(iter(ids)) for ids in numeric], np.int64)


class _Few:
    """The features of each field, up to three of them: whether there are more than two is all that counts."""

    def __init__(self) -> None:
        self.ids: list[set[int]] = []

    def add(self, ids: NDArray[np.uint32], fields: NDArray[np.uint32]) -> None:
        """Look at more non-zeros."""
        n_fields = int(fields.max(initial=0)) + 1
        low, high = np.full(n_fields, np.iinfo(np.uint32).max, np.uint32), np.zeros(n_fields, np.uint32)
        np.minimum.at(low, fields, ids)
        np.maximum.at(high, fields, ids)
        between = np.full(n_fields, -1, np.int64)  # any other
        more = (ids != low[fields]) & (ids != high[fields])
        between[fields[more]] = ids[more]
        self.ids += [set() for _ in range(n_fields - len(self.ids))]
        for known, *found in zip(self.ids, low.tolist(), high.tolist(), between.tolist(), strict=False):
            if found[0] <= found[1] and len(known) < 3:
                known.update(one for one in found if one >= 0)


def dense_values(rows: Rows, order: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the values (n, n_dense) that the rows ``order`` have for the features ``ids``; 0 where they have none."""
    out = np.zeros((len(order), len(ids)), np.float32)
    if len(ids) == 0:
        return out
    known = np.flatnonzero(ids < rows.n_features)  # rows may be narrower than the model
    slot = np.full(rows.n_features, -1, np.int32)
    slot[ids[known]] = known
    taken = rows.take(order)
    slots = slot[taken.indices]
    hit = np.flatnonzero(slots >= 0)
    row = (
        hit // rows.width if rows.indptr is None else np.searchsorted(taken.offsets(), hit, side="right") - 1
    )
    np.add.at(out, (row, slots[hit]), np.float32(1) if taken.values is None else taken.values[hit])
    return out
