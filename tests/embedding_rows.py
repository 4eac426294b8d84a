"""Rows and gradients for the tests of embeddings."""

from __future__ import annotations

import numpy as np

from crossfm.data.rows import Rows

N_FEATURES, N_FIELDS = 23, 4
KINDS = ("columns", "shared", "swapped", "each", "csr")
OUTPUTS = ("linear", "embedded", "weights", "pooled", "pair")


def draw_rows(kind, n_rows, *, values, seed=0):
    """Rows of ``N_FIELDS`` fields and ``N_FEATURES`` features.

    ``columns``: one id of each field, no id in two fields; ``shared``: ids in several fields; ``swapped``: the same,
    fields in no order; ``each``: fixed width, fields of each non-zero of their own; ``csr``: any number of features a
    row, empty rows, fields with several or none, the same feature twice.
    """
    rng = np.random.default_rng(seed)
    if kind == "csr":
        lengths = rng.integers(0, 7, n_rows)
        indptr, width = np.cumsum([0, *lengths]).astype(np.int64), 0
    else:
        indptr, width = None, N_FIELDS
        lengths = np.full(n_rows, N_FIELDS)
    nnz = int(lengths.sum())
    if kind == "columns":
        ids = rng.integers(0, 5, (n_rows, N_FIELDS)) + np.array([10, 0, 5, 15])
        ids[:, 2] = 9  # a column of one feature
    else:
        ids = np.minimum(rng.zipf(1.5, nnz) - 1, N_FEATURES - 1)
    fields = {"columns": [0, 1, 2, 3], "shared": [0, 1, 2, 3], "swapped": [2, 0, 3, 1]}.get(kind)
    if fields is None:
        fields = rng.integers(0, N_FIELDS, nnz)
    x = None
    if values:
        x = np.round(rng.normal(size=nnz), 2).astype(np.float32)
        if width:
            x.reshape(-1, width)[:, 1] = 1.0  # a plain column beside columns with values
    return Rows(
        np.ravel(ids).astype(np.uint32), N_FEATURES, indptr=indptr, width=width, values=x,
        fields=np.asarray(fields, np.uint32),
    )  # fmt: skip


def as_triples(rows, order=None):
    """Rows ``order`` as lists of (feature, value, field)."""
    offsets, x, fields = rows.offsets(), rows.value_of_each(), rows.field_of_each()
    fields = np.zeros(rows.nnz, np.uint32) if fields is None else fields
    return [
        [(int(rows.indices[at]), float(x[at]), int(fields[at])) for at in range(offsets[r], offsets[r + 1])]
        for r in (range(rows.n_rows) if order is None else order)
    ]


def draw_gradients(n_rows, n_factors, names=OUTPUTS, *, n_fields=N_FIELDS, seed=1):
    """Gradients of a mean over ``n_rows`` by what was looked up, by name."""
    rng = np.random.default_rng(seed)
    shapes = {
        "linear": (n_rows,),
        "embedded": (n_rows, n_fields, n_factors),
        "weights": (n_rows, n_fields),
        "pooled": (n_rows, n_factors),
        "pair": (n_rows,),
    }
    return {
        name: (rng.normal(size=shapes[name]) / n_rows).astype(np.float32) for name in OUTPUTS if name in names
    }
