"""Embeddings on a GPU, in Triton: a step costs what the batch touches, whatever the size of the vocabulary.

FBGEMM's table-batched embeddings do the same for fixed pooling, but a build of FBGEMM fits one minor release of PyTorch
and one of CUDA; Triton comes with PyTorch and compiles for whatever GPU is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.embedding import Penalties
from crossfm.kernels.fm import adam_scale
from crossfm.kernels.table import Table
from crossfm.neural.engine import triton_kernels as kernels
from crossfm.neural.engine.batches import Batches
from crossfm.neural.engine.processes import together
from crossfm.neural.features import Batch, Features

TILE_CELLS = 128  # numbers that a program of the update holds of each array at once
SEGMENT_CELLS = 512  # the same for the forward sums


class Plan(NamedTuple):
    """Non-zeros of a batch in the order of their ids, without waiting for the device: shapes are upper bounds.

    Attributes
    ----------
    ids, place : (nnz,)
        Rising ids, and where each stands in the batch.
    segment : (nnz,)
        Number of the id among the distinct ones.
    starts : (nnz + 1,)
        Where each distinct id begins; nnz behind the last.
    piece_number : (nnz,)
        Pieces of long segments that begin here or before.
    piece_begin : (n_pieces,)
        Where each begins; nnz behind the last.
    """

    ids: Tensor
    place: Tensor
    segment: Tensor
    starts: Tensor
    piece_number: Tensor
    piece_begin: Tensor

    @classmethod
    def of(cls, ids: Tensor, piece: int) -> Plan:
        """Sort ``ids``; segments longer than ``piece`` are cut into pieces of that length."""
        n = len(ids)
        ids, place = torch.sort(ids, stable=True)  # a radix sort on a GPU
        at = torch.arange(n + 1, device=ids.device)
        segment = torch.cumsum(torch.cat([ids.new_zeros(1, dtype=torch.bool), ids[1:] != ids[:-1]]), 0)
        starts = torch.searchsorted(segment, at)
        begin = starts[segment]
        begins_piece = (starts[segment + 1] - begin > piece) & ((at[:-1] - begin) % piece == 0)
        piece_number = torch.cumsum(begins_piece, 0)
        most = 2 * n // piece  # a segment of length > piece has at most length / piece + 1 of them
        piece_begin = torch.searchsorted(piece_number, at[1 : most + 2])
        return cls(ids, place, segment, starts, piece_number, piece_begin)


class TritonEmbeddings:
    """Meets ``Embeddings``; see there.

    The records of the table lie on the device as they do in memory. The tensors of ``features`` are leaves of autograd,
    where the gradients wait for ``step``.

    Parameters
    ----------
    table : Table
    n_fields : int
    device : str, default="cuda"
        On "cpu" the kernels run in Triton's interpreter, for tests.
    """

    def __init__(self, table: Table, n_fields: int, *, device: str | torch.device = "cuda") -> None:
        self.table, self.n_fields, self.device = table, n_fields, torch.device(device)
        self.n_threads = 1
        self._block_k = kernels.block_of(table.n_factors)
        self._batches: tuple[NDArray[np.uint32], Batches] | None = None
        self._seen: tuple[Batch, dict[str, Tensor], Tensor | None] | None = None
        self._gathered: dict[str, Tensor | None] = {}
        self._rarity: tuple[NDArray[np.float32], Tensor] | None = None
        self._scale: tuple[tuple[float, float], Tensor] | None = None
        self.data = torch.empty(0)
        self.load()

    def load(self) -> None:
        """Take over weights and the optimizer's state from the table."""
        here = torch.from_numpy(self.table.data)
        if self.device.type == "cpu":
            self.data = here  # the same memory
        elif self.data.shape == here.shape:
            self.data.copy_(here)
        else:
            self.data = here.to(self.device)

    def save(self) -> None:
        """Put weights and the optimizer's state back into the table."""
        if self.device.type != "cpu":
            torch.from_numpy(self.table.data).copy_(self.data)

    def features(self, rows: Rows, order: NDArray[np.int64], uses: Iterable[str]) -> Features:
        """Return the ``Features`` of the rows ``order`` (n,), but for ``dense``."""
        batch = self._batch(rows, order)
        found, sums = self._look_up(batch, set(uses))
        if torch.is_grad_enabled():
            for tensor in found.values():
                tensor.requires_grad_()
        self._seen, self._gathered = (batch, found, sums), {}
        return Features(**found)

    def _batch(self, rows: Rows, order: NDArray[np.int64]) -> Batch:
        if self._batches is None or self._batches[0] is not rows.indices:
            self._batches = (rows.indices, Batches(rows, self.n_fields, self.device))
        return self._batches[1].batch(order)

    def step(self, hyper: Hyper, penalties: Penalties, *, learning_rate_w: float) -> None:
        """Move the features of the last batch by the gradients that came back; does nothing without any."""
        if self._seen is None:
            return
        batch, found, sums = self._seen
        gradients = self._gathered or {name: tensor.grad for name, tensor in found.items()}
        self._seen, self._gathered = None, {}
        if len(batch.ids) and any(gradient is not None for gradient in gradients.values()):
            self._move(batch, gradients, sums, hyper, penalties, learning_rate_w)

    def gather(self, world: int, rows: Rows, order: NDArray[np.int64]) -> None:
        """Put the gradients of all processes together: ``step`` is then of the whole batch ``order``."""
        if self._seen is None:
            return
        batch, found, sums = self._seen
        whole = batch.n_rows == len(order)

        def every(tensor: Tensor | None) -> Tensor | None:
            return tensor if tensor is None or whole else together(tensor, len(order), world)

        gathered = {name: every(tensor.grad) for name, tensor in found.items()}
        self._gathered = {name: None if way is None else way / world for name, way in gathered.items()}
        self._seen = (self._batch(rows, order), found, every(sums))

    def _look_up(self, batch: Batch, uses: set[str]) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the parts of ``Features`` by name, and the sums of the factors for the way back."""
        n, n_fields, k = batch.n_rows, batch.n_fields, self.table.n_factors
        empty = self.data.new_empty
        found = {"linear": empty(n)}
        sums = empty(n, k) if {"pooled", "pair"} & uses else None
        found |= {"pooled": empty(n, k)} if "pooled" in uses else {}
        found |= {"pair": empty(n)} if "pair" in uses else {}
        self._sum(batch, batch.row, n, sums, found["linear"], found.get("pooled"), found.get("pair"))
        if {"embedded", "weights"} & uses:
            embedded = empty(n, n_fields, k) if "embedded" in uses else None
            weights = empty(n, n_fields)
            self._sum(batch, batch.row * n_fields + batch.field, n * n_fields, embedded, weights, None, None)
            found |= {"embedded": embedded} if embedded is not None else {}
            found |= {"weights": weights} if "weights" in uses else {}
        return found, sums

    def _sum(
        self,
        batch: Batch,
        key: Tensor,
        n: int,
        v: Tensor | None,
        w: Tensor,
        pooled: Tensor | None,
        pair: Tensor | None,
    ) -> None:
        """Sum over the non-zeros of each of ``n`` segments; ``key`` (nnz,) says which, rising."""
        starts = torch.searchsorted(key, torch.arange(n + 1, device=key.device))
        block = max(SEGMENT_CELLS // self._block_k, 1) if v is not None else SEGMENT_CELLS
        kernels.sum_segments[kernels.programs(n, block)](
            self.data, self.data.stride(0), self.table.w_at, batch.ids, batch.values, starts, n, v, w, pooled, pair,
            K=self.table.n_factors, BLOCK_K=self._block_k, BLOCK=block,
        )  # fmt: skip

    def _move(
        self,
        batch: Batch,
        gradients: dict[str, Tensor | None],
        sums: Tensor | None,
        hyper: Hyper,
        penalties: Penalties,
        learning_rate_w: float,
    ) -> None:
        k, nnz = self.table.n_factors, len(batch.ids)
        small = self.table.n_features <= 2**31
        plan = Plan.of(batch.ids.int() if small else batch.ids, kernels.PIECE)
        n_pieces = len(plan.piece_begin)
        part_v, part_w = self.data.new_empty(n_pieces, k), self.data.new_empty(n_pieces)
        ways = [gradients.get(name) for name in ("linear", "weights", "embedded", "pooled", "pair")]
        ways = [None if way is None else way.contiguous() for way in ways]
        occurrences = (plan.place, batch.row, batch.field, batch.values, *ways, sums, batch.n_fields)
        sizes: dict[str, Any] = {
            "K": k, "BLOCK_K": self._block_k, "TILE": max(TILE_CELLS // self._block_k, 1), "PIECE": kernels.PIECE,
        }  # fmt: skip
        sizes["num_warps"] = 1 if self._block_k <= TILE_CELLS else 4
        if nnz > kernels.PIECE:
            kernels.sum_pieces[(n_pieces,)](
                self.data, self.data.stride(0), plan.ids, plan.piece_begin, plan.starts, plan.segment, nnz,
                part_v, part_w, *occurrences, **sizes,
            )  # fmt: skip
        scale = self._bias_correction(hyper)
        kernels.move[(nnz,)](
            self.data, self.data.stride(0), self.table.w_at, self.table.padded, plan.ids, plan.starts, nnz,
            plan.piece_number, part_v, part_w, float(batch.n_rows), hyper.learning_rate, learning_rate_w,
            penalties.l2_V, penalties.l2_w, self._rarity_of(penalties), penalties.clip, penalties.clip_floor,
            hyper.adam_beta1, hyper.adam_beta2, hyper.adam_eps, scale, len(scale), *occurrences,
            RULE=self.table.rule.code, CLIP=penalties.clip > 0, **sizes,
        )  # fmt: skip

    def _rarity_of(self, penalties: Penalties) -> Tensor | None:
        if penalties.rarity is None:
            return None
        if self._rarity is None or self._rarity[0] is not penalties.rarity:
            self._rarity = (penalties.rarity, torch.from_numpy(penalties.rarity).to(self.device))
        return self._rarity[1]

    def _bias_correction(self, hyper: Hyper) -> Tensor:
        betas = (hyper.adam_beta1, hyper.adam_beta2)
        if self._scale is None or self._scale[0] != betas:
            self._scale = (betas, torch.from_numpy(adam_scale(*betas)).to(self.device))
        return self._scale[1]
