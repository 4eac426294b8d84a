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
) -> list[Epoch]:
    """Train ``tables`` in place (one a machine) and return one ``Epoch`` for each pass.

    Raises ``DivergenceError`` when the loss leaves the finite numbers. With ``plan.patience`` the tables end as
    they were after the best epoch, also when training is interrupted or diverges later.
    """
    callback = callback or Callback()
    epochs: list[Epoch] = []
    best: tuple[float, list[Table]] | None = None
    since_best = 0
    at_best = False  # whether the tables are still as they were after the best epoch
    step = max(1, int(NONZEROS_A_CALL * n_rows / max(nnz, 1)))
    try:
        callback.on_start(n_rows, plan.max_iter)
        for number in range(first_epoch, first_epoch + plan.max_iter):
            eta = rate(plan.schedule, hyper.learning_rate, number - first_epoch, plan.max_iter)
            started = time.perf_counter()
            order = rng.permutation(n_rows) if plan.shuffle else np.arange(n_rows)
            total, at_best = 0.0, False
            for part in _parts(order.astype(np.int64, copy=False), step):
                total += visit(part, replace(hyper, learning_rate=eta))
                callback.on_rows(len(part))
            seconds = time.perf_counter() - started
            loss = total / total_weight if total_weight > 0 else 0.0
            _check_finite(loss, tables, number + 1, eta)
            scores = validate() if validate else Scores(None, None, 0.0)
            better = plan.patience is None or best is None or scores.merit > best[0] + plan.tol
            if plan.patience is not None and better:
                best, at_best = (scores.merit, [table.copy() for table in tables]), True
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


def _parts(order: NDArray[np.int64], step: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), step):
        yield order[start : start + step]


def _check_finite(loss: float, tables: Sequence[Table], epoch: int, learning_rate: float) -> None:
    if np.isfinite(loss) and all(np.isfinite(table.bias).all() for table in tables):
        return
    raise DivergenceError(
        f"training diverged in epoch {epoch}: the mean loss is {loss}. Lower learning_rate "
        f"(now {learning_rate:g}), scale large feature values or raise l2_w and l2_V; "
        'solver="adagrad" is the least sensitive.'
    )
