"""Polya-Gamma numbers against what is known of their distribution."""

import numpy as np
import pytest

from crossfm.kernels.latent import polya_gamma
from oracles import polya_gamma_moments, polya_gamma_sums, polya_gamma_transform


def drawn(c, z, n, seed=0):
    return polya_gamma(np.full(n, z), np.full(n, c, np.int32), seed=seed).astype(np.float64)


@pytest.mark.parametrize("c", [1, 4])
@pytest.mark.parametrize("z", [0.0, 0.7, -2.0, 3.1, 3.2, 8.0, 50.0])
def test_mean_variance_and_transform_are_the_exact_ones(c, z):
    n = 200_000
    omega = drawn(c, z, n)
    mean, variance = polya_gamma_moments(c, z)
    assert omega.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    assert omega.var() == pytest.approx(variance, rel=0.04)
    for t in (1.0, 10.0, 100.0):
        each = np.exp(-t * omega)
        assert each.mean() == pytest.approx(
            polya_gamma_transform(c, z, t), abs=5 * each.std() / np.sqrt(n) + 1e-6
        )


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("z", [0.0, 1.5, 3.125, 6.0])
def test_the_distribution_is_that_of_the_sum_of_gammas(c, z):
    from scipy.stats import ks_2samp

    exact = polya_gamma_sums(np.random.default_rng(1), c, z, 8_000)
    assert ks_2samp(drawn(c, z, 8_000), exact).pvalue > 1e-3


def test_neither_threads_nor_other_rows_change_a_bit():
    score = np.random.default_rng(2).normal(size=1001) * 3
    once = polya_gamma(score, seed=5)
    assert np.array_equal(polya_gamma(score, seed=5, n_threads=3), once)
    assert np.array_equal(polya_gamma(score[:10], seed=5), once[:10])
    assert not np.array_equal(polya_gamma(score, seed=6), once)
    assert np.array_equal(polya_gamma(score, np.ones(1001, np.int32), seed=5), once)
    assert len(np.unique(once)) > 990


def test_scores_at_the_ends_have_an_answer():
    omega = polya_gamma(np.array([0.0, 1e30, -3e38, np.nan, np.inf]), seed=0)
    assert 0 < omega[1] < 1e-25
    assert np.isfinite(omega[:3]).all()
    assert np.isnan(omega[3:]).all()
    assert polya_gamma(np.array([1.0, 2.0]), np.array([0, 1], np.int32), seed=0)[0] == 0
