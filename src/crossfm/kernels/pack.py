"""Matrices of 32-bit words in as few bytes as they need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels

TAIL = int(_kernels.PACK_TAIL)


def pack(words: NDArray[np.uint32], width: int) -> NDArray[np.uint8]:
    """Pack ``words`` (n_rows * width,), row after row; ``unpack`` gives them back.

    The bytes are the smallest word of each column (``width`` words, little-endian), the bytes a word of each column
    (``width`` of them, 0 to 4), the rows, and ``TAIL`` zeros. Each word is stored less the smallest of its column,
    in the bytes that the largest needs: a column of equal words takes none.
    """
    table = words.reshape(-1, width)
    base = (
        table.min(axis=0, initial=2**32 - 1).astype(np.uint32) if len(table) else np.zeros(width, np.uint32)
    )
    largest = table.max(axis=0, initial=0) - base if len(table) else base
    size = sum((largest > np.uint32(limit)).astype(np.uint8) for limit in (0, 2**8 - 1, 2**16 - 1, 2**24 - 1))
    out = np.zeros(packed_size(size, len(table)), np.uint8)
    out[: 4 * width] = base.astype("<u4").view(np.uint8)
    out[4 * width : 5 * width] = size
    _kernels.pack_words(words, base, size, out[5 * width :])
    return out


def pack_columns(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Pack columns that never change, of any number of rows; ``words`` (width,) is the word of each."""
    head = np.ascontiguousarray(words).astype("<u4").view(np.uint8)
    return np.concatenate([head, np.zeros(len(words) + TAIL, np.uint8)])


def constant_size(width: int) -> int:
    """Bytes of ``width`` packed columns that never change."""
    return 5 * width + TAIL


def packed_size(size: NDArray[np.uint8], n_rows: int) -> int:
    """Bytes of ``n_rows`` packed rows whose columns take ``size`` (width,) bytes a word."""
    return 5 * len(size) + int(size.sum(dtype=np.int64)) * n_rows + TAIL


def unpack(data: NDArray[np.uint8], width: int, out: NDArray[np.uint32]) -> int:
    """Fill ``out`` (n_rows * width,) from the start of ``data``; return how many bytes that took.

    Raises ``ValueError`` when ``data`` is shorter than the rows it should hold.
    """
    if len(data) < 5 * width:
        raise ValueError("packed words are cut off")
    base = data[: 4 * width].copy().view("<u4").astype(np.uint32)
    size = data[4 * width : 5 * width].copy()
    end = packed_size(size, len(out) // width)
    if (size > 4).any() or len(data) < end:
        raise ValueError("packed words are cut off")
    _kernels.unpack_words(data[5 * width : end], base, size, out)
    return end
