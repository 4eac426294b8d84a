"""Checks of options and of the tables they name."""

import math
import os

import numpy as np
import pytest

from crossfm.core.options import check_choice, check_count, check_number, thread_count
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.errors import OptionError


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, np.float32(0.5), np.int64(3)])
def test_good_numbers_come_back_as_floats(value):
    got = check_number("l2_w", value)
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "1", None, True, np.bool_(True), [1.0]])
def test_bad_numbers_are_named(value):
    with pytest.raises(OptionError, match=r"l2_w=.*, but it must be a number of at least 0"):
        check_number("l2_w", value)


def test_a_number_may_have_to_be_above_its_bound():
    assert check_number("learning_rate", 1e-9, above=True) == 1e-9
    with pytest.raises(OptionError, match="learning_rate=0, but it must be a number above 0"):
        check_number("learning_rate", 0, above=True)


@pytest.mark.parametrize("value", [1, 5, np.int32(3), np.uint8(2)])
def test_good_counts_come_back_as_ints(value):
    got = check_count("n_factors", value, low=1, high=5)
    assert type(got) is int
    assert got == value


@pytest.mark.parametrize("value", [0, 6, 2.0, "2", None, True])
def test_bad_counts_are_named(value):
    with pytest.raises(
        OptionError, match=r"n_factors=.*, but it must be a whole number of at least 1 and at most 5"
    ):
        check_count("n_factors", value, low=1, high=5)


def test_choices_are_listed_when_the_value_is_none_of_them():
    assert check_choice("schedule", "constant", ["constant", "linear"]) == "constant"
    with pytest.raises(OptionError, match="schedule='cosine', but it must be one of 'constant', 'linear'"):
        check_choice("schedule", "cosine", ["constant", "linear"])


@pytest.mark.parametrize("value", [0, -1, np.int64(-1)])
def test_zero_and_minus_one_threads_mean_all_the_cores_of_this_process(value):
    assert thread_count(value) == len(os.sched_getaffinity(0))


def test_a_number_of_threads_is_taken_as_it_is():
    assert thread_count(3) == 3


@pytest.mark.parametrize("value", [-2, 1.0, "2", None, False, True, 1025])
def test_other_numbers_of_threads_are_refused(value):
    with pytest.raises(OptionError, match="n_threads="):
        thread_count(value)


def test_an_unknown_solver_lists_the_solvers_there_are():
    assert find_rule("adam") is RULES["adam"]
    assert [rule.code for rule in RULES.values()] == list(range(len(RULES)))
    with pytest.raises(
        OptionError, match="solver='lbfgs', but the solvers are sgd, adagrad, adagrad-row, adam, ftrl"
    ):
        find_rule("lbfgs")


def test_start_parameters_have_the_asked_shape_scale_and_seed():
    params = FMParams.start(500, 8, np.random.default_rng(1), scale=0.1, bias=2.0)
    again = FMParams.start(500, 8, np.random.default_rng(1), scale=0.1)
    assert (params.n_features, params.n_factors, params.bias) == (500, 8, 2.0)
    assert params.w.dtype == params.V.dtype == np.float32
    assert not params.w.any()
    assert params.V.std() == pytest.approx(0.1, rel=0.05)
    np.testing.assert_array_equal(params.V, again.V)


@pytest.mark.parametrize("where", ["bias", "w", "V"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_found_wherever_it_stands(where, value):
    parts = {"bias": 0.0, "w": np.zeros(3, np.float32), "V": np.zeros((3, 2), np.float32)}
    assert FMParams(**parts).is_finite()
    if where == "bias":
        parts["bias"] = value
    else:
        parts[where].flat[-1] = value
    assert not FMParams(**parts).is_finite()
