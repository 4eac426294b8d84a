"""Do events predicted with probability p happen a share p of the time?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import OptionError
from crossfm.metrics import checks
from crossfm.metrics.checks import Floats


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """One entry for each bin that has rows, by rising probability.

    Attributes
    ----------
    mean_predicted : float64 (n_filled,)
    observed : float64 (n_filled,)
        Share of rows with target 1.
    count : int64 (n_filled,)
    """

    mean_predicted: Floats
    observed: Floats
    count: NDArray[np.int64]


def calibration_curve(
    y_true: ArrayLike, probability: ArrayLike, *, n_bins: int = 15, bins: Literal["mass", "width"] = "mass"
) -> CalibrationCurve:
    """Group rows by predicted probability and compare the mean prediction with what happened.

    Parameters
    ----------
    y_true : (n_rows,) of 0 and 1
    probability : (n_rows,)
    n_bins : int, default=15
        Bins without rows are left out.
    bins : "mass" or "width", default="mass"
        "mass": bins of equal numbers of rows: the row with r rows strictly below it is in bin
        floor(n_bins r / n_rows), so tied predictions share a bin and row order does not matter.
        "width": [0, 1/n_bins), [1/n_bins, 2/n_bins), ..., the last with its right end.

    Raises
    ------
    DataError
        Empty input, unequal lengths, NaN (with its position), something outside [0, 1].
    LabelError
        A target that is not 0 or 1.
    OptionError
        ``n_bins`` below 1 or an unknown ``bins``.
    """
    y, p = checks.pair(y_true, probability, "probability")
    checks.check_binary(y)
    checks.check_probability("probability", p)
    if n_bins < 1:
        raise OptionError(f"n_bins is {n_bins}, but at least 1 is expected")
    if bins == "mass":
        bin_of = _equal_mass(p, n_bins)
    elif bins == "width":
        bin_of = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    else:
        raise OptionError(f"bins is {bins!r}, but 'mass' or 'width' is expected")
    count = np.bincount(bin_of, minlength=n_bins)
    filled = count > 0
    count = count[filled].astype(np.int64)
    mean_predicted = np.bincount(bin_of, weights=p, minlength=n_bins)[filled] / count
    observed = np.bincount(bin_of, weights=y, minlength=n_bins)[filled] / count
    return CalibrationCurve(mean_predicted, observed, count)


def expected_calibration_error(
    y_true: ArrayLike, probability: ArrayLike, *, n_bins: int = 15, bins: Literal["mass", "width"] = "mass"
) -> float:
    """Mean over rows of abs(mean prediction - share of ones) of their bin, from 0 (calibrated) to 1.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. (3), which has bins of equal width;
    equal mass is our default because click probabilities crowd near 0. Parameters and errors as
    ``calibration_curve``.
    """
    curve = calibration_curve(y_true, probability, n_bins=n_bins, bins=bins)
    return float(np.average(np.abs(curve.mean_predicted - curve.observed), weights=curve.count))


def _equal_mass(p: Floats, n_bins: int) -> NDArray[np.int64]:
    """Return floor(n_bins r / n_rows), r the number of rows strictly below, by its n_bins - 1 cuts.

    A row is in bin b or above when at least ceil(b n_rows / n_bins) = c rows are below it: when its value is
    above the c-th smallest.
    """
    c = -(-np.arange(1, n_bins) * len(p) // n_bins)
    cuts = np.sort(p)[c - 1]
    return np.searchsorted(cuts, p, side="left").astype(np.int64)
