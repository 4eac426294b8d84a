"""Numbers of a table for the deep part: which features they are, and their values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.kernels.machine import Data, windows


def find_shape(rows: Data) -> tuple[int, NDArray[np.int64]]:
    """Return the number of fields, and the features (n_dense,) that hold a number: by rising field.

    A field holds a number when exactly one of its features has values other than 1 and at most one more occurs in it,
    as the encoder writes numeric columns (the number, or the feature of missing cells).
    """
    found: dict[int, tuple[set[int], set[int]]] = {}
    n_fields = 0
    for part in windows(rows):
        fields = part.field_of_each()
        if fields is None:
            return 1, np.zeros(0, np.int64)
        n_fields = max(n_fields, int(fields.max(initial=0)) + 1)
        if part.values is not None:
            _look_at(part.indices, fields, part.values, found)
        del part, fields  # a stream reads the next ones
    numeric = [
        next(iter(other)) for _, (ids, other) in sorted(found.items()) if len(other) == 1 and len(ids) <= 2
    ]
    return n_fields, np.array(numeric, np.int64)


def _look_at(
    ids: NDArray[np.uint32],
    fields: NDArray[np.uint32],
    values: NDArray[np.float32],
    found: dict[int, tuple[set[int], set[int]]],
) -> None:
    """Add the features of each field that has a value other than 1, and those with such a value, up to 3 a field."""
    other = values != 1
    for f in np.unique(fields[other]).tolist():
        here = fields == f
        every, special = found.setdefault(f, (set(), set()))
        every.update(np.unique(ids[here])[:3].tolist())
        special.update(np.unique(ids[here & other])[:3].tolist())


def dense_values(rows: Rows, order: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the values (n, n_dense) that the rows ``order`` have for the features ``ids``; 0 where they have none."""
    out = np.zeros((len(order), len(ids)), np.float32)
    if len(ids) == 0:
        return out
    slot = np.full(rows.n_features, -1, np.int16)
    slot[ids] = np.arange(len(ids))
    taken = rows.take(order)
    slots = slot[taken.indices]
    hit = np.flatnonzero(slots >= 0)
    row = (
        hit // rows.width if rows.indptr is None else np.searchsorted(taken.offsets(), hit, side="right") - 1
    )
    np.add.at(out, (row, slots[hit]), np.float32(1) if taken.values is None else taken.values[hit])
    return out
