"""``partial_fit`` on data that grows: ids and categories that were not there at first.

Tables of columns, sparse matrices and ``Rows`` may bring new features: their columns are ids, and more of them come
with time. A dense matrix keeps its number of columns, as scikit-learn asks, and so does a table its names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, column_or_1d

from crossfm.data.encode import Encoder
from crossfm.data.rows import Rows
from crossfm.errors import DataError


def wider_input(model: Any, X: Any, y: Any) -> tuple[Rows, Any, Encoder | None]:
    """Return rows whose ids may lie beyond the fitted ``model``, the checked ``y``, and the encoder that knows them.

    The model itself does not change before ``grow``: an error on the way leaves it as it was.
    """
    encoder = model.encoder_
    if isinstance(X, Rows) and encoder is None:
        X.check_ids(X.n_features)
        y = X.target if y is None else y
        return model._prepared(X), None if y is None else np.asarray(y), None
    if isinstance(X, Rows) or not (encoder is not None or _is_wider(model, X)):
        rows, y = model._input(X, y, **model._y_checks)
        return rows, y, encoder
    if encoder is not None:
        model._check_table(X)
        encoder, rows = encoder.grown(X)
    else:
        rows = model._matrix_rows(check_array(X, accept_sparse="csr", dtype=[np.float32, np.float64]))
    if y is not None:
        y = column_or_1d(y, warn=True)
        if len(y) != rows.n_rows:
            raise DataError(f"X has {rows.n_rows} rows, but y has {len(y)}")
    return model._prepared(rows), y, encoder


def grow(model: Any, n_features: int, encoder: Encoder | None) -> None:
    """Give the machines of ``model`` room for ``n_features``; what they have learnt stays bit for bit."""
    hyper = model._check_options()[1]
    for table in model._tables():
        table.grow(n_features, hyper)
    if encoder is None:
        model.n_features_in_ = max(model.n_features_in_, n_features)
    else:
        model.encoder_ = encoder


def _is_wider(model: Any, X: Any) -> bool:
    return bool(issparse(X) and X.ndim == 2 and X.shape[1] > model.n_features_in_)
