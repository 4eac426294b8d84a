"""Matrices of 32-bit words in as few bits as they need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels

TAIL = int(_kernels.PACK_TAIL)


def pack(words: NDArray[np.uint32], width: int) -> NDArray[np.uint8]:
    """Pack ``words`` (n_rows * width,), row after row; ``unpack`` gives them back.

    The bytes are the smallest word of each column (``width`` words, little-endian), the bits a word of each column
    (``width`` bytes, 0 to 32), the rows, one bit after another, and ``TAIL`` zeros. Each word is stored less the
    smallest of its column, in the bits that the largest needs: a column of equal words takes none.
    """
    table = words.reshape(-1, width)
    base = np.zeros(width, np.uint32) if not len(table) else table.min(axis=0)
    largest = base if not len(table) else table.max(axis=0) - base
    bits = np.frexp(largest.astype(np.float64))[1].astype(
        np.uint8
    )  # exact: 2**(bits - 1) <= largest < 2**bits
    out = np.zeros(packed_size(bits, len(table)), np.uint8)
    out[: 4 * width] = base.astype("<u4").view(np.uint8)
    out[4 * width : 5 * width] = bits
    _kernels.pack_words(words, base, bits, out[5 * width :])
    return out


def pack_columns(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Pack columns that never change, of any number of rows; ``words`` (width,) is the word of each."""
    head = np.ascontiguousarray(words).astype("<u4").view(np.uint8)
    return np.concatenate([head, np.zeros(len(words) + TAIL, np.uint8)])


def constant_size(width: int) -> int:
    """Bytes of ``width`` packed columns that never change."""
    return 5 * width + TAIL


def packed_size(bits: NDArray[np.uint8], n_rows: int) -> int:
    """Bytes of ``n_rows`` packed rows whose columns take ``bits`` (width,) a word."""
    return constant_size(len(bits)) + -(-int(bits.sum(dtype=np.int64)) * n_rows // 8)


def unpack(data: NDArray[np.uint8], width: int, out: NDArray[np.uint32]) -> int:
    """Fill ``out`` (n_rows * width,) from the start of ``data``; return how many bytes that took.

    Raises ``ValueError`` when ``data`` is shorter than the rows it should hold.
    """
    if len(data) < 5 * width:
        raise ValueError("packed words are cut off")
    base = data[: 4 * width].copy().view("<u4").astype(np.uint32)
    bits = data[4 * width : 5 * width].copy()
    end = packed_size(bits, len(out) // width)
    if (bits > 32).any() or len(data) < end:
        raise ValueError("packed words are cut off")
    _kernels.unpack_words(data[5 * width : end], base, bits, out)
    return end
