"""What every metric asks of its input; each message names the argument and the position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError, LabelError

Floats = NDArray[np.float64]


def vector(name: str, values: ArrayLike) -> Floats:
    """Return ``values`` as a non-empty float64 (n,) of finite numbers."""
    array = _as_float(name, values)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}, but one number a row, (n_rows,), is expected")
    if len(array) == 0:
        raise DataError(f"{name} is empty: there is nothing to measure")
    check_finite(name, array)
    return array


def pair(y_true: ArrayLike, y_pred: ArrayLike, name: str = "y_pred") -> tuple[Floats, Floats]:
    """Return targets and predictions as two vectors of one length."""
    y, p = vector("y_true", y_true), vector(name, y_pred)
    check_length(name, p, len(y))
    return y, p


def weights(sample_weight: ArrayLike | None, n_rows: int, name: str = "sample_weight") -> Floats | None:
    """Return weights (n_rows,), not negative and not all zero, or None."""
    if sample_weight is None:
        return None
    array = vector(name, sample_weight)
    check_length(name, array, n_rows)
    if (array < 0).any():
        at = int(np.argmax(array < 0))
        raise DataError(f"{name} at position {at} is {array[at]:g}, but weights cannot be negative")
    if not array.any():
        raise DataError(f"{name} is zero everywhere: there is nothing to measure")
    return array


def check_length(name: str, array: NDArray[Any], n_rows: int) -> None:
    """Raise ``DataError`` unless ``array`` has one entry for each of ``n_rows`` rows."""
    if len(array) != n_rows:
        raise DataError(f"{name} has {len(array)} rows, but there are {n_rows} targets")


def check_finite(name: str, array: Floats) -> None:
    """Raise ``DataError`` with the position of the first value that is NaN or infinite."""
    good = np.isfinite(array)
    if good.all():
        return
    at = tuple(int(i) for i in np.unravel_index(int(np.argmin(good)), array.shape))
    where = at[0] if len(at) == 1 else at
    raise DataError(
        f"{name} at position {where} is {array[at]}, but only finite numbers can be measured "
        f"({int((~good).sum())} of {array.size} are not). Training may have diverged, or a value is missing."
    )


def check_binary(y: Floats) -> None:
    """Raise ``LabelError`` unless every target is 0 or 1."""
    bad = (y != 0) & (y != 1)
    if bad.any():
        at = int(np.argmax(bad))
        raise LabelError(
            f"y_true at position {at} is {y[at]:g}, but 0 or 1 is expected. Map your labels to 0 and 1."
        )


def check_probability(name: str, p: Floats, slack: float = 0.0) -> None:
    """Raise ``DataError`` unless all of ``p`` lies in [0, 1], rounding of size ``slack`` aside."""
    bad = (p < -slack) | (p > 1 + slack)
    if bad.any():
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), p.shape))
        where = at[0] if len(at) == 1 else at
        raise DataError(
            f"{name} at position {where} is {p[at]:g}, but a probability from 0 to 1 is expected. "
            "Pass predict_proba, not raw scores."
        )


def _as_float(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        try:  # lists of Python numbers come here as objects; text and complex numbers do not pass
            array = array.astype(np.float64) if array.dtype.kind == "O" else None  # type: ignore[assignment]
        except (TypeError, ValueError):
            array = None  # type: ignore[assignment]
        if array is None:
            raise DataError(f"{name} has values of type {np.asarray(values).dtype}, but numbers are expected")
    return array.astype(np.float64, copy=False)
