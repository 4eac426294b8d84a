"""Rows of every form, for tests of what keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from crossfm.data.rows import Rows, offsets_or_width

PARTS = ("indices", "indptr", "values", "fields", "target", "weight")


@st.composite
def any_rows(draw: Any, max_rows: int = 12) -> Rows:
    """Rows with or without offsets, values, fields and weights; at least one row."""
    n_rows = draw(st.integers(1, max_rows))
    if draw(st.booleans()):
        lengths = np.full(n_rows, draw(st.integers(1, 4)))
    else:
        lengths = np.array(draw(st.lists(st.integers(0, 4), min_size=n_rows, max_size=n_rows)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    nnz, n_features = int(indptr[-1]), draw(st.sampled_from([1, 300, 70_000, 2**32 - 1]))
    shape = offsets_or_width(indptr)
    fields = None
    if draw(st.booleans()):
        once = shape.get("width") and draw(st.booleans())
        fields = rng.integers(0, 9, shape["width"] if once else nnz, np.uint32)
    values = rng.choice(np.array([0.5, -1, 3e38, 1e-40], np.float32), nnz) if draw(st.booleans()) else None
    return Rows(
        rng.integers(0, n_features, nnz, np.uint32),
        n_features,
        values=values,
        fields=fields,
        target=rng.choice([0.0, 1.0, -1.5, 1e300], n_rows),
        weight=rng.random(n_rows, np.float32) if draw(st.booleans()) else None,
        **shape,
    )


def assert_equal(found: Rows, expected: Rows) -> None:
    """Every array has the same bits, or the same meaning where there are two forms."""
    assert (found.n_rows, found.width) == (expected.n_rows, expected.width)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.offsets(), expected.offsets())
    np.testing.assert_array_equal(found.value_of_each(), expected.value_of_each())
    np.testing.assert_array_equal(found.target, expected.target)
    for own, other in ((found.field_of_each(), expected.field_of_each()), (found.weight, expected.weight)):
        assert (own is None) == (other is None)
        if own is not None:
            np.testing.assert_array_equal(own, other)
