"""``solver="als"`` and ``solver="mcmc"``: what they refuse, their groups, and a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from crossfm.core.options import Hyper, check_count
from crossfm.core.rules import ALS, MCMC, Rule
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.io.parts import part
from crossfm.kernels import fm
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table, padded_factors
from crossfm.solvers.callbacks import Epoch
from crossfm.solvers.epochs import Plan, Visit
from crossfm.solvers.gibbs import SETTLE, Chain, least_squares, log_odds, probability, sample
from crossfm.solvers.progress import describe
from crossfm.solvers.resume import Resume

START = 0.1  # deviation of V at the start, as in libFM; from a smaller one a chain takes many iterations to learn pairs
UNUSED: dict[str, Any] = {
    "learning_rate": None,
    "schedule": "constant",
    "precision": "float32",
}
LEARNT: dict[str, Any] = {"l2_w": None, "l2_V": None, "early_stopping": False}
CHAINS: dict[str, Any] = {"burn_in": None, "groups": "fields", "keep_samples": 50}


def check_exact(model: Any, rule: Rule) -> None:
    """Raise ``OptionError`` for options that an exact solver does not know, and for its own beside another solver."""
    name = rule.name
    if name in (ALS.name, MCMC.name):  # also where it is to have factors in bfloat16
        classifier = is_classifier(model)
        known = name == MCMC.name if classifier else getattr(model, "loss", None) == "squared"
        if model._machine is not fm or not known:
            others = ', and "mcmc" for FMClassifier' if classifier else ""
            raise OptionError(
                f'solver={name!r} is for FMRegressor with loss="squared"{others}; take another solver'
            )
        _refuse(model, UNUSED, f"solver={name!r} has no use for it")
    if name != MCMC.name:
        _refuse(model, CHAINS, f'it needs solver="mcmc", not {name!r}')
        return
    _refuse(model, LEARNT, 'solver="mcmc" learns penalties and is not stopped early')
    check_count("keep_samples", model.keep_samples, low=1)
    burn_in(model)


def _refuse(model: Any, usual: dict[str, Any], why: str) -> None:
    for option, value in usual.items():
        given = getattr(model, option, value)
        if isinstance(given, np.ndarray) or given != value:
            shown = "an array" if isinstance(given, np.ndarray) else repr(given)
            raise OptionError(f"{option}={shown}, but {why}; leave it at {value!r}")


def burn_in(model: Any) -> int:
    """Return the iterations that are not counted."""
    if model.burn_in is None:
        return int(model.max_iter) // 10
    count = check_count("burn_in", model.burn_in)
    if count >= model.max_iter:
        raise OptionError(
            f"burn_in={count}, but it must be below max_iter={model.max_iter}: nothing would be left"
        )
    return count


def feature_groups(model: Any, rows: Rows, columns: Columns) -> tuple[NDArray[np.uint32], int]:
    """Return the group of each feature (n_features,) and the number of groups; see ``groups`` of ``FMRegressor``."""
    n = rows.n_features
    if model.groups is None:
        return np.zeros(n, np.uint32), 1
    if isinstance(model.groups, str) and model.groups == "fields":
        if model.encoder_ is not None:
            return model.encoder_.feature_fields, len(model.encoder_.fields)
        fields = rows.field_of_each()
        if fields is not None and not np.array_equal(fields, rows.indices):
            found = np.zeros(n, np.uint32)
            found[rows.indices] = fields
            return found, int(found.max(initial=0)) + 1
        return _blocks(rows, columns)
    groups = np.asarray(model.groups)
    if groups.shape != (n,) or groups.dtype.kind not in "iu":
        raise OptionError(
            f'groups must be "fields", None or a whole number for each of the {n} features, but is '
            f"{model.groups!r}"
        )
    distinct, group = np.unique(groups, return_inverse=True)
    return group.astype(np.uint32), len(distinct)


def _blocks(rows: Rows, columns: Columns) -> tuple[NDArray[np.uint32], int]:
    """Return one-hot blocks of columns, where the rows are made of such, else one group."""
    n_blocks = len(columns.colours) - 1
    found = np.zeros(rows.n_features, np.int64)
    if n_blocks == 0 or rows.nnz != rows.n_rows * n_blocks:
        return found.astype(np.uint32), 1
    found[columns.feature] = columns.colour_of_each()
    known = np.zeros(rows.n_features, np.int64)
    known[columns.feature] = columns.feature
    before = np.maximum.accumulate(known)  # a feature that no row has belongs to the one before it
    before[: int(columns.feature.min())] = columns.feature.min()
    return found[before].astype(np.uint32), n_blocks


@dataclass(frozen=True, eq=False)
class Exact:
    """What the epoch loop calls: an epoch is a sweep over all features.

    ``snapshot`` and ``restore`` are those of ``kernels.machine.Resumable``, for all but the table and ``rng``.
    """

    visit: Visit
    orders: Callable[[], Iterator[NDArray[np.int64]]]
    valid_scores: Callable[[], NDArray[np.float64]]
    snapshot: Callable[[], tuple[dict[str, NDArray[Any]], dict[str, Any]]]
    restore: Callable[[dict[str, NDArray[Any]], dict[str, Any]], None]
    rng: np.random.Generator

    def keep_in(self, resume: Resume) -> None:
        """Let checkpoints have the run. A sweep takes less time than writing e, q and all samples."""
        resume.generators["exact"] = self.rng
        resume.states["exact"] = self
        resume.each_epoch = False


def exact_training(
    model: Any, data: list[Rows], valid: Any, table: Table, hyper: Hyper, plan: Plan, n_threads: int
) -> Exact:
    """Prepare a run on the one of ``data`` with its target; leaves the chain of "mcmc" in ``model._chain``.

    Raises ``DataError`` for a feature that stands in a row twice, ``OptionError`` for more than two classes or weighted
    ones.
    """
    rows, positive = replace(data[0], n_features=table.n_features), None  # those to go on with may have fewer
    if is_classifier(model):
        if len(data) > 1:
            raise OptionError(
                f'solver="mcmc" learns two classes, but there are {len(data)}; take another solver'
            )
        if rows.weight is not None:
            raise OptionError(
                'solver="mcmc" has no sample_weight and no class_weight for classes; leave them out'
            )
        positive = _target_of(rows) > 0
        rows = rows.with_target(np.where(positive, 1.0, -1.0))
    columns = Columns.of(rows)
    moves = Moves(rows, columns, table)
    rng = model._numbers(f"exact {model._epochs_done()}")
    left = 0
    if table.rule is MCMC:
        left = _chain_of(model, rows, columns, table, plan)
    fixed = _penalties(rows, table, hyper)
    done = 0
    mean: NDArray[np.float64] = np.zeros(0)

    def visit(order: NDArray[np.int64], hyper: Hyper) -> float:
        nonlocal done
        done += 1
        if done % SETTLE == 0:
            moves.settle(n_threads)
        if table.rule is ALS:
            return least_squares(moves, fixed, n_threads=n_threads)
        chain = model._chain
        loss = sample(moves, chain, rng, positive=positive, n_threads=n_threads)
        chain.trace.add(chain.alpha, float(table.bias[0]), chain.prior, burn_in=done <= left)
        if done > left:
            chain.add(moves, rng)
        return loss

    def valid_scores() -> NDArray[np.float64]:
        nonlocal mean
        scores = fm.scores(valid[0], table, n_threads=n_threads).astype(np.float64)
        said = scores if positive is None else probability(scores)
        if table.rule is MCMC and done > left:
            said = mean = said if done == left + 1 else mean + (said - mean) / (done - left)
        return said if positive is None else log_odds(said)

    def snapshot() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "e": moves.e,
            "q": moves.q,
            "mean": mean,
        }  # e and q have been rounded
        if positive is not None:
            arrays["latent"] = _target_of(rows)
        chain = None
        if table.rule is MCMC:
            own, chain = model._chain.to_state()
            arrays |= {f"chain.{name}": array for name, array in own.items()}
        return arrays, {"done": done, "chain": chain}

    def restore(arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        nonlocal done, mean
        moves.e[:], moves.q[:] = arrays["e"], arrays["q"]
        mean, done = arrays["mean"].copy(), int(meta["done"])
        if positive is not None:
            _target_of(rows)[:] = arrays["latent"]
        if table.rule is MCMC:
            model._chain = Chain.from_state(part(arrays, "chain."), meta["chain"])

    nothing = np.broadcast_to(np.int64(0), rows.n_rows)  # sweeps look at all rows, in no order
    return Exact(visit, lambda: iter([nothing]), valid_scores, snapshot, restore, rng)


def _target_of(rows: Rows) -> NDArray[np.float64]:
    assert rows.target is not None
    return rows.target


def describe_sweep(epoch: Epoch, model: Any) -> str:
    """One line about an iteration: errors in the unit of ``y``, and whether it counts."""
    line = describe(epoch)
    if not is_classifier(model):
        line = describe(epoch, "RMSE", lambda loss: float(np.sqrt(2 * loss)) * float(model._target[1]))
    chain: Chain | None = model._chain
    return line if chain is None else line.removesuffix("  best") + "  burn-in" * chain.trace.burn_in[-1]


def exact_bytes(model: Any, rule: Rule, n_rows: int, nnz: int, n_features: int) -> float:
    """Return the bytes, about, that a run takes at most beside its rows and the table.

    Turning the rows round takes up to 32 bytes a non-zero for a while. Then 4 to 8 of them stay, with e and q (and q
    once more when they are computed again), the samples, of which two are on their way, and the trace.
    """
    k = int(model.n_factors)
    lasting = 8.0 * nnz + 8.0 * n_rows * (2 + padded_factors(k))
    if rule is MCMC:
        kept = min(model.keep_samples, model.max_iter - burn_in(model)) + 2
        n_groups = np.unique(model.groups).size if isinstance(model.groups, (list, np.ndarray)) else 1
        lasting += (4.0 * kept * n_features + 16.0 * model.max_iter * n_groups) * (1 + k)
    return max(32.0 * nnz, lasting)


def _penalties(rows: Rows, table: Table, hyper: Hyper) -> Prior:
    precision = np.full((1, 1 + table.n_factors), hyper.l2_V)
    precision[:, 0] = hyper.l2_w
    return Prior(np.zeros(rows.n_features, np.uint32), precision, np.zeros_like(precision))


def _chain_of(model: Any, rows: Rows, columns: Columns, table: Table, plan: Plan) -> int:
    """Give ``model`` a chain, or go on with its own; return the iterations to come that are not counted."""
    group, n_groups = feature_groups(model, rows, columns)
    chain = model._chain
    if chain is not None:
        if n_groups != len(chain.prior.mean):
            raise OptionError(
                f"groups: {n_groups}, but the chain to go on with has {len(chain.prior.mean)}, which stay. Set "
                "groups back, or fit anew with warm_start=False."
            )
        chain.prior = Prior(group, chain.prior.precision, chain.prior.mean)
        chain.limit(model.keep_samples)
        return 0 if chain.drawn else burn_in(model)
    left = burn_in(model)
    every = -(-(plan.max_iter - left) // model.keep_samples)
    model._chain = Chain.start(group, n_groups, table.n_factors, model.keep_samples, every)
    model._chain.probit = is_classifier(model)
    return left


def predictive(model: Any, rows: Rows, n_threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance (n_rows,) of a new target of each row, in the standardised unit."""
    chain = _sampled(model, "return_std")
    mean, variance = chain.moments(rows, n_threads=n_threads)
    return mean, variance + float(np.mean(1 / np.asarray(chain.alphas)))


def predictive_quantiles(model: Any, rows: Rows, quantiles: Any, n_threads: int) -> NDArray[np.float64]:
    """Return quantiles (n_rows, n_quantiles) of a new target of each row, in the standardised unit."""
    chain = _sampled(model, "predict_quantiles")
    try:
        asked = np.asarray(quantiles, np.float64)
    except (TypeError, ValueError):
        asked = np.zeros(0)
    if asked.ndim != 1 or not len(asked) or not ((asked > 0) & (asked < 1)).all():
        raise OptionError(f"quantiles={quantiles!r}, but they must be a list of numbers between 0 and 1")
    return chain.quantiles(rows, asked, n_threads=n_threads)


def _sampled(model: Any, name: str) -> Chain:
    chain = model._chain
    if chain is None or not chain.samples:
        raise OptionError(f'{name} needs samples: fit with solver="mcmc"')
    return chain  # type: ignore[no-any-return]
