"""Calibration curves and errors against the naive form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as sk_curve

import oracles
from crossfm import metrics
from crossfm.errors import DataError, LabelError, OptionError

probabilities = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
rows = st.lists(st.tuples(st.integers(0, 1), probabilities), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(rows, st.integers(1, 12), st.sampled_from(["mass", "width"]))
def test_curve_and_error_equal_their_definitions(rows, n_bins, bins):
    y, p = zip(*rows, strict=True)
    expected = oracles.calibration_bins(y, p, n_bins, bins)
    curve = metrics.calibration_curve(y, p, n_bins=n_bins, bins=bins)
    got = list(zip(curve.mean_predicted, curve.observed, curve.count, strict=True))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    error = metrics.expected_calibration_error(y, p, n_bins=n_bins, bins=bins)
    assert error == pytest.approx(oracles.expected_calibration_error(y, p, n_bins, bins), abs=1e-12)


def test_the_order_of_rows_does_not_matter_to_tied_predictions():
    y, p = np.array([1, 0, 0, 0, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.9, 0.9])
    forward = metrics.expected_calibration_error(y, p, n_bins=3)
    assert metrics.expected_calibration_error(y[::-1], p[::-1], n_bins=3) == pytest.approx(forward)
    assert metrics.calibration_curve(y, p, n_bins=3).count.tolist() == [4, 2]


def test_bins_of_equal_mass_differ_by_one_row_at_most_without_ties():
    p = np.random.default_rng(0).permutation(103) / 103
    count = metrics.calibration_curve(np.zeros(103), p, n_bins=10).count
    assert sorted(set(count.tolist())) == [10, 11]
    assert count.sum() == 103


def test_equal_width_curve_equals_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = (rng.random(500) < p**2).astype(int)
    observed, predicted = sk_curve(y, p, n_bins=10)
    curve = metrics.calibration_curve(y, p, n_bins=10, bins="width")
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.mean_predicted, predicted)


def test_calibrated_predictions_have_a_small_error_and_shifted_ones_their_shift():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 0.7, 200_000)
    y = rng.random(200_000) < p
    assert metrics.expected_calibration_error(y, p) < 0.005
    assert metrics.expected_calibration_error(y, p + 0.2) == pytest.approx(0.2, abs=0.005)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="empty"):
        metrics.calibration_curve([], [])
    with pytest.raises(DataError, match="position 1 is nan"):
        metrics.expected_calibration_error([0, 1], [0.5, np.nan])
    with pytest.raises(DataError, match=r"position 0 is 1\.2"):
        metrics.expected_calibration_error([0, 1], [1.2, 0.1])
    with pytest.raises(LabelError, match="position 0 is 2"):
        metrics.expected_calibration_error([2, 1], [0.2, 0.1])
    with pytest.raises(OptionError, match="n_bins is 0"):
        metrics.expected_calibration_error([0, 1], [0.2, 0.1], n_bins=0)
    with pytest.raises(OptionError, match="'mass' or 'width'"):
        metrics.expected_calibration_error([0, 1], [0.2, 0.1], bins="equal")


def test_the_last_bin_of_equal_width_holds_its_right_end():
    curve = metrics.calibration_curve([0, 1, 1], [0.0, 0.9, 1.0], n_bins=2, bins="width")
    assert curve.count.tolist() == [1, 2]
