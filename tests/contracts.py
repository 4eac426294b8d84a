"""What every estimator and every recommender promises; test classes inherit these and say how to make one."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

import crossfm
from crossfm import Categorical, Numeric
from crossfm.errors import ColumnError, CrossFMError, DataError, DivergenceError, LabelError, OptionError

SEED = 7


def clicks(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of users, items, an hour and a price, and a target in which the pair of ids matters."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 12, n), rng.integers(0, 9, n)
    taste, kind = np.random.default_rng(99).standard_normal((2, 12, 2)), rng.integers(0, 3, n)
    price = rng.gamma(2.0, 3.0, n)
    score = (taste[0][user] * taste[1][item]).sum(1) + 0.3 * kind - 0.1 * price + 0.1 * rng.standard_normal(n)
    table = pd.DataFrame(
        {"user": user, "item": [f"i{i}" for i in item], "kind": np.array(list("abc"))[kind], "price": price}
    )
    return table, score


COLUMNS = [Categorical("user"), Categorical("item"), Categorical("kind"), Numeric("price")]


class EstimatorContract:
    """Subclasses give ``make(**options)`` and ``target(score)``, the target made of a real-valued score."""

    def make(self, **options: Any) -> Any:
        raise NotImplementedError

    def target(self, score: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def outputs(self, model: Any, X: Any) -> np.ndarray:
        """Everything numeric that the model says about X."""
        proba = getattr(model, "predict_proba", None)
        return np.asarray(proba(X) if proba else model.predict(X))

    @pytest.fixture
    def data(self) -> tuple[pd.DataFrame, np.ndarray]:
        table, score = clicks()
        return table, self.target(score)

    @pytest.fixture
    def model(self, data: Any) -> Any:
        return self.make(columns=COLUMNS).fit(*data)

    def test_the_same_seed_gives_the_same_bits(self, data: Any, model: Any) -> None:
        again = self.make(columns=COLUMNS).fit(*data)
        assert again.params_.w.tobytes() == model.params_.w.tobytes()
        assert again.params_.V.tobytes() == model.params_.V.tobytes()
        other = self.make(columns=COLUMNS, random_state=SEED + 1).fit(*data)
        assert not np.array_equal(other.params_.V, model.params_.V)

    def test_parameters_have_the_promised_shapes(self, model: Any) -> None:
        n = model.encoder_.n_features
        assert isinstance(model.params_.bias, float)
        assert model.params_.w.shape == (n,)
        assert model.params_.V.shape == (n, model.n_factors)
        assert model.n_iter_ == len(model.history_) == model.max_iter
        assert all(np.isfinite(epoch["train_loss"]) for epoch in model.history_)

    def test_training_lowers_the_loss(self, model: Any) -> None:
        assert model.history_[-1]["train_loss"] < 0.9 * model.history_[0]["train_loss"]

    @pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
    def test_tables_of_all_libraries_are_the_same_rows(self, data: Any, model: Any, kind: str) -> None:
        import polars

        table, y = data
        X = {
            "pandas": table,
            "polars": polars.from_pandas(table),
            "arrow": pa.Table.from_pandas(table, preserve_index=False),
            "dict": {name: table[name].to_numpy() for name in table},
        }[kind]
        fitted = self.make(columns=COLUMNS).fit(X, y)
        assert np.array_equal(self.outputs(fitted, X), self.outputs(model, table))

    def test_columns_are_inferred_when_none_are_given(self, data: Any) -> None:
        table, y = data
        model = self.make().fit(table, y)
        assert set(model.encoder_.fields) == {"user", "item", "kind", "price"}
        assert np.isfinite(self.outputs(model, table)).all()

    def test_dense_sparse_and_rows_are_the_same(self, data: Any) -> None:
        rng = np.random.default_rng(0)
        dense = (rng.random((200, 6)) < 0.4) * rng.standard_normal((200, 6))
        y = self.target(dense[:, 0] - dense[:, 1] * dense[:, 2])
        a = self.make().fit(dense, y)
        b = self.make().fit(csr_matrix(dense), y)
        c = self.make().fit(crossfm.data.rows.rows_from_csr(csr_matrix(dense)), y)
        assert np.array_equal(self.outputs(a, dense), self.outputs(b, csr_matrix(dense)))
        assert np.array_equal(a.params_.V, c.params_.V)

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        table, _ = data
        odd = table.head(3).copy()
        odd["item"] = ["never", None, "i1"]
        odd.loc[odd.index[1], "price"] = np.nan
        out = self.outputs(model, odd)
        assert np.isfinite(out).all()
        explained = model.explain(odd)
        at = explained.names.index("item")
        assert explained.columns[0, at] == 0  # a value without training adds nothing
        assert all(explained.pairs[0, p] == 0 for p, pair in enumerate(explained.pair_of) if at in pair)

    def test_explanations_add_up_to_the_score(self, data: Any, model: Any) -> None:
        table, _ = data
        explained = model.explain(table)
        np.testing.assert_allclose(explained.score(), self.raw(model, table), rtol=1e-5, atol=1e-5)
        names = [name for name, _ in explained.importance()]
        assert sorted(names) == sorted([*explained.names, *(f"{a} x {b}" for a, b in explained.pair_names)])
        values = dict(explained.row(0))
        assert sum(values.values()) == pytest.approx(explained.score()[0])

    def raw(self, model: Any, X: Any) -> np.ndarray:
        """Raw scores of the model."""
        return np.asarray(model.predict(X))

    def test_a_saved_model_predicts_the_same_bits(self, data: Any, model: Any, tmp_path: Any) -> None:
        table, _ = data
        path = tmp_path / "model.crossfm"
        crossfm.save(model, path)
        loaded = crossfm.load(path)
        assert type(loaded) is type(model)
        assert np.array_equal(self.outputs(loaded, table), self.outputs(model, table))
        assert np.array_equal(loaded.explain(table).pairs, model.explain(table).pairs)
        assert loaded.history_ == model.history_
        assert [p.name for p in tmp_path.iterdir()] == ["model.crossfm"]

    def test_a_model_can_be_cloned_and_pickled(self, data: Any, model: Any) -> None:
        assert clone(model).get_params().keys() == model.get_params().keys()
        back = pickle.loads(pickle.dumps(model))
        assert np.array_equal(self.outputs(back, data[0]), self.outputs(model, data[0]))

    def test_sample_weights_matter(self, data: Any) -> None:
        table, y = data
        weight = np.where(np.arange(len(y)) < 300, 1.0, 0.0)
        half = self.make(columns=COLUMNS).fit(table, y, sample_weight=weight)
        full = self.make(columns=COLUMNS).fit(table, y)
        assert not np.array_equal(half.params_.V, full.params_.V)

    @pytest.mark.parametrize("weight", [[-1.0], [0.0], [np.nan]])
    def test_weights_that_mean_nothing_are_refused(self, data: Any, weight: list[float]) -> None:
        table, y = data
        with pytest.raises(ValueError, match=r"[Ww]eight"):
            self.make(columns=COLUMNS).fit(table, y, sample_weight=weight * len(y))

    def test_epochs_report_to_callbacks_which_can_stop(self, data: Any) -> None:
        heard: list[int] = []

        def callback(epoch: Any, model: Any) -> bool:
            heard.append(epoch.epoch)
            assert np.isfinite(self.outputs(model, data[0])).all()  # ready to predict
            return epoch.epoch == 3

        model = self.make(columns=COLUMNS, callbacks=[callback]).fit(*data)
        assert heard == [1, 2, 3]
        assert model.n_iter_ == 3

    def test_verbose_prints_a_line_an_epoch(self, data: Any, capsys: Any) -> None:
        self.make(columns=COLUMNS, verbose=1, max_iter=2).fit(*data)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split("  ")[0] for line in lines] == ["training: epoch 1", "training: epoch 2"]

    # ------------------------------------------------------------------ errors

    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": -1},
            {"n_factors": 2000},
            {"n_factors": 2.5},
            {"solver": "newton"},
            {"learning_rate": 0.0},
            {"learning_rate": float("nan")},
            {"l2_V": -1.0},
            {"l1_w": 0.1, "solver": "adagrad"},
            {"schedule": "cosine", "solver": "ftrl"},
            {"schedule": "never"},
            {"max_iter": 0},
            {"n_threads": -5},
            {"init_scale": -0.1},
            {"random_state": -1},
            {"columns": []},
        ],
    )
    def test_options_that_mean_nothing_are_refused(self, data: Any, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            self.make(**{"columns": COLUMNS, **options}).fit(*data)
        assert any(name in str(caught.value) for name in options)

    def test_columns_for_a_matrix_are_refused(self) -> None:
        with pytest.raises(OptionError, match="without named columns"):
            self.make(columns=COLUMNS).fit(np.eye(4), self.target(np.arange(4.0)))

    def test_a_matrix_for_a_table_model_is_refused(self, model: Any) -> None:
        with pytest.raises(DataError, match="fitted on a table"):
            model.predict(np.eye(4))

    def test_a_missing_column_is_named(self, data: Any, model: Any) -> None:
        with pytest.raises((ColumnError, ValueError), match="price"):
            model.predict(data[0].drop(columns="price"))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_not_finite_are_refused(self, bad: float) -> None:
        X = np.ones((4, 2))
        X[2, 1] = bad
        for matrix in (X, csr_matrix(X)):
            with pytest.raises(ValueError, match=r"NaN|inf"):
                self.make().fit(matrix, self.target(np.arange(4.0)))

    def test_a_feature_beyond_the_model_is_named(self) -> None:
        rows = crossfm.Rows(np.array([0, 1, 2, 1], np.uint32), 3, width=1)
        model = self.make().fit(rows, self.target(np.arange(4.0)))
        wide = crossfm.Rows(np.array([0, 5], np.uint32), 6, width=1)
        with pytest.raises(IndexError, match="row 1 has feature 5, but the model was fitted with 3 features"):
            model.predict(wide)

    def test_a_missing_target_is_refused(self, data: Any) -> None:
        with pytest.raises(LabelError, match="y"):
            self.make(columns=COLUMNS).fit(data[0])

    def test_an_unfitted_model_says_so(self, data: Any) -> None:
        with pytest.raises(ValueError, match="not fitted"):
            self.make(columns=COLUMNS).predict(data[0])

    def test_errors_are_of_one_family(self) -> None:
        for kind in (DataError, LabelError, ColumnError, OptionError, DivergenceError):
            assert issubclass(kind, CrossFMError)
