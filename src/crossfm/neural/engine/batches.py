"""Rows as tensors, and batches of them on the device of an engine written in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfm.data.rows import Rows
from crossfm.neural.features import Batch

FREE_SHARE = 0.25  # of the device's free memory that rows may take


class Batches:
    """Batches of some rows: the rows go to the device once where they fit, else the non-zeros of one batch at a time.

    The non-zeros of a row stand by rising field. Ids are held in 32 bits, as in ``Rows``.
    """

    def __init__(self, rows: Rows, n_fields: int, device: torch.device) -> None:
        self.n_fields, self.device, self.width, self.indptr = n_fields, device, rows.width, rows.indptr
        indices, values, fields = by_field(rows)
        arrays = [array for array in (indices, values, fields) if array is not None]
        home = device if _fits(sum(array.nbytes for array in arrays), device) else torch.device("cpu")
        self._ids, self._values, self._fields = (
            None if array is None else torch.from_numpy(array).to(home)
            for array in (indices.view(np.int32), values, fields)
        )
        self._home = home

    def batch(self, order: NDArray[np.int64]) -> Batch:
        """Return the rows ``order`` (n,)."""
        where, row = self._places(order)
        assert self._ids is not None
        ids = self._move(self._ids[where]).long() & 0xFFFFFFFF
        values = None if self._values is None else self._move(self._values[where])
        if self._fields is None:
            field = torch.zeros_like(ids)
        elif self.width and len(self._fields) == self.width:
            field = self._fields.to(self.device).long().repeat(len(order))
        else:
            field = self._move(self._fields[where]).long()
        return Batch(ids, row, field, values, len(order), self.n_fields)

    def _places(self, order: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return where the non-zeros are, at home, and the row of each in the batch, on the device."""
        at = torch.from_numpy(order).to(self._home)
        if self.indptr is None:
            where = (at[:, None] * self.width + torch.arange(self.width, device=self._home)).ravel()
            return where, torch.arange(len(order), device=self.device).repeat_interleave(self.width)
        starts, lengths = self.indptr[order], self.indptr[order + 1] - self.indptr[order]
        nnz = int(lengths.sum())
        before = np.cumsum(lengths) - lengths
        per_row = torch.from_numpy(np.stack([starts - before, lengths, np.arange(len(order))])).to(self._home)
        shift, number = torch.repeat_interleave(per_row[[0, 2]], per_row[1], dim=1, output_size=nnz)
        return shift + torch.arange(nnz, device=self._home), self._move(number)

    def _move(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device:
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def by_field(rows: Rows) -> tuple[NDArray[np.uint32], NDArray[np.float32] | None, NDArray[np.int32] | None]:
    """Return ids, values and fields with the non-zeros of each row by rising field; values and fields may be None.

    Fields that are the same in all rows stay (width,).
    """
    fields, indices, values = rows.fields, rows.indices, rows.values
    if fields is None:
        return indices, values, None
    if rows.indptr is None and len(fields) == rows.width:
        by = np.argsort(fields, kind="stable")
        if (by[1:] < by[:-1]).any():
            indices = _columns(indices, rows.width, by)
            values = None if values is None else _columns(values, rows.width, by)
        return indices, values, fields[by].astype(np.int32)
    row = np.repeat(np.arange(rows.n_rows), np.diff(rows.offsets()))
    falls = (fields[1:] < fields[:-1]) & (row[1:] == row[:-1])
    if falls.any():
        by = np.lexsort((fields, row))
        indices, fields = indices[by], fields[by]
        values = None if values is None else values[by]
    return indices, values, fields.astype(np.int32)


def _columns(array: NDArray[Any], width: int, by: NDArray[np.int64]) -> NDArray[Any]:
    return np.ascontiguousarray(array.reshape(-1, width)[:, by]).ravel()


def _fits(n_bytes: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    return n_bytes < FREE_SHARE * torch.cuda.mem_get_info(device)[0]
