"""Quantiles of mixtures against halving an interval."""

import numpy as np
import pytest

from crossfm.solvers.mixture import mixture_quantiles
from oracles import mixture_quantile

QUANTILES = np.array([1e-9, 0.01, 0.3, 0.49, 0.51, 0.9, 1 - 1e-6])


@pytest.mark.parametrize("apart", [0.0, 1.0, 300.0], ids=["one place", "near", "islands"])
@pytest.mark.parametrize("n_samples", [1, 2, 7])
def test_quantiles_are_where_the_distribution_function_says(n_samples, apart):
    rng = np.random.default_rng(n_samples)
    mean = apart * rng.standard_normal((n_samples, 6)) + 5
    deviation = np.exp(rng.standard_normal(n_samples))
    found = mixture_quantiles(mean, deviation, QUANTILES)
    for row in range(6):
        expected = [mixture_quantile(mean[:, row], deviation, quantile) for quantile in QUANTILES]
        np.testing.assert_allclose(found[row], expected, rtol=1e-7, atol=1e-7)


def test_many_equal_islands_far_apart():
    """0.5 lies between two of them, where there is no density to follow."""
    mean = np.array([[0.0], [1e6], [2e6], [3e6]])
    found = mixture_quantiles(mean, np.full(4, 1e-3), np.array([0.125, 0.375, 0.625, 0.875]))
    np.testing.assert_allclose(found[0], [0, 1e6, 2e6, 3e6], atol=1e-3)
