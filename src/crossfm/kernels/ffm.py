"""Field-aware machine: its training table, passes and scores. Callers check ids, fields and options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.field_params import FFMParams, FieldBlock
from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels import passes
from crossfm.kernels.fields import Meetings, check_fields, count_fields, longest_row, often_repeats
from crossfm.kernels.half import narrow, widen
from crossfm.kernels.machine import Data
from crossfm.kernels.table import LINE, aligned_zeros, ftrl_z

FIELDS = True
HEAD = 4  # floats of w, its states and extra
NO_RECORD = 0xFFFFFFFF
FEATURE_BYTES = 20  # of each feature, seen or not: where its record is, w, and what is known of it at first


@dataclass(eq=False)
class Kind:
    """Records of features that meet the same fields: V | w, states, extra | states of V (cpp/kernels.hpp).

    Attributes
    ----------
    fields, meets
        As in ``FieldBlock``.
    ids : int64 (n_block,)
        The features, frequent ones first: these then share pages of memory.
    data : float32 (n_block, length)
    """

    fields: NDArray[np.int64]
    meets: NDArray[np.int64]
    ids: NDArray[np.int64]
    data: NDArray[np.float32]


@dataclass(eq=False)
class FFMTable:
    """Weights and optimizer state of a field-aware machine in training (cpp/kernels.hpp: FieldLayout).

    ``bias`` holds the bias and its states. Vectors take ``vector`` weights, ``n_factors`` rounded up to a multiple
    of 4.
    With ``rule.half`` two weights stand in the place of a float. ``repeats`` says that its rows often have a feature in
    two fields: the fast way would then lose one of its two moves.
    """

    rule: Rule
    n_factors: int
    n_fields: int
    uniform: bool  # every record has a vector for every field: the fast way needs it
    kinds: list[Kind]
    bias: NDArray[np.float32]
    places: NDArray[np.uint32]  # ``where``, and room behind it for the copies of threads
    visited: int = 0  # rows it has learnt from
    repeats: bool = False

    @property
    def where(self) -> NDArray[np.uint32]:
        """View of (n_features, 2): the number of each feature's record in its kind, and the kind."""
        return self.places[: -_kernels.HOT_PLACES]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.where)

    @property
    def rank(self) -> int:
        """Length of a vector."""
        return self.n_factors

    @property
    def vector(self) -> int:
        """Weights of one vector."""
        return vector_floats(self.n_factors)

    def V_of(self, kind: Kind) -> NDArray[np.float32]:
        """Return the vectors (n_block, n_slots, n_factors) of a kind: a view, or a copy where they are bfloat16."""
        stored = self._stored_V(kind)
        return widen(stored) if self.rule.half else stored

    def set_V(self, kind: Kind, at: Any, V: NDArray[np.float32]) -> None:
        """Set the vectors of a kind at ``at``, an index of (n_block, n_slots)."""
        self._stored_V(kind)[at] = narrow(V) if self.rule.half else V

    def _stored_V(self, kind: Kind) -> NDArray[Any]:
        """View of the vectors as they are kept: float32, or bfloat16 as uint16."""
        return self._vectors(kind, kind.data.view(np.uint16) if self.rule.half else kind.data)

    def states_of(self, kind: Kind, number: int) -> NDArray[np.float32]:
        """View of a state (n_block, n_slots, n_factors) of the vectors of a kind; numbers count from 0."""
        at = self._states_at(kind) + number * state_floats(self.slots_of(kind), self.n_factors, self.rule)
        return self._vectors(kind, kind.data[:, at:])

    def _vectors(self, kind: Kind, numbers: NDArray[Any]) -> NDArray[Any]:
        """View numbers that begin with the vectors of a kind as (n_block, n_slots, n_factors)."""
        shape = len(kind.data), self.slots_of(kind), self.vector
        return numbers[:, : shape[1] * shape[2]].reshape(shape)[:, :, : self.n_factors]

    def slots_of(self, kind: Kind) -> int:
        """Vectors in a record of a kind."""
        return self.n_fields if self.uniform else len(kind.meets)

    def places_of(self, kind: Kind) -> NDArray[np.int64]:
        """Which of these vectors are for the fields that the kind meets."""
        return kind.meets if self.uniform else np.arange(len(kind.meets))

    def head_of(self, kind: Kind) -> NDArray[np.float32]:
        """View of w, its states and extra (n_block, HEAD) of a kind."""
        at = head_at(self.slots_of(kind), self.n_factors, self.rule)
        return kind.data[:, at : at + HEAD]

    @property
    def nbytes(self) -> int:
        """Bytes of all records."""
        return sum(kind.data.nbytes for kind in self.kinds)

    @classmethod
    def start(
        cls, params: FFMParams, rule: Rule, hyper: Hyper, seen: NDArray[np.uint32] | None = None
    ) -> FFMTable:
        """Lay out ``params`` with fresh optimizer state; ``seen`` (n_features,) says how often features occur."""
        kinds = []
        places = no_places(params.n_features)
        uniform = is_uniform([(len(b.ids), len(b.meets)) for b in params.blocks], params.n_fields)
        for number, block in enumerate(params.blocks):
            slots = params.n_fields if uniform else len(block.meets)
            length = record_floats(slots, params.n_factors, rule)
            ids = block.ids
            if seen is not None:
                ids = ids[np.argsort(seen[ids].max(initial=0) - seen[ids], kind="stable")]
            kinds.append(Kind(block.fields, block.meets, ids, aligned_zeros(len(ids), length)))
            places[ids, 0] = np.arange(len(ids))
            places[ids, 1] = number
        table = cls(rule, params.n_factors, params.n_fields, uniform, kinds, np.zeros(4, np.float32), places)
        table.bias[0] = params.bias
        for kind, block in zip(kinds, params.blocks, strict=True):
            at = places[block.ids, 0].astype(np.int64)[:, None]
            table.set_V(kind, (at, table.places_of(kind)[None, :]), block.V)
            table.head_of(kind)[:, 0] = params.w[kind.ids]
        table._start_states(hyper)
        return table

    def start_at(self, params: FMParams, hyper: Hyper) -> None:
        """Start a fresh table at a second-order machine of the same features: one vector, whatever field it meets.

        The score starts as the FM's own; features that this table has no record of are left out.
        """
        self.bias[0] = params.bias
        for kind in self.kinds:
            at = self.where[kind.ids, 0].astype(np.int64)
            V = np.repeat(params.V[kind.ids][:, None, :], len(kind.meets), axis=1)
            self.set_V(kind, (at[:, None], self.places_of(kind)[None, :]), V)
            self.head_of(kind)[at, 0] = params.w[kind.ids]
        self._start_states(hyper)

    def _start_states(self, hyper: Hyper) -> None:
        if self.rule.name.startswith("adagrad"):
            self.bias[1] = hyper.initial_accumulator
        elif self.rule.name == "ftrl":
            self.bias[1] = ftrl_z(self.bias[0], 0.0, 0.0, hyper)
        for kind in self.kinds:
            head = self.head_of(kind)
            if self.rule.name.startswith("adagrad"):
                head[:, 1 : 2 + self.rule.row_wise] = hyper.initial_accumulator
                if not self.rule.row_wise:  # the padding too: 1 / sqrt of it is taken
                    kind.data[:, self._states_at(kind) :] = hyper.initial_accumulator
            elif self.rule.name == "ftrl":
                head[:, 1] = ftrl_z(head[:, 0], hyper.l1_w, hyper.l2_w, hyper)
                self.states_of(kind, 0)[:] = ftrl_z(self.V_of(kind), hyper.l1_V, hyper.l2_V, hyper)

    def assign(self, other: FFMTable) -> None:
        """Take over weights and state of a table of the same shape."""
        self.bias[:] = other.bias
        for mine, theirs in zip(self.kinds, other.kinds, strict=True):
            mine.data[:] = theirs.data

    def copy(self) -> FFMTable:
        """Copy weights and state."""
        kinds = []
        for kind in self.kinds:
            data = aligned_zeros(*kind.data.shape)
            data[:] = kind.data
            kinds.append(replace(kind, data=data))
        return replace(self, kinds=kinds, bias=self.bias.copy())

    def params(self) -> FFMParams:
        """Copy the parameters out."""
        w = np.zeros(self.n_features, np.float32)
        blocks = []
        for kind in self.kinds:
            w[kind.ids] = self.head_of(kind)[:, 0]
            by_id = np.argsort(kind.ids)
            V = self.V_of(kind)[by_id[:, None], self.places_of(kind)[None, :]]
            blocks.append(FieldBlock(kind.fields, kind.meets, kind.ids[by_id], V))
        return FFMParams(float(self.bias[0]), w, self.n_fields, self.n_factors, blocks)

    def grow(self, n_features: int, hyper: Hyper) -> None:
        """Make room for more features; they have no vectors before ``wake``."""
        more = max(n_features - self.n_features, 0)
        self.places = np.concatenate([self.where, no_places(more)])

    def meetings(self, n_fields: int) -> Meetings:
        """Return which fields met so far, among at least ``n_fields``."""
        found = Meetings.start(self.n_features, max(n_fields, self.n_fields))
        for kind in self.kinds:
            found.meets[np.ix_(kind.fields, kind.meets)] = 1
            found.shares[kind.fields[0], kind.fields] = 1
            found.field_of[kind.ids] = kind.fields[0]
        return found

    def take_over(self, other: FFMTable) -> None:
        """Take the weights and states of a table whose features and meetings this one has too."""
        self.bias[:] = other.bias
        for old in other.kinds:
            if not len(old.ids):
                continue
            kind = self.kinds[self.where[old.ids[0], 1]]
            to = self.where[old.ids, 0].astype(np.int64)
            self.head_of(kind)[to] = other.head_of(old)
            at = (to[:, None], self._slots(kind, old.meets)[None, :])
            self.set_V(kind, at, other.V_of(old)[:, other.places_of(old)])
            for state in range(0 if self.rule.row_wise else self.rule.states):
                self.states_of(kind, state)[at] = other.states_of(old, state)[:, other.places_of(old)]

    def _slots(self, kind: Kind, fields: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the vectors for ``fields`` stand in a record of ``kind``."""
        return fields if self.uniform else np.searchsorted(kind.meets, fields)

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the optimizer's numbers: of all records, by feature, and of the bias (3,)."""
        parts = [part[by_id].ravel() for part, by_id in self._state_parts()]
        return np.concatenate(parts or [self.bias[:0]]), self.bias[1:].copy()

    def set_state(self, state: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take back what ``state`` returned; raises ``ValueError`` when it does not fit."""
        parts = self._state_parts()
        if state.shape != (sum(part.size for part, _ in parts),) or bias.shape != (3,):
            raise ValueError(f"an optimizer state of shape {state.shape} does not fit {self.rule.name}")
        at = 0
        for part, by_id in parts:
            part[by_id] = state[at : at + part.size].reshape(part.shape)
            at += part.size
        self.bias[1:] = bias

    def _state_parts(self) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Views of the state in the records, with the order that sorts them by feature."""
        parts = []
        for kind in self.kinds:
            by_id = np.argsort(kind.ids)
            parts.append((self.head_of(kind)[:, 1:], by_id))
            parts.append((kind.data[:, self._states_at(kind) :], by_id))
        return parts

    def _states_at(self, kind: Kind) -> int:
        """Return where the states of V begin in a record of ``kind``."""
        return weights_floats(self.slots_of(kind), self.n_factors, self.rule)

    def layout(self, rows: Rows, *, fast: bool = True) -> tuple[Any, ...]:
        """Return the kernel's form of the table; raises ``DataError`` for a field that it does not know.

        Without ``fast`` a row with one feature a field goes the way of the others.
        """
        check_fields(rows, self.n_fields)
        kind_of = np.zeros(self.n_fields, np.uint32)
        slot = np.full((len(self.kinds), self.n_fields), -1, np.int32)
        for number, kind in enumerate(self.kinds):
            kind_of[kind.fields] = number
            slot[number, kind.meets] = (
                kind.meets if self.uniform else np.arange(len(kind.meets))
            ) * self.vector
        heads = [head_at(self.slots_of(kind), self.n_factors, self.rule) for kind in self.kinds]
        longest = max((kind.data.shape[1] for kind in self.kinds), default=0)
        return (
            [kind.data for kind in self.kinds], np.array(heads, np.int64), self.places, kind_of, slot,
            np.zeros(longest + 2 * LINE, np.float32), self.vector, longest_row(rows), self.uniform and fast,
            self.rule.half,
        )  # fmt: skip


def no_places(n_features: int) -> NDArray[np.uint32]:
    """Return what ``FFMTable.places`` is where no feature has a record."""
    return np.full((n_features + _kernels.HOT_PLACES, 2), NO_RECORD, np.uint32)


def start(
    rows: Data,
    n_factors: int,
    rng: np.random.Generator,
    rule: Rule,
    hyper: Hyper,
    *,
    scale: float,
    bias: float,
) -> FFMTable:
    """Return a table for a fresh start; see ``machine.Machine`` for this and the other verbs."""
    meetings = meetings_of(rows)
    params = start_params(meetings, n_factors, rng, scale=scale, bias=bias)
    table = FFMTable.start(params, rule, hyper, meetings.seen)
    _note_repeats(table, rows)
    return table


def meetings_of(rows: Data) -> Meetings:
    """Return which fields meet in ``rows``."""
    return Meetings.start(rows.n_features, count_fields(rows)).add(rows)


def table(params: FFMParams, rule: Rule, hyper: Hyper) -> FFMTable:
    """Return a table that starts at ``params``."""
    return FFMTable.start(params, rule, hyper)


def from_arrays(arrays: dict[str, NDArray[Any]]) -> FFMTable:
    """Return what ``FFMParams.to_arrays`` wrote, as a table without optimizer state."""
    return FFMTable.start(FFMParams.from_arrays(arrays), find_rule("sgd"), Hyper(learning_rate=1.0))


def forget_unseen(table: FFMTable, rows: Data, hyper: Hyper) -> None:
    """Nothing to do: features that no row has get no vectors."""


def wake(table: FFMTable, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float) -> FFMTable:
    """Return the table with vectors for the features and meetings of ``rows`` that it does not know yet."""
    meetings = table.meetings(count_fields(rows)).add(rows)
    new = start_params(meetings, table.n_factors, rng, scale=scale, bias=float(table.bias[0]))
    wider = FFMTable.start(new, table.rule, hyper, meetings.seen)
    wider.repeats = table.repeats
    _note_repeats(wider, rows)
    if wider.nbytes == table.nbytes and wider.n_fields == table.n_fields:
        table.repeats = wider.repeats
        return table  # nothing new: meetings only ever join
    wider.take_over(table)
    return wider


def _note_repeats(table: FFMTable, rows: Data) -> None:
    """Let the table know whether ``rows`` often have a feature in two fields."""
    if any(len(kind.fields) > 1 for kind in table.kinds):
        table.repeats = table.repeats or often_repeats(rows)


def start_params(
    meetings: Meetings, n_factors: int, rng: np.random.Generator, *, scale: float, bias: float
) -> FFMParams:
    """Start values: ``w`` zero, ``V`` normal with deviation ``scale`` where features can meet."""
    n_features = len(meetings.field_of)
    kind_of, meets = meetings.kinds()
    seen = np.flatnonzero(meetings.field_of >= 0)
    kind_of_seen = kind_of[meetings.field_of[seen]]
    order = np.argsort(kind_of_seen, kind="stable")
    bounds = np.searchsorted(kind_of_seen[order], np.arange(len(meets) + 1))
    blocks = []
    for number, row in enumerate(meets):
        ids = seen[order[bounds[number] : bounds[number + 1]]].astype(np.int64)
        V = rng.standard_normal((len(ids), int(row.sum()), n_factors), dtype=np.float32)
        V *= np.float32(scale)
        blocks.append(FieldBlock(np.flatnonzero(kind_of == number), np.flatnonzero(row), ids, V))
    return FFMParams(float(bias), np.zeros(n_features, np.float32), len(kind_of), n_factors, blocks)


def table_bytes(rows: Data, n_factors: int, rule: Rule) -> int:
    """Return the bytes that a table for ``rows`` will take: its records, and where that of each feature is."""
    meetings = meetings_of(rows)
    kind_of, meets = meetings.kinds()
    fields = meetings.field_of[meetings.field_of >= 0]
    features = np.bincount(kind_of[fields], minlength=len(meets))
    sizes = [(int(count), int(row.sum())) for count, row in zip(features, meets, strict=True)]
    uniform = is_uniform(sizes, len(kind_of))
    records = sum(
        4 * n * record_floats(len(kind_of) if uniform else slots, n_factors, rule) for n, slots in sizes
    )
    return records + FEATURE_BYTES * len(meetings.field_of)


def is_uniform(sizes: list[tuple[int, int]], n_fields: int) -> bool:
    """Whether the features, (how many, fields they meet) a kind, meet nearly all fields: 3 of 4 at least.

    A vector for every field is then worth its memory: rows with one feature a field go several times faster.
    """
    features = sum(n for n, _ in sizes)
    return 4 * sum(n * min(slots + 1, n_fields) for n, slots in sizes) >= 3 * features * n_fields


def scores(rows: Rows, machine: FFMTable, *, n_threads: int = 1) -> NDArray[np.float32]:
    """Return raw scores (n_rows,), float32. Features and pairs of fields that were never seen add nothing."""
    return passes.run_scores(passes.FFM, machine.layout(rows), rows, float(machine.bias[0]), n_threads)


def train_pass(
    rows: Rows,
    order: NDArray[np.int64],
    table: FFMTable,
    loss: Loss,
    hyper: Hyper,
    *,
    n_threads: int = 1,
    deterministic: bool = False,
) -> float:
    """Visit the rows in ``order``, moving ``table``; return the sum of the losses before each update."""
    coordinates = table.n_factors * max(table.n_fields - 1, 1)
    return passes.run_pass(
        passes.FFM, table.layout(rows, fast=not table.repeats), rows, order, table, loss, hyper, coordinates,
        n_threads=n_threads, deterministic=deterministic,
    )  # fmt: skip


def vector_floats(n_factors: int) -> int:
    """Round up to whole vectors of 4."""
    return round_up(n_factors, 4)


def head_at(n_slots: int, n_factors: int, rule: Rule) -> int:
    """Floats that the vectors of a record take.

    In bfloat16 whole registers: the kernel loads what stands behind the last vector, and w read as two weights may be
    NaN.
    """
    weights = n_slots * vector_floats(n_factors)
    return round_up(weights, LINE) // 2 if rule.half else weights


def weights_floats(n_slots: int, n_factors: int, rule: Rule) -> int:
    """Floats of a record without the states of V: whole lines."""
    return round_up(head_at(n_slots, n_factors, rule) + HEAD, LINE)


def state_floats(n_slots: int, n_factors: int, rule: Rule) -> int:
    """Floats from one state of V to the next: whole lines, and those of the weights where they are floats too."""
    return round_up(n_slots * vector_floats(n_factors) + (0 if rule.half else HEAD), LINE)


def record_floats(n_slots: int, n_factors: int, rule: Rule) -> int:
    """Floats of a record: whole lines."""
    states = 0 if rule.row_wise else rule.states
    return weights_floats(n_slots, n_factors, rule) + states * state_floats(n_slots, n_factors, rule)


def round_up(n: int, step: int) -> int:
    """Return the first multiple of ``step`` that is not below ``n``."""
    return -(-n // step) * step
