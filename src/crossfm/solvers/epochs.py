"""The epoch loop that all stochastic solvers share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper
from crossfm.errors import DivergenceError
from crossfm.kernels.table import Table
from crossfm.solvers.callbacks import Callback, Epoch
from crossfm.solvers.resume import Loop, Resume
from crossfm.solvers.schedule import rate

NONZEROS_A_CALL = 8_000_000  # the kernel comes back this often: for Ctrl-C and the progress bar

Visit = Callable[[NDArray[np.int64], Hyper], float]  # moves the tables over these rows, returns summed loss
Orders = Callable[[], Iterator[NDArray[np.int64]]]  # one epoch: which rows to visit, some at a time
Validate = Callable[[], "Scores"]


@dataclass(frozen=True)
class Scores:
    """How the machine does on the validation rows; ``merit`` is what early stopping makes large.

    ``elbo`` is the evidence lower bound of "vb", which takes no validation rows.
    """

    loss: float | None
    auc: float | None
    merit: float
    elbo: float | None = None


@dataclass(frozen=True)
class Plan:
    """How long to train and when to stop.

    Attributes
    ----------
    max_iter : int
        Epochs at most.
    schedule : str
        See ``schedule.rate``.
    shuffle : bool
        Draw a new order of the rows every epoch.
    patience : int or None
        Stop after this many epochs without a better validation, and go back to the best; None: never.
    tol : float
        How much better counts as better.
    """

    max_iter: int
    schedule: str = "constant"
    shuffle: bool = True
    patience: int | None = None
    tol: float = 0.0


def run_epochs(
    tables: Sequence[Table],
    visit: Visit,
    n_rows: int,
    hyper: Hyper,
    plan: Plan,
    rng: np.random.Generator,
    *,
    total_weight: float,
    nnz: int,
    validate: Validate | None = None,
    callback: Callback | None = None,
    model: Any = None,
    first_epoch: int = 0,
    orders: Orders | None = None,
    resume: Resume | None = None,
) -> list[Epoch]:
    """Train ``tables`` in place (one a machine) and return one ``Epoch`` for each pass.

    ``orders`` says which rows ``visit`` gets, where they are not simply all ``n_rows`` of them, shuffled by ``rng``.
    ``resume`` keeps the state of the training in a file, and goes on from there. Raises ``DivergenceError`` when the
    loss leaves the finite numbers. With ``plan.patience`` the tables end as
    they were after the best epoch, also when training is interrupted or diverges later.
    """
    callback = callback or Callback()
    loop = Loop()
    each_epoch = orders or (lambda: calls(row_order(n_rows, rng, plan), nnz / max(n_rows, 1)))
    try:
        callback.on_start(n_rows, plan.max_iter)
        if resume is not None and resume.start(loop, tables, rng):
            callback.on_resume(loop.epochs, n_rows, model)
        stop = False
        while not (stop or _over(loop, plan)):
            number = first_epoch + len(loop.epochs) + 1
            eta = rate(plan.schedule, hyper.learning_rate, len(loop.epochs), plan.max_iter)
            if resume is not None:
                resume.epoch_begins()
            _visit_all(each_epoch(), visit, replace(hyper, learning_rate=eta), loop, tables, callback, resume)
            loss = loop.total / total_weight if total_weight > 0 else 0.0
            _check_finite(loss, tables, number, eta)
            scores = validate() if validate else Scores(None, None, 0.0)
            better = plan.patience is None or loop.best is None or scores.merit > loop.best[0] + plan.tol
            if plan.patience is not None and better:
                loop.best, loop.at_best = (scores.merit, _kept(tables, loop.best)), True
            loop.since_best = 0 if better else loop.since_best + 1
            loop.epochs.append(
                Epoch(number, loop.seconds, loss, eta, scores.loss, scores.auc, better, scores.elbo)
            )
            loop.parts, loop.total, loop.seconds = 0, 0.0, 0.0
            stop = bool(callback.on_epoch(loop.epochs[-1], model))
            if resume is not None and not (stop or _over(loop, plan)):
                resume.epoch_ends(loop, tables)
    except DivergenceError:
        if resume is not None:
            resume.remove()  # from there it would diverge again
        raise
    finally:
        if loop.best is not None and not loop.at_best:
            for table, kept in zip(tables, loop.best[1], strict=True):
                table.assign(kept)
        callback.on_end()
    return loop.epochs


def _over(loop: Loop, plan: Plan) -> bool:
    """Whether there is nothing left to do."""
    patient = plan.patience is None or loop.since_best < plan.patience
    return len(loop.epochs) >= plan.max_iter or not patient


def _visit_all(
    parts: Iterator[NDArray[np.int64]],
    visit: Visit,
    hyper: Hyper,
    loop: Loop,
    tables: Sequence[Table],
    callback: Callback,
    resume: Resume | None,
) -> None:
    """Visit the parts of an epoch that are not done yet, and count in ``loop``."""
    started, done = time.perf_counter() - loop.seconds, loop.parts
    for number, part in enumerate(parts, 1):
        if number > done:
            loop.at_best = False
            loop.total += visit(part, hyper)
            loop.parts, loop.seconds = number, time.perf_counter() - started
            if resume is not None:
                resume.keep_if_due(loop, tables)
        callback.on_rows(len(part))
    loop.seconds = time.perf_counter() - started


def row_order(n_rows: int, rng: np.random.Generator, plan: Plan) -> NDArray[np.int64]:
    """Return the order in which an epoch visits ``n_rows`` rows."""
    order = rng.permutation(n_rows) if plan.shuffle else np.arange(n_rows)
    return order.astype(np.int64, copy=False)


def calls(order: NDArray[np.int64], nonzeros_a_row: float) -> Iterator[NDArray[np.int64]]:
    """Part ``order`` into what the kernel visits in one call."""
    step = max(1, int(NONZEROS_A_CALL / max(nonzeros_a_row, 1e-9)))
    for start in range(0, len(order), step):
        yield order[start : start + step]


def _kept(tables: Sequence[Table], before: tuple[float, list[Table]] | None) -> list[Table]:
    """Return copies of ``tables``, in the memory of those kept before."""
    if before is None:
        return [table.copy() for table in tables]
    for table, kept in zip(tables, before[1], strict=True):
        kept.assign(table)
    return before[1]


def _check_finite(loss: float, tables: Sequence[Table], epoch: int, learning_rate: float) -> None:
    if np.isfinite(loss) and all(np.isfinite(table.bias).all() for table in tables):
        return
    raise DivergenceError(
        f"training diverged in epoch {epoch}: the mean loss is {loss}. Lower learning_rate "
        f"(now {learning_rate:g}), scale large feature values or raise l2_w and l2_V; "
        'solver="adagrad" is the least sensitive.'
    )
