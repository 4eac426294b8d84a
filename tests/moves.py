"""Sweeps of the exact solvers by the oracle."""

from __future__ import annotations

import numpy as np

from oracles import feature_conditional, fm_score

ALPHA = 1.7


def errors(rows, target, params):
    return np.array(
        [y - fm_score(row, params.bias, params.w, params.V) for row, y in zip(rows, target, strict=True)]
    )


def swept(rows, target, weight, moves, prior, noise, together=()):
    """Return w and V after a sweep of the oracle.

    Features of the columns move with all their coordinates at once; those of each array in ``together`` by eight
    factors at a time, w with the first of them.
    """
    params = moves.table.params()
    w, V = params.w.astype(float), params.V.astype(float)
    every = np.arange(1 + V.shape[1])
    visits = [(i, at, every) for at, i in enumerate(moves.columns.feature)]
    at = len(visits)
    for features in together:
        for first in range(0, max(V.shape[1], 1), 8):
            some = every[1 + first : 9 + first]
            chosen = np.append(0, some) if first == 0 else some
            visits += [(i, at + place, chosen) for place, i in enumerate(features)]
        at += len(features)
    for i, at, chosen in visits:
        g = prior.group[i]
        mean, precision = feature_conditional(
            rows, target, weight, params.bias, w, V, i, ALPHA, prior.precision[g], prior.mean[g]
        )
        theta, others = np.array([w[i], *V[i]]), np.setdiff1d(every, chosen)
        inner = precision[np.ix_(chosen, chosen)]
        cross = precision[np.ix_(chosen, others)] @ (theta - mean)[others]
        draw = mean[chosen] - np.linalg.solve(inner, cross)
        if noise is not None:
            draw = draw + np.linalg.solve(np.linalg.cholesky(inner).T, noise[at, chosen])
        theta[chosen] = draw
        w[i], V[i] = theta[0], theta[1:]
    return w, V
