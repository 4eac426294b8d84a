"""Small random rows with fields, for the tests of machines that look at them."""

from __future__ import annotations

import numpy as np

from crossfm.data.rows import Rows
from crossfm.kernels import ffm
from crossfm.kernels.fields import Meetings


def make_rows(rng, n_rows, n_fields, *, shape, values=True, per_field=4):
    """Lists of (field, feature, value).

    shape: "full" (one feature a field), "missing" (some fields left out, in any order), "multi" (some fields twice),
    "hashed" (the same features in all fields), "split" (the first fields never meet the others).
    """
    rows = []
    for _ in range(n_rows):
        fields = np.arange(n_fields)
        if shape == "missing":
            fields = rng.permutation(n_fields)[: rng.integers(0, n_fields + 1)]
        elif shape == "multi":
            fields = rng.choice(n_fields, n_fields + 1)
        elif shape == "split":
            fields = fields[: n_fields // 2] if rng.random() < 0.5 else fields[n_fields // 2 :]
        row = {}
        for f in fields:
            feature = rng.integers(per_field) + (0 if shape == "hashed" else f * per_field)
            row[feature] = (int(f), int(feature), float(np.float32(rng.normal())) if values else 1.0)
        rows.append(list(row.values()))
    return rows


def as_rows(rows, n_features, *, values=True, target=None, weight=None):
    flat = [entry for row in rows for entry in row]
    built = Rows(
        indices=np.array([i for _, i, _ in flat], np.uint32),
        n_features=n_features,
        indptr=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        values=np.array([x for _, _, x in flat], np.float32) if values else None,
        fields=np.array([f for f, _, _ in flat], np.uint32),
    )
    return built.with_target(target, weight)


def params_for(rows, n_fields, n_factors, rng):
    """Random parameters for the meetings of ``rows``; scores stay within a few units."""
    meetings = Meetings.start(rows.n_features, n_fields).add(rows)
    scale = 0.6 / np.sqrt(n_factors * n_fields)
    params = ffm.start_params(meetings, n_factors, rng, scale=scale, bias=float(np.float32(0.2)))
    params.w[:] = rng.normal(size=rows.n_features) * 0.3 * (meetings.field_of >= 0)
    return params
