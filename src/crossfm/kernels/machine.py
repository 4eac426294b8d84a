"""What a machine's module in this room offers to the estimators; ``fm``, ``ffm``, ... are such modules.

``Table`` below stands for the module's own training table, ``Params`` for what it has learnt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.rules import Rule
from crossfm.data.rows import Rows

Arrays = dict[str, NDArray[Any]]


class Windows(Protocol):
    """Rows in parts, one after another, as often as they are asked for.

    ``known`` is for what a look at all of them has found: it takes a pass over a file.
    """

    known: Any

    @property
    def n_features(self) -> int:
        """Number of features."""

    def __iter__(self) -> Iterator[Rows]: ...


Data = Rows | Windows


def windows(rows: Data) -> Iterable[Rows]:
    """Return the parts of ``rows``: itself, or what it yields."""
    return [rows] if isinstance(rows, Rows) else rows


class TrainingTable(Protocol):
    """Weights and optimizer state in training."""

    rule: Rule
    bias: NDArray[np.float32]

    @property
    def rank(self) -> int:
        """``n_factors`` as users give it."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    def params(self) -> Any:
        """Copy the parameters out."""

    def copy(self) -> Any:
        """Copy weights and state."""

    def assign(self, other: Any) -> None:
        """Take over weights and state of a table of the same shape."""

    def grow(self, n_features: int, hyper: Hyper) -> None:
        """Make room for more features; those there are stay bit for bit."""

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the optimizer's numbers: of the features, and of the bias."""

    def set_state(self, state: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take back what ``state`` returned; raises ``ValueError`` when it does not fit."""


class Resumable(Protocol):
    """What a ``TrainingTable`` offers too when training moves more of it than ``data``, ``bias``, ``pairs``,
    ``penalty``, the ``data`` of ``kinds`` and the count ``visited``, which ``solvers.resume`` knows by itself.
    """

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all that training moves, bit for bit: arrays (views will do), and JSON, as states of generators."""

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Put it back into a table of the same shape; raises ``ValueError`` when it does not fit."""


class Machine(Protocol):
    """A machine's module."""

    @property
    def FIELDS(self) -> bool:
        """Whether rows must say the field of each feature."""

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
    ) -> Any:
        """Return a table for a fresh start on ``rows``; vectors are normal with deviation ``scale``."""

    def table(self, params: Any, rule: Rule, hyper: Hyper) -> Any:
        """Return a table that starts at ``params`` with fresh optimizer state."""

    def from_arrays(self, arrays: Arrays) -> Any:
        """Return parameters from what their ``to_arrays`` wrote, in a form that ``scores`` takes."""

    def table_bytes(self, rows: Data, n_factors: int, rule: Rule) -> int:
        """Return the bytes that the table of ``start`` will take."""

    def forget_unseen(self, table: Any, rows: Data, hyper: Hyper) -> None:
        """Zero vectors of features that no row has: one that never trains would only add noise."""

    def wake(self, table: Any, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float) -> Any:
        """Return the table with vectors, new and random, for features of ``rows`` that could not learn without."""

    def train_pass(
        self,
        rows: Rows,
        order: NDArray[np.int64],
        table: Any,
        loss: Loss,
        hyper: Hyper,
        *,
        n_threads: int = 1,
        deterministic: bool = False,
    ) -> float:
        """Visit the rows in ``order``, moving ``table``; return the sum of the losses before each update."""

    def scores(self, rows: Rows, machine: Any, *, n_threads: int = 1) -> NDArray[np.float32]:
        """Return raw scores (n_rows,)."""
