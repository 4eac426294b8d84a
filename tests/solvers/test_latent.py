"""Latent targets of classes and levels against exact posteriors."""

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.rules import MCMC
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.latent import Sorted
from crossfm.kernels.table import Table
from crossfm.solvers.latent import Ordered, latent, latent_rows, move_cuts, probability, start_cuts
from machines import as_rows, random_params
from oracles import level_probability

EMPTY = np.zeros(0)


def moves_of(rows, link, count=None, n_features=1):
    """A linear model without bias."""
    built = latent_rows(as_rows(rows, n_features), link, count)
    params = random_params(np.random.default_rng(0), n_features, 0)
    moves = Moves(built, Columns.of(built), Table.start(params, MCMC, Hyper(learning_rate=1.0)))
    moves.shift(-float(moves.table.bias[0]))
    return moves


@pytest.mark.parametrize("bias", [-30.0, -3.0, 0.0, 2.0, 30.0])
def test_targets_are_normal_around_the_score_between_the_cut_points(bias):
    from scipy.stats import norm, truncnorm

    n = 30_000
    moves = moves_of([[]] * n, "ordinal")
    moves.shift(bias)
    level = np.arange(n) % 3
    cuts = np.array([-0.5, 1.0])
    loss = Ordered(level, cuts).draw(moves, np.random.default_rng(10))
    tails = [norm.logcdf(-0.5 - bias), norm.logcdf(bias - 1.0)]
    between = np.log(norm.cdf(1 - abs(bias - 0.25) - 0.25) - norm.cdf(-abs(bias - 0.25) - 0.75))
    assert loss == pytest.approx(-(sum(tails) + between) * n / 3, rel=1e-3)
    target = moves.rows.target
    np.testing.assert_allclose(target - moves.e, bias, rtol=1e-5, atol=1e-5)
    for at, (low, high) in enumerate([(-np.inf, -0.5), (-0.5, 1.0), (1.0, np.inf)]):
        own = target[level == at]
        assert own.min() >= low
        assert own.max() <= high
        mirrored = bias > 0  # truncnorm has the digits in its lower tail
        ends = (bias - high, bias - low) if mirrored else (low - bias, high - bias)
        exact = truncnorm(*ends)
        away = bias - own if mirrored else own - bias
        assert away.mean() == pytest.approx(exact.mean(), abs=5 * exact.std() / np.sqrt(n / 3) + 1e-5)
        assert away.std() == pytest.approx(exact.std(), rel=0.06)


X = np.array([1.0, -0.5, 2.0, 0.3, -1.2])
CLASS = np.array([1, 1, 0, 1, 0])


@pytest.mark.parametrize("link", ["probit", "logistic"])
@pytest.mark.parametrize("count", [None, [1, 3, 0, 2, 1]])
def test_classes_have_the_posterior_of_a_sum_over_a_grid(link, count):
    grid = np.linspace(-8, 8, 4001)
    score = X * grid[:, None]
    if link == "logistic":
        likely = 1 / (1 + np.exp(np.where(CLASS, -score, score)))
    else:
        likely = np.column_stack([level_probability(score[:, r], CLASS[r], [0.0]) for r in range(5)])
    density = np.exp(-0.4 * grid**2) * (likely ** (1 if count is None else np.array(count))).prod(1)
    mean = np.average(grid, weights=density)
    spread = np.sqrt(np.average((grid - mean) ** 2, weights=density))

    copies, rng = 400, np.random.default_rng(11)  # of the problem, each with a feature of its own
    times = None if count is None else np.tile(np.array(count, np.int32), copies)
    moves = moves_of([[(i, x)] for i in range(copies) for x in X], link, times, copies)
    hidden = latent(link, np.tile(CLASS, copies), EMPTY, times)
    prior = Prior(np.zeros(copies, np.uint32), np.full((1, 1), 0.8), np.zeros((1, 1)))
    drawn = []
    for _ in range(80):
        before = moves.table.w.copy()
        loss = hidden.draw(moves, rng)
        moves.sweep(1.0, prior, rng.standard_normal((copies, 1), np.float32))
        drawn.append(moves.table.w.copy())
    assert np.mean(drawn[20:]) == pytest.approx(mean, abs=0.05 * spread)
    assert np.std(drawn[20:]) == pytest.approx(spread, rel=0.04)
    each = np.log(likely) @ (np.ones(5) if count is None else np.array(count))
    assert loss == pytest.approx(-np.interp(before, grid, each).sum(), rel=1e-3)


LEVEL = np.array([0, 1, 2, 1, 0, 2, 1, 2])
WHERE = np.array([-1.0, -0.5, 2.0, 0.3, -1.2, 0.9, 0.8, -0.4])
TIMES = np.array([2, 1, 1, 3, 1, 2, 0, 1], np.int32)


def test_weight_and_cut_points_have_the_posterior_of_a_sum_over_a_grid():
    w, low, gap = np.meshgrid(
        np.linspace(-3, 5, 81), np.linspace(-4, 2.5, 66), np.linspace(0.03, 6, 60), indexing="ij"
    )
    log = -0.4 * w**2
    for x, level, times in zip(WHERE, LEVEL, TIMES, strict=True):
        mass = level_probability(w * x, level, [low, low + gap])
        log = log + times * np.log(np.maximum(mass, 1e-300))
    density = np.exp(log - log.max())
    exact = []
    for what in (w, low, low + gap):
        mean = np.average(what, weights=density)
        exact.append((mean, np.sqrt(np.average((what - mean) ** 2, weights=density))))

    rng = np.random.default_rng(12)
    moves = moves_of([[(0, x)] for x in WHERE], "ordinal", TIMES)
    cuts = start_cuts(LEVEL, 3, TIMES)
    hidden = latent("ordinal", LEVEL, cuts, TIMES)
    assert not hidden.has_bias
    prior = Prior(np.zeros(1, np.uint32), np.full((1, 1), 0.8), np.zeros((1, 1)))
    drawn = []
    for _ in range(6000):
        hidden.draw(moves, rng)
        moves.sweep(1.0, prior, rng.standard_normal((1, 1), np.float32))
        drawn.append([moves.table.w[0], *cuts])
    for own, (mean, spread) in zip(np.transpose(drawn), exact, strict=True):
        assert own.mean() == pytest.approx(mean, abs=0.12 * spread)
        assert own.std() == pytest.approx(spread, rel=0.1)


def test_cut_points_of_few_rows_are_drawn_from_their_posterior_although_steps_there_and_back_differ():
    low, gap = np.meshgrid(np.linspace(-8, 8, 321), np.linspace(0.025, 14, 280), indexing="ij")
    mass = [level_probability(0.0, level, [low, low + gap]) for level in (0, 1, 2)]
    density = np.maximum(np.prod(mass, axis=0), 0)
    exact = [np.average(cut, weights=density) for cut in (low, low + gap)]  # -0.65 and 0.65

    rows, score, rng = Sorted(np.arange(4)), np.zeros(3, np.float32), np.random.default_rng(0)
    cuts, drawn = np.array([-1.0, 1.0]), []
    for _ in range(8_000):
        move_cuts(rows, score, cuts, rows.sums(score, cuts), rng)
        drawn.append(cuts.copy())
    np.testing.assert_allclose(np.mean(drawn, axis=0), exact, atol=0.05)


def test_steps_of_the_cut_points_are_nearly_always_taken_where_there_are_many_rows():
    rng = np.random.default_rng(13)
    score = rng.normal(size=5000)
    level = np.digitize(score + rng.normal(size=5000), [-1.0, 0.2, 1.5])
    rows, own = Sorted(np.append(0, np.cumsum(np.bincount(level)))), start_cuts(level, 4, None)
    by_level = score[np.argsort(level, kind="stable")].astype(np.float32)
    cuts, moved = [], 0
    for _ in range(200):
        moved += move_cuts(rows, by_level, own, rows.sums(by_level, own), rng).sum()
        cuts.append(own.copy())
    assert moved > 0.9 * 200 * 3
    np.testing.assert_allclose(np.mean(cuts[20:], axis=0), [-1.0, 0.2, 1.5], atol=0.1)


def test_as_many_levels_as_rows_stay_in_order():
    rng = np.random.default_rng(14)
    rows, cuts = Sorted(np.arange(61)), start_cuts(np.arange(60), 60, None)
    before, score = cuts.copy(), np.zeros(60, np.float32)
    for _ in range(50):
        move_cuts(rows, score, cuts, rows.sums(score, cuts), rng)
        assert (np.diff(cuts) > 0).all()
    assert (cuts != before).all()


def test_probabilities_of_the_second_class_are_those_of_the_link():
    score = np.array([-3.0, -0.5, 0.0, 2.0], np.float32)
    logistic, probit = (probability(link, score, EMPTY) for link in ("logistic", "probit"))
    np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-score.astype(float))))
    np.testing.assert_allclose(probit, 1 - level_probability(score.astype(float), 0, [0.0]), rtol=1e-12)


def test_probabilities_of_levels_are_those_of_the_oracle_and_sum_to_one():
    score, cuts = np.array([-2.0, 0.1, 3.0]), np.array([-1.0, 0.0, 2.0])
    found = probability("ordinal", score, cuts)
    exact = [[level_probability(s, level, cuts) for level in range(4)] for s in score]
    np.testing.assert_allclose(found, exact, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
