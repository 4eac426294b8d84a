"""The training table: one record a feature, weights beside optimizer state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule
from crossfm.kernels.half import narrow, widen

LINE = 16  # floats in a cache line
TAIL = 4  # numbers that w and what it keeps take, where there are factors
SPARE = 1 << 16  # records behind a table for its threads; the system gives memory when they are first written
AT_ONCE = 1 << 12  # records started at once: what is computed for them stays in the cache


@dataclass(eq=False)
class Table:
    """Weights and optimizer state of a machine in training.

    A record is V[padded] | states of V | w | states of w | [accumulator of V] | [count]; ``padded`` is
    ``n_factors`` rounded up to 4 or a multiple of 8, and w takes ``TAIL`` numbers with all behind it. With
    ``rule.half`` V is in bfloat16, two in the place of a float.
    ``bias`` holds the bias and its states the same way as ``w``.
    """

    rule: Rule
    n_factors: int
    data: NDArray[np.float32]
    bias: NDArray[np.float32]
    penalty: NDArray[np.float32] | None = (
        None  # of "sgda": lambda of w and of each factor (n_groups, 1 + padded)
    )
    room: NDArray[np.float32] | None = None  # what ``data`` is the first part of, once it has grown
    visited: int = 0  # rows it has learnt from

    def __getstate__(self) -> dict[str, Any]:
        """Leave the spare room behind: of a copy of both, ``data`` would not be the first part."""
        return self.__dict__ | {"room": None}

    @property
    def rank(self) -> int:
        """``n_factors`` as users give it."""
        return self.n_factors

    @property
    def padded(self) -> int:
        """Factors in a record, with padding."""
        return padded_factors(self.n_factors)

    @property
    def w_at(self) -> int:
        """Where ``w`` stands in a record."""
        return w_at(self.n_factors, self.rule)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.data)

    @property
    def w(self) -> NDArray[np.float32]:
        """View of the linear weights (n_features,)."""
        return self.data[:, self.w_at]

    @property
    def V(self) -> NDArray[np.float32]:
        """The factors (n_features, n_factors): a view, or a copy where they are bfloat16."""
        return self._as_floats(self.stored_V)

    @property
    def stored_V(self) -> NDArray[Any]:
        """View of the factors (n_features, n_factors) as they are kept: float32, or bfloat16 as uint16."""
        return self._stored(self.data)

    def _stored(self, records: NDArray[np.float32]) -> NDArray[Any]:
        return (records.view(np.uint16) if self.rule.half else records)[:, : self.n_factors]

    def set_V(self, at: Any, V: NDArray[np.float32]) -> None:
        """Set the factors of the features ``at``."""
        self.stored_V[at] = self._as_stored(V)

    def _as_stored(self, V: NDArray[np.float32]) -> NDArray[Any]:
        return narrow(V) if self.rule.half else V

    def _as_floats(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        return widen(stored) if self.rule.half else stored

    def state_of_V(self, number: int) -> NDArray[np.float32]:
        """View of a state of the factors (n_features, n_factors); numbers count from 0."""
        return self.data[:, self._state_at(number)]

    def _state_at(self, number: int) -> slice:
        at = factor_floats(self.n_factors, self.rule) + number * self.padded
        return slice(at, at + self.n_factors)

    @classmethod
    def start(cls, params: FMParams, rule: Rule, hyper: Hyper) -> Table:
        """Lay out ``params`` with fresh optimizer state."""
        values = ((params.V[part], params.w[part]) for part in parts(params.n_features))
        return cls._laid_out(params.n_features, params.n_factors, params.bias, values, rule, hyper)

    @classmethod
    def drawn(
        cls,
        n_features: int,
        n_factors: int,
        rng: np.random.Generator,
        rule: Rule,
        hyper: Hyper,
        *,
        scale: float,
        bias: float,
    ) -> Table:
        """Lay out ``FMParams.start``, which is never there as a whole: it would take memory beside the table."""
        starts = (
            FMParams.start(part.stop - part.start, n_factors, rng, scale=scale) for part in parts(n_features)
        )
        values = ((start.V, start.w) for start in starts)
        return cls._laid_out(n_features, n_factors, bias, values, rule, hyper)

    @classmethod
    def _laid_out(
        cls,
        n_features: int,
        n_factors: int,
        bias: float,
        values: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
        rule: Rule,
        hyper: Hyper,
    ) -> Table:
        """Lay out ``V`` and ``w``, which come part by part."""
        room = aligned_zeros(n_features + SPARE, record_floats(n_factors, rule))
        table = cls(rule, n_factors, room[:n_features], np.zeros(4, np.float32), room=room)
        table.bias[0] = bias
        table._start_bias(hyper)
        for part, (V, w) in zip(parts(n_features), values, strict=True):
            table.set_V(part, V)
            table.w[part] = w
            table._start_states(part, hyper)
        return table

    def _start_accumulators(self, records: NDArray[np.float32], hyper: Hyper) -> None:
        at = self.w_at + 1
        if self.rule.name.startswith("adagrad"):
            records[:, factor_floats(self.n_factors, self.rule) : self.w_at] = hyper.initial_accumulator
            records[:, at : at + 1 + self.rule.row_wise] = hyper.initial_accumulator

    def _start_states(self, part: slice, hyper: Hyper) -> None:
        self._start_accumulators(self.data[part], hyper)
        if self.rule.name == "ftrl":  # z such that the closed form gives the start values back
            V = self._as_floats(self.stored_V[part])
            self.state_of_V(0)[part] = ftrl_z(V, hyper.l1_V, hyper.l2_V, hyper)
            self.data[part, self.w_at + 1] = ftrl_z(self.w[part], hyper.l1_w, hyper.l2_w, hyper)

    def _start_bias(self, hyper: Hyper) -> None:
        if self.rule.name.startswith("adagrad"):
            self.bias[1] = hyper.initial_accumulator
        elif self.rule.name == "ftrl":
            self.bias[1] = ftrl_z(self.bias[0], 0.0, 0.0, hyper)

    def grow(self, n_features: int, hyper: Hyper) -> None:
        """Add records with w = 0, V = 0 and fresh state up to ``n_features``; those there are stay bit for bit.

        Memory at least doubles when it is used up, so growing a feature at a time copies a record about once.
        """
        old, stride = self.data.shape
        if n_features <= old:
            return
        room = self.data if self.room is None else self.room
        if n_features > len(room):
            room = aligned_zeros(max(n_features, 2 * old), stride)
            room[:old] = self.data
        self.room, self.data = room, room[:n_features]
        self._start_accumulators(self.data[old:], hyper)

    def spare(self, n: int) -> NDArray[np.float32]:
        """Return ``n`` empty records right behind those of the table, which may move for it."""
        old, stride = self.data.shape
        if self.room is None or len(self.room) < old + n:
            room = aligned_zeros(old + n, stride)
            room[:old] = self.data
            self.room, self.data = room, room[:old]
        return self.room[old : old + n]

    def asleep(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark (n_ids,) features whose ``V`` is 0 and was never moved: from there it would not learn a pair."""
        still = ~self.stored_V[ids].any(axis=1)
        if self.rule.name == "ftrl":  # a V that was moved may be 0 by L1: n says
            still &= ~self.state_of_V(1)[ids].any(axis=1)
        return np.asarray(still)

    def assign(self, other: Table) -> None:
        """Take over weights and state of a table of the same shape."""
        self.data[:] = other.data
        self.bias[:] = other.bias
        self.penalty = None if other.penalty is None else other.penalty.copy()

    def start_at(self, params: FMParams, hyper: Hyper) -> None:
        """Start a fresh table at the weights, vectors and bias of a second-order machine of the same features."""
        self.start_w(params.w, hyper)
        self.start_V(np.arange(params.n_features), params.V, hyper)
        self.bias[0] = params.bias
        if self.rule.name == "ftrl":
            self.bias[1] = ftrl_z(np.float32(params.bias), 0.0, 0.0, hyper)

    def start_w(self, w: NDArray[np.float32], hyper: Hyper) -> None:
        """Start the linear weights of a fresh table at ``w`` (n_features,)."""
        self.w[:] = w
        if self.rule.name == "ftrl":
            self.data[:, self.w_at + 1] = ftrl_z(w, hyper.l1_w, hyper.l2_w, hyper)

    def start_V(self, ids: NDArray[np.int64], V: NDArray[np.float32], hyper: Hyper) -> None:
        """Start the factors of features ``ids`` at ``V`` (n_ids, n_factors); other state stays."""
        z_at, n_at = (self._state_at(number) for number in (0, 1))
        for part in parts(len(ids)):
            records = self.data[ids[part]]
            stored = self._as_stored(V[part])
            self._stored(records)[:] = stored
            if self.rule.name == "ftrl":
                start = self._as_floats(stored)
                records[:, z_at] = ftrl_z(start, hyper.l1_V, hyper.l2_V, hyper, records[:, n_at])
            self.data[ids[part]] = records

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the optimizer's numbers: of the features (n_features, n_numbers), and of the bias (3,)."""
        return np.concatenate([self.data[:, part] for part in self._state_parts()], axis=1), self.bias[
            1:
        ].copy()

    def set_state(self, state: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take back what ``state`` returned; raises ``ValueError`` when it does not fit."""
        parts = self._state_parts()
        widths = [part.stop - part.start for part in parts]
        if state.shape != (len(self.data), sum(widths)) or bias.shape != (3,):
            raise ValueError(f"an optimizer state of shape {state.shape} does not fit {self.rule.name}")
        for part, own in zip(parts, np.split(state, np.cumsum(widths)[:-1], axis=1), strict=True):
            self.data[:, part] = own
        self.bias[1:] = bias

    def _state_parts(self) -> list[slice]:
        """Return where the state stands in a record, without padding."""
        start = factor_floats(self.n_factors, self.rule)
        more = range(start, self.w_at, self.padded) if self.padded else range(0)
        after = self.w_at + 1 + self.rule.states + self.rule.row_wise + self.rule.counts
        return [*(slice(at, at + self.n_factors) for at in more), slice(self.w_at + 1, after)]

    def params(self) -> FMParams:
        """Copy the parameters out."""
        return FMParams(float(self.bias[0]), self.w.copy(), np.array(self.V))

    def copy(self) -> Table:
        """Copy weights and state."""
        data = aligned_zeros(*self.data.shape)
        data[:] = self.data
        penalty = None if self.penalty is None else self.penalty.copy()
        return Table(self.rule, self.n_factors, data, self.bias.copy(), penalty)


def parts(n: int) -> Iterator[slice]:
    """Part ``n`` things into what is worked on at once."""
    return (slice(start, min(start + AT_ONCE, n)) for start in range(0, n, AT_ONCE))


def ftrl_z(value: Any, l1: float, l2: float, hyper: Hyper, n: Any = 0.0) -> Any:
    """Invert FTRL's closed form at ``n``: the z under which the weight is ``value``."""
    return -(value * ((hyper.ftrl_beta + np.sqrt(n)) / hyper.learning_rate + l2) + np.sign(value) * l1)


def padded_factors(n_factors: int) -> int:
    """Round up to whole vectors: of 8, or one of 4."""
    if 0 < n_factors <= 4:
        return 4
    return -(-n_factors // 8) * 8


def factor_floats(n_factors: int, rule: Rule) -> int:
    """Floats that the factors of a record take."""
    return padded_factors(n_factors) // (2 if rule.half else 1)


def w_at(n_factors: int, rule: Rule) -> int:
    """Where w stands in a record of the second-order machine."""
    states = 0 if rule.row_wise else rule.states
    return factor_floats(n_factors, rule) + states * padded_factors(n_factors)


def record_floats(n_factors: int, rule: Rule) -> int:
    """Floats of a record of the second-order machine."""
    return record_stride(
        w_at(n_factors, rule) + (TAIL if n_factors else 1 + rule.states + rule.row_wise + rule.counts)
    )


def record_stride(used: int) -> int:
    """Floats from record to record: whole half-lines, or a small power of two for linear models."""
    if used <= 8:
        return 1 << (used - 1).bit_length()
    return -(-used // 8) * 8


def aligned_zeros(n_rows: int, n_columns: int) -> NDArray[np.float32]:
    """Zeros (n_rows, n_columns), float32, C-contiguous, starting at a cache line."""
    size = n_rows * n_columns
    raw = np.zeros(size + LINE, np.float32)
    skip = (-raw.ctypes.data % (4 * LINE)) // 4
    return raw[skip : skip + size].reshape(n_rows, n_columns)
