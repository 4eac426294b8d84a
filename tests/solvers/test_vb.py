"""Coordinate ascent of variational Bayes against the oracle's bound, and against exact posteriors and samples."""

from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.rules import VB
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from crossfm.kernels.vb import MeanField
from crossfm.solvers.gibbs import Beliefs, Chain, sample
from crossfm.solvers.vb import Posterior, ascend, converged, expect_latent
from machines import as_rows, random_params, random_rows
from oracles import cut_normal_mean, evidence_bound, fm_score, score_moments

BELIEFS = Beliefs(alpha_0=3.0, beta_0=2.0, alpha_lambda=4.0, beta_lambda=1.5, gamma_0=2.5, mu_0=0.4)


def start(rows, target, n_features, k, *, weight=None, probit=False, groups=2, beliefs=BELIEFS, **options):
    built = as_rows(rows, n_features, target=target, weight=weight)
    table = Table.start(random_params(np.random.default_rng(0), n_features, k), VB, Hyper(learning_rate=1.0))
    group = (np.arange(n_features) % groups).astype(np.uint32)
    posterior = Posterior.start(table, group, groups, probit=probit, beliefs=beliefs, **options)
    return MeanField(Moves(built, Columns.of(built), table), posterior.variance), posterior


def parts(table):
    return float(table.bias[0]), table.w.astype(float), table.V.astype(float)


def bound(rows, field, posterior, *, weight=None, positive=None):
    """Return the oracle's bound at what is believed."""
    weight = np.ones(len(rows)) if weight is None else weight
    wide = [
        np.broadcast_to(a, posterior.rate.shape) for a in (posterior.kappa, posterior.mean, posterior.shape)
    ]
    return evidence_bound(
        rows, field.moves.rows.target, weight, parts(field.moves.table), parts(field.variance), posterior.noise,
        (*wide, posterior.rate), posterior.group, field.moves.columns.feature, BELIEFS, positive,
    )  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [0, 3])
def test_the_bound_is_that_of_the_oracle_and_never_falls(k, weighted):
    rng = np.random.default_rng(k)
    rows = random_rows(rng, 40, 9, values=True, longest=4)
    weight = rng.integers(0, 3, 40).astype(np.float32) if weighted else None
    field, posterior = start(rows, rng.normal(size=40), 10, k, weight=weight)
    bounds = []
    for _ in range(15):
        _, value = ascend(field, posterior, beliefs=BELIEFS)
        assert value == pytest.approx(bound(rows, field, posterior, weight=weight), abs=2e-3)
        bounds.append(value)
    assert (np.diff(bounds) > -1e-3).all()
    assert bounds[-1] > bounds[0] + 0.3


@pytest.mark.parametrize("k", [0, 3])
def test_the_bound_of_classes_is_that_of_the_oracle_and_never_falls(k):
    rng = np.random.default_rng(k)
    rows = random_rows(rng, 40, 9, values=True, longest=4)
    positive = rng.random(40) < 0.6
    field, posterior = start(rows, np.where(positive, 1.0, -1.0), 10, k, probit=True)
    bounds = []
    for _ in range(15):
        _, value = ascend(field, posterior, positive=positive, beliefs=BELIEFS)
        assert value == pytest.approx(bound(rows, field, posterior, positive=positive), abs=2e-3)
        bounds.append(value)
    assert (np.diff(bounds) > -1e-3).all()
    assert bounds[-1] > bounds[0] + 0.3


def test_every_belief_is_the_best_given_the_others():
    """After many rounds no factor of the mean field can be bettered: the oracle's bound falls on both sides."""
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 40, 9, values=True, longest=4)
    field, posterior = start(rows, rng.normal(size=40), 9, 2)
    for _ in range(400):
        ascend(field, posterior, beliefs=BELIEFS)
    best = bound(rows, field, posterior)
    for factor in (0.9, 1.1):
        for name in ("kappa", "mean", "shape", "rate"):
            other = replace(posterior, **{name: getattr(posterior, name) * factor})
            assert bound(rows, field, other) < best
        for at in (0, 1):
            noise = tuple(value * (factor if at == n else 1) for n, value in enumerate(posterior.noise))
            assert bound(rows, field, replace(posterior, noise=noise)) < best
        for table in (field.variance, field.moves.table):
            for array in (table.bias[:1], table.w, table.V):
                kept = array.copy()
                array *= factor
                assert bound(rows, field, posterior) < best
                array[...] = kept


def test_a_linear_model_ends_at_the_mean_of_its_exact_posterior():
    rng = np.random.default_rng(4)
    rows = random_rows(rng, 30, 5, values=True)
    y, alpha = rng.normal(size=30), 2.0
    field, _ = start(rows, y, 5, 0)
    prior = Prior(np.zeros(5, np.uint32), np.full((1, 1), 1.5), np.full((1, 1), 0.3))
    for _ in range(60):
        field.sweep(alpha, prior)
    X = np.array([[dict(row).get(i, 0.0) for i in range(5)] for row in rows])
    P = alpha * X.T @ X + 1.5 * np.eye(5)
    centred = y - float(field.moves.table.bias[0])
    np.testing.assert_allclose(
        field.moves.table.w, np.linalg.solve(P, alpha * X.T @ centred + 1.5 * 0.3), atol=1e-4
    )
    np.testing.assert_allclose(field.variance.w, 1 / np.diag(P), rtol=1e-4)


@pytest.mark.parametrize("bias", [-8.0, -1.0, 0.0, 2.0, 8.0])
def test_latent_targets_are_expected_where_a_cut_normal_has_its_mean(bias):
    field, _ = start([[], []], np.ones(2), 1, 0)
    moves = field.moves
    moves.shift(bias - float(moves.table.bias[0]))
    expect_latent(moves, np.array([True, False]))
    expected = [cut_normal_mean(bias, True), cut_normal_mean(bias, False)]
    np.testing.assert_allclose(moves.rows.target, expected, rtol=1e-4)
    np.testing.assert_allclose(moves.rows.target - moves.e, bias, rtol=1e-5, atol=1e-5)


def test_latent_targets_stay_finite_far_from_their_class():
    field, _ = start([[], []], np.ones(2), 1, 0)
    field.moves.shift(60.0)
    expect_latent(field.moves, np.array([True, False]))
    assert np.isfinite(field.moves.rows.target).all()
    assert abs(field.moves.rows.target[1]) < 0.1


def blocks(rng, n_rows, sizes=(30, 20), k=2):
    """One-hot rows and the scores that a known machine gives them."""
    first = np.cumsum([0, *sizes[:-1]])
    ids = np.column_stack([rng.integers(0, size, n_rows) for size in sizes]) + first
    rows = [[(int(i), 1.0) for i in row] for row in ids]
    w, V = rng.normal(size=sum(sizes)), rng.normal(size=(sum(sizes), k))
    return rows, np.array([fm_score(row, 0.7, w, V) for row in rows])


def test_means_and_variances_are_about_those_of_samples():
    rng = np.random.default_rng(6)
    rows, score = blocks(rng, 2500)
    y = score + 0.3 * rng.standard_normal(2500)
    field, posterior = start(rows[:2000], y[:2000], 50, 2, beliefs=Beliefs())
    for _ in range(60):
        ascend(field, posterior)
    built = as_rows(rows[:2000], 50, target=y[:2000])
    table = Table.start(random_params(rng, 50, 2), VB, Hyper(learning_rate=1.0))
    moves, chain = Moves(built, Columns.of(built), table), Chain.start(posterior.group, 2, 2, keep=100)
    for iteration in range(140):
        sample(moves, chain, rng)
        if iteration >= 40:
            chain.add(moves, rng)
    held = as_rows(rows[2000:], 50)
    mean, variance = posterior.moments(held, field.moves.table)
    sampled, spread = chain.moments(held)
    assert np.sqrt(np.mean((mean - sampled) ** 2)) < 0.03
    assert np.sqrt(np.mean((mean - score[2000:]) ** 2)) < 0.1
    assert posterior.alpha == pytest.approx(np.mean(chain.alphas), rel=0.05)
    assert (
        0.3 < np.median(variance / spread) < 1.1
    )  # a mean field is too sure, as it knows of no correlations


def test_features_that_no_row_has_are_believed_what_their_group_is():
    rng = np.random.default_rng(7)
    rows = random_rows(rng, 60, 6, values=True, longest=4)
    field, posterior = start(rows, rng.normal(size=60), 9, 2)
    ascend(field, posterior, beliefs=BELIEFS)
    prior = posterior.prior
    for i in (6, 7, 8):
        g = posterior.group[i]
        mean = [field.moves.table.w[i], *field.moves.table.V[i]]
        variance = [field.variance.w[i], *field.variance.V[i]]
        np.testing.assert_allclose(mean, prior.mean[g], rtol=1e-6)
        np.testing.assert_allclose(variance, 1 / prior.precision[g], rtol=1e-6)


def test_the_losses_are_those_of_what_is_believed():
    rng = np.random.default_rng(8)
    rows = random_rows(rng, 30, 6, values=True)
    y = rng.normal(size=30)
    field, posterior = start(rows, y, 6, 2)
    loss, _ = ascend(field, posterior)
    each = [score_moments(row, parts(field.moves.table), parts(field.variance)) for row in rows]
    assert loss == pytest.approx(
        sum((target - mean) ** 2 for target, (mean, _) in zip(y, each, strict=True)) / 2
    )
    positive = y > 0
    field, posterior = start(rows, np.where(positive, 1.0, -1.0), 6, 2, probit=True)
    loss, _ = ascend(field, posterior, positive=positive)
    odds = posterior.scores(field.moves.rows, field.moves.table)
    assert loss == pytest.approx(np.logaddexp(0, np.where(positive, -odds, odds)).sum(), rel=1e-5)


def test_a_bound_that_hardly_rises_has_converged():
    little = converged(0.01)
    assert [little(bound) for bound in (-300.0, -200.0, -199.0, -150.0, -150.0)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    never = converged(0.0)
    assert not any(never(bound) for bound in (-2.0, -1.0, -1.0))
