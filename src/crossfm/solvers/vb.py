"""Variational Bayes: the quick approximation of what ``solvers.gibbs`` samples.

The model is that of ``solvers.gibbs``. Its posterior is approximated by independent q(w_i), q(v_if) and q(bias),
normal; q(alpha), Gamma; and q(mu, lambda) of each group and factor, normal-Gamma:

    lambda ~ Gamma(shape, rate),  mu | lambda ~ Normal(mean, 1 / (kappa lambda)).

Of classes, the latent targets have q(z_r), normal cut at 0. One after another is set to its best given all others
(coordinate ascent; C. Bishop, "Pattern Recognition and Machine Learning", 2006, section 10.1), so no step lowers the
evidence lower bound E[log p(y, all)] - E[log q(all)]. With d_r the variance of row r's score, E[e_r^2] is the square of
the error at the means and d_r.

Ours: w and all means of a feature are solved for together (``cpp/vb.hpp``); mu and lambda are not taken for
independent, which is a better bound at the same price; the bias has a flat prior, so the bound is one up to a constant;
features that no row has do not count, and get their best given the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import VB
from crossfm.data.rows import Rows
from crossfm.kernels.fm import scores
from crossfm.kernels.gibbs import Moves, Prior
from crossfm.kernels.table import Table
from crossfm.kernels.vb import MeanField, score_variances
from crossfm.solvers.gibbs import BELIEFS, Beliefs
from crossfm.solvers.latent import log_odds, probability

Doubles = NDArray[np.float64]
START = 0.01  # variances of w and V at the start


@dataclass(eq=False)
class Posterior:
    """What is believed, beside the means of w and V, which are a table's.

    Attributes
    ----------
    variance : Table
        Variances of w, V and the bias, as ``MeanField`` has them.
    noise : (float, float)
        Shape and rate of alpha; 1 and 1 for ``probit``, where alpha is 1.
    group : uint32 (n_features,)
    kappa, shape : float64 (n_groups, 1)
    mean, rate : float64 (n_groups, 1 + n_factors)
    probit : bool
        Whether targets are classes.
    """

    variance: Table
    noise: tuple[float, float]
    group: NDArray[np.uint32]
    kappa: Doubles
    mean: Doubles
    shape: Doubles
    rate: Doubles
    probit: bool = False

    @classmethod
    def start(
        cls,
        table: Table,
        group: NDArray[np.uint32],
        n_groups: int,
        *,
        probit: bool = False,
        spread: float = START,
        beliefs: Beliefs = BELIEFS,
    ) -> Posterior:
        """Return what is believed before the first sweep: the priors, and variances of ``spread`` of w and V."""
        k = table.n_factors
        V, w = np.full((table.n_features, k), spread), np.full(table.n_features, spread)
        params = FMParams(0.0, w.astype(np.float32), V.astype(np.float32))
        return cls(
            Table.start(params, VB, Hyper(learning_rate=1.0)),
            (1.0, 1.0) if probit else (beliefs.alpha_0 / 2, beliefs.beta_0 / 2),
            group,
            np.full((n_groups, 1), beliefs.gamma_0),
            np.full((n_groups, 1 + k), beliefs.mu_0),
            np.full((n_groups, 1), beliefs.alpha_lambda / 2),
            np.full((n_groups, 1 + k), beliefs.beta_lambda / 2),
            probit,
        )

    @property
    def alpha(self) -> float:
        """Expected precision of the targets."""
        return self.noise[0] / self.noise[1]

    @property
    def prior(self) -> Prior:
        """Expected precisions, and means."""
        return Prior(self.group, self.shape / self.rate, self.mean)

    @property
    def bias(self) -> NDArray[np.float32]:
        """Variance of the bias; the epoch loop looks whether it is finite."""
        return self.variance.bias

    def copy(self) -> Posterior:
        """Copy the variances; other arrays are replaced, never written to."""
        return replace(self, variance=self.variance.copy())

    def assign(self, other: Posterior) -> None:
        """Take over what another of the same shape believes."""
        self.variance.assign(other.variance)
        self.noise = other.noise
        self.kappa, self.mean, self.shape, self.rate = other.kappa, other.mean, other.shape, other.rate

    def moments(self, rows: Rows, means: FMParams | Table, *, n_threads: int = 1) -> tuple[Doubles, Doubles]:
        """Return mean and variance (n_rows,) of the scores of ``rows``."""
        mean = scores(rows, means, n_threads=n_threads).astype(np.float64)
        return mean, score_variances(rows, means, self.variance, n_threads=n_threads)

    def scores(self, rows: Rows, means: FMParams | Table, *, n_threads: int = 1) -> Doubles:
        """Return what is believed of ``rows`` (n_rows,): the mean score, or the probability's log-odds."""
        if not self.probit:
            return scores(rows, means, n_threads=n_threads).astype(np.float64)
        mean, variance = self.moments(rows, means, n_threads=n_threads)
        return log_odds(probability("probit", mean / np.sqrt(1.0 + variance), np.zeros(1)))

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return it as arrays and JSON."""
        arrays = {name: getattr(self, name) for name in ("group", "kappa", "mean", "shape", "rate")}
        arrays |= {f"variance.{name}": array for name, array in self.variance.params().to_arrays().items()}
        return arrays, {"noise": list(self.noise), "probit": self.probit}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Posterior:
        """Rebuild what ``to_state`` described; nothing of ``arrays`` is kept."""
        variance = FMParams.from_arrays({name: arrays[f"variance.{name}"] for name in ("bias", "w", "V")})
        return cls(
            Table.start(variance, VB, Hyper(learning_rate=1.0)),
            (float(meta["noise"][0]), float(meta["noise"][1])),
            probit=bool(meta["probit"]),
            **{name: arrays[name].copy() for name in ("group", "kappa", "mean", "shape", "rate")},
        )


def ascend(
    field: MeanField,
    posterior: Posterior,
    *,
    positive: NDArray[np.bool_] | None = None,
    n_threads: int = 1,
    beliefs: Beliefs = BELIEFS,
) -> tuple[float, float]:
    """Set everything once to its best: latent targets, bias, w and V, alpha, mu and lambda.

    Returns half the sum of squared errors of the means, or with ``positive`` (n_rows,), the classes, the sum of the
    logistic losses of their probabilities; and the evidence lower bound.
    """
    moves = field.moves
    if positive is not None:
        expect_latent(moves, positive)
    weight = moves.rows.weight
    whole = moves.rows.n_rows if weight is None else float(weight.sum(dtype=np.float64))
    moves.shift(moves.shift(0.0)[0] / whole)
    field.variance.bias[0] = 1.0 / (posterior.alpha * whole)
    field.sweep(posterior.alpha, posterior.prior, n_threads=n_threads)
    spread = field.score_variances(n_threads=n_threads)
    if positive is None:
        squares = moves.shift(0.0)[1]
        loss = squares / 2
        squares += float(spread.sum() if weight is None else weight @ spread)
        fit = _learn_noise(posterior, squares, weight, moves.rows.n_rows, beliefs)
    else:
        toward = _toward(moves, positive)
        loss = -float(_log_ndtr(toward / np.sqrt(1.0 + spread)).sum())
        fit = float(_log_ndtr(toward).sum() - spread.sum() / 2)
    _learn_groups(posterior, *field.moments(posterior.prior), beliefs)
    _fill_unseen(field, posterior)
    entropy = (1.0 + np.log(2 * np.pi * float(field.variance.bias[0]))) / 2  # of the bias
    return loss, fit + entropy - _divergence(field, posterior, beliefs)


def expect_latent(moves: Moves, positive: NDArray[np.bool_]) -> None:
    """Set the targets to what they are expected to be: normal around the score, cut at 0 by their class."""
    toward, target = _toward(moves, positive), moves.rows.target
    assert target is not None
    beyond = np.exp(-(toward**2) / 2 - _log_ndtr(toward)) / np.sqrt(2 * np.pi)
    score = target - moves.e
    target[:] = score + np.where(positive, beyond, -beyond)
    moves.e[:] = target - score


def _toward(moves: Moves, positive: NDArray[np.bool_]) -> Doubles:
    """Return the scores, counted toward each row's class."""
    assert moves.rows.target is not None
    score = moves.rows.target - moves.e
    return np.where(positive, score, -score)


def _log_ndtr(x: Doubles) -> Doubles:
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(x))


def _learn_noise(posterior: Posterior, squares: float, weight: Any, n_rows: int, beliefs: Beliefs) -> float:
    """Learn alpha from the expected sum of squared errors; return what targets and alpha give to the bound."""
    from scipy.special import digamma

    some = None if weight is None else weight[weight > 0].astype(np.float64)
    n = n_rows if some is None else len(some)
    shape, rate = posterior.noise = (beliefs.alpha_0 + n) / 2, (beliefs.beta_0 + squares) / 2
    known = 0.0 if some is None else float(np.log(some).sum()) / 2
    fit = known + n / 2 * (digamma(shape) - np.log(rate) - np.log(2 * np.pi)) - shape / rate * squares / 2
    return float(fit - _gamma_divergence(shape, rate, beliefs.alpha_0 / 2, beliefs.beta_0 / 2))


def _learn_groups(
    posterior: Posterior, count: NDArray[np.int64], sums: Doubles, squares: Doubles, beliefs: Beliefs
) -> None:
    """Learn mu and lambda from the expected sums and sums of squares of the features of each group."""
    n = count[:, None].astype(np.float64)
    posterior.kappa = kappa = beliefs.gamma_0 + n
    posterior.mean = mean = (beliefs.gamma_0 * beliefs.mu_0 + sums) / kappa
    posterior.shape = (beliefs.alpha_lambda + n) / 2
    around = squares - 2 * mean * sums + n * mean**2 + beliefs.gamma_0 * (mean - beliefs.mu_0) ** 2
    posterior.rate = (beliefs.beta_lambda + around) / 2


def _fill_unseen(field: MeanField, posterior: Posterior) -> None:
    """Give the features that no row has the mean and the precision of their group."""
    table, variance = field.moves.table, field.variance
    ids = field.moves.unseen()
    group, expected = posterior.group[ids], posterior.rate / posterior.shape
    table.w[ids], table.V[ids] = posterior.mean[group, 0], posterior.mean[group, 1:]
    variance.w[ids], variance.V[ids] = expected[group, 0], expected[group, 1:]


def _divergence(field: MeanField, posterior: Posterior, beliefs: Beliefs) -> float:
    """Return how far w, V, mu and lambda are from their priors, the first two from mu and lambda (Kullback-Leibler)."""
    from scipy.special import digamma

    count, sums, squares = field.moments(posterior.prior)
    kappa, mean, shape, rate = posterior.kappa, posterior.mean, posterior.shape, posterior.rate
    n, precision = count[:, None], shape / rate
    of_weights = n * (1 / kappa - 1 - digamma(shape) + np.log(rate))
    of_weights = of_weights + precision * (squares - 2 * mean * sums + n * mean**2)
    ratio = beliefs.gamma_0 / kappa
    of_means = ratio - 1 - np.log(ratio) + beliefs.gamma_0 * precision * (mean - beliefs.mu_0) ** 2
    of_precisions = _gamma_divergence(shape, rate, beliefs.alpha_lambda / 2, beliefs.beta_lambda / 2)
    total = of_weights / 2 + of_means / 2 + of_precisions
    return float(total.sum() - field.log_variances() / 2)


def _gamma_divergence(shape: Any, rate: Any, prior_shape: float, prior_rate: float) -> Any:
    """Return the Kullback-Leibler divergence of a Gamma distribution from its prior."""
    from scipy.special import digamma, gammaln

    of_shape = (shape - prior_shape) * digamma(shape) - gammaln(shape) + gammaln(prior_shape)
    return of_shape + prior_shape * np.log(rate / prior_rate) + shape * (prior_rate - rate) / rate


def converged(tol: float) -> Callable[[float], bool]:
    """Return what says of bound after bound whether it rose by less than ``tol`` times its size; never for 0."""
    before: list[float] = []

    def little(bound: float) -> bool:
        rose = bound - before[-1] if before else np.inf
        before.append(bound)
        return bool(rose < tol * abs(bound))

    return little
