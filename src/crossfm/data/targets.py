"""Targets and weights from the columns of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.errors import DataError, LabelError


def target_values(table: pa.Table, name: str, *, first_row: int = 0) -> NDArray[Any]:
    """Return a column as numbers, booleans or text (n_rows,); no cell may be missing.

    ``first_row`` is the number of the table's first row in the file, for messages. Raises ``LabelError``.
    """
    column, types = table[name], pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_decimal(column.type):
        column = column.cast(pa.float64())
    is_text = types.is_string(column.type) or types.is_large_string(column.type)
    if not (
        is_text
        or types.is_integer(column.type)
        or types.is_floating(column.type)
        or types.is_boolean(column.type)
    ):
        raise LabelError(f"column {name!r} holds {column.type}, but a target is numbers, booleans or text")
    array = column.to_numpy()
    missing = np.asarray(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), bool)
    if missing.any():
        raise LabelError(
            f"column {name!r} has no value in row {first_row + int(np.argmax(missing))} ({int(missing.sum())} in "
            "all); fill or drop such rows"
        )
    if is_text:
        return np.asarray(array, str)
    return np.asarray(array, bool if types.is_boolean(column.type) else None)


def weight_values(table: pa.Table, name: str, *, first_row: int = 0) -> NDArray[np.float64]:
    """Return a column of sample weights (n_rows,); raises ``DataError`` unless they are numbers, 0 or more."""
    weight = target_values(table, name, first_row=first_row)
    if weight.dtype.kind not in "iufb":
        raise DataError(f"column {name!r} holds text, but weights are numbers")
    weight = weight.astype(np.float64)
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError(f"column {name!r} has weights that are negative or infinite")
    return weight
