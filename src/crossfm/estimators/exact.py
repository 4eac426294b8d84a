"""``solver="als"``, ``solver="mcmc"`` and ``solver="vb"``: what they refuse, their groups, and a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from crossfm.core.options import Hyper, check_choice, check_count
from crossfm.core.rules import ALS, EXACT, MCMC, VB, Rule
from crossfm.data.relation import expand
from crossfm.data.rows import Rows
from crossfm.errors import LabelError, OptionError
from crossfm.io.parts import part
from crossfm.kernels import fm
from crossfm.kernels.gibbs import TOGETHER, Columns, Moves, Prior
from crossfm.kernels.table import Table, padded_factors, record_floats
from crossfm.kernels.vb import MeanField
from crossfm.solvers.callbacks import Callback, Epoch
from crossfm.solvers.epochs import Plan, Scores, Visit
from crossfm.solvers.gibbs import SETTLE, Chain, least_squares, sample
from crossfm.solvers.latent import LINKS, latent, latent_rows, start_cuts
from crossfm.solvers.progress import describe
from crossfm.solvers.resume import Resume
from crossfm.solvers.vb import Posterior, ascend, converged

START = 0.1  # deviation of V at the start, as in libFM; from a smaller one a chain takes many iterations to learn pairs
UNUSED: dict[str, Any] = {
    "learning_rate": None,
    "schedule": "constant",
    "precision": "float32",
}
PENALTIES: dict[str, Any] = {"l2_w": None, "l2_V": None}
LEARNT: dict[str, Any] = {**PENALTIES, "early_stopping": False}
CHAINS: dict[str, Any] = {"burn_in": None, "keep_samples": 50, "link": None}
GROUPS: dict[str, Any] = {"groups": "fields"}
MOST_TIMES = 1000  # that a row of a class may count: each time is a draw


def check_exact(model: Any, rule: Rule) -> None:
    """Raise ``OptionError`` for options that an exact solver does not know, and for its own beside another solver."""
    name = rule.name
    if name in {exact.name for exact in EXACT}:  # also where it is to have factors in bfloat16
        classifier = is_classifier(model)
        hidden = model._link() != "normal"
        known = name != ALS.name if hidden else getattr(model, "loss", None) == "squared"
        if name == MCMC.name and model._machine is fm and getattr(model, "loss", None) == "poisson":
            raise OptionError(
                'solver="mcmc" cannot draw counts: no latent targets make a Poisson likelihood exactly normal. Take '
                'another solver, or loss="squared"'
            )
        if model._machine is not fm or not known:
            others = ', and "mcmc" and "vb" for FMClassifier' if classifier else ""
            raise OptionError(
                f'solver={name!r} is for FMRegressor with loss="squared"{others}; take another solver'
            )
        _refuse(model, UNUSED, f"solver={name!r} has no use for it")
    if name == VB.name:
        _refuse(model, {"checkpoint": None}, 'solver="vb" has no use for it')
        _refuse(model, PENALTIES, 'solver="vb" learns penalties')
        _refuse(model, CHAINS, f'it needs solver="mcmc", not {name!r}')
        return
    if name != MCMC.name:
        _refuse(model, GROUPS, f'it needs solver="mcmc" or "vb", not {name!r}')
        _refuse(model, CHAINS, f'it needs solver="mcmc", not {name!r}')
        return
    _refuse(model, LEARNT, 'solver="mcmc" learns penalties and is not stopped early')
    if model.link is not None:
        check_choice("link", model.link, LINKS)
    check_count("keep_samples", model.keep_samples)
    burn_in(model)


def _refuse(model: Any, usual: dict[str, Any], why: str) -> None:
    for option, value in usual.items():
        given = getattr(model, option, value)
        if np.ndim(given) or given != value:
            shown = "an array" if np.ndim(given) else repr(given)
            raise OptionError(f"{option}={shown}, but {why}; leave it at {value!r}")


def _counts(weight: Any) -> NDArray[np.int32] | None:
    """Return how often rows of weights (n_rows,) count."""
    if weight is None:
        return None
    odd = (weight != np.floor(weight)) | (weight > MOST_TIMES)
    if odd.any():
        row = int(np.argmax(odd))
        raise OptionError(
            f"row {row} has weight {weight[row]:g} (sample_weight times class_weight), but of classes and levels "
            f'solver="mcmc" counts a row 0 to {MOST_TIMES} times: a part of a row has no exact draw. Give whole '
            "numbers, or take another solver"
        )
    return np.asarray(weight, np.int32)


def burn_in(model: Any) -> int:
    """Return the iterations that are not counted."""
    if model.burn_in is None:
        return int(model.max_iter) // 10
    count = check_count("burn_in", model.burn_in)
    goes_on = getattr(model, "warm_start", False) and model._chain is not None and model._chain.drawn
    if count >= model.max_iter and not goes_on:  # which has no second one
        raise OptionError(
            f"burn_in={count}, but it must be below max_iter={model.max_iter}: nothing would be left"
        )
    return count


def feature_groups(model: Any, moves: Moves) -> tuple[NDArray[np.uint32], int]:
    """Return the group of each feature (n_features,) and the number of groups; see ``groups`` of ``FMRegressor``."""
    n = moves.rows.n_features
    if model.groups is None:
        return np.zeros(n, np.uint32), 1
    if isinstance(model.groups, str) and model.groups == "fields":
        if model.encoder_ is not None:
            return model.encoder_.feature_fields, len(model.encoder_.fields)
        return _fields(moves) or _blocks(moves)
    groups = np.asarray(model.groups)
    if groups.shape != (n,) or groups.dtype.kind not in "iu":
        raise OptionError(
            f'groups must be "fields", None or a whole number for each of the {n} features, but is '
            f"{model.groups!r}"
        )
    distinct, group = np.unique(groups, return_inverse=True)
    return group.astype(np.uint32), len(distinct)


def _fields(moves: Moves) -> tuple[NDArray[np.uint32], int] | None:
    """Return the fields that all rows say, where they are more than one for each feature."""
    found = np.zeros(moves.rows.n_features, np.uint32)
    for rows in (moves.rows, *(relation.rows for relation in moves.rows.relations)):
        fields = rows.field_of_each()
        if rows.nnz and (fields is None or np.array_equal(fields, rows.indices)):
            return None
        if fields is not None:
            found[rows.indices] = fields
    return found, int(found.max(initial=0)) + 1


def _blocks(moves: Moves) -> tuple[NDArray[np.uint32], int]:
    """Return one-hot blocks of columns, where the rows are made of such, else one group; for each relation as well."""
    found, known = np.zeros((2, moves.rows.n_features), np.int64)
    total = 0
    parts = zip(moves.rows.relations, moves.together, strict=True)
    for rows, columns in ((moves.rows, moves.columns), *((r.rows, one.columns) for r, one in parts)):
        n = len(columns.colours) - 1 if rows.nnz == rows.n_rows * (len(columns.colours) - 1) else 1
        if columns.n_columns:
            found[columns.feature] = total + (columns.colour_of_each() if n > 1 else 0)
            known[columns.feature] = columns.feature
            total += n
    before = np.maximum.accumulate(known)  # a feature that no row has belongs to the one before it
    first = int(moves.features.min()) if len(moves.features) else 0
    before[:first] = first
    return found[before].astype(np.uint32), max(total, 1)


@dataclass(frozen=True, eq=False)
class Exact:
    """What the epoch loop calls: an epoch is a sweep over all features.

    ``beside`` are what else is kept of the best epoch; ``elbo`` gives the evidence lower bound, where there is one.
    ``snapshot`` and ``restore`` are those of ``kernels.machine.Resumable``, for all but the table and ``rng``.
    """

    visit: Visit
    orders: Callable[[], Iterator[NDArray[np.int64]]]
    valid_scores: Callable[[], NDArray[np.float64]]
    beside: Sequence[Any] = ()
    elbo: Callable[[], float] | None = None
    callbacks: Sequence[Callback | Callable[[Epoch, Any], bool]] = ()
    snapshot: Callable[[], tuple[dict[str, NDArray[Any]], dict[str, Any]]] | None = None
    restore: Callable[[dict[str, NDArray[Any]], dict[str, Any]], None] | None = None
    rng: np.random.Generator | None = None

    def with_bound(self, judge: Callable[[], Scores] | None) -> Callable[[], Scores] | None:
        """Return what validates: as ``judge`` does, and with the bound where there is one."""
        if self.elbo is None:
            return judge
        bound = self.elbo

        def both() -> Scores:
            return replace(Scores(None, None, 0.0) if judge is None else judge(), elbo=bound())

        return both

    def keep_in(self, resume: Resume) -> None:
        """Let checkpoints have the run. A sweep takes less time than writing e, q and all samples."""
        assert self.rng is not None  # "vb" has neither draws nor checkpoints
        resume.generators["exact"] = self.rng
        resume.states["exact"] = self
        resume.each_epoch = False


def exact_training(
    model: Any, data: list[Rows], valid: Any, table: Table, hyper: Hyper, plan: Plan, n_threads: int
) -> Exact:
    """Prepare a run on the one of ``data`` with its target; leaves what "mcmc" and "vb" believe in ``model``.

    Raises ``DataError`` for a feature that stands in a row twice, ``OptionError`` for more than two classes, or classes
    or levels whose weights are no whole numbers.
    """
    rows, link = (
        replace(data[0], n_features=table.n_features),
        model._link(),
    )  # those to go on with may have fewer
    level, count, positive = np.zeros(0, np.int64), None, None
    if link != "normal":
        if len(data) > 1:
            raise OptionError(
                f"solver={table.rule.name!r} learns two classes, but there are {len(data)}; take another solver, or "
                "one machine a class by sklearn.multiclass.OneVsRestClassifier"
            )
        target = rows.target
        assert target is not None
        if table.rule is VB:
            if rows.weight is not None:
                raise OptionError(
                    'solver="vb" has no sample_weight and no class_weight for classes; leave them out'
                )
            positive = target > 0
            rows = rows.with_target(np.where(positive, 1.0, -1.0))
        else:
            level, count = target.astype(np.int64), _counts(rows.weight)
            _check_levels(model.classes_, level, count)
            rows = latent_rows(rows, link, count)
    moves = Moves(rows, Columns.of(rows), table)
    if table.rule is VB:
        return _ascending(model, moves, positive, valid, n_threads)
    rng = model._numbers(f"exact {model._epochs_done()}")
    left, hidden = 0, None
    if table.rule is MCMC:
        left = _chain_of(model, moves, plan)
    if link != "normal":
        if link == "ordinal" and not len(model._chain.cuts):
            model._chain.cuts = start_cuts(level, len(model.classes_), count)
        hidden = latent(link, level, model._chain.cuts, count)
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
        loss = sample(moves, chain, rng, latent=hidden, n_threads=n_threads)
        chain.trace.add(chain.alpha, float(table.bias[0]), chain.prior, burn_in=done <= left)
        if done > left:
            chain.add(moves, rng)
        return loss

    def valid_scores() -> NDArray[np.float64]:
        nonlocal mean
        scores = fm.scores(valid[0], table, n_threads=n_threads)
        if table.rule is ALS:
            return scores.astype(np.float64)
        said = model._chain.said(scores)
        if done > left:
            said = mean = said if done == left + 1 else mean + (said - mean) / (done - left)
            model.eval_prediction_ = model._said(said)
        return np.asarray(model._chain.combined(said))

    def snapshot() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "e": moves.e,
            "q": moves.q,
            "mean": mean,
        }  # e and q have been rounded
        if hidden is not None:
            arrays["latent"] = _target_of(rows)
        chain = None
        if table.rule is MCMC:
            own, chain = model._chain.to_state()
            arrays |= {f"chain.{name}": array for name, array in own.items()}
        return arrays, {"done": done, "chain": chain}

    def restore(arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        nonlocal done, mean, hidden
        moves.e[:], moves.q[:] = arrays["e"], arrays["q"]
        mean, done = arrays["mean"].copy(), int(meta["done"])
        if hidden is not None:
            _target_of(rows)[:] = arrays["latent"]
        if len(mean):
            model.eval_prediction_ = model._said(mean)
        if table.rule is MCMC:
            model._chain = Chain.from_state(part(arrays, "chain."), meta["chain"])
            hidden = hidden and latent(link, level, model._chain.cuts, count)

    return Exact(visit, _no_order(rows), valid_scores, snapshot=snapshot, restore=restore, rng=rng)


def _no_order(rows: Rows) -> Callable[[], Iterator[NDArray[np.int64]]]:
    """Return what an epoch visits: sweeps look at all rows, in no order."""
    nothing = np.broadcast_to(np.int64(0), rows.n_rows)
    return lambda: iter([nothing])


def _ascending(model: Any, moves: Moves, positive: Any, valid: Any, n_threads: int) -> Exact:
    """Prepare a run of "vb"; leaves ``model._posterior``."""
    group, n_groups = feature_groups(model, moves)
    posterior = model._posterior
    if posterior is None:
        posterior = Posterior.start(moves.table, group, n_groups, probit=positive is not None)
    else:
        _same_groups(n_groups, len(posterior.mean), "posterior")
        posterior.group = group
    model._posterior = posterior
    field = MeanField(moves, posterior.variance)
    little = converged(0.0 if model.early_stopping else model.tol)
    done, bound = 0, 0.0

    def visit(order: NDArray[np.int64], hyper: Hyper) -> float:
        nonlocal done, bound
        done += 1
        if done % SETTLE == 0:
            field.settle(n_threads)
        loss, bound = ascend(field, posterior, positive=positive, n_threads=n_threads)
        return loss

    return Exact(
        visit,
        _no_order(moves.rows),
        lambda: posterior.scores(valid[0], moves.table, n_threads=n_threads),
        beside=[posterior],
        elbo=lambda: bound,
        callbacks=[lambda epoch, model: little(bound)],
    )


def relation_bytes(rows: Rows, n_factors: int) -> float:
    """Return the bytes, about, that "als" and "mcmc" take for relations: see ``kernels.gibbs.Together``."""
    width = min(padded_factors(n_factors), TOGETHER)
    each = [
        32.0 * one.rows.nnz + 4.0 * one.rows.n_rows * (width + 4) ** 2 + 16.0 * rows.n_rows
        for one in rows.relations
    ]
    return sum(each)


def _same_groups(n_groups: int, before: int, what: str) -> None:
    if n_groups != before:
        raise OptionError(
            f"groups: {n_groups}, but the {what} to go on with has {before}, which stay. Set groups back, or fit anew "
            "with warm_start=False."
        )


def _check_levels(classes: NDArray[Any], level: NDArray[np.int64], count: Any) -> None:
    """Raise ``LabelError`` for a class or level without rows: nothing says where its cut points are."""
    missing = np.bincount(level, count, len(classes)) == 0
    if missing.any():
        raise LabelError(
            f"{classes[missing][:1].tolist()[0]!r} has no row with a sample_weight above 0 among those trained on; "
            'solver="mcmc" needs rows of all classes and levels'
        )


def _target_of(rows: Rows) -> NDArray[np.float64]:
    assert rows.target is not None
    return rows.target


def describe_sweep(epoch: Epoch, model: Any) -> str:
    """One line about an iteration: errors in the unit of ``y``, and whether it counts."""
    line = describe(epoch)
    if model._link() == "normal":
        line = describe(epoch, "RMSE", lambda loss: float(np.sqrt(2 * loss)) * float(model._target[1]))
    chain: Chain | None = model._chain
    return line if chain is None else line.removesuffix("  best") + "  burn-in" * chain.trace.burn_in[-1]


def exact_bytes(model: Any, rule: Rule, n_rows: int, nnz: int, n_features: int) -> float:
    """Return the bytes, about, that a run takes at most beside its rows and the table.

    Turning the rows round takes up to 32 bytes a non-zero for a while. Then 4 to 8 of them stay, with e and q (and q
    once more when they are computed again), the samples, of which two are on their way, and the trace; of "vb" the
    variances, and what is known of every row.
    """
    k = int(model.n_factors)
    lasting = 8.0 * nnz + 8.0 * n_rows * (2 + padded_factors(k))
    if rule is MCMC:
        kept = min(model.keep_samples, max(model.max_iter - burn_in(model), 0)) + 2
        n_groups = np.unique(model.groups).size if isinstance(model.groups, (list, np.ndarray)) else 1
        lasting += (4.0 * kept * n_features + 16.0 * model.max_iter * n_groups) * (1 + k)
    total = max(32.0 * nnz, lasting)
    if rule is VB:
        total += 4.0 * (n_features * record_floats(k, VB) + n_rows * (1 + 3 * padded_factors(k)))
    return total


def _penalties(rows: Rows, table: Table, hyper: Hyper) -> Prior:
    precision = np.full((1, 1 + table.n_factors), hyper.l2_V)
    precision[:, 0] = hyper.l2_w
    return Prior(np.zeros(rows.n_features, np.uint32), precision, np.zeros_like(precision))


def _chain_of(model: Any, moves: Moves, plan: Plan) -> int:
    """Give ``model`` a chain, or go on with its own; return the iterations to come that are not counted."""
    group, n_groups = feature_groups(model, moves)
    chain = model._chain
    if chain is not None:
        _same_groups(n_groups, len(chain.prior.mean), "chain")
        if chain.link != model._link():
            raise OptionError(
                f"link={model._link()!r}, but the chain to go on with has {chain.link!r}, which stays. Set link "
                "back, or fit anew with warm_start=False."
            )
        chain.prior = Prior(group, chain.prior.precision, chain.prior.mean)
        chain.limit(model.keep_samples)
        return 0 if chain.drawn else burn_in(model)
    left = burn_in(model)
    every = -(-(plan.max_iter - left) // max(model.keep_samples, 1))
    model._chain = Chain.start(group, n_groups, moves.table.n_factors, model.keep_samples, every)
    model._chain.link = model._link()
    return left


def predictive(model: Any, rows: Rows, n_threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance (n_rows,) of a new target of each row, in the standardised unit."""
    posterior = model._posterior
    if posterior is not None:
        mean, variance = posterior.moments(expand(rows), model._machines[0], n_threads=n_threads)
        return mean, variance + 1 / posterior.alpha
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
        others = ' or "vb"' if name == "return_std" else ""
        raise OptionError(f'{name} needs samples: fit with solver="mcmc"{others}, beyond the burn-in')
    return chain  # type: ignore[no-any-return]
