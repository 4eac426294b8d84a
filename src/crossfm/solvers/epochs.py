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
from crossfm.solvers.schedule import rate

NONZEROS_A_CALL = 8_000_000  # the kernel comes back this often: for Ctrl-C and the progress bar

Visit = Callable[[NDArray[np.int64], Hyper], float]  # moves the tables over these rows, returns summed loss
Orders = Callable[[], Iterator[NDArray[np.int64]]]  # one epoch: which rows to visit, some at a time
Validate = Callable[[], "Scores"]


@dataclass(frozen=True)
class Scores:
    """How the machine does on the validation rows; ``merit`` is what early stopping makes large."""

    loss: float | None
    auc: float | None
    merit: float


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
) -> list[Epoch]:
    """Train ``tables`` in place (one a machine) and return one ``Epoch`` for each pass.

    ``orders`` says which rows ``visit`` gets, where they are not simply all ``n_rows`` of them, shuffled by ``rng``.
    Raises ``DivergenceError`` when the loss leaves the finite numbers. With ``plan.patience`` the tables end as
    they were after the best epoch, also when training is interrupted or diverges later.
    """
    callback = callback or Callback()
    epochs: list[Epoch] = []
    best: tuple[float, list[Table]] | None = None
    since_best = 0
    at_best = False  # whether the tables are still as they were after the best epoch
    each_epoch = orders or (lambda: calls(row_order(n_rows, rng, plan), nnz / max(n_rows, 1)))
    try:
        callback.on_start(n_rows, plan.max_iter)
        for number in range(first_epoch, first_epoch + plan.max_iter):
            eta = rate(plan.schedule, hyper.learning_rate, number - first_epoch, plan.max_iter)
            started = time.perf_counter()
            total, at_best = 0.0, False
            for part in each_epoch():
                total += visit(part, replace(hyper, learning_rate=eta))
                callback.on_rows(len(part))
            seconds = time.perf_counter() - started
            loss = total / total_weight if total_weight > 0 else 0.0
            _check_finite(loss, tables, number + 1, eta)
            scores = validate() if validate else Scores(None, None, 0.0)
            better = plan.patience is None or best is None or scores.merit > best[0] + plan.tol
            if plan.patience is not None and better:
                best, at_best = (scores.merit, _kept(tables, best)), True
            since_best = 0 if better else since_best + 1
            epochs.append(Epoch(number + 1, seconds, loss, eta, scores.loss, scores.auc, better))
            stop = callback.on_epoch(epochs[-1], model)
            if stop or (plan.patience is not None and since_best >= plan.patience):
                break
    finally:
        if best is not None and not at_best:
            for table, kept in zip(tables, best[1], strict=True):
                table.assign(kept)
        callback.on_end()
    return epochs


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
