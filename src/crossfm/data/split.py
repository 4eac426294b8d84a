"""Splits into train and test rows: at random, by time, by user, by group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import DataError, OptionError

Index = NDArray[np.int64]


def random_split(n_rows: int, fraction: float, seed: int) -> tuple[Index, Index]:
    """Draw ``round(n_rows * fraction)`` test rows at random.

    Returns sorted row numbers (train, test). Raises ``OptionError`` for a fraction outside (0, 1) and
    ``DataError`` when a side would be empty.
    """
    test = _generator(seed).permutation(n_rows)[: round(n_rows * _fraction(fraction))]
    mask = np.zeros(n_rows, bool)
    mask[test] = True
    return _sides(mask, f"{n_rows} rows and fraction {fraction}")


def chosen_rows(first: int, n_rows: int, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mark about ``fraction`` of the rows ``first`` to ``first + n_rows - 1`` of a long file.

    Whether a row is chosen depends on its number and ``seed`` alone: the output of SplitMix64 (Steele, Lea, Flood,
    "Fast splittable pseudorandom number generators", 2014) at that place of the seed's sequence.
    """
    key = np.uint64(_generator(seed).integers(2**63))
    with np.errstate(over="ignore"):
        z = key + np.arange(first + 1, first + n_rows + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    chosen: NDArray[np.bool_] = (z >> np.uint64(11)) < np.uint64(fraction * 2**53)
    return chosen


def time_split(times: Any, test_fraction: float | None = None, *, cutoff: Any = None) -> tuple[Index, Index]:
    """Test on the latest rows: every test row is later than every train row.

    Parameters
    ----------
    times : array-like (n_rows,)
        Numbers, dates or timestamps (NumPy, pandas, polars, Arrow); with a zone, compared in UTC.
    test_fraction : float, optional
        About how many rows to test on. Rows of one time stay together, so the split falls at the nearest
        step of time.
    cutoff : number, date or ISO text, optional
        Test on rows at or after it. Give either this or ``test_fraction``.

    Returns
    -------
    train, test : int64
        Sorted row numbers.
    """
    if (test_fraction is None) == (cutoff is None):
        raise OptionError("time_split needs either test_fraction or cutoff, and not both")
    array = _as_times(times)
    if test_fraction is not None:
        cutoff = _cutoff(array, _fraction(test_fraction))
    elif array.dtype.kind == "M":
        cutoff = _as_datetime(cutoff)
    elif isinstance(cutoff, (str, bytes)) or not np.isscalar(cutoff):
        raise OptionError(f"cutoff is {cutoff!r}, but the times are numbers; give a number")
    return _sides(array >= cutoff, f"cutoff {cutoff}")


def leave_last_out(users: Any, times: Any, n: int = 1) -> tuple[Index, Index]:
    """Test on the last ``n`` rows of each user; equal times count in row order.

    Users with ``n`` rows or fewer stay in train. ``users`` (n_rows,) are values of any type, compared as
    categories; ``times`` as in ``time_split``. Returns sorted row numbers (train, test).
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise OptionError(f"n is {n!r}, but must be a whole number from 1")
    codes, _ = _group_codes(users, "user")
    array = _as_times(times)
    if len(array) != len(codes):
        raise DataError(f"{len(codes)} users, but {len(array)} times; each row needs both")
    order = np.lexsort((array, codes))  # stable: row order within equal times
    counts = np.bincount(codes, minlength=1)
    ends = np.cumsum(counts)[codes[order]]
    last = (ends - np.arange(len(order)) <= n) & (counts[codes[order]] > n)
    mask = np.zeros(len(order), bool)
    mask[order[last]] = True
    return _sides(mask, f"n={n}: no user has more than {n} rows")


def group_split(groups: Any, fraction: float, seed: int) -> tuple[Index, Index]:
    """Draw ``round(n_groups * fraction)`` whole groups for testing: no group is on both sides.

    ``groups`` (n_rows,) are values of any type, compared as categories. Which groups are drawn depends on
    their values and the seed, not on the order of rows. Returns sorted row numbers (train, test).
    """
    codes, values = _group_codes(groups, "group")
    by_value = np.array(sorted(range(len(values)), key=values.__getitem__))
    n_test = round(len(values) * _fraction(fraction))
    drawn = np.zeros(len(values), bool)
    drawn[by_value[_generator(seed).permutation(len(values))[:n_test]]] = True
    return _sides(drawn[codes], f"{len(values)} groups and fraction {fraction}")


def _fraction(fraction: Any) -> float:
    if not isinstance(fraction, (float, np.floating)) or not 0 < fraction < 1:
        raise OptionError(f"fraction is {fraction!r}, but must lie between 0 and 1")
    return float(fraction)


def _sides(test: NDArray[np.bool_], what: str) -> tuple[Index, Index]:
    for side, mask in (("train", ~test), ("test", test)):
        if not mask.any():
            raise DataError(
                f"the {side} side would be empty ({what}); choose another split or give more rows"
            )
    return np.flatnonzero(~test).astype(np.int64), np.flatnonzero(test).astype(np.int64)


def _cutoff(times: NDArray[Any], fraction: float) -> Any:
    """Return the time whose rows and later ones come nearest to the wanted number of test rows."""
    steps, counts = np.unique(times, return_counts=True)
    if len(steps) < 2:
        raise DataError("all rows have one time, so none is later; use random_split")
    n_test = counts[::-1].cumsum()[::-1]  # testing from step i on
    return steps[1:][np.argmin(np.abs(n_test[1:] - fraction * len(times)))]


def _as_times(times: Any) -> NDArray[Any]:
    """Return numbers or datetime64 (n_rows,); raises ``DataError`` for text and for missing times."""
    import pyarrow as pa

    array = np.asarray(times)
    if array.dtype.kind == "O":  # dates, or timestamps with a zone
        try:
            arrow = pa.array(array, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError) as exc:
            raise DataError(f"times cannot be read: {exc}") from exc
        if pa.types.is_timestamp(arrow.type):
            arrow = arrow.cast(pa.timestamp(arrow.type.unit))
        array = np.asarray(arrow.to_numpy(zero_copy_only=False))
    if array.dtype.kind not in "iufM" or array.ndim != 1:
        raise DataError(
            f"times are {array.dtype} of shape {array.shape}, but must be one row of numbers or dates"
        )
    missing = np.isnat(array) if array.dtype.kind == "M" else ~np.isfinite(array)
    if missing.any():
        raise DataError(
            f"row {int(np.argmax(missing))} has no time; fill it or drop the row before splitting"
        )
    return array


def _as_datetime(cutoff: Any) -> np.datetime64:
    if getattr(cutoff, "tzinfo", None) is not None:
        cutoff = (cutoff - cutoff.utcoffset()).replace(tzinfo=None)
    if isinstance(cutoff, (bool, int, float)):
        raise OptionError(f"cutoff is {cutoff!r}, but the times are dates; give a date or ISO text")
    try:
        date: np.datetime64 = np.datetime64(cutoff)
    except ValueError as exc:
        raise OptionError(f"cutoff is {cutoff!r}, which is no date; give one such as '1998-03-01'") from exc
    return date


def _group_codes(values: Any, what: str) -> tuple[Index, list[str]]:
    """Return codes (n_rows,) into distinct values; raises ``DataError`` naming the first missing one."""
    from crossfm.data.categories import category_codes
    from crossfm.data.tables import as_table

    codes, distinct = category_codes(as_table({what: _column(values)})[what], what)
    if (codes < 0).any():
        raise DataError(
            f"row {int(np.argmax(codes < 0))} has no {what}; fill it or drop the row before splitting"
        )
    return codes, distinct.to_pylist()


def _column(values: Any) -> Any:
    """Let Arrow's own arrays pass, and polars' Series as Arrow; leave the rest to pyarrow."""
    return values.to_arrow() if hasattr(values, "to_arrow") else values


def _generator(seed: Any) -> np.random.Generator:
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"seed={seed!r}, but it must be a whole number of at least 0")
    return np.random.default_rng(seed)
