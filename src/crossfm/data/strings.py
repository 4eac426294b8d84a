"""Arrays of strings as plain arrays of bytes and offsets, the form that model files hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.errors import ModelFileError


def pack_strings(strings: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 bytes of all strings (n_bytes,) and where each starts (n + 1,)."""
    strings = strings.cast(pa.large_string())
    _, offsets, data = strings.buffers()
    bounds = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    bounds = bounds if len(bounds) else np.zeros(1, np.int64)
    text = np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]]
    return text.copy(), bounds - bounds[0]


def unpack_strings(data: NDArray[Any], offsets: NDArray[Any], what: str = "a list of strings") -> Any:
    """Return the Arrow strings (n,) that ``pack_strings`` took apart; raises ``ModelFileError`` for broken parts."""
    good = data.dtype == np.uint8 and data.ndim == 1 and offsets.dtype == np.int64 and offsets.ndim == 1
    good = good and len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(data)
    if not good or (np.diff(offsets) < 0).any():
        raise ModelFileError(f"{what} is broken: offsets and bytes disagree")
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
    strings = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid as exc:
        raise ModelFileError(f"{what} has bytes that are not UTF-8") from exc
    return strings
