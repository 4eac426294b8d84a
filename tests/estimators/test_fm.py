from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from by_rows import ByRows
from contracts import COLUMNS, SEED, clicks
from crossfm import FMClassifier, FMRegressor
from crossfm.data.rows import Rows
from crossfm.errors import DataError, LabelError, OptionError


class TestFMRegressor(ByRows):
    def make(self, **options: Any) -> FMRegressor:
        return FMRegressor(**{"n_factors": 4, "learning_rate": 0.1, "random_state": SEED, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return 100.0 + 20.0 * score

    def test_the_unit_of_the_target_does_not_matter(self, data: Any) -> None:
        table, y = data
        a = self.make(columns=COLUMNS).fit(table, y).predict(table)
        b = self.make(columns=COLUMNS).fit(table, 1000.0 * y - 5.0).predict(table)
        np.testing.assert_allclose(b, 1000.0 * a - 5.0, rtol=1e-5)

    def test_poisson_predicts_means_of_counts(self) -> None:
        table, score = clicks(2000)
        y = np.random.default_rng(0).poisson(np.exp(0.5 * score))
        model = self.make(columns=COLUMNS, loss="poisson").fit(table, y)
        mean = model.predict(table)
        assert (mean > 0).all()
        assert mean.mean() == pytest.approx(y.mean(), rel=0.05)
        assert np.corrcoef(mean, np.exp(0.5 * score))[0, 1] > 0.8

    def test_counts_below_zero_are_refused(self, data: Any) -> None:
        with pytest.raises(
            LabelError, match=r"row 2 has target -1, but poisson loss expects counts, 0 or more"
        ):
            self.make(columns=COLUMNS, loss="poisson").fit(data[0][:3], [0, 2, -1])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_targets_that_are_not_finite_are_refused(self, data: Any, bad: float) -> None:
        with pytest.raises(ValueError, match=r"NaN|nan|inf"):
            self.make(columns=COLUMNS).fit(data[0][:3], [0, bad, 1])

    def test_a_constant_target_is_predicted(self, data: Any) -> None:
        model = self.make(columns=COLUMNS).fit(data[0], np.full(len(data[0]), 3.0))
        np.testing.assert_allclose(model.predict(data[0]), 3.0, atol=0.05)  # V starts random

    def test_an_unknown_loss_is_refused(self, data: Any) -> None:
        with pytest.raises(OptionError, match="loss='absolute'"):
            self.make(loss="absolute").fit(*data)

    def test_matrix_factorization_is_a_machine_on_two_one_hot_fields(self) -> None:
        user, item = np.meshgrid(np.arange(5), np.arange(4), indexing="ij")
        rows = Rows(np.stack([user.ravel(), 5 + item.ravel()], 1).astype(np.uint32).ravel(), 9, width=2)
        y = self.target(np.random.default_rng(0).standard_normal(20))
        model = self.make().fit(rows, y)
        p = model.params_
        expected = p.bias + p.w[:5, None] + p.w[5:] + p.V[:5] @ p.V[5:].T
        np.testing.assert_allclose(model.predict(rows), expected.ravel(), rtol=1e-5)


class TestFMClassifier(ByRows):
    def make(self, **options: Any) -> FMClassifier:
        return FMClassifier(**{"n_factors": 4, "learning_rate": 0.1, "random_state": SEED, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return np.where(score > np.median(score), "yes", "no")

    def raw(self, model: Any, X: Any) -> np.ndarray:
        return np.asarray(model.decision_function(X))

    def test_probabilities_follow_the_scores(self, data: Any, model: Any) -> None:
        table, y = data
        proba, score = model.predict_proba(table), model.decision_function(table)
        assert list(model.classes_) == ["no", "yes"]
        np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-score)), rtol=1e-6)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        assert np.array_equal(model.predict(table), np.where(score > 0, "yes", "no"))
        assert (model.predict(table) == y).mean() > 0.9

    def test_many_classes_take_a_machine_each(self, data: Any, tmp_path: Any) -> None:
        import crossfm

        table, score = clicks()
        y = np.digitize(score, np.quantile(score, [0.3, 0.7])) * 10
        model = self.make(columns=COLUMNS).fit(table, y)
        assert list(model.classes_) == [0, 10, 20]
        assert len(model.params_) == 3
        proba = model.predict_proba(table)
        assert proba.shape == (len(y), 3)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        assert (model.predict(table) == y).mean() > 0.8
        explained = model.explain(table, machine=2)
        np.testing.assert_allclose(
            explained.score(), model.decision_function(table)[:, 2], rtol=1e-4, atol=1e-5
        )
        model.save(tmp_path / "m.crossfm")
        assert np.array_equal(crossfm.load(tmp_path / "m.crossfm").predict(table), model.predict(table))

    def test_early_stopping_can_watch_the_auc(self, data: Any) -> None:
        model = self.make(columns=COLUMNS, early_stopping=True, monitor="auc", learning_rate=0.5).fit(*data)
        areas = [epoch["valid_auc"] for epoch in model.history_]
        assert model.best_iter_ == int(np.argmax(areas)) + 1

    def test_one_class_is_not_enough(self, data: Any) -> None:
        with pytest.raises(LabelError, match="one class only"):
            self.make(columns=COLUMNS).fit(data[0], np.full(len(data[0]), "yes"))

    def test_a_label_that_was_not_declared_is_named(self, data: Any) -> None:
        model = self.make(columns=COLUMNS).partial_fit(*data, classes=["no", "yes"])
        with pytest.raises(LabelError, match=r"row 0 has label .*maybe"):
            model.partial_fit(data[0][:1], ["maybe"])

    def test_classes_of_the_first_part_can_be_declared(self, data: Any) -> None:
        table, y = data
        model = self.make(columns=COLUMNS).partial_fit(table[y == "no"], y[y == "no"], classes=["no", "yes"])
        model.partial_fit(table, y)
        assert model.predict_proba(table).shape == (len(y), 2)

    def test_rows_with_plus_and_minus_one_need_no_conversion(self) -> None:
        rng = np.random.default_rng(0)
        rows = Rows(rng.integers(0, 20, 200).astype(np.uint32), 20, width=2)
        rows = rows.with_target(np.where(rng.random(100) < 0.5, -1.0, 1.0))
        model = self.make().fit(rows)
        assert list(model.classes_) == [-1.0, 1.0]

    def test_eval_set_of_other_rows_is_checked(self, data: Any) -> None:
        table, y = data
        with pytest.raises(DataError, match="rows"):
            self.make(columns=COLUMNS).fit(table, y, eval_set=(table, y[:10]))


def test_going_on_with_other_factors_or_another_loss_is_refused() -> None:
    table, score = clicks(200)
    counts = (score > 0).astype(float)
    for change in ({"n_factors": 3}, {"loss": "poisson"}):
        model = FMRegressor(n_factors=2, max_iter=1, warm_start=True, random_state=0).fit(table, counts)
        with pytest.raises(OptionError, match="which stays"):
            model.set_params(**change).fit(table, counts)


def test_going_on_with_another_solver_uses_it() -> None:
    table, score = clicks(200)
    first = {"n_factors": 2, "max_iter": 1, "warm_start": True, "random_state": 0, "learning_rate": 0.05}
    other = {}
    for solver in ("adagrad", "sgd", "adam", "ftrl", "adagrad-row"):
        model = FMRegressor(**first).fit(table, score).set_params(solver=solver).fit(table, score)
        other[solver] = model.params_.w.tobytes()
    assert len(set(other.values())) == 5
