"""Sweeps of the exact solvers by the oracle."""

from __future__ import annotations

import numpy as np

from oracles import feature_conditional, fm_score

ALPHA = 1.7


def errors(rows, target, params):
    return np.array(
        [y - fm_score(row, params.bias, params.w, params.V) for row, y in zip(rows, target, strict=True)]
    )


def swept(rows, target, weight, moves, prior, noise):
    """Return w and V after a sweep of the oracle."""
    params = moves.table.params()
    w, V = params.w.astype(float), params.V.astype(float)
    for at, i in enumerate(moves.columns.feature):
        g = prior.group[i]
        mean, precision = feature_conditional(
            rows, target, weight, params.bias, w, V, i, ALPHA, prior.precision[g], prior.mean[g]
        )
        draw = mean if noise is None else mean + np.linalg.solve(np.linalg.cholesky(precision).T, noise[at])
        w[i], V[i] = draw[0], draw[1:]
    return w, V
