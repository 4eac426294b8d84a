"""From what people pass as ``X`` to ``Rows``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossfm.data.columns import Column
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.rows import Rows, rows_from_csr, rows_from_dense
from crossfm.data.side import SideTable, fit_tables, transform
from crossfm.data.tables import as_table, is_table
from crossfm.errors import DataError, OptionError

MAX_FIELDS = 4096  # pairs of fields grow with the square
MANY_CONSTANT_FIELDS = 4096  # a dense matrix of more columns is not given a field for each


def has_names(X: Any) -> bool:
    """Whether ``X`` is a table with named columns; a DataFrame whose labels are not strings is a matrix."""
    if type(X).__module__.startswith("polars") and hasattr(X, "collect"):
        as_table(X)  # a LazyFrame: says what to do
    return is_table(X) and all(isinstance(name, str) for name in _labels(X))


def _labels(X: Any) -> Any:
    return X.columns if type(X).__module__.startswith("pandas") else ()


def fit_encoder(
    X: Any, columns: Sequence[Column] | None, tables: Any = None
) -> tuple[Encoder, Rows, list[SideTable]] | tuple[None, None, list[SideTable]]:
    """Return the fitted encoder for a table, its rows and its side tables; Nones for what is taken as a matrix.

    ``columns`` None means that a table's columns are inferred. Raises ``OptionError`` when columns or tables are given
    for something that has no named columns.
    """
    if not has_names(X):
        if tables is not None:
            raise OptionError(
                f"tables were given, but X is a {type(X).__name__} without named columns. Pass a DataFrame, an Arrow "
                "table or a dict of arrays, or relate(X, ...) in place of X and tables."
            )
        if columns is not None:
            raise OptionError(
                f"columns were given, but X is a {type(X).__name__} without named columns. Pass a DataFrame, an "
                "Arrow table or a dict of arrays, or leave columns out."
            )
        return None, None, []
    table = as_table(X)
    if table.num_rows == 0:
        raise DataError("the table has no rows to fit on")
    if tables is not None:
        encoder, sides = fit_tables(table, tables, columns)
        return encoder, transform(encoder, sides, table), sides
    if columns is None:
        inferred = infer_columns(table)
        if not inferred:
            reasons = "; ".join(f"{name}: {why}" for name, why in inferred.reasons.items())
            raise DataError(
                f"no column of the table is worth learning from ({reasons}). Pass columns to decide."
            )
        columns = inferred
    encoder = Encoder(columns)
    return encoder, encoder.fit_transform(table), []


def encoded(model: Any, X: Any) -> Rows:
    """Return a table's rows as the fitted ``model`` knows its columns, with relations to its side tables."""
    return transform(model.encoder_, model._sides, X) if model._sides else model.encoder_.transform(X)


def rows_from_matrix(X: Any, fields: Any = None, *, needed: bool = False) -> Rows:
    """Turn a validated dense or sparse matrix into ``Rows``.

    ``fields`` (n_features,) is the field of each column; None: each column of a small dense one is a field, and of a
    small sparse one where fields are ``needed``. Raises ``OptionError`` for fields that do not fit, and where needed
    ones are neither given nor few.
    """
    n_features = X.shape[1]
    if fields is not None:
        fields = _checked_fields(fields, n_features)
    elif n_features <= MANY_CONSTANT_FIELDS and (needed or isinstance(X, np.ndarray)):
        fields = np.arange(n_features)
    elif needed:
        raise OptionError(
            f"a field-aware machine must know the field of each column, and X has {n_features} columns, too many to "
            "be a field each. Pass fields=(field of each column), a table with columns, or Rows with fields."
        )
    return rows_from_dense(X, fields=fields) if isinstance(X, np.ndarray) else rows_from_csr(X, fields=fields)


def _checked_fields(fields: Any, n_features: int) -> Any:
    fields = np.asarray(fields)
    if fields.shape != (n_features,) or fields.dtype.kind not in "iu" or (fields < 0).any():
        raise OptionError(
            f"fields is {fields.dtype} of shape {fields.shape}, but one whole number from 0 for each of the "
            f"{n_features} columns is expected"
        )
    return fields


def normalized(rows: Rows) -> Rows:
    """Divide the values of every row by their Euclidean length; a row without any stays as it is.

    Juan et al. (2016), section 3.2: libffm's R = 1 / ||x||^2 on a product of two values.
    """
    values = rows.value_of_each().astype(np.float64)
    if rows.indptr is None:
        squares = (values**2).reshape(rows.n_rows, rows.width).sum(axis=1)
        lengths = np.full(rows.n_rows, rows.width)
    else:
        lengths = np.diff(rows.indptr)
        total = np.concatenate([[0.0], np.cumsum(values**2)])
        squares = total[rows.indptr[1:]] - total[rows.indptr[:-1]]
    scale = np.repeat(1.0 / np.sqrt(np.where(squares > 0, squares, 1.0)), lengths)
    return replace(rows, values=(values * scale).astype(np.float32))


def with_fields(rows: Rows) -> Rows:
    """Return ``rows`` with fields: each of few features is one where they are not said.

    Raises ``DataError`` where fields are missing and features are many, and for too many fields.
    """
    fields = rows.fields
    if fields is None:
        if rows.n_features > MANY_CONSTANT_FIELDS:
            raise DataError(
                f"the rows do not say the field of their {rows.n_features} features, and they are too many to be a "
                "field each. Read libffm text, pass Rows with fields, or a table with columns."
            )
        return replace(rows, fields=rows.indices)
    largest = int(fields.max(initial=0))
    if largest >= MAX_FIELDS:
        raise DataError(f"the rows have field {largest}, but fields are numbered below {MAX_FIELDS}")
    return rows
