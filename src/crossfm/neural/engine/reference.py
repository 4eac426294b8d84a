"""Embeddings in plain PyTorch, on any device: the judge of the other engines, and slow.

Gradients are autograd's and dense: a step costs what the vocabulary costs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.embedding import Penalties
from crossfm.kernels.table import Table
from crossfm.neural.engine.batches import Batches
from crossfm.neural.features import Batch, Features


class TorchEmbeddings:
    """Meets ``Embeddings``; see there.

    Attributes
    ----------
    V : (n_features, dim)
    w : (n_features,)
    states_V : list of (n_features, dim), of (n_features,) for the row-wise rule
    states_w : list of (n_features,)
    count : (n_features,)
        Updates of each feature, for Adam.
    """

    def __init__(
        self, table: Table, n_fields: int, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.table, self.n_fields, self.rule = table, n_fields, table.rule
        self.n_threads = 1
        self.device, self.dtype = torch.device(device), dtype
        self._batches: tuple[Rows, Batches] | None = None
        self._batch: Batch | None = None
        self.load()

    def load(self) -> None:
        """Take over weights and the optimizer's state from the table."""

        def tensor(array: NDArray[np.float32]) -> Tensor:
            return torch.tensor(array, dtype=self.dtype, device=self.device)

        self.V = tensor(self.table.V).requires_grad_()
        self.w = tensor(self.table.w).requires_grad_()
        of_V, of_w, count = _state_views(self.table)
        self.states_V, self.states_w = [tensor(view) for view in of_V], [tensor(view) for view in of_w]
        self.count = tensor(count)

    def save(self) -> None:
        """Put weights and the optimizer's state back into the table."""
        of_V, of_w, count = _state_views(self.table)
        views = (self.table.stored_V, self.table.w, *of_V, *of_w, count)
        held = (self.V, self.w, *self.states_V, *self.states_w, self.count)
        for view, tensor in zip(views, held, strict=True):
            view[:] = tensor.detach().float().cpu().numpy()

    def features(self, rows: Rows, order: NDArray[np.int64], uses: Iterable[str]) -> Features:
        """Return the ``Features`` of the rows ``order`` (n,), but for ``dense``."""
        if self._batches is None or self._batches[0] is not rows:
            self._batches = (rows, Batches(rows, self.n_fields, self.device))
        self._batch = self._batches[1].batch(order)
        self.V.grad = self.w.grad = None
        return _look_up(self._batch, self.V, self.w, set(uses))

    def step(self, hyper: Hyper, penalties: Penalties, *, learning_rate_w: float) -> None:
        """Move the features of the last batch by the gradients that came back; does nothing without any."""
        if self._batch is None or (self.V.grad is None and self.w.grad is None):
            return
        ids, count = torch.unique(self._batch.ids, return_counts=True)
        t = self.count[ids] + 1
        strength = count.to(self.dtype)
        if penalties.rarity is not None:
            strength = strength * torch.from_numpy(penalties.rarity).to(strength)[ids]
        with torch.no_grad():
            for weights, states, l2, rate in (
                (self.V, self.states_V, penalties.l2_V, hyper.learning_rate),
                (self.w, self.states_w, penalties.l2_w, learning_rate_w),
            ):
                shape = (-1, *[1] * (weights.dim() - 1))
                value = weights[ids]
                g = torch.zeros_like(value) if weights.grad is None else weights.grad[ids]
                g = g * self._batch.n_rows
                if weights is self.V and penalties.clip > 0:
                    g = cow_clip(g, value, count.reshape(shape), penalties)
                own = [state[ids] for state in states]
                moved = self._moved(value, own, g, t.reshape(shape), hyper, rate)
                pull = l2 * strength.reshape(shape) * self._rate(moved, own, hyper, rate)
                weights[ids] = moved / (1 + pull)
                for state, new in zip(states, own, strict=True):
                    state[ids] = new
        if self.rule.counts:
            self.count[ids] = t
        self.V.grad = self.w.grad = None

    def gather(self, world: int, rows: Rows, order: NDArray[np.int64]) -> None:
        """Put the gradients of all processes together: ``step`` is then of the whole batch ``order``."""
        assert self._batch is not None
        assert self._batches is not None
        for weights in (self.V, self.w):
            if weights.grad is None:
                continue
            if self._batch.n_rows < len(order):
                torch.distributed.all_reduce(weights.grad)
            weights.grad /= world
        self._batch = self._batches[1].batch(order)

    def _moved(
        self, value: Tensor, own: list[Tensor], g: Tensor, t: Tensor, hyper: Hyper, rate: float
    ) -> Tensor:
        """Return new weights; ``own``, their states, is replaced in place. See ``cpp/rules.hpp`` for the papers."""
        name = self.rule.name
        if name == "sgd":
            return value - rate * g
        if name == "adam":
            b1, b2 = hyper.adam_beta1, hyper.adam_beta2
            own[:] = [b1 * own[0] + (1 - b1) * g, b2 * own[1] + (1 - b2) * g**2]
            scale = torch.sqrt(1 - b2**t) / (1 - b1**t)
            return value - rate * scale * own[0] / (own[1].sqrt() + hyper.adam_eps)
        if name == "adagrad-row" and value.dim() == 2:
            own[0] = own[0] + (g**2).sum(1) / max(g.shape[1], 1)
            return value - rate * g / own[0].sqrt()[:, None]
        own[0] = own[0] + g**2
        return value - rate * g / own[0].sqrt()

    def _rate(self, value: Tensor, own: list[Tensor], hyper: Hyper, rate: float) -> Tensor:
        """Return how far a gradient of 1 moves each weight with the states ``own``."""
        if self.rule.name == "sgd":
            return torch.full_like(value, rate)
        if self.rule.name == "adam":
            return rate / (own[1].sqrt() + hyper.adam_eps)
        rates = rate / own[0].sqrt()
        return rates.reshape(-1, *[1] * (value.dim() - 1)) if rates.dim() < value.dim() else rates


def _look_up(batch: Batch, V: Tensor, w: Tensor, uses: set[str]) -> Features:
    n, n_fields, dim = batch.n_rows, batch.n_fields, V.shape[1]
    x = torch.ones_like(batch.ids, dtype=V.dtype) if batch.values is None else batch.values.to(V.dtype)
    z, z_w = V.index_select(0, batch.ids) * x[:, None], w.index_select(0, batch.ids) * x
    cell = batch.row * n_fields + batch.field
    out = {"linear": w.new_zeros(n).index_add(0, batch.row, z_w)}
    if "embedded" in uses:
        out["embedded"] = V.new_zeros(n * n_fields, dim).index_add(0, cell, z).reshape(n, n_fields, dim)
    if "weights" in uses:
        out["weights"] = w.new_zeros(n * n_fields).index_add(0, cell, z_w).reshape(n, n_fields)
    if {"pooled", "pair"} & uses:
        s = V.new_zeros(n, dim).index_add(0, batch.row, z)
        pairs = 0.5 * (s**2 - V.new_zeros(n, dim).index_add(0, batch.row, z**2))
        out |= {
            name: pairs if name == "pooled" else pairs.sum(1) for name in ("pooled", "pair") if name in uses
        }
    return Features(**out)


def cow_clip(g: Tensor, V: Tensor, count: Tensor, penalties: Penalties) -> Tensor:
    """Bound gradients (n, dim) of the summed loss; ``count`` (n, 1). See ``Penalties``."""
    most = count * (penalties.clip * V.norm(dim=1, keepdim=True)).clamp(min=penalties.clip_floor)
    norm = g.norm(dim=1, keepdim=True)
    return torch.where(norm > most, g * (most / norm), g)


def _state_views(
    table: Table,
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], NDArray[np.float32]]:
    """Return views of a table's states of V, its states of w, and its counts (a copy of zeros without them)."""
    rule, at = table.rule, table.w_at
    of_w = [table.data[:, at + 1 + n] for n in range(rule.states)]
    of_V = [table.data[:, at + 2]] if rule.row_wise else [table.state_of_V(n) for n in range(rule.states)]
    count = table.data[:, at + 1 + rule.states] if rule.counts else np.zeros(table.n_features, np.float32)
    return of_V, of_w, count
