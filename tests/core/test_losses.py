"""The table of losses against finite differences and naive forms."""

import math

import numpy as np
import pytest

import oracles
from crossfm.core.losses import LOSSES, find_loss
from crossfm.errors import LabelError, OptionError

TARGETS = {"squared": [-2.5, 0.0, 3.0], "logistic": [0.0, 1.0], "poisson": [0.0, 1.0, 4.0, 2.5]}
SCORES = np.array([-6.0, -1.3, 0.0, 0.4, 5.0])
each_loss = pytest.mark.parametrize("name", LOSSES)


def test_the_tests_know_every_loss():
    assert set(TARGETS) == set(LOSSES)
    assert [loss.code for loss in LOSSES.values()] == list(range(len(LOSSES)))
    assert all(find_loss(name).name == name for name in LOSSES)


@each_loss
def test_values_equal_the_definition(name):
    for y in TARGETS[name]:
        expected = [oracles.loss_value(name, s, y) for s in SCORES]
        got = LOSSES[name].value(SCORES, np.full(len(SCORES), y))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@each_loss
def test_prediction_minus_target_is_the_derivative_of_the_value(name):
    loss = LOSSES[name]
    for y in TARGETS[name]:
        target = np.full(len(SCORES), y)
        difference = (loss.value(SCORES + 1e-5, target) - loss.value(SCORES - 1e-5, target)) / 2e-5
        np.testing.assert_allclose(loss.predict(SCORES) - target, difference, rtol=1e-6, atol=1e-8)
        slopes = [oracles.loss_slope(name, s, y) for s in SCORES]
        np.testing.assert_allclose(slopes, difference, rtol=1e-6, atol=1e-8)


@each_loss
def test_the_start_is_the_best_constant_score(name):
    loss, target = LOSSES[name], np.array(TARGETS[name])
    start = loss.start(float(target.mean()))
    at = [loss.value(np.full(len(target), start + shift), target).sum() for shift in (-1e-3, 0.0, 1e-3)]
    assert at[1] < min(at[0], at[2])


@pytest.mark.parametrize(("name", "mean"), [("logistic", 0.0), ("logistic", 1.0), ("poisson", 0.0)])
def test_the_start_is_finite_for_targets_that_are_all_equal(name, mean):
    assert math.isfinite(LOSSES[name].start(mean))


def test_extreme_scores_of_the_logistic_loss_do_not_overflow():
    loss, scores = LOSSES["logistic"], np.array([-1e4, 1e4])
    np.testing.assert_array_equal(loss.predict(scores), [0.0, 1.0])
    np.testing.assert_array_equal(loss.value(scores, np.array([0.0, 0.0])), [0.0, 1e4])
    np.testing.assert_array_equal(loss.value(scores, np.array([1.0, 1.0])), [1e4, 0.0])


@each_loss
def test_allowed_targets_pass(name):
    LOSSES[name].check(TARGETS[name])
    LOSSES[name].check([])


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("squared", [1.0, math.nan], "row 1 has target nan, but squared loss expects finite numbers"),
        ("squared", [math.inf], "row 0 has target inf, but squared loss expects finite numbers"),
        ("logistic", [0, 1, 2], "row 2 has target 2, but logistic loss expects 0 or 1"),
        ("logistic", [-1, 1], "row 0 has target -1, but logistic loss expects 0 or 1"),
        ("logistic", [0.5], "row 0 has target 0.5, but logistic loss expects 0 or 1"),
        ("poisson", [3, -0.1], "row 1 has target -0.1, but poisson loss expects counts, 0 or more"),
        ("poisson", [math.inf], "row 0 has target inf, but poisson loss expects counts, 0 or more"),
    ],
)
def test_other_targets_are_named_with_their_row(name, target, message):
    with pytest.raises(LabelError, match=message) as caught:
        LOSSES[name].check(target)
    assert "choose another loss" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_loss_lists_the_losses_there_are():
    with pytest.raises(OptionError, match="loss='huber', but the losses are squared, logistic, poisson"):
        find_loss("huber")
