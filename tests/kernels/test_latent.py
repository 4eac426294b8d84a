"""Polya-Gamma numbers, and latent targets of levels, against what is known of their distributions."""

import numpy as np
import pytest

from crossfm.kernels.latent import Sorted, polya_gamma
from oracles import level_probability, polya_gamma_moments, polya_gamma_sums, polya_gamma_transform


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


@pytest.mark.parametrize("cuts", [[0.0], [-1.0, 0.3, 2.0], [-30.0, -29.9, 7.9, 8.1]])
@pytest.mark.parametrize("counted", [False, True])
def test_sums_of_levels_are_the_log_likelihood_and_its_slopes(cuts, counted):
    rng = np.random.default_rng(3)
    cuts, n_levels = np.array(cuts), len(cuts) + 1
    level = np.sort(rng.integers(0, n_levels, 300))
    score = np.where(rng.random(300) < 0.5, rng.normal(size=300), np.append(cuts, 0)[level]).astype(
        np.float32
    )
    count = rng.integers(0, 4, 300).astype(np.int32) if counted else None
    times = np.ones(300) if count is None else count

    def log(level_cuts):
        mass = [level_probability(float(s), y, level_cuts) for s, y in zip(score, level, strict=True)]
        return np.bincount(level, times * np.log(np.maximum(mass, 1e-300)), n_levels)

    rows = Sorted(np.searchsorted(level, np.arange(n_levels + 1)), count)
    found = rows.sums(score, cuts)
    near = np.abs(score - np.append(cuts, 0)[level]) < 6
    if near.all():
        np.testing.assert_allclose(found[:, 0], log(cuts), rtol=1e-7)
    h = 1e-4
    for at in range(len(cuts)):
        step = h * np.eye(len(cuts))[at]
        up, down = rows.sums(score, cuts + step), rows.sums(score, cuts - step)
        for of_level, where in ((at, 3), (at + 1, 1)):
            slope = (up - down)[of_level, 0] / (2 * h)
            curve = (up - down)[of_level, where] / (2 * h)
            assert found[of_level, where] == pytest.approx(slope, rel=1e-4, abs=1e-3)
            assert found[of_level, where + 1] == pytest.approx(curve, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    "ends",
    [
        (-0.1, 0.2),
        (-3.0, 1.0),
        (0.0, 2.6),
        (0.5, 0.6),
        (1.0, 9.0),
        (5.0, np.inf),
        (-np.inf, 0.7),
        (-9.0, -8.0),
    ],
)
def test_targets_have_the_distribution_of_a_truncated_normal(ends):
    from scipy.stats import kstest, norm

    low, high = ends
    cuts = np.array([e for e in ends if np.isfinite(e)])
    level = 0 if low == -np.inf else 1
    begin = np.where(np.arange(len(cuts) + 2) > level, 20_000, 0)
    drawn = Sorted(begin, n_threads=2).draw(np.full(20_000, 0.25, np.float32), cuts, 4).astype(np.float64)
    a, b = (low - 0.25, high - 0.25) if low < 0 else (0.25 - high, 0.25 - low)  # the tail that has the digits
    away = drawn - 0.25 if low < 0 else 0.25 - drawn
    share = (norm.cdf(away) - norm.cdf(a)) / (norm.cdf(b) - norm.cdf(a))
    assert kstest(share, "uniform").pvalue > 1e-3
    assert np.array_equal(Sorted(begin).draw(np.full(20_000, 0.25, np.float32), cuts, 4), drawn)


def test_a_score_that_is_no_number_ends_a_draw():
    drawn = Sorted(np.array([0, 0, 2, 2])).draw(
        np.array([np.nan, np.inf], np.float32), np.array([0.0, 1.0]), 0
    )
    assert not np.isfinite(drawn).any()
