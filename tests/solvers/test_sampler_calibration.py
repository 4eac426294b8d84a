"""Simulation-based calibration: S. Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based
Calibration", 2018.

Parameters are drawn from the prior, targets from the parameters, and a chain from the posterior of the targets: the
rank of a parameter among its draws is then uniform. Chains start at the parameters themselves, so no iterations are
lost on the way to the posterior, and draws are thinned.

The bias has a flat prior, of which nothing can be drawn. In regression any bias will do: the posterior of all else is
that of the differences between targets, and bias less truth is a pivot. Classes have their bias from a normal prior,
for which a draw of the chain is kept with the probability exp(-bias^2 / 2); its posterior needs both classes, and
calibration holds for targets of any kind that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import ALS
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from crossfm.solvers.gibbs import Beliefs, Chain, sample
from crossfm.solvers.latent import latent
from machines import as_rows
from oracles import coordinate_gibbs, fm_score

BELIEFS = Beliefs(alpha_0=6.0, beta_0=3.0, alpha_lambda=6.0, beta_lambda=5.0, gamma_0=2.0, mu_0=0.4)
SIZE, N_FACTORS, DRAWS = 4, 2, 9  # features of each of two groups
GROUP = np.repeat([0, 1], SIZE).astype(np.uint32)
HELD = [(0, 1.0), (SIZE, 1.0)]


def made_rows(n: int) -> list[list[tuple[int, float]]]:
    rng = np.random.default_rng(0)
    return [
        [(int(rng.integers(SIZE)), float(rng.normal())), (SIZE + int(rng.integers(SIZE)), 1.0)]
        for _ in range(n)
    ]


def from_prior(rng: np.random.Generator, b: Beliefs) -> tuple[FMParams, Prior, float]:
    """Draw parameters as the priors in ``crossfm.solvers.gibbs`` say, and a bias from N(0, 1)."""
    shape = (2, 1 + N_FACTORS)
    precision = rng.gamma(b.alpha_lambda / 2, 2 / b.beta_lambda, shape)
    mean = b.mu_0 + rng.standard_normal(shape) / np.sqrt(b.gamma_0 * precision)
    theta = mean[GROUP] + rng.standard_normal((2 * SIZE, shape[1])) / np.sqrt(precision[GROUP])
    theta = theta.astype(np.float32)
    alpha = rng.gamma(b.alpha_0 / 2, 2 / b.beta_0)
    return (
        FMParams(float(rng.standard_normal()), theta[:, 0], theta[:, 1:]),
        Prior(GROUP, precision, mean),
        alpha,
    )


def numbers(params: FMParams, prior: Prior, alpha: float) -> dict[str, float]:
    """What is ranked: nothing that depends on order or sign of the factors, which a chain seldom changes."""
    return {
        "bias": params.bias,
        "w": float(params.w[1]),
        "score": fm_score(HELD, params.bias, params.w, params.V),
        "length": float((params.V[1] ** 2).sum()),
        "mean of w": float(prior.mean[0, 0]),
        "precision of w": float(prior.precision[1, 0]),
        "precision of V": float(prior.precision[0, 1:].sum()),
        "alpha": alpha,
    }


def posterior(
    moves: Moves, chain: Chain, rng: np.random.Generator, thin: int, **options: Any
) -> Iterator[dict[str, float]]:
    while True:
        for _ in range(thin):
            sample(moves, chain, rng, **options)
        yield numbers(moves.table.params(), chain.prior, chain.alpha)


def ranks(n: int, classes: bool, thin: int, seed: int, generating: Beliefs = BELIEFS) -> dict[str, list[int]]:
    rng = np.random.default_rng(seed)
    lists = made_rows(20 if classes else 10)
    built = as_rows(lists, 2 * SIZE)
    columns = Columns.of(built)
    found: dict[str, list[int]] = {}
    while n:
        params, prior, alpha = from_prior(rng, generating)
        alpha = 1.0 if classes else alpha
        score = np.array([fm_score(row, params.bias, params.w, params.V) for row in lists])
        y = score + rng.standard_normal(len(lists)) / np.sqrt(alpha)
        if classes and not 4 <= (y > 0).sum() <= len(y) - 4:
            continue
        n -= 1
        options = {"latent": latent("probit", (y > 0).astype(np.int64), np.zeros(1))} if classes else {}
        start = np.where(y > 0, 1.0, -1.0) if classes else y
        table = Table.start(params, ALS, Hyper(learning_rate=1.0))
        moves, chain = Moves(built.with_target(start), columns, table), Chain(prior, alpha, keep=1)
        truth, below = numbers(params, prior, alpha), dict.fromkeys(numbers(params, prior, alpha), 0)
        kept = 0
        for drawn in posterior(moves, chain, rng, thin, beliefs=BELIEFS, **options):
            if classes and rng.random() > np.exp(-(drawn["bias"] ** 2) / 2):
                continue
            kept += 1
            for name, value in drawn.items():
                below[name] += value < truth[name]
            if kept == DRAWS:
                break
        for name, rank in below.items():
            found.setdefault(name, []).append(rank)
    if classes:
        del found["alpha"]
    return found


def unlikely(found: dict[str, list[int]]) -> dict[str, float]:
    """Return how likely ranks that are uniform would be so uneven, of each number."""
    return {
        name: float(chisquare(np.bincount(each, minlength=DRAWS + 1)).pvalue) for name, each in found.items()
    }


@pytest.mark.parametrize(("classes", "thin"), [(False, 15), (True, 5)], ids=["numbers", "classes"])
def test_ranks_of_parameters_among_their_posterior_draws_are_uniform(classes: bool, thin: int) -> None:
    found = unlikely(ranks(120, classes, thin, seed=1))
    assert min(found.values()) > 0.002, found


def test_ranks_tell_another_prior() -> None:
    """The test above can fail: parameters from a prior whose noise is larger than the chain believes."""
    found = unlikely(ranks(60, False, 10, seed=1, generating=replace(BELIEFS, alpha_0=3.0)))
    assert found["alpha"] < 0.002


def test_a_chain_has_the_posterior_of_the_paper_s_own() -> None:
    """Which draws one coordinate after another; the scores and the noise do not know how they were drawn."""
    rows = [[(0, 1.0), (2, 1.0)], [(0, 1.0), (3, 1.0)], [(1, 1.0), (2, 1.0)], [(1, 0.5), (3, -1.0)]]
    y, group = np.array([1.5, 0.2, -0.7, 0.4]), [0, 0, 1, 1]
    rng = np.random.default_rng(0)
    reference = [
        [*(fm_score(row, bias, w, V) for row in rows), np.log(alpha)]
        for bias, w, V, alpha in coordinate_gibbs(rows, y, group, 1, 1000, rng, BELIEFS)
    ]
    built = as_rows(rows, 4, target=y)
    params = FMParams.start(4, 1, rng, scale=0.1)
    moves = Moves(built, Columns.of(built), Table.start(params, ALS, Hyper(learning_rate=1.0)))
    chain, drawn = Chain.start(np.array(group, np.uint32), 2, 1, keep=1), []
    for _ in range(6000):
        sample(moves, chain, rng, beliefs=BELIEFS)
        drawn.append([*(y - moves.e), np.log(chain.alpha)])
    ours, theirs = np.array(drawn[100:]), np.array(reference[100:])
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.1)  # deviations are about 0.7
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.12)
