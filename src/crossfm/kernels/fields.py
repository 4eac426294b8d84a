"""Which fields meet in the rows, and what that makes of the records of a field-aware machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.data.rows import Rows
from crossfm.errors import DataError
from crossfm.kernels.machine import Data, windows

SAMPLE = 1 << 16  # rows of a window that are looked at for repeated features


def rows_tuple(rows: Rows) -> tuple[Any, ...]:
    """Return the kernel's form of rows, with their fields if they have any."""
    fields = rows.fields
    same = fields is not None and rows.indptr is None and len(fields) == rows.width
    return rows.indptr, rows.indices, rows.values, rows.width, fields, same


def count_fields(rows: Data) -> int:
    """Return the number of fields, counting up to the largest in ``rows``."""
    largest = -1
    for part in windows(rows):
        if part.fields is not None and len(part.fields):
            largest = max(largest, int(part.fields.max()))
        del part  # a stream reads the next one
    return largest + 1


def check_fields(rows: Rows, n_fields: int) -> None:
    """Raise ``DataError`` for a field that is not below ``n_fields``: a kernel would read outside its memory."""
    if rows.nnz and count_fields(rows) > n_fields:
        raise DataError(
            f"the rows have field {count_fields(rows) - 1}, but the model knows fields 0 to {n_fields - 1}. Go on "
            "with partial_fit, or leave the field out."
        )


def often_repeats(rows: Data) -> bool:
    """Tell whether a hundredth of the rows, by a sample of each window, have a feature twice.

    Features that columns share are so; those that share a hash by chance hardly ever.
    """
    n_rows = n_repeating = 0
    for part in windows(rows):
        sample = part.take(np.arange(0, part.n_rows, max(part.n_rows // SAMPLE, 1)))
        row = np.repeat(np.arange(sample.n_rows), np.diff(sample.offsets()))
        keys = np.sort(row << 32 | sample.indices.astype(np.int64))
        n_rows += sample.n_rows
        n_repeating += len(np.unique(keys[1:][keys[1:] == keys[:-1]] >> 32))
        del part  # a stream reads the next one
    return 100 * n_repeating >= n_rows > 0


def longest_row(rows: Rows) -> int:
    """Return the number of non-zeros of the longest row."""
    if rows.indptr is None:
        return rows.width
    return int(np.diff(rows.indptr).max(initial=0))


@dataclass(eq=False)
class Meetings:
    """Which fields stood in one row, gathered from any number of blocks of rows.

    Attributes
    ----------
    meets : uint8 (n_fields, n_fields)
        1 where two fields stood in one row; on the diagonal: where a row had the field twice.
    field_of : int32 (n_features,)
        The field a feature was first seen in; -1: never.
    shares : uint8 (n_fields, n_fields)
        1 where a feature was seen in both fields, as in hashed data.
    seen : uint32 (n_features,)
        How often a feature was seen.
    """

    meets: NDArray[np.uint8]
    field_of: NDArray[np.int32]
    shares: NDArray[np.uint8]
    seen: NDArray[np.uint32]

    @classmethod
    def start(cls, n_features: int, n_fields: int) -> Meetings:
        """Nothing seen yet."""
        square = (n_fields, n_fields)
        return cls(
            np.zeros(square, np.uint8),
            np.full(n_features, -1, np.int32),
            np.zeros(square, np.uint8),
            np.zeros(n_features, np.uint32),
        )

    @property
    def n_fields(self) -> int:
        """Number of fields."""
        return len(self.meets)

    def add(self, rows: Data) -> Meetings:
        """Look at more rows; their ids and fields are in range."""
        for part in windows(rows):
            _kernels.field_meetings(
                rows_tuple(part),
                part.n_rows,
                self.n_fields,
                self.meets,
                self.field_of,
                self.shares,
                self.seen,
            )
            del part  # a stream reads the next one
        return self

    def kinds(self) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Put fields that share features together.

        Returns the kind of each field (n_fields,), and which fields each kind meets (n_kinds, n_fields).
        """
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import connected_components

        n_kinds, kind = connected_components(csr_matrix(self.shares), directed=False)
        meets = np.zeros((n_kinds, self.n_fields), bool)
        np.logical_or.at(meets, kind, self.meets.astype(bool))
        return kind.astype(np.uint32), meets
