"""Quantiles of a mixture of normals, one of equal weight for each sample of a chain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
NEAR = 1e-10  # of the distance between the ends of the bracket at the start: close enough
STEPS = 100  # at most: bisection alone takes 34


def mixture_quantiles(mean: Doubles, deviation: Doubles, quantiles: Doubles) -> Doubles:
    """Return where the distribution function of each row's mixture is ``quantiles``: (n_rows, n_quantiles).

    ``mean`` (n_samples, n_rows) and ``deviation`` (n_samples,) are those of the normals; quantiles lie between 0 and 1.
    By Newton's method, and bisection where it leaves the bracket: a quantile of a mixture lies between its parts'.
    """
    from scipy.special import ndtr, ndtri

    parts = mean[:, :, None] + deviation[:, None, None] * ndtri(quantiles)  # (n_samples, n_rows, n_quantiles)
    low, high = parts.min(0), parts.max(0)
    near = NEAR * (high - low)
    at: Doubles = parts.mean(0)
    for _ in range(STEPS):
        z = (at - mean[:, :, None]) / deviation[:, None, None]
        above = ndtr(z).mean(0) - quantiles
        density = (np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * deviation[:, None, None])).mean(0)
        low, high = np.where(above <= 0, at, low), np.where(above >= 0, at, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = at - above / density
        inside = (newton >= low) & (newton <= high)
        before, at = at, np.where(inside, newton, (low + high) / 2)
        if (np.abs(at - before) <= near).all():
            break
    return at
