"""Exact solvers: sweeps over all features of alternating least squares, or of Gibbs sampling.

The model is that of C. Freudenthaler, L. Schmidt-Thieme, S. Rendle, "Bayesian Factorization Machines", 2011, and of S.
Rendle, "Factorization Machines with libFM", ACM TIST 2012: a target is normal around the score with precision alpha; w
and each factor of the features of a group g are normal with mean mu_g and precision lambda_g of their own, and

    alpha ~ Gamma(alpha_0 / 2, beta_0 / 2),  lambda ~ Gamma(alpha_lambda / 2, beta_lambda / 2),
    mu ~ Normal(mu_0, 1 / (gamma_0 lambda)).

The conditionals are (5) to (8) of the first paper; in the second, a weight's is (30), and the step of ALS, its mean
with alpha = 1 and mu = 0, is (22). Classes and levels have latent targets, which are drawn too
(``crossfm.solvers.latent``).

Ours: the weights of a feature are drawn together (``cpp/gibbs.hpp``); the bias has a flat prior; features that no row
has are not part of the chain, and are drawn from their prior for each kept sample, which is the same posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.io.parts import part
from crossfm.kernels.fm import scores
from crossfm.kernels.gibbs import Moves, Prior
from crossfm.solvers.latent import LINKS, Latent, log_odds, probability
from crossfm.solvers.mixture import mixture_quantiles
from crossfm.solvers.trace import Trace

Doubles = NDArray[np.float64]
SETTLE = 50  # sweeps after which errors and sums are computed again
CELLS = 1 << 18  # samples of quantiles of rows that are worked on at a time


@dataclass(frozen=True)
class Beliefs:
    """Numbers of the priors of alpha, lambda and mu."""

    alpha_0: float = 1.0
    beta_0: float = 1.0
    alpha_lambda: float = 1.0
    beta_lambda: float = 1.0
    gamma_0: float = 1.0
    mu_0: float = 0.0


BELIEFS = Beliefs()


@dataclass(eq=False)
class Chain:
    """What a chain knows beside the table: its priors now, and the samples kept.

    Attributes
    ----------
    prior : Prior
    alpha : float
    link : {"normal", "probit", "logistic", "ordinal"}
        How targets come from scores.
    cuts : float64 (n_levels - 1,)
        The cut points now; none but for "ordinal".
    keep : int
        Samples kept at most: every ``every``-th, and whenever there are more, every other of them goes.
    drawn : int
        Samples since the burn-in.
    samples : list of FMParams
        Evenly spaced.
    alphas : list of float
        Precision of the targets in each.
    kept_cuts : list of float64 (n_levels - 1,)
        Cut points of each.
    trace : Trace
        Of all iterations; the caller adds to it.
    """

    prior: Prior
    alpha: float
    keep: int
    every: int = 1
    drawn: int = 0
    samples: list[FMParams] = field(default_factory=list)
    alphas: list[float] = field(default_factory=list)
    link: str = "normal"
    cuts: Doubles = field(default_factory=lambda: np.zeros(0))
    kept_cuts: list[Doubles] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)

    @classmethod
    def start(
        cls, group: NDArray[np.uint32], n_groups: int, n_factors: int, keep: int, every: int = 1
    ) -> Chain:
        """Return a chain that begins with precisions of 1 and means of 0."""
        shape = (n_groups, 1 + n_factors)
        return cls(Prior(group, np.ones(shape), np.zeros(shape)), 1.0, keep, every)

    def add(self, moves: Moves, rng: np.random.Generator) -> None:
        """Count the table as a sample, and keep it if it is its turn."""
        self.drawn += 1
        if self.keep == 0 or (self.drawn - 1) % self.every:
            return
        self.samples.append(_whole(moves, self.prior, rng))
        self.alphas.append(self.alpha)
        self.kept_cuts.append(self.cuts.copy())
        self.limit(self.keep)

    def limit(self, keep: int) -> None:
        """Keep at most ``keep`` samples from now on."""
        self.keep = keep
        while len(self.samples) > max(keep, 1):
            self.samples, self.alphas, self.every = self.samples[::2], self.alphas[::2], 2 * self.every
            self.kept_cuts = self.kept_cuts[::2]
        if keep == 0:
            self.samples, self.alphas, self.kept_cuts = [], [], []

    def moments(self, rows: Rows, *, n_threads: int = 1) -> tuple[Doubles, Doubles]:
        """Return mean and variance (n_rows,) of the scores of ``rows`` over the samples."""
        mean, squares = np.zeros((2, rows.n_rows))
        for number, params in enumerate(self.samples, 1):
            apart = scores(rows, params, n_threads=n_threads) - mean
            mean += apart / number
            squares += apart**2 * ((number - 1) / number)
        return mean, squares / max(len(self.samples) - 1, 1)

    def quantiles(self, rows: Rows, quantiles: Doubles, *, n_threads: int = 1) -> Doubles:
        """Return quantiles (n_rows, n_quantiles) of a new target of each row, under all samples."""
        deviation = 1 / np.sqrt(self.alphas)
        step = max(1, CELLS // (len(self.samples) * len(quantiles)))
        found = np.empty((rows.n_rows, len(quantiles)))
        for start in range(0, rows.n_rows, step):
            part = rows.take(np.arange(start, min(start + step, rows.n_rows)))
            mean = np.array(
                [scores(part, params, n_threads=n_threads) for params in self.samples], np.float64
            )
            found[start : start + step] = mixture_quantiles(mean, deviation, quantiles)
        return found

    def scores(self, rows: Rows, *, n_threads: int = 1) -> Doubles:
        """Return what the samples say of ``rows`` (n_rows,): the mean score, or the mean probability's log-odds.

        Of levels: the mean probabilities (n_rows, n_levels).
        """
        if self.link == "normal":
            return self.moments(rows, n_threads=n_threads)[0]
        total: Any = 0.0
        for params, cuts in zip(self.samples, self.kept_cuts, strict=True):
            total = total + self.said(scores(rows, params, n_threads=n_threads), cuts)
        return self.combined(total / len(self.samples))

    def said(self, score: NDArray[Any], cuts: Doubles | None = None) -> Doubles:
        """Return what is to be averaged over samples: the scores, or the probabilities that they and ``cuts`` give.

        ``cuts`` are those now, where None.
        """
        if self.link == "normal":
            return score.astype(np.float64)
        return probability(self.link, score, self.cuts if cuts is None else cuts)

    def combined(self, mean: Doubles) -> Doubles:
        """Return a mean of what is said, as ``scores`` does: of two classes its log-odds."""
        return log_odds(mean) if self.link in LINKS else mean

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the chain as arrays and JSON."""
        arrays: dict[str, NDArray[Any]] = {
            "group": self.prior.group,
            "precision": self.prior.precision,
            "mean": self.prior.mean,
            "alphas": np.array(self.alphas, np.float64),
            "cuts": self.cuts,
            "kept_cuts": np.array(self.kept_cuts, np.float64).reshape(len(self.samples), len(self.cuts)),
        }
        arrays |= {f"trace.{name}": array for name, array in self.trace.to_arrays().items()}
        for number, params in enumerate(self.samples):
            arrays |= {f"{number}.{name}": array for name, array in params.to_arrays().items()}
        own = {
            "alpha": self.alpha,
            "keep": self.keep,
            "every": self.every,
            "drawn": self.drawn,
            "link": self.link,
        }
        return arrays, own | {"n_samples": len(self.samples)}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Chain:
        """Rebuild what ``to_state`` described; nothing of ``arrays`` is kept."""
        prior = Prior(arrays["group"].copy(), arrays["precision"].copy(), arrays["mean"].copy())
        each = [
            {name: arrays[f"{number}.{name}"] for name in ("bias", "w", "V")}
            for number in range(meta["n_samples"])
        ]
        return cls(
            prior,
            float(meta["alpha"]),
            int(meta["keep"]),
            int(meta["every"]),
            int(meta["drawn"]),
            [FMParams.from_arrays(one).packed() for one in each],
            [float(alpha) for alpha in arrays["alphas"]],
            str(meta["link"]),
            arrays["cuts"].copy(),
            list(arrays["kept_cuts"].copy()),
            Trace.from_arrays(part(arrays, "trace.")),
        )


def least_squares(moves: Moves, prior: Prior, *, n_threads: int = 1) -> float:
    """Move bias and features to their least squares given all others; return half the sum of squared errors.

    What falls with every sweep is sum_r c_r e_r^2 + sum_i prior.precision theta_i^2, c_r the rows' weights.
    """
    total, _ = moves.shift(0.0)
    moves.shift(total / _weight(moves))
    moves.sweep(1.0, prior, None, n_threads=n_threads)
    return moves.shift(0.0)[1] / 2


def sample(
    moves: Moves,
    chain: Chain,
    rng: np.random.Generator,
    *,
    latent: Latent | None = None,
    n_threads: int = 1,
    beliefs: Beliefs = BELIEFS,
) -> float:
    """Draw everything once: alpha, lambda, mu, bias, and w and V; return half the sum of squared errors.

    With ``latent`` targets, draw these in place of alpha first, and return the sum of -log of the probabilities before.
    """
    loss = 0.0 if latent is None else latent.draw(moves, rng, n_threads)
    total, squares = moves.shift(0.0)
    weight, n_rows = _weight(moves), moves.rows.n_rows
    if moves.rows.weight is not None:
        n_rows = int(np.count_nonzero(moves.rows.weight))
    if latent is None:
        chain.alpha = draw_alpha(squares, n_rows, rng, beliefs)
    chain.prior = draw_prior(chain.prior, *moves.moments(chain.prior), rng, beliefs)
    if latent is None or latent.has_bias:
        moves.shift(total / weight + rng.standard_normal() / np.sqrt(chain.alpha * weight))
    noise = rng.standard_normal((len(moves.features), 1 + moves.table.n_factors), np.float32)
    moves.sweep(chain.alpha, chain.prior, noise, n_threads=n_threads)
    return moves.shift(0.0)[1] / 2 if latent is None else loss


def draw_alpha(squares: float, n_rows: int, rng: np.random.Generator, beliefs: Beliefs = BELIEFS) -> float:
    """Draw the precision of the targets, given the weighted sum of squared errors."""
    return float(rng.gamma((beliefs.alpha_0 + n_rows) / 2, 2 / (beliefs.beta_0 + squares)))


def draw_prior(
    prior: Prior,
    count: NDArray[np.int64],
    sums: Doubles,
    squares: Doubles,
    rng: np.random.Generator,
    beliefs: Beliefs = BELIEFS,
) -> Prior:
    """Draw lambda given mu and the features, then mu given lambda and the features.

    ``count`` (n_groups,) are the features of each group, ``sums`` and ``squares`` (n_groups, 1 + n_factors) sums of
    their parameters and of the squares.
    """
    n, mu = count[:, None].astype(np.float64), prior.mean
    around = squares - 2 * mu * sums + n * mu**2
    rate = beliefs.beta_lambda + around + beliefs.gamma_0 * (mu - beliefs.mu_0) ** 2
    precision = rng.gamma((beliefs.alpha_lambda + n + 1) / 2, 2 / rate)
    n = n + beliefs.gamma_0
    centre = (sums + beliefs.gamma_0 * beliefs.mu_0) / n
    mean = centre + rng.standard_normal(centre.shape) / np.sqrt(n * precision)
    return Prior(prior.group, precision, mean)


def _weight(moves: Moves) -> float:
    weight = moves.rows.weight
    return float(moves.rows.n_rows if weight is None else weight.sum(dtype=np.float64))


def _whole(moves: Moves, prior: Prior, rng: np.random.Generator) -> FMParams:
    """Copy the table, with draws from the prior for the features that no row has."""
    params = moves.table.params()
    ids = moves.unseen()
    group = prior.group[ids]
    theta = rng.standard_normal((len(ids), 1 + params.n_factors))
    theta = prior.mean[group] + theta / np.sqrt(prior.precision[group])
    params.w[ids], params.V[ids] = theta[:, 0], theta[:, 1:]
    return params.packed()
