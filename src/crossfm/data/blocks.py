"""Blocks of rows as bytes: the unit that a file larger than memory is kept and read in.

A block is a row of parts, each a matrix of 32-bit words packed by ``kernels.pack``: target (two words a row), weight,
lengths, indices, values and, where the file has them, fields. Where all rows of a block have the same length, ids,
values and fields have a column for each place in the row: what is always 1, or always the same field, takes no room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows, offsets_or_width, refuse_relations
from crossfm.kernels.pack import constant_size, pack, pack_columns, unpack

BLOCK_ROWS = 1 << 14
BLOCK_NONZEROS = 1 << 20  # a block has fewer rows where they are long
_TRAINING = 64  # bytes a row: its place in the order, which share it belongs to, targets of machines
_ONE = int(np.float32(1).view(np.uint32))

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """What the rows of all blocks have in common.

    Attributes
    ----------
    n_rows, nnz, n_features : int
    width : int
        Non-zeros of every row; 0 when rows differ.
    unit : bool
        Whether every value is 1.
    fields : tuple of int, "each" or None
        The fields of every row, or that each non-zero has its own, or that there are none.
    weighted : bool
        Whether some weight is not 1.
    """

    n_rows: int = 0
    nnz: int = 0
    n_features: int = 0
    width: int = 0
    unit: bool = True
    fields: tuple[int, ...] | str | None = None
    weighted: bool = False

    def after(self, rows: Rows) -> Layout:
        """Return the layout of the rows so far and ``rows``."""
        first = self.n_rows == 0
        fields: Any = None
        if rows.fields is not None:
            own = tuple(rows.fields.tolist()) if _once(rows) else "each"
            fields = own if first or own == self.fields else "each"
        width = rows.width if rows.indptr is None and (first or rows.width == self.width) else 0
        return Layout(
            n_rows=self.n_rows + rows.n_rows,
            nnz=self.nnz + rows.nnz,
            n_features=max(self.n_features, rows.n_features),
            width=width,
            unit=self.unit and rows.values is None,
            fields=fields if width or fields is None else "each",
            weighted=self.weighted or rows.weight is not None,
        )

    def row_bytes(self, n_rows: int, nnz: int) -> int:
        """Return the bytes of ``n_rows`` decoded rows with ``nnz`` non-zeros, and of what training adds to them."""
        of_row = _TRAINING + 8 + 4 * self.weighted + (0 if self.width else 8)
        return n_rows * of_row + nnz * (4 + 4 * (not self.unit) + 4 * (self.fields == "each"))


def _once(rows: Rows) -> bool:
    """Whether ``rows`` keep their fields once for all rows."""
    return rows.fields is not None and bool(rows.width) and len(rows.fields) == rows.width


def slice_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Return rows ``start`` to ``stop`` (not included) as views."""
    offsets = None if rows.indptr is None else rows.indptr[start : stop + 1]
    low, high = (start * rows.width, stop * rows.width) if offsets is None else (offsets[0], offsets[-1])

    def part(array: Any) -> Any:
        return None if array is None else array[start:stop]

    return replace(
        rows,
        indices=rows.indices[low:high],
        indptr=None if offsets is None else offsets - low,
        values=None if rows.values is None else rows.values[low:high],
        fields=rows.fields if rows.fields is None or _once(rows) else rows.fields[low:high],
        target=part(rows.target),
        weight=part(rows.weight),
    )


def concat_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of ``parts`` one after another; they agree on having a target, weights and fields."""
    if len(parts) == 1:
        return parts[0]
    refuse_relations(*parts)
    layout = Layout()
    for rows in parts:
        layout = layout.after(rows)
    lengths = [np.diff(rows.offsets()) for rows in parts]
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    fields: Any = None
    if layout.fields == "each":
        fields = np.concatenate([rows.field_of_each() for rows in parts])
    elif layout.fields is not None:
        fields = parts[0].fields
    return Rows(
        indices=np.concatenate([rows.indices for rows in parts]),
        n_features=layout.n_features,
        values=None if layout.unit else np.concatenate([rows.value_of_each() for rows in parts]),
        fields=fields,
        target=_joined([rows.target for rows in parts]),
        weight=_joined([_weight(rows) for rows in parts]) if layout.weighted else None,
        indptr=None if layout.width else indptr,
        width=layout.width,
    )


def _joined(arrays: list[Any]) -> Any:
    return None if arrays[0] is None else np.concatenate(arrays)


def _weight(rows: Rows) -> NDArray[np.float32]:
    return np.ones(rows.n_rows, np.float32) if rows.weight is None else rows.weight


def cut(pieces: Iterable[Rows]) -> Iterator[Rows]:
    """Cut ``pieces`` of any size into blocks whose ends depend on the rows alone, not on the pieces."""
    rest: Rows | None = None
    for piece in pieces:
        rows = piece if rest is None else concat_rows([rest, piece])
        offsets, start = rows.offsets(), 0
        while True:
            stop = int(np.searchsorted(offsets, offsets[start] + BLOCK_NONZEROS, side="right")) - 1
            stop = min(max(stop, start + 1), start + BLOCK_ROWS)
            if stop >= rows.n_rows and rows.n_rows - start < BLOCK_ROWS:
                break  # more rows may fit
            yield slice_rows(rows, start, stop)
            start = stop
        rest = slice_rows(rows, start, rows.n_rows) if start < rows.n_rows else None
    if rest is not None:
        yield rest


def encode_block(rows: Rows) -> bytes:
    """Return the bytes of a block; ``rows`` has a target."""
    assert rows.target is not None
    lengths = np.diff(rows.offsets())
    width = int(offsets_or_width(rows.offsets()).get("width", 1))
    parts = [pack(np.ascontiguousarray(rows.target, np.float64).view(np.uint32), 2)]
    parts.append(_floats(rows.weight, 1))
    parts.append(pack(lengths.astype(np.uint32), 1))
    parts.append(pack(np.ascontiguousarray(rows.indices), width))
    parts.append(_floats(rows.values, width))
    if rows.fields is not None:
        once = _once(rows)
        parts.append(pack_columns(rows.fields) if once else pack(np.ascontiguousarray(rows.fields), width))
    return b"".join(part.tobytes() for part in parts)


def _floats(values: NDArray[np.float32] | None, width: int) -> Bytes:
    """Pack numbers; None is ones."""
    if values is None:
        return pack_columns(np.full(width, _ONE, np.uint32))
    return pack(np.ascontiguousarray(values).view(np.uint32), width)


def decode_targets(data: Bytes, target: NDArray[np.float64], weight: NDArray[np.float32] | None) -> int:
    """Fill ``target`` and ``weight`` (n_rows,) from the start of a block; return how many bytes they took."""
    at = unpack(data, 2, target.view(np.uint32))
    scratch = np.empty(len(target), np.float32) if weight is None else weight
    return at + unpack(data[at:], 1, scratch.view(np.uint32))


def decode_blocks(blocks: Sequence[tuple[Bytes, int, int]], layout: Layout) -> Rows:
    """Return the rows of ``blocks``, each (bytes, rows, non-zeros), one after another.

    Raises ``ValueError`` for bytes that do not hold what they should.
    """
    n_rows, nnz = sum(block[1] for block in blocks), sum(block[2] for block in blocks)
    indices = np.empty(nnz, np.uint32)
    values = None if layout.unit else np.empty(nnz, np.float32)
    fields = np.empty(nnz, np.uint32) if layout.fields == "each" else None
    target = np.empty(n_rows)
    weight = np.empty(n_rows, np.float32) if layout.weighted else None
    indptr = None if layout.width else np.zeros(n_rows + 1, np.int64)
    row = start = 0
    for data, rows, size in blocks:
        own, entries = slice(row, row + rows), slice(start, start + size)
        at = decode_targets(data, target[own], None if weight is None else weight[own])
        lengths = np.empty(rows, np.uint32)
        at += unpack(data[at:], 1, lengths)
        width = int(lengths[0]) if rows and lengths[0] and (lengths == lengths[0]).all() else 1
        if int(lengths.sum(dtype=np.int64)) != size or (layout.width and width != layout.width):
            raise ValueError("the lengths of its rows do not add up")
        if indptr is not None:
            indptr[row + 1 : row + rows + 1] = start + np.cumsum(lengths, dtype=np.int64)
        at += unpack(data[at:], width, indices[entries])
        at += (
            constant_size(width)
            if values is None
            else unpack(data[at:], width, values[entries].view(np.uint32))
        )
        if fields is not None:
            at += unpack(data[at:], width, fields[entries])
        row, start = row + rows, start + size
    if isinstance(layout.fields, tuple):
        fields = np.array(layout.fields, np.uint32)
    return Rows(
        indices, layout.n_features, indptr, values, fields, target=target, weight=weight, width=layout.width
    )
