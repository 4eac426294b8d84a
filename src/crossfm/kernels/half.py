"""Numbers in bfloat16, the upper half of a float32, as NumPy (which has no such type) holds them: uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def widen(half: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 numbers of ``half``, of the same shape; exact."""
    return (half.astype(np.uint32) << 16).view(np.float32)


def narrow(x: Any) -> NDArray[np.uint16]:
    """Round finite float32 ``x`` to the nearest bfloat16, ties to even; returns uint16 of the same shape."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
