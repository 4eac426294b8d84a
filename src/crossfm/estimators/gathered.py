"""All rows of a stream in memory, for the solvers that look at them feature by feature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crossfm.core.memory import check_memory
from crossfm.data.blocks import concat_rows
from crossfm.data.rows import Rows
from crossfm.data.stream import RowStream
from crossfm.estimators.exact import exact_bytes
from crossfm.estimators.streamed import meet_features, refuse_beside, validation_stream

COPIES = 2  # of the rows, when the windows are put together


def gather(model: Any, X: RowStream, y: Any, sample_weight: Any, *, fresh: bool) -> tuple[Rows, Any]:
    """Return all rows, with their weights, and their targets; learns how they are encoded, as ``fit_stream`` does.

    Raises ``MemoryLimitError``, before reading, where training would take more memory than is free, and ``OptionError``
    where it would take more than the limit of the stream.
    """
    refuse_beside(y, sample_weight)
    meet_features(model, X, fresh=fresh)
    rule = model._check_options()[0]
    nnz = X.nnz * X.n_rows // max(X.cache.layout.n_rows, 1)
    own = model._machine.table_bytes(X, model.n_factors, rule)
    own += exact_bytes(model, rule, X.n_rows, nnz, X.n_features)
    rows = COPIES * X.cache.layout.row_bytes(X.n_rows, nnz)
    check_memory(own + rows, f"{model._advice(rule)}; or a solver that takes rows window by window")
    X.need(own + rows)
    return _whole(X)


def gather_validation(model: Any, eval_set: Any) -> Any:
    """Return ``eval_set`` with the rows and targets of a stream in its place."""
    X = validation_stream(model, eval_set)
    return eval_set if X is None else _whole(X)


def _whole(X: RowStream) -> tuple[Rows, Any]:
    rows = concat_rows(list(X))
    y = X.labels_of(rows)
    return replace(rows, n_features=X.n_features, target=None), y
