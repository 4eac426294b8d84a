"""Draws and sweeps of the exact solvers against exact answers."""

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.rules import ALS
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from crossfm.solvers.gibbs import Beliefs, Chain, draw_alpha, draw_prior, least_squares, sample
from machines import as_lists, as_rows, random_params, random_rows
from oracles import fm_score, mean_conditional, noise_conditional, precision_conditional

BELIEFS = Beliefs(alpha_0=3.0, beta_0=2.0, alpha_lambda=4.0, beta_lambda=1.5, gamma_0=2.5, mu_0=0.4)


def moves_of(rows, target, n_features, k, *, weight=None, seed=0):
    built = as_rows(rows, n_features, target=target, weight=weight)
    params = random_params(np.random.default_rng(seed), n_features, k)
    return Moves(built, Columns.of(built), Table.start(params, ALS, Hyper(learning_rate=1.0)))


def one_group(n_features, k, precision, mean=0.0):
    return Prior(np.zeros(n_features, np.uint32), np.full((1, 1 + k), precision), np.full((1, 1 + k), mean))


def assert_gamma(draws, shape, rate):
    """The mean and deviation of ``draws`` are those of the distribution, to five standard errors."""
    n = len(draws)
    assert np.mean(draws) == pytest.approx(shape / rate, abs=5 * np.sqrt(shape / n) / rate)
    assert np.std(draws) == pytest.approx(np.sqrt(shape) / rate, rel=5 * np.sqrt((2 + 6 / shape) / (4 * n)))


def test_alpha_is_drawn_from_its_conditional():
    rng = np.random.default_rng(0)
    errors, weight = rng.normal(size=9), rng.random(9)
    shape, rate = noise_conditional(errors, weight, BELIEFS.alpha_0, BELIEFS.beta_0)
    assert_gamma(
        [draw_alpha((weight * errors**2).sum(), 9, rng, BELIEFS) for _ in range(20_000)], shape, rate
    )


def test_precisions_and_means_are_drawn_from_their_conditionals():
    rng = np.random.default_rng(1)
    theta = [rng.normal(size=(n, 2)) + 0.5 for n in (6, 3)]
    prior = Prior(np.zeros(9, np.uint32), np.ones((2, 2)), rng.normal(size=(2, 2)))
    count = np.array([6, 3])
    sums = np.array([part.sum(0) for part in theta])
    squares = np.array([(part**2).sum(0) for part in theta])
    drawn = [draw_prior(prior, count, sums, squares, rng, BELIEFS) for _ in range(20_000)]
    for g in (0, 1):
        for f in (0, 1):
            shape, rate = precision_conditional(
                theta[g][:, f],
                prior.mean[g, f],
                BELIEFS.alpha_lambda,
                BELIEFS.beta_lambda,
                BELIEFS.gamma_0,
                BELIEFS.mu_0,
            )
            assert_gamma([one.precision[g, f] for one in drawn], shape, rate)
            normal = []
            for one in drawn:
                mean, precision = mean_conditional(
                    theta[g][:, f], one.precision[g, f], BELIEFS.gamma_0, BELIEFS.mu_0
                )
                normal.append((one.mean[g, f] - mean) * np.sqrt(precision))
            assert abs(np.mean(normal)) < 0.04
            assert np.std(normal) == pytest.approx(1, abs=0.03)


def test_rows_of_weight_zero_are_not_there():
    rng = np.random.default_rng(12)
    rows, y = random_rows(rng, 30, 5, values=True), rng.normal(size=60)
    chains = []
    for times in (1, 2):
        weight = np.ones(30 * times, np.float32)
        weight[30:] = 0
        moves, draws = moves_of(rows * times, y[: 30 * times], 5, 2, weight=weight), np.random.default_rng(0)
        chains.append(Chain.start(np.zeros(5, np.uint32), 1, 2, keep=0))
        for _ in range(4):
            sample(moves, chains[-1], draws)
    assert chains[0].alpha == pytest.approx(chains[1].alpha, rel=1e-4)
    np.testing.assert_allclose(chains[0].prior.precision, chains[1].prior.precision, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_of_a_linear_model_is_ridge_regression(weighted):
    rng = np.random.default_rng(2)
    rows = random_rows(rng, 40, 6, values=True)
    X = np.array([[dict(row).get(i, 0.0) for i in range(6)] for row in rows])
    y = rng.normal(size=40) + 3
    weight = rng.random(40).astype(np.float32) if weighted else None
    moves = moves_of(rows, y, 6, 0, weight=weight)
    for _ in range(60):
        least_squares(moves, one_group(6, 0, 0.7))
    C = np.diag(np.ones(40) if weight is None else weight)
    A = np.column_stack([np.ones(40), X])
    expected = np.linalg.solve(A.T @ C @ A + np.diag([0, *[0.7] * 6]), A.T @ C @ y)
    np.testing.assert_allclose([moves.table.bias[0], *moves.table.w], expected, atol=1e-4)


def test_every_sweep_of_least_squares_lowers_its_objective():
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 60, 8, values=True)
    moves = moves_of(rows, rng.normal(size=60), 8, 4)
    values = []
    for _ in range(20):
        half = least_squares(moves, one_group(8, 4, 0.5))
        values.append(2 * half + 0.5 * (moves.table.w**2).sum() + 0.5 * (moves.table.V**2).sum())
    assert (np.diff(values) < 1e-5).all()
    assert values[-1] < 0.9 * values[0]


def test_samples_of_a_linear_model_have_the_exact_posterior():
    rng = np.random.default_rng(4)
    rows = [[(0, 1.0), (1, 0.5)], [(0, 1.0)], [(1, 2.0), (2, 1.0)], [(2, -1.0)], [(0, 0.3), (2, 1.0)]]
    y, alpha = np.array([1.0, 0.5, -1.0, 0.2, 0.4]), 2.0
    moves = moves_of(rows, y, 3, 0)
    bias = float(moves.table.bias[0])
    prior = one_group(3, 0, 1.5, mean=0.3)
    X = np.array([[dict(row).get(i, 0.0) for i in range(3)] for row in rows])
    P = alpha * X.T @ X + 1.5 * np.eye(3)
    mean = np.linalg.solve(P, alpha * X.T @ (y - bias) + 1.5 * 0.3)
    draws = []
    for _ in range(20_000):
        moves.sweep(alpha, prior, rng.standard_normal((3, 1), np.float32))
        draws.append(moves.table.w.copy())
    np.testing.assert_allclose(np.mean(draws, axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(np.transpose(draws)), np.linalg.inv(P), atol=0.03)


def test_samples_of_pairs_have_the_posterior_of_weighted_draws_from_the_prior():
    """The reference: two million draws from the prior, each weighted by its likelihood."""
    rng = np.random.default_rng(5)
    y = np.array([1.5, 1.0, -0.8])
    rows = [[(0, 1.0), (1, 1.0)], [(0, 1.0), (2, 1.0)], [(1, 1.0), (2, -1.0)]]
    moves = moves_of(rows, y, 3, 2)
    moves.shift(-float(moves.table.bias[0]))
    alpha, n = 1.2, 2_000_000
    w, V = rng.standard_normal((n, 3)), rng.standard_normal((n, 3, 2)) + 0.5
    pairs = [((V[:, a] * V[:, b]).sum(1) * x * z, w[:, a] * x + w[:, b] * z) for (a, x), (b, z) in rows]
    score = np.column_stack([pair + linear for pair, linear in pairs])
    likely = np.exp(-alpha / 2 * ((y - score) ** 2).sum(1))
    mean = np.average(score, axis=0, weights=likely)
    spread = np.sqrt(np.average((score - mean) ** 2, axis=0, weights=likely))
    prior = Prior(np.zeros(3, np.uint32), np.ones((1, 3)), np.array([[0.0, 0.5, 0.5]]))
    drawn = []
    for _ in range(30_000):
        moves.sweep(alpha, prior, rng.standard_normal((3, 3), np.float32))
        drawn.append(y - moves.e)
    np.testing.assert_allclose(np.mean(drawn, axis=0), mean, atol=0.04)
    np.testing.assert_allclose(np.std(drawn, axis=0), spread, rtol=0.04)


def machine_data(rng, n_rows, sizes=(30, 20), k=2, noise=0.3):
    """Rows of one-hot blocks whose targets a known machine gives; returns noiseless scores too."""
    first = np.cumsum([0, *sizes[:-1]])
    ids = np.column_stack([rng.integers(0, size, n_rows) for size in sizes]) + first
    rows = [[(int(i), 1.0) for i in row] for row in ids]
    w, V = rng.normal(size=sum(sizes)), rng.normal(size=(sum(sizes), k))
    score = np.array([fm_score(row, 0.7, w, V) for row in rows])
    return rows, score, score + noise * rng.standard_normal(n_rows)


def test_a_chain_finds_the_machine_that_made_the_data_and_its_noise():
    rng = np.random.default_rng(6)
    rows, score, y = machine_data(rng, 3000)
    moves = moves_of(rows[:2000], y[:2000], 50, 2)
    group = np.repeat([0, 1], [30, 20]).astype(np.uint32)
    chain = Chain.start(group, 2, 2, keep=100)
    for iteration in range(120):
        sample(moves, chain, rng)
        if iteration >= 40:
            chain.add(moves, rng)
    held = as_rows(rows[2000:], 50)
    mean, variance = chain.moments(held)
    assert np.sqrt(np.mean((mean - score[2000:]) ** 2)) < 0.1
    assert np.mean(chain.alphas) == pytest.approx(1 / 0.3**2, rel=0.1)
    apart = (mean - score[2000:]) / np.sqrt(variance)
    assert np.std(apart) == pytest.approx(1, abs=0.35)


def test_moments_are_mean_and_variance_over_the_samples():
    rng = np.random.default_rng(7)
    rows = random_rows(rng, 10, 4, values=True, longest=4)
    moves = moves_of(rows, rng.normal(size=10), 4, 3)
    chain = Chain.start(np.zeros(4, np.uint32), 1, 3, keep=5)
    for _ in range(5):
        sample(moves, chain, rng)
        chain.add(moves, rng)
    each = [[fm_score(row, p.bias, p.w, p.V) for row in as_lists(moves.rows)] for p in chain.samples]
    mean, variance = chain.moments(moves.rows)
    np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.var(each, axis=0, ddof=1), atol=1e-4)


def test_kept_samples_are_evenly_spaced_and_never_too_many():
    rng = np.random.default_rng(8)
    moves = moves_of([[(0, 1.0)], [(1, 1.0)]], np.array([0.0, 1.0]), 2, 0)
    chain = Chain.start(np.zeros(2, np.uint32), 1, 0, keep=4)
    for number in range(1, 30):
        chain.alpha, chain.cuts = float(number), np.array([-number, number], float)
        chain.add(moves, rng)
        assert len(chain.samples) == len(chain.alphas) <= 4
        assert [cuts[1] for cuts in chain.kept_cuts] == chain.alphas  # of the same samples
        assert len(chain.samples) >= min(number, 2)
        assert chain.alphas[0] == 1
        assert np.unique(np.diff(chain.alphas)).size <= 1
    chain.limit(1)
    assert len(chain.samples) == 1


def test_features_that_no_row_has_are_drawn_from_their_prior():
    rng = np.random.default_rng(9)
    moves = moves_of([[(0, 1.0)], [(1, 1.0)]], np.array([0.0, 1.0]), 5000, 1)
    prior = Prior(
        np.repeat([0, 1], 2500).astype(np.uint32),
        np.array([[4.0, 1], [100, 1]]),
        np.array([[3.0, 0], [-3, 2]]),
    )
    chain = Chain(prior, 1.0, keep=1)
    chain.add(moves, rng)
    w, V = chain.samples[0].w, chain.samples[0].V[:, 0]
    assert np.array_equal(w[:2], moves.table.w[:2])
    for part, mean, spread in ((w[2:2500], 3, 0.5), (w[2500:], -3, 0.1), (V[2:2500], 0, 1), (V[2500:], 2, 1)):
        assert part.mean() == pytest.approx(mean, abs=0.1)
        assert part.std() == pytest.approx(spread, rel=0.1)
