"""What estimators refuse: one clear error, before a kernel sees anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from crossfm import FMClassifier, FMRegressor
from crossfm.data.rows import rows_from_csr
from crossfm.errors import DataError, FeatureIndexError, LabelError, OptionError

TABLE = {"user": ["a", "b", "a", "c"] * 10, "item": ["x", "y", "z", "y"] * 10}
Y = np.arange(40) % 3 / 2.0
CLASS = np.arange(40) % 2


def matrix() -> csr_matrix:
    rows, columns = np.arange(80) // 2, np.arange(80) % 5
    return csr_matrix((np.ones(80), (rows, columns)), shape=(40, 5))


def regressor(**settings: Any) -> FMRegressor:
    return FMRegressor(n_factors=2, max_iter=2, random_state=0, **settings)


@pytest.mark.parametrize("bad", [-1, 5, 4000])
@pytest.mark.parametrize("verb", ["fit", "partial_fit", "predict", "explain"])
def test_an_id_outside_a_sparse_matrix_never_reaches_a_kernel(bad: int, verb: str) -> None:
    X = matrix()
    model = regressor().fit(X, Y)
    X.indices[4] = bad
    call = getattr(model, verb)
    with pytest.raises(FeatureIndexError, match=f"row 2 has feature {bad}, but the matrix has 5 columns"):
        call(X, Y) if "fit" in verb else call(X)


def test_offsets_that_fall_are_refused() -> None:
    X = matrix()
    model = regressor().fit(X, Y)
    X.indptr[3] = 0
    with pytest.raises(DataError, match="the sparse matrix is broken"):
        model.predict(X)


@pytest.mark.parametrize("eval_set", [5, (TABLE, Y, Y), [(TABLE, Y)]])
def test_an_eval_set_that_is_no_pair_is_named(eval_set: Any) -> None:
    with pytest.raises(OptionError, match=r"one pair \(X, y\) is expected"):
        regressor().fit(TABLE, Y, eval_set=eval_set)


def test_an_eval_set_needs_targets() -> None:
    with pytest.raises(LabelError, match="targets are needed"):
        regressor().fit(TABLE, Y, eval_set=(TABLE, None))


def test_validation_rows_without_weight_are_refused() -> None:
    weight = np.zeros(40)
    weight[:2] = 1
    with pytest.raises(DataError, match="sample_weight is 0 in all 4 rows held back"):
        regressor(early_stopping=True).fit(TABLE, Y, weight)


@pytest.mark.filterwarnings("error")
def test_weights_and_targets_beyond_the_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"sample_weight 1e.300 is too large"):
        regressor().fit(TABLE, Y, np.full(40, 1e300))
    with pytest.raises(LabelError, match="too large to be squared"):
        regressor().fit(TABLE, Y * 1e300)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("nothing", [None, float("nan")])
@pytest.mark.parametrize(
    ("X", "expected"), [(TABLE, "row 3 has no label"), (matrix(), "row 3 has no label|contains NaN")]
)
def test_a_row_without_a_class_is_named(X: Any, expected: str, nothing: Any) -> None:
    for labels in (CLASS.tolist(), np.where(CLASS, "yes", "no").tolist()):
        y = np.array([*labels[:3], nothing, *labels[4:]], object)
        with pytest.raises(ValueError, match=expected):
            FMClassifier().fit(X, y)


def test_text_is_no_number() -> None:
    with pytest.raises(LabelError, match="no numbers; use FMClassifier"):
        regressor().fit(TABLE, np.where(CLASS, "yes", "no"))


def test_labels_are_shown_as_they_are_written() -> None:
    with pytest.raises(LabelError, match=r"row 1 has label 2, but the classes are \[0, 1\]"):
        FMClassifier().partial_fit(TABLE, CLASS).partial_fit(TABLE, CLASS * 2)
    with pytest.raises(LabelError, match=r"one class only \('a'\)"):
        FMClassifier().fit(TABLE, ["a"] * 40)


@pytest.mark.parametrize("callbacks", [3, "progress", [3]])
def test_callbacks_are_objects_or_functions(callbacks: Any) -> None:
    with pytest.raises(OptionError, match="list of Callback objects or functions"):
        regressor(callbacks=callbacks).fit(TABLE, Y)


def test_a_table_with_nothing_to_learn_from_says_why() -> None:
    with pytest.raises(DataError, match="no rows to fit on"):
        regressor().fit({"user": []}, [])
    with pytest.raises(DataError, match=r"user: constant: every cell is 'a'.*Pass columns"):
        regressor().fit({"user": ["a"] * 4}, Y[:4])


def test_columns_are_column_objects() -> None:
    with pytest.raises(OptionError, match="columns has 'user', but each is a Categorical"):
        regressor(columns=["user"]).fit(TABLE, Y)


def test_a_lazy_frame_must_be_collected() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(DataError, match="collect"):
        regressor().fit(polars.DataFrame(TABLE).lazy(), Y)


def test_explaining_a_class_that_is_not_there_is_refused() -> None:
    model = FMClassifier(max_iter=1).fit(TABLE, np.arange(40) % 3)
    with pytest.raises(OptionError, match="machine=3"):
        model.explain(TABLE, machine=3)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(-1.0, "sample_weight -1 is negative"), (0.0, "at least one non-zero"), (float("nan"), "contains NaN")],
)
def test_weights_that_come_with_rows_are_checked_as_well(weight: float, expected: str) -> None:
    rows = rows_from_csr(matrix()).with_target(Y, np.full(40, weight))
    with pytest.raises(ValueError, match=expected):
        regressor().fit(rows)
