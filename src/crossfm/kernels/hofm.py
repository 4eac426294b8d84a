"""Third-order machine by the ANOVA kernel; see cpp/hofm.hpp. Its verbs are those of ``machine.Machine``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams, HOFMParams
from crossfm.core.rules import Rule, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels import fm, passes
from crossfm.kernels.fields import longest_row
from crossfm.kernels.machine import Data
from crossfm.kernels.table import Table

FIELDS = False
forget_unseen = fm.forget_unseen


@dataclass(eq=False)
class HOFMTable(Table):
    """A second-order table of twice as many factors: ``rank`` of degree 2, then as many of degree 3."""

    @property
    def rank(self) -> int:
        """Factors of each degree."""
        return self.n_factors // 2

    def params(self) -> Any:
        """Copy the parameters out."""
        k = self.rank
        return HOFMParams(float(self.bias[0]), self.w.copy(), self.V[:, :k].copy(), self.V[:, k:].copy())

    def copy(self) -> HOFMTable:
        """Copy weights and state."""
        return HOFMTable(**vars(super().copy()))


def start(
    rows: Data,
    n_factors: int,
    rng: np.random.Generator,
    rule: Rule,
    hyper: Hyper,
    *,
    scale: float,
    bias: float,
) -> HOFMTable:
    """Return a table for a fresh start."""
    plain = Table.drawn(rows.n_features, 2 * n_factors, rng, rule, hyper, scale=scale, bias=bias)
    return HOFMTable(**vars(plain))


def table(params: HOFMParams, rule: Rule, hyper: Hyper) -> HOFMTable:
    """Return a table that starts at ``params``."""
    plain = FMParams(params.bias, params.w, np.concatenate([params.V, params.V3], axis=1))
    return HOFMTable(**vars(Table.start(plain, rule, hyper)))


def from_arrays(arrays: dict[str, NDArray[Any]]) -> HOFMTable:
    """Return what ``HOFMParams.to_arrays`` wrote, as a table without optimizer state."""
    return table(HOFMParams.from_arrays(arrays), find_rule("sgd"), Hyper(learning_rate=1.0))


def table_bytes(rows: Data, n_factors: int, rule: Rule) -> int:
    """Return the bytes that the table of ``start`` will take."""
    return fm.table_bytes(rows, 2 * n_factors, rule)


def wake(table: HOFMTable, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float) -> HOFMTable:
    """Give features of ``rows`` whose vectors are all zero new start values."""
    fm.wake(table, rows, rng, hyper, scale=scale)
    return table


def train_pass(
    rows: Rows,
    order: NDArray[np.int64],
    table: HOFMTable,
    loss: Loss,
    hyper: Hyper,
    *,
    n_threads: int = 1,
    deterministic: bool = False,
) -> float:
    """Visit the rows in ``order``, moving ``table``; return the sum of the losses before each update."""
    return passes.run_pass(
        passes.HOFM, _parts(table, rows), rows, order, table, loss, hyper, table.n_factors,
        n_threads=n_threads, deterministic=deterministic,
    )  # fmt: skip


def scores(rows: Rows, machine: HOFMTable, *, n_threads: int = 1) -> NDArray[np.float32]:
    """Return raw scores (n_rows,), float32."""
    return passes.run_scores(passes.HOFM, _parts(machine, rows), rows, float(machine.bias[0]), n_threads)


def _parts(table: HOFMTable, rows: Rows) -> tuple[Any, ...]:
    return table.data, table.padded, table.w_at, None, table.rank, 0, longest_row(rows)
