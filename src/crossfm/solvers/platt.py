"""Platt scaling: from raw scores to probabilities that come true."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import find_loss

Floats = NDArray[np.float64]
STEPS = 100
ENOUGH = 1e-10  # of the gradient, a row


def platt(scores: Any, target: Any, weight: Any = None) -> tuple[float, float]:
    """Return slope and offset under which the log loss of logistic(slope score + offset) is least.

    Where the slope would not be above 0, which would turn the order of the rows round, it is 1, and the offset alone is
    fitted.

    Parameters
    ----------
    scores : (n_rows,)
        Raw scores of rows that were not trained on.
    target : (n_rows,) of 0 and 1
        Smoothed: (n_1 + 1) / (n_1 + 2) stands for 1, 1 / (n_0 + 2) for 0, so that nothing becomes certain.
    weight : (n_rows,) or None

    References
    ----------
    J. Platt. Probabilistic Outputs for Support Vector Machines. 1999. By Newton's method with halved steps, as in H.-T.
    Lin, C.-J. Lin, R. Weng. A Note on Platt's Probabilistic Outputs for Support Vector Machines. Machine Learning 2007.
    """
    x = np.asarray(scores, np.float64)
    positive = np.asarray(target) > 0
    w = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    ones, zeros = float(w[positive].sum()), float(w[~positive].sum())
    t = np.where(positive, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    start = np.log((ones + 1) / (zeros + 1))
    slope, offset = _fitted(x, t, w, np.array([0.0, start]), free=2)
    if not slope > 0:
        slope, offset = _fitted(x, t, w, np.array([1.0, start]), free=1)
    return slope, offset


def _fitted(x: Floats, t: Floats, w: Floats, start: Floats, *, free: int) -> tuple[float, float]:
    """Minimise over the last ``free`` of slope and offset."""
    loss = find_loss("logistic")
    inputs = np.stack([x, np.ones_like(x)])

    def value(at: Floats) -> float:
        return float(w @ loss.value(at @ inputs, t))

    found, least = start, value(start)
    for _ in range(STEPS):
        p = loss.predict(found @ inputs)
        gradient = (inputs @ (w * (p - t)))[2 - free :]
        if np.abs(gradient).max() <= ENOUGH * w.sum():
            break
        curve = ((inputs * (w * p * (1 - p))) @ inputs.T)[2 - free :, 2 - free :]
        step = np.zeros(2)
        step[2 - free :] = np.linalg.solve(curve + 1e-12 * np.eye(free), gradient)
        length = 1.0
        while value(found - length * step) > least and length > 1e-10:
            length /= 2
        if length <= 1e-10:
            break
        found = found - length * step
        least = value(found)
    return float(found[0]), float(found[1])
