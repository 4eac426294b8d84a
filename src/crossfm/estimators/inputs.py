"""From what people pass as ``X`` to ``Rows``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfm.data.columns import Column
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.rows import Rows, rows_from_csr, rows_from_dense
from crossfm.data.tables import as_table, is_table
from crossfm.errors import DataError, OptionError

MANY_CONSTANT_FIELDS = 4096  # a dense matrix of more columns is not given a field for each


def has_names(X: Any) -> bool:
    """Whether ``X`` is a table with named columns; a DataFrame whose labels are not strings is a matrix."""
    if type(X).__module__.startswith("polars") and hasattr(X, "collect"):
        as_table(X)  # a LazyFrame: says what to do
    return is_table(X) and all(isinstance(name, str) for name in _labels(X))


def _labels(X: Any) -> Any:
    return X.columns if type(X).__module__.startswith("pandas") else ()


def fit_encoder(X: Any, columns: Sequence[Column] | None) -> tuple[Encoder, Rows] | tuple[None, None]:
    """Return the fitted encoder for a table and its rows, None and None for what is taken as a matrix.

    ``columns`` None means that a table's columns are inferred. Raises ``OptionError`` when columns are given for
    something that has no named columns.
    """
    if not has_names(X):
        if columns is not None:
            raise OptionError(
                f"columns were given, but X is a {type(X).__name__} without named columns. Pass a DataFrame, an "
                "Arrow table or a dict of arrays, or leave columns out."
            )
        return None, None
    table = as_table(X)
    if table.num_rows == 0:
        raise DataError("the table has no rows to fit on")
    if columns is None:
        inferred = infer_columns(table)
        if not inferred:
            reasons = "; ".join(f"{name}: {why}" for name, why in inferred.reasons.items())
            raise DataError(
                f"no column of the table is worth learning from ({reasons}). Pass columns to decide."
            )
        columns = inferred
    encoder = Encoder(columns)
    return encoder, encoder.fit_transform(table)


def rows_from_matrix(X: Any) -> Rows:
    """Turn a validated dense or sparse matrix into ``Rows``; each column of a small dense one is a field."""
    if isinstance(X, np.ndarray):
        fields = np.arange(X.shape[1]) if X.shape[1] <= MANY_CONSTANT_FIELDS else None
        return rows_from_dense(X, fields=fields)
    return rows_from_csr(X)
