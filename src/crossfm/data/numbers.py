"""Cells of any type as float64, and the transforms of ``Numeric``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.errors import ColumnError, DataError

LARGEST = float(np.finfo(np.float32).max)
N_LOW_BUCKETS = 3  # of "log2": x < 0, [0, 1), [1, 2)


def numbers(array: Any, name: str) -> NDArray[np.float64]:
    """Return a column's numbers (n_rows,), NaN where missing.

    Raises ``ColumnError`` for a type that holds no numbers, ``DataError`` naming row and column for a text
    that is not a number and for numbers that float32 cannot hold.
    """
    kind, types = array.type, pa.types
    if types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        array = _parsed(array.cast(pa.large_string()), name)
    elif types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif not (
        types.is_null(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    ):
        raise ColumnError(f"column {name!r} holds {kind}, but Numeric({name!r}) needs numbers")
    filled = pc.fill_null(array.cast(pa.float64(), safe=False), np.nan)
    x: NDArray[np.float64] = np.asarray(filled.to_numpy() if len(filled) else [], np.float64)
    check_range(x, x, name)
    return x


def check_range(x: NDArray[np.float64], cells: NDArray[np.float64], name: str) -> None:
    """Raise ``DataError`` naming the first row where abs(x) is beyond float32; ``cells`` is what to show."""
    too_large = np.abs(x) > LARGEST  # NaN is not
    if too_large.any():
        row = int(np.argmax(too_large))
        raise DataError(
            f"row {row}, column {name!r}: the value is {cells[row]}, but only finite numbers can be used "
            "(float32, up to 3.4e38). Use None or NaN for missing values and scale very large ones."
        )


def _parsed(text: Any, name: str) -> Any:
    """Parse texts; blank ones are missing."""
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)
    if _parses(text):
        return text.cast(pa.float64())
    low, high = 0, len(text)  # the first row that does not parse lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _parses(text[low:middle]) else (low, middle)
    raise DataError(
        f"row {low}, column {name!r}: {text[low].as_py()!r} is not a number, but Numeric({name!r}) needs "
        f"numbers; clean the value, or use Categorical({name!r})"
    )


def _parses(text: Any) -> bool:
    try:
        text.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def signed_log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sign(x) log(1 + abs(x))."""
    out: NDArray[np.float64] = np.copysign(np.log1p(np.abs(x)), x)
    return out


def center_and_scale(x: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and deviation of ``x`` without missing values; the scale of a constant is 1."""
    if len(x) == 0:
        return 0.0, 1.0
    if x.min() == x.max():  # rounding in the mean would give a tiny deviation, and large values from noise
        return float(x[0]), 1.0
    return float(x.mean()), float(x.std()) or 1.0


def quantile_edges(x: NDArray[np.float64], n_buckets: int) -> NDArray[np.float64]:
    """Return rising edges that part ``x`` into at most ``n_buckets`` buckets (-inf, e1], ..., (e_last, inf).

    An edge at the maximum would leave the last bucket empty: the next smaller value takes its place, so a
    value that fills the upper quantiles keeps a bucket of its own.
    """
    if len(x) == 0:
        return np.empty(0)
    edges = np.unique(np.quantile(x, np.arange(1, n_buckets) / n_buckets, method="inverted_cdf"))
    below = x[x < x.max()]
    if len(below) == 0:
        return np.empty(0)
    out: NDArray[np.float64] = np.unique(np.minimum(edges, below.max()))
    return out


def log2_buckets(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return 0 for x < 0, 1 for [0, 1), 2 for [1, 2), then 3 + floor(log(x)**2)."""
    low = (x >= 0).astype(np.int64) + (x >= 1)
    high = N_LOW_BUCKETS + np.floor(np.log(np.maximum(x, 2)) ** 2).astype(np.int64)
    return np.where(x >= 2, high, low)
