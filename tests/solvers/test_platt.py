from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from crossfm.solvers.platt import platt


def oracle(x, y, w):
    """Platt's loss, written out, minimised by SciPy."""
    ones, zeros = w[y == 1].sum(), w[y == 0].sum()
    t = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(at):
        score = at[0] * x + at[1]
        return np.sum(w * (t * np.log1p(np.exp(-score)) + (1 - t) * np.log1p(np.exp(score))))

    return minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_minimum_of_the_smoothed_log_loss(seed, weighted):
    rng = np.random.default_rng(seed)
    x, scale = rng.normal(size=300), 10.0 ** rng.integers(-1, 2)
    y = (rng.random(300) < 1 / (1 + np.exp(-(0.7 * x - 1)))) * 1.0
    x *= scale
    w = rng.integers(0, 4, 300) * 1.0 if weighted else np.ones(300)
    np.testing.assert_allclose(platt(x, y, w if weighted else None), oracle(x, y, w), rtol=1e-5, atol=1e-6)


def test_scores_far_apart_and_classes_that_part_stay_finite():
    x = np.array([-1e4, -9e3, 8e3, 1e4])
    slope, offset = platt(x, x > 0)
    assert 0 < slope < np.inf
    assert np.isfinite(offset)
    assert platt(x / 1e4, x > 0)[0] == pytest.approx(1e4 * slope, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "y"), [([3.0, 2.0, 1.0, 0.0], [0, 0, 1, 1]), ([1.0, 1.0, 1.0], [0, 1, 0]), ([1.0, 2.0], [0, 0])]
)
def test_what_would_turn_the_order_round_moves_the_offset_alone(x, y):
    slope, offset = platt(x, y)
    assert slope == 1
    ones = sum(y)
    t = np.where(np.array(y) == 1, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))
    assert np.mean(1 / (1 + np.exp(-(np.array(x) + offset)))) == pytest.approx(t.mean(), abs=1e-6)
