"""Errors, log loss and areas of one prediction a row, against their naive forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import oracles
from crossfm import metrics
from crossfm.errors import DataError, LabelError

few = settings(max_examples=60, deadline=None)
numbers = st.floats(-100, 100, width=32)


@st.composite
def tables(draw, target=numbers, prediction=numbers, max_rows=25):
    """Targets, predictions and positive weights of one length; small pools of values make ties."""
    n = draw(st.integers(1, max_rows))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    return column(target), column(prediction), column(st.floats(0.1, 10))


labels = st.integers(0, 1)
tied_scores = st.one_of(st.sampled_from([-1.5, 0.0, 0.25, 3.0]), numbers)


@few
@given(tables())
def test_rmse_and_mae_equal_their_definitions(table):
    y, p, w = table
    assert metrics.rmse(y, p) == pytest.approx(oracles.rmse(y, p), abs=1e-9)
    assert metrics.mae(y, p) == pytest.approx(oracles.mae(y, p), abs=1e-9)
    assert metrics.rmse(y, p, sample_weight=w) == pytest.approx(oracles.rmse(y, p, w), abs=1e-9)
    assert metrics.mae(y, p, sample_weight=w) == pytest.approx(oracles.mae(y, p, w), abs=1e-9)


@few
@given(tables(target=st.integers(0, 9), prediction=st.floats(0.01, 20)))
def test_poisson_deviance_equals_its_definition(table):
    y, mu, w = table
    assert metrics.poisson_deviance(y, mu) == pytest.approx(oracles.poisson_deviance(y, mu), abs=1e-9)
    expected = sk.mean_poisson_deviance(y, mu, sample_weight=w)
    assert metrics.poisson_deviance(y, mu, sample_weight=w) == pytest.approx(expected, abs=1e-9)


@few
@given(tables(target=labels, prediction=st.floats(0, 1)))
def test_log_loss_equals_its_definition_also_at_certain_mistakes(table):
    y, p, w = table
    rows = [[1 - value, value] for value in p]
    eps = np.finfo(np.float64).eps
    assert metrics.log_loss(y, p) == pytest.approx(oracles.log_loss(y, rows, eps), abs=1e-9)
    weighted = metrics.log_loss(y, p, sample_weight=w)
    assert weighted == pytest.approx(oracles.log_loss(y, rows, eps, w), abs=1e-9)
    assert weighted == pytest.approx(sk.log_loss(y, p, sample_weight=w, labels=[0, 1]), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_of_several_classes_equals_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=50).astype(dtype)
    p[3] = [1, 0, 0, 0]
    y = rng.integers(0, 4, 50)
    expected = oracles.log_loss(y, p.astype(np.float64), np.finfo(dtype).eps)
    assert metrics.log_loss(y, p) == pytest.approx(expected, rel=1e-6)
    assert metrics.log_loss(y, p) == pytest.approx(sk.log_loss(y, p, labels=range(4)), rel=1e-5)


def test_one_certain_mistake_costs_what_its_float_type_can_tell_from_one():
    assert metrics.log_loss([1], np.array([0.0])) == pytest.approx(-np.log(2.0**-52))
    assert metrics.log_loss([1], np.array([0.0], np.float32)) == pytest.approx(-np.log(2.0**-23))


@few
@given(tables(target=labels, prediction=tied_scores))
def test_auc_is_the_share_of_pairs_in_order_with_ties_one_half(table):
    y, s, w = table
    assume(0 < sum(y) < len(y))
    assert metrics.auc(y, s) == pytest.approx(oracles.auc(y, s), abs=1e-12)
    assert metrics.auc(y, s, sample_weight=w) == pytest.approx(oracles.auc(y, s, w), abs=1e-9)
    assert metrics.auc(y, s) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-9)
    assert metrics.auc(y, -np.array(s)) == pytest.approx(1 - oracles.auc(y, s), abs=1e-9)


def test_auc_of_many_rows_equals_scikit_learn():
    rng = np.random.default_rng(1)
    y, s = rng.random(20_000) < 0.02, rng.integers(0, 500, 20_000)
    assert metrics.auc(y, s) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.bool_])
def test_auc_takes_scores_of_any_number_type(dtype):
    assert metrics.auc([0, 1, 1, 0], np.array([0, 1, 1, 1], dtype)) == 0.75


@few
@given(tables(target=labels, prediction=tied_scores), st.data())
def test_gauc_weights_the_auc_of_each_user_by_impressions(table, data):
    y, s, _ = table
    users = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(y), max_size=len(y)))
    judged = [u for u in set(users) if {y[i] for i in range(len(y)) if users[i] == u} == {0, 1}]
    assume(judged)
    assert metrics.gauc(y, s, users) == pytest.approx(oracles.gauc(y, s, users), abs=1e-12)
    names, values, impressions = metrics.user_auc(y, s, users)
    assert names.tolist() == sorted(judged)
    assert impressions.tolist() == [users.count(u) for u in sorted(judged)]
    for name, value in zip(names, values, strict=True):
        rows = [i for i in range(len(y)) if users[i] == name]
        assert value == pytest.approx(oracles.auc([y[i] for i in rows], [s[i] for i in rows]), abs=1e-12)


@pytest.mark.parametrize(
    "metric", [metrics.rmse, metrics.mae, metrics.log_loss, metrics.auc, metrics.poisson_deviance]
)
class TestBadInput:
    def test_empty_input_is_refused(self, metric):
        with pytest.raises(DataError, match="y_true is empty"):
            metric([], [])

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_prediction_that_is_not_finite_is_named_by_position(self, metric, bad):
        with pytest.raises(DataError, match=r"at position 2 is -?(nan|inf)"):
            metric([0, 1, 0, 1], [0.5, 0.5, bad, 0.5])

    def test_unequal_lengths_are_refused(self, metric):
        with pytest.raises(DataError, match="3 rows, but there are 2 targets"):
            metric([0, 1], [0.5, 0.5, 0.5])

    def test_text_is_refused(self, metric):
        with pytest.raises(DataError, match="numbers are expected"):
            metric(["a", "b"], [0.5, 0.5])

    def test_a_table_of_targets_is_refused(self, metric):
        with pytest.raises(DataError, match=r"y_true has shape \(2, 1\)"):
            metric([[0], [1]], [0.5, 0.5])

    @pytest.mark.parametrize(
        ("weight", "message"),
        [
            ([1, -1], "position 1 is -1"),
            ([0, 0], "zero everywhere"),
            ([1], "1 rows"),
            ([1, np.nan], "position 1 is nan"),
        ],
    )
    def test_weights_that_cannot_be_are_refused(self, metric, weight, message):
        with pytest.raises(DataError, match=message):
            metric([0, 1], [0.5, 0.5], sample_weight=weight)


def test_a_missing_value_among_python_objects_is_named_by_position():
    with pytest.raises(DataError, match="y_pred at position 1 is nan"):
        metrics.rmse([1, 2], np.array([1.0, None], dtype=object))


@pytest.mark.parametrize(("y", "kind"), [([0, 0], "positive"), ([1, 1], "negative")])
def test_auc_needs_both_classes(y, kind):
    with pytest.raises(DataError, match=f"no {kind} row among 2"):
        metrics.auc(y, [0.1, 0.2])


def test_auc_does_not_count_a_class_whose_weight_is_zero():
    with pytest.raises(DataError, match="no positive row"):
        metrics.auc([0, 1], [0.1, 0.2], sample_weight=[1, 0])


def test_gauc_needs_one_user_with_both_labels():
    with pytest.raises(DataError, match="none of the 2 users has both labels"):
        metrics.gauc([0, 1], [0.1, 0.2], ["a", "b"])
    with pytest.raises(DataError, match="users has 1 rows"):
        metrics.gauc([0, 1], [0.1, 0.2], ["a"])
    with pytest.raises(DataError, match="users has shape"):
        metrics.gauc([0, 1], [0.1, 0.2], [["a"], ["b"]])


@pytest.mark.parametrize("metric", [metrics.log_loss, metrics.auc])
def test_labels_other_than_zero_and_one_are_refused(metric):
    with pytest.raises(LabelError, match="position 1 is -1, but 0 or 1"):
        metric([1, -1], [0.5, 0.6])


def test_scores_are_no_probabilities():
    with pytest.raises(DataError, match=r"position 1 is 1\.5.*predict_proba"):
        metrics.log_loss([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match=r"position \(1, 0\) is -0\.5"):
        metrics.log_loss([0, 1], [[0.5, 0.5], [-0.5, 1.5]])
    with pytest.raises(DataError, match=r"row 1 sums to 0\.9"):
        metrics.log_loss([0, 1], [[0.5, 0.5], [0.5, 0.4]])
    with pytest.raises(DataError, match=r"position \(0, 1\) is nan"):
        metrics.log_loss([0, 1], [[0.5, np.nan], [0.5, 0.5]])


@pytest.mark.parametrize("label", [2, -1, 0.5])
def test_a_class_without_a_column_is_refused(label):
    with pytest.raises(LabelError, match="class number from 0 to 1"):
        metrics.log_loss([0, label], [[0.5, 0.5], [0.5, 0.5]])


def test_a_probability_above_one_by_rounding_is_accepted():
    p = np.nextafter(np.array([1.0], np.float32), np.float32(2))
    assert metrics.log_loss([1], p) == pytest.approx(0, abs=1e-6)


def test_poisson_needs_counts_and_means_above_zero():
    with pytest.raises(LabelError, match="position 0 is -1"):
        metrics.poisson_deviance([-1], [1.0])
    with pytest.raises(DataError, match="position 1 is 0, but a mean above 0"):
        metrics.poisson_deviance([1, 1], [1.0, 0.0])
