"""Embeddings in the compiled core: a step costs what the batch touches, whatever the size of the vocabulary."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.embedding import Layout, LookedUp, Memory, Penalties, Sorted, look_up, sort, update
from crossfm.kernels.table import Table
from crossfm.neural.engine.processes import together
from crossfm.neural.features import Features

OUTPUTS = ("linear", "embedded", "weights", "pooled", "pair")


class CoreEmbeddings:
    """Looks rows up in a training table and moves what they touched.

    ``features`` gives tensors through which gradients flow back to here, where they wait for ``step``. One batch is
    on its way at a time: the tensors are written over by the next.

    Parameters
    ----------
    table : Table
        Of the second-order machine: factors and linear weights beside the optimizer's state.
    n_fields : int
    n_threads : int, default=1
        The result is the same for any number.
    """

    def __init__(self, table: Table, n_fields: int, *, n_threads: int = 1) -> None:
        self.table, self.n_fields, self.n_threads = table, n_fields, n_threads
        self._memory = Memory()
        self._layout: tuple[weakref.ref[Rows], bool, Layout] | None = (
            None  # rows of a window are not kept alive
        )
        self._anchor = torch.zeros(0, requires_grad=True)
        self._seen: tuple[Rows, Sorted, LookedUp] | None = None
        self._gradients: dict[str, NDArray[np.float32]] = {}
        self._training = False

    def layout(self, rows: Rows) -> Layout:
        """Return the layout of ``rows``, found once for batches of the same rows; to score, less is looked for."""
        known = self._layout
        if known is None or known[0]() is not rows or (self._training and not known[1]):
            layout = Layout.of(rows, self.n_fields, moves=self._training)
            known = self._layout = (weakref.ref(rows), self._training, layout)
        return known[2]

    def features(self, rows: Rows, order: NDArray[np.int64], uses: Iterable[str]) -> Features:
        """Return the ``Features`` of the rows ``order`` (n,), but for ``dense``."""
        self._training = torch.is_grad_enabled()  # inside of a Function it never is
        names = [name for name in OUTPUTS if name == "linear" or name in uses]
        if self._training:
            self.layout(rows).check_batch(len(order))
        tensors = cast("tuple[Tensor, ...]", _LookUp.apply(self._anchor, self, rows, order, names))  # type: ignore[no-untyped-call]
        return Features(**dict(zip(names, tensors, strict=True)))

    def step(self, hyper: Hyper, penalties: Penalties, *, learning_rate_w: float) -> None:
        """Move the features of the last batch by the gradients that came back; does nothing without any."""
        if not self._gradients or self._seen is None:
            return
        rows, batch, found = self._seen
        gradients = LookedUp(**self._gradients, sums=found.sums)
        update(
            rows, batch, self.table, self.layout(rows), gradients, hyper, penalties,
            learning_rate_w=learning_rate_w, n_threads=self.n_threads,
        )  # fmt: skip
        self._seen, self._gradients = None, {}

    def load(self) -> None:
        """Do nothing: the table itself is what moves."""

    def save(self) -> None:
        """Do nothing: the table itself is what moves."""

    def gather(self, world: int, rows: Rows, order: NDArray[np.int64]) -> None:
        """Put the gradients of all ``world`` processes together: ``step`` is of the whole batch ``order`` in each.

        Processes had equal parts of the batch one after another, or all of it each.
        """
        if self._seen is None:
            return
        _, batch, found = self._seen
        if len(batch.order) < len(order):
            batch = sort(rows, order, self.layout(rows), self._memory, n_threads=self.n_threads)
            own = {"sums": found.sums} if found.sums is not None else {}
            arrays = {
                name: together(torch.from_numpy(array), len(order), world).numpy()
                for name, array in (self._gradients | own).items()
            }
            found = LookedUp(sums=arrays.pop("sums", None))
            self._gradients = arrays
        self._seen = (rows, batch, found)
        self._gradients = {name: array / np.float32(world) for name, array in self._gradients.items()}

    def _look_up(self, rows: Rows, order: NDArray[np.int64], names: list[str]) -> LookedUp:
        layout = self.layout(rows)
        found = look_up(rows, order, self.table, layout, names, self._memory, n_threads=self.n_threads)
        self._seen, self._gradients = None, {}
        if self._training:
            self._seen = (rows, sort(rows, order, layout, self._memory, n_threads=self.n_threads), found)
        return found


class _LookUp(torch.autograd.Function):
    """From row numbers to embeddings; the gradients end in ``CoreEmbeddings``."""

    @staticmethod
    def forward(
        ctx: Any,
        anchor: Tensor,
        engine: CoreEmbeddings,
        rows: Rows,
        order: NDArray[np.int64],
        names: list[str],
    ) -> tuple[Tensor, ...]:
        ctx.engine, ctx.names = engine, names
        ctx.set_materialize_grads(False)
        found = engine._look_up(rows, order, names)
        return tuple(torch.from_numpy(getattr(found, name)) for name in names)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, ...]:
        ctx.engine._gradients = {
            name: np.ascontiguousarray(gradient.float().numpy())
            for name, gradient in zip(ctx.names, gradients, strict=True)
            if gradient is not None
        }
        return None, None, None, None, None
