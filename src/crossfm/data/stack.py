"""Rows below rows."""

from __future__ import annotations

import numpy as np

from crossfm.data.rows import Rows, offsets_or_width


def stack_rows(top: Rows, bottom: Rows) -> Rows:
    """Return the rows of ``top`` and below them those of ``bottom``, without target and weight; ids stay."""
    indptr = np.concatenate([top.offsets(), top.nnz + bottom.offsets()[1:]])
    values = None
    if top.values is not None or bottom.values is not None:
        values = np.concatenate([top.value_of_each(), bottom.value_of_each()])
    fields = None
    upper, lower = top.field_of_each(), bottom.field_of_each()
    if upper is not None and lower is not None:
        fields = np.concatenate([upper, lower])
    return Rows(
        np.concatenate([top.indices, bottom.indices]),
        max(top.n_features, bottom.n_features),
        values=values,
        fields=fields,
        **offsets_or_width(indptr),
    )
