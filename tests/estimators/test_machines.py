"""The machines beyond the second-order one under the same contract, and what is their own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import crossfm
from by_rows import ByRows
from contracts import SEED
from crossfm.core import memory
from crossfm.data.rows import Rows
from crossfm.errors import DataError, MemoryLimitError, OptionError
from crossfm.kernels import ffm


class Machine(ByRows):
    """A regressor unless ``target`` gives classes."""

    kind: ClassVar[str]

    def make(self, **options: Any) -> Any:
        settings = {"n_factors": 4, "learning_rate": 0.1, "random_state": SEED, **options}
        return getattr(crossfm, self.kind)(**settings)

    def target(self, score: np.ndarray) -> np.ndarray:
        if self.kind.endswith("Classifier"):
            return np.where(score > np.median(score), "yes", "no")
        return 100.0 + 20.0 * score

    def raw(self, model: Any, X: Any) -> np.ndarray:
        return np.asarray(model.decision_function(X) if hasattr(model, "classes_") else model.predict(X))

    def outputs(self, model: Any, X: Any) -> np.ndarray:
        return super().outputs(model, X)

    # The second-order formulas of the common tests, for this machine's own parameters.

    def test_scores_are_those_of_the_paper(self, data: Any, model: Any) -> None:
        pytest.skip("tests/kernels has it for every machine")

    def test_features_that_never_occurred_are_forgotten(self) -> None:
        rows = Rows(np.array([0, 3, 1, 4], np.uint32), 6, width=2)
        model = self.make().fit(rows, self.target(np.arange(2.0)))
        assert not self.vectors(model)[[2, 5]].any()
        assert not model.params_.w[[2, 5]].any()


class TestFFMRegressor(Machine):
    kind = "FFMRegressor"

    def vectors(self, model: Any) -> np.ndarray:
        return np.asarray(model.params_.dense())

    @pytest.mark.parametrize("solver", ["adagrad", "ftrl"])
    def test_features_that_come_later_learn_in_partial_fit(self, solver: str) -> None:
        first = csr_matrix(np.array([[1.0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]))
        later = csr_matrix(np.array([[0, 0, 1.0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]))
        y = self.target(np.arange(4.0))
        model = self.make(solver=solver, learning_rate=0.2).fit(first, y)
        known = self.vectors(model)
        assert not known[2:].any()
        start = self.vectors(model.partial_fit(later, y))
        assert start[2, 3].all()
        assert start[3, 2].all()
        assert not start[:2, 2:].any()  # they never met
        for _ in range(30):
            model.partial_fit(later, y)
        end = self.vectors(model)
        assert abs(end[2, 3] @ end[3, 2]) > 10 * abs(start[2, 3] @ start[3, 2])
        assert np.array_equal(end[:2, :2], known[:2, :2])


class TestFFMClassifier(TestFFMRegressor):
    kind = "FFMClassifier"


class TestFwFMRegressor(Machine):
    kind = "FwFMRegressor"


class TestFwFMClassifier(Machine):
    kind = "FwFMClassifier"


class TestFmFMRegressor(Machine):
    kind = "FmFMRegressor"


class TestFmFMClassifier(Machine):
    kind = "FmFMClassifier"


class TestHOFMClassifier(Machine):
    kind = "HOFMClassifier"

    def test_explanations_add_up_to_the_score(self, data: Any, model: Any) -> None:
        with pytest.raises(DataError, match="products of three features"):
            model.explain(data[0])

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        odd = data[0].head(3).copy()
        odd["item"] = ["never", None, "i1"]
        assert np.isfinite(self.outputs(model, odd)).all()

    def test_a_saved_model_predicts_the_same_bits(self, data: Any, model: Any, tmp_path: Any) -> None:
        model.save(tmp_path / "m.crossfm")
        loaded = crossfm.load(tmp_path / "m.crossfm")
        assert np.array_equal(self.outputs(loaded, data[0]), self.outputs(model, data[0]))


class TestHOFMRegressor(TestHOFMClassifier):
    kind = "HOFMRegressor"


FIELD_KINDS = ["FFMClassifier", "FwFMClassifier", "FmFMClassifier"]


def pairs_of_fields(n: int = 1500) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose class hangs on which a meets which b, and which b meets which c, each in its own way."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.integers(0, 12, n).astype(str) for name in "abc"})
    ab, bc = rng.normal(size=(12, 12)), rng.normal(size=(12, 12))
    score = ab[table.a.astype(int), table.b.astype(int)] + bc[table.b.astype(int), table.c.astype(int)]
    return table, (score > 0).astype(int)


def test_vectors_for_fields_learn_what_one_vector_cannot() -> None:
    table, y = pairs_of_fields()
    options = {"n_factors": 2, "max_iter": 60, "init_scale": 0.5, "random_state": 0}
    one = crossfm.FMClassifier(**options).fit(table, y)
    several = crossfm.FFMClassifier(**options).fit(table, y)
    assert several.history_[-1]["train_loss"] < 0.95 * one.history_[-1]["train_loss"]


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_fields_of_a_matrix_are_its_columns_or_as_said(kind: str) -> None:
    rng = np.random.default_rng(0)
    X = (rng.random((80, 6)) < 0.5) * 1.0
    y = (X[:, 0] * X[:, 3] > 0).astype(int)
    make = getattr(crossfm, kind)
    said = make(fields=[0, 0, 0, 1, 1, 1], random_state=0).fit(X, y).params_
    assert said.n_fields == 2
    own = make(random_state=0).fit(csr_matrix(X), y).params_
    assert own.n_fields == 6
    for fields, message in (([0, 1], "shape"), ([0.5] * 6, "float64"), ([-1] * 6, "whole number from 0")):
        with pytest.raises(OptionError, match=message):
            make(fields=fields).fit(X, y)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_many_features_without_fields_are_refused(kind: str) -> None:
    wide = csr_matrix((np.ones(3), ([0, 1, 2], [0, 1, 4999])), shape=(3, 5000))
    with pytest.raises(OptionError, match=r"too many to be a field each. Pass fields="):
        getattr(crossfm, kind)().fit(wide, [0, 1, 0])
    rows = Rows(np.array([0, 1, 4999], np.uint32), 5000, width=1)
    with pytest.raises(DataError, match="do not say the field"):
        getattr(crossfm, kind)().fit(rows, [0, 1, 0])


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_field_beyond_the_model_is_named(kind: str) -> None:
    rows = Rows(np.array([0, 1, 1, 0], np.uint32), 2, width=2, fields=np.array([0, 1], np.uint32))
    model = getattr(crossfm, kind)().fit(rows, [0, 1])
    other = Rows(rows.indices, 2, width=2, fields=np.array([0, 7], np.uint32))
    with pytest.raises(DataError, match="field 7, but the model knows fields 0 to 1"):
        model.predict(other)
    with pytest.raises(DataError, match="numbered below"):
        getattr(crossfm, kind)().fit(
            Rows(rows.indices, 2, width=2, fields=np.array([0, 9999], np.uint32)), [0, 1]
        )


@pytest.mark.parametrize("kind", ["FFMClassifier", "FwFMClassifier", "FmFMClassifier", "HOFMClassifier"])
def test_sgda_is_refused(kind: str) -> None:
    with pytest.raises(OptionError, match="sgda"):
        getattr(crossfm, kind)(solver="sgda").fit(*pairs_of_fields(30))


def test_normalisation_divides_rows_by_their_length() -> None:
    table, y = pairs_of_fields(200)
    model = crossfm.FFMClassifier(normalize=True, random_state=0).fit(table, y)
    rows = model.encoder_.transform(table)
    plain = crossfm.FFMClassifier(random_state=0).fit(rows, y)
    plain._machines = model._machines
    shrunk = Rows(
        rows.indices,
        rows.n_features,
        rows.indptr,
        np.full(rows.nnz, 3**-0.5, np.float32),
        rows.fields,
        width=3,
    )
    np.testing.assert_allclose(plain.decision_function(shrunk), model.decision_function(table), rtol=1e-6)


def test_a_table_larger_than_memory_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    table, y = pairs_of_fields(100)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(
        MemoryLimitError, match=r"would take .* but .* of memory are free. Take fewer n_factors, solver="
    ):
        crossfm.FFMClassifier().fit(table, y)
    with pytest.raises(MemoryError, match="hash_buckets"):
        crossfm.FMClassifier(solver="sgd").fit(table, y)


def test_memory_is_only_for_features_that_occur() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(
        rng.integers(0, 10, 80).astype(np.uint32) * 100, 1000, width=2, fields=np.array([0, 1], np.uint32)
    )
    table = ffm.start(rows, 4, rng, crossfm.core.rules.find_rule("sgd"), None, scale=0.1, bias=0.0)
    assert table.nbytes <= 10 * 64


@pytest.mark.parametrize("solver", ["adagrad", "adagrad-row", "ftrl", "adam"])
@pytest.mark.parametrize(("kind", "asked"), [("FMRegressor", 0.01), ("FFMRegressor", 0.0015)])
@pytest.mark.parametrize(("n_factors", "times"), [(2, 0.5), (8, 1.0), (32, 2.0)])
def test_the_penalty_is_the_solvers_own_unless_given(
    solver: str, kind: str, asked: float, n_factors: int, times: float
) -> None:
    rng = np.random.default_rng(SEED)
    X, y = rng.normal(size=(50, 4)), rng.normal(size=50)
    given = asked * times if solver.startswith("adagrad") else 0.0
    V = [
        getattr(crossfm, kind)(n_factors, solver=solver, max_iter=2, random_state=SEED, **options)
        .fit(X, y)
        .predict(X)
        for options in ({}, {"l2_V": given}, {"l2_V": 0.1})
    ]
    np.testing.assert_array_equal(V[0], V[1])
    assert not np.array_equal(V[0], V[2])
