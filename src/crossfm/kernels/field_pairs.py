"""Machines with a weight (FwFM) or a matrix (FmFM) for each pair of fields; see cpp/fwfm.hpp."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.field_params import FieldPairParams, pair_count, pair_number
from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels import fm, passes
from crossfm.kernels.fields import check_fields, count_fields, longest_row
from crossfm.kernels.machine import Data
from crossfm.kernels.table import Table, aligned_zeros, ftrl_z, padded_factors

HEAD = 8  # floats behind a matrix and its states


@dataclass(eq=False)
class PairTable(Table):
    """A second-order table with a record for each pair of fields: [r, states, count], or M | states of M | head.

    ``pairs`` is float32 (n_pairs, length); a matrix takes ``padded`` x ``padded`` floats.
    """

    n_fields: int = 0
    matrices: bool = False
    pairs: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def pair_values(self, state: int = 0) -> NDArray[np.float32]:
        """View of the weights (n_pairs,) or matrices (n_pairs, n_factors, n_factors), or of their states 1, 2."""
        if not self.matrices:
            return self.pairs[:, state]
        size, n = self.padded**2, self.n_factors
        flat = self.pairs[:, state * size : (state + 1) * size]
        return flat.reshape(len(flat), self.padded, self.padded)[:, :n, :n]

    @classmethod
    def start_pairs(cls, params: FieldPairParams, rule: Rule, hyper: Hyper) -> PairTable:
        """Lay out ``params`` with fresh optimizer state."""
        base = Table.start(FMParams(params.bias, params.w, params.V), rule, hyper)
        matrices = params.pairs.ndim == 3
        length = pair_floats(params.n_factors, rule, matrices=matrices)
        pairs = aligned_zeros(len(params.pairs), length)
        table = cls(**vars(base), n_fields=params.n_fields, matrices=matrices, pairs=pairs)
        table.pair_values()[:] = params.pairs
        if rule.name.startswith("adagrad"):
            pairs[:, (table.padded**2 if matrices else 1) :] = hyper.initial_accumulator
        elif rule.name == "ftrl":
            table.pair_values(1)[:] = ftrl_z(params.pairs, 0.0, 0.0, hyper)
        return table

    def assign(self, other: Any) -> None:
        """Take over weights and state of a table of the same shape."""
        super().assign(other)
        self.pairs[:] = other.pairs

    def copy(self) -> PairTable:
        """Copy weights and state."""
        base = super().copy()
        pairs = aligned_zeros(*self.pairs.shape)
        pairs[:] = self.pairs
        return PairTable(**vars(base), n_fields=self.n_fields, matrices=self.matrices, pairs=pairs)

    def params(self) -> Any:
        """Copy the parameters out."""
        return FieldPairParams(
            float(self.bias[0]), self.w.copy(), self.V.copy(), self.n_fields, self.pair_values().copy()
        )

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the optimizer's numbers: of features, then of pairs of fields, and of the bias (3,)."""
        own, bias = super().state()
        return np.concatenate([own.ravel(), self._pair_state().ravel()]), bias

    def set_state(self, state: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take back what ``state`` returned; raises ``ValueError`` when it does not fit."""
        shape, pair_state = super().state()[0].shape, self._pair_state()
        n = int(np.prod(shape))
        state = self._with_own_padding(state, n)
        if state.shape != (n + pair_state.size,):
            raise ValueError(f"an optimizer state of shape {state.shape} does not fit {self.rule.name}")
        super().set_state(state[:n].reshape(shape), bias)
        pair_state[:] = state[n:].reshape(pair_state.shape)

    def _pair_state(self) -> NDArray[np.float32]:
        return self.pairs[:, self.padded**2 if self.matrices else 1 :]

    def _with_own_padding(self, state: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Return a state whose matrices, behind ``n`` other numbers, are of the size that they have here.

        Files have them with padding; those of up to 4 factors once had it up to 8.
        """
        n_pairs, states = len(self.pairs), 0 if self.rule.row_wise else self.rule.states
        size, old = self.padded, 8
        length = states * old**2 + HEAD
        if not self.matrices or size >= old or state.shape != (n + n_pairs * length,):
            return state
        wide = state[n:].reshape(n_pairs, length)
        matrices = wide[:, :-HEAD].reshape(n_pairs, states, old, old)[:, :, :size, :size]
        own = np.concatenate([matrices.reshape(n_pairs, states * size**2), wide[:, -HEAD:]], axis=1)
        return np.concatenate([state[:n], own.ravel()])

    def with_fields(self, n_fields: int, hyper: Hyper) -> PairTable:
        """Return the table with room for more fields; pairs that are there stay bit for bit."""
        if n_fields <= self.n_fields:
            return self
        fresh = FieldPairParams(
            0.0, self.w[:0], self.V[:0], n_fields, neutral(n_fields, self.n_factors, matrices=self.matrices)
        )
        wider = PairTable.start_pairs(fresh, self.rule, hyper)
        a, b = np.triu_indices(self.n_fields, 1)
        wider.pairs[pair_number(a, b, n_fields)] = self.pairs
        wider.data, wider.room, wider.bias = self.data, self.room, self.bias
        return wider


def pair_floats(n_factors: int, rule: Rule, *, matrices: bool) -> int:
    """Floats of the record of a pair of fields."""
    if not matrices:
        return 4
    return padded_factors(n_factors) ** 2 * (1 if rule.row_wise else 1 + rule.states) + HEAD


def neutral(n_fields: int, n_factors: int, *, matrices: bool) -> NDArray[np.float32]:
    """Return the weights or matrices under which the machine is the second-order one: ones, or identities."""
    n = pair_count(n_fields)
    return np.tile(np.eye(n_factors, dtype=np.float32), (n, 1, 1)) if matrices else np.ones(n, np.float32)


class FieldPairMachine:
    """FwFM or FmFM, as ``machine.Machine`` says; they start as the second-order machine."""

    FIELDS = True

    def __init__(self, code: int, *, matrices: bool) -> None:
        self._code, self._matrices = code, matrices

    def start(
        self,
        rows: Data,
        n_factors: int,
        rng: np.random.Generator,
        rule: Rule,
        hyper: Hyper,
        *,
        scale: float,
        bias: float,
    ) -> PairTable:
        """Return a table for a fresh start; pairs of fields start neutral."""
        plain = FMParams.start(rows.n_features, n_factors, rng, scale=scale, bias=bias)
        n_fields = count_fields(rows)
        pairs = neutral(n_fields, n_factors, matrices=self._matrices)
        return self.table(FieldPairParams(plain.bias, plain.w, plain.V, n_fields, pairs), rule, hyper)

    def table(self, params: FieldPairParams, rule: Rule, hyper: Hyper) -> PairTable:
        """Return a table that starts at ``params``."""
        return PairTable.start_pairs(params, rule, hyper)

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> PairTable:
        """Return what ``FieldPairParams.to_arrays`` wrote, as a table without optimizer state."""
        params = FieldPairParams.from_arrays(arrays, matrices=self._matrices)
        return self.table(params, find_rule("sgd"), Hyper(learning_rate=1.0))

    def table_bytes(self, rows: Data, n_factors: int, rule: Rule) -> int:
        """Return the bytes that the table of ``start`` will take."""
        pairs = pair_count(count_fields(rows)) * pair_floats(n_factors, rule, matrices=self._matrices)
        return fm.table_bytes(rows, n_factors, rule) + 4 * pairs

    def forget_unseen(self, table: PairTable, rows: Data, hyper: Hyper) -> None:
        """Zero ``V`` of features that no row has."""
        fm.forget_unseen(table, rows, hyper)

    def wake(
        self, table: PairTable, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float
    ) -> PairTable:
        """Give new features start values, and new fields neutral pairs."""
        fm.wake(table, rows, rng, hyper, scale=scale)
        return table.with_fields(count_fields(rows), hyper)

    def train_pass(
        self,
        rows: Rows,
        order: NDArray[np.int64],
        table: PairTable,
        loss: Loss,
        hyper: Hyper,
        *,
        n_threads: int = 1,
        deterministic: bool = False,
    ) -> float:
        """Visit the rows in ``order``, moving ``table``; return the sum of the losses before each update."""
        return passes.run_pass(
            self._code, self._parts(table, rows), rows, order, table, loss, hyper, table.n_factors,
            n_threads=n_threads, deterministic=deterministic,
        )  # fmt: skip

    def scores(self, rows: Rows, machine: PairTable, *, n_threads: int = 1) -> NDArray[np.float32]:
        """Return raw scores (n_rows,), float32."""
        return passes.run_scores(
            self._code, self._parts(machine, rows), rows, float(machine.bias[0]), n_threads
        )

    def _parts(self, table: PairTable, rows: Rows) -> tuple[Any, ...]:
        check_fields(rows, table.n_fields)
        pairs = table.pairs if len(table.pairs) else None
        return (
            table.data, table.padded, table.w_at, pairs, table.n_factors, table.n_fields, longest_row(rows),
        )  # fmt: skip


FWFM = FieldPairMachine(passes.FWFM, matrices=False)
FMFM = FieldPairMachine(passes.FMFM, matrices=True)
