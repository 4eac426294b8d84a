"""Networks under the contract of the other machines, and each model of the table through fit, file and stream."""

from __future__ import annotations

import pickle
from inspect import Parameter, signature
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crossfm
from by_rows import ByRows
from contracts import COLUMNS, SEED, clicks
from crossfm import Rows, stream
from crossfm.data.writers import write_table
from crossfm.errors import DataError, DivergenceError, OptionError
from crossfm.neural.features import Features
from crossfm.neural.models import MODELS, find_model


def embeddings(rows: Rows, params: Any) -> Features:
    """Look rows up one by one: what the engine must give, dense values included."""
    n_fields, k = params.n_fields, params.V.shape[1]
    linear, embedded, weights = (
        np.zeros((rows.n_rows, *shape)) for shape in ((), (n_fields, k), (n_fields,))
    )
    pooled, dense = np.zeros((rows.n_rows, k)), np.zeros((rows.n_rows, len(params.dense_ids)))
    offsets, values, fields = rows.offsets(), rows.value_of_each(), rows.field_of_each()
    for row in range(rows.n_rows):
        at = range(offsets[row], offsets[row + 1])
        vectors = [values[n] * params.V[rows.indices[n]].astype(float) for n in at]
        for one, n in enumerate(at):
            linear[row] += values[n] * params.w[rows.indices[n]]
            field = 0 if fields is None or n_fields == 1 else fields[n]
            embedded[row, field] += vectors[one]
            weights[row, field] += values[n] * params.w[rows.indices[n]]
            dense[row] += values[n] * (params.dense_ids == rows.indices[n])
            for other in range(one):
                pooled[row] += vectors[one] * vectors[other]
    each = (linear, embedded, weights, pooled, pooled.sum(1), dense)
    return Features(*(torch.from_numpy(np.asarray(array, np.float32)) for array in each))


class Network(ByRows):
    """What is the networks' own under the common contract; a regressor unless ``target`` gives classes."""

    kind: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    explains = False

    def make(self, **options: Any) -> Any:
        settings = {
            "n_factors": 4,
            "hidden": (8,),
            "batch_size": 32,
            "learning_rate": 0.01,
            "learning_rate_V": 0.05,
            "random_state": SEED,
        }
        return getattr(crossfm, self.kind)(**{**settings, **self.options, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        if self.kind.endswith("Classifier"):
            return np.where(score > np.median(score), "yes", "no")
        return 100.0 + 20.0 * score

    def raw(self, model: Any, X: Any) -> np.ndarray:
        return np.asarray(model.decision_function(X) if hasattr(model, "classes_") else model.predict(X))

    def test_explanations_add_up_to_the_score(self, data: Any, model: Any) -> None:
        with pytest.raises(
            OptionError, match=r"do not split into parts.*explain an FMClassifier or FMRegressor"
        ):
            model.explain(data[0])

    def test_many_threads_are_reproducible_when_deterministic(self, data: Any) -> None:
        fits = [self.make(columns=COLUMNS, n_threads=n, max_iter=2).fit(*data) for n in (1, 2, 2)]
        assert self.vectors(fits[1]).tobytes() == self.vectors(fits[2]).tobytes()
        assert np.corrcoef(self.raw(fits[1], data[0]), self.raw(fits[0], data[0]))[0, 1] > 0.999  # rounding

    def test_training_that_diverges_is_named_with_a_remedy(self) -> None:
        X = np.random.default_rng(0).standard_normal((200, 5)) * 1e4
        rates = {"learning_rate_V": 1e38, "learning_rate_w": 1e38}  # normalised layers take a lot
        with pytest.raises(DivergenceError, match=r"epoch 1.*Lower learning_rate"):
            self.make(solver="sgd", **rates).fit(X, self.target(X[:, 0] * X[:, 1]))

    def test_racing_threads_learn_as_well(self) -> None:
        """No thread races: the one before is all there is to say."""

    def test_early_stopping_keeps_the_best_epoch(self, data: Any) -> None:
        table, y = data
        options = {"columns": COLUMNS, "learning_rate_V": 0.1}
        opposite = 200.0 - y[:50] if y.dtype.kind == "f" else np.where(y[:50] == "yes", "no", "yes")
        for last, patience in ((40, 2), (4, 100)):  # it fires; and the epochs end before
            model = self.make(early_stopping=True, n_iter_no_change=patience, max_iter=last, **options)
            model.fit(table, y, eval_set=(table[:50], opposite))
            losses = [epoch["valid_loss"] for epoch in model.history_]
            assert model.best_iter_ == int(np.argmin(losses)) + 1 < len(losses)
            assert (model.n_iter_ == last) == (patience == 100)
            best = self.make(**options, max_iter=model.best_iter_).fit(table, y)
            for name, array in best.params_.to_arrays().items():
                assert np.array_equal(array, model.params_.to_arrays()[name]), name

    def test_an_empty_row_scores_the_bias(self) -> None:
        """A network has more constants than the bias: of an empty row it is only that it is the same anywhere."""
        X = csr_matrix(np.array([[1.0, 0], [0, 1], [0, 0], [1, 1]]))
        model = self.make().fit(X, self.target(np.arange(4.0)))
        alone = self.raw(model, csr_matrix((1, 2)))[0]
        assert np.isfinite(alone)
        assert self.raw(model, X)[2] == pytest.approx(alone, rel=1e-5)

    def test_scores_are_those_of_the_paper(self, data: Any, model: Any) -> None:
        table = data[0].head(40).copy()
        table.loc[[3, 4], "price"] = np.nan
        rows, params = model.encoder_.transform(table), model.params_
        options = model._machine.options
        network = find_model(model.model).build(params.n_fields, 4, len(params.dense_ids), **options)
        network.load_state_dict({name: torch.from_numpy(a) for name, a in params.layers.items()})
        with torch.no_grad():
            expected = network.eval()(embeddings(rows, params)).numpy()
        if not hasattr(model, "classes_"):
            expected = expected * model._target[1] + model._target[0]
        np.testing.assert_allclose(self.raw(model, table), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("solver", "rate"), [("adagrad-row", 0.1), ("adam", 0.01)])
    def test_features_that_come_later_learn_in_partial_fit(self, solver: str, rate: float) -> None:
        first = csr_matrix(np.array([[1.0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]))
        later = csr_matrix(np.array([[0, 0, 1.0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]))
        y = self.target(np.arange(4.0))
        model = self.make(solver=solver, learning_rate_V=rate).fit(first, y)
        known = self.vectors(model)
        assert not known[2:].any()
        start = self.vectors(model.partial_fit(later, y))
        assert start[2:].all()
        assert np.abs(start[2:]).max() < 0.3  # near its start, not thrown away by stale state
        for _ in range(150):
            model.partial_fit(later, y)
        assert np.abs(self.vectors(model)[2:] - start[2:]).max() > 0.01
        assert np.array_equal(self.vectors(model)[:2], known[:2])
        losses = [epoch["train_loss"] for epoch in model.history_[-150:]]
        assert np.mean(losses[-50:]) < np.mean(losses[:50])  # of many: with dropout each is by chance

    def test_it_works_in_pipelines_and_searches(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((120, 4))
        y = self.target(X[:, 0])
        pipeline = make_pipeline(StandardScaler(), self.make())
        step = pipeline.steps[1][0]
        search = GridSearchCV(pipeline, {f"{step}__max_iter": [1, 30]}, cv=2).fit(X, y)
        assert search.best_score_ > 0.5  # R2, or the share of rows
        assert len(cross_val_score(self.make(), X, y, cv=2)) == 2

    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": 0},
            {"n_factors": 2000},
            {"n_factors": 2.5},
            {"solver": "newton"},
            {"solver": "ftrl"},
            {"learning_rate": 0.0},
            {"learning_rate": None},
            {"learning_rate_V": -1.0},
            {"learning_rate_w": float("nan")},
            {"l2_V": -1.0},
            {"l2_w": None},
            {"l2_layers": -0.1},
            {"clip_norm": -1.0},
            {"cowclip": -1.0},
            {"warmup": -1},
            {"batch_size": 0},
            {"schedule": "never"},
            {"max_iter": 0},
            {"n_threads": -5},
            {"init_scale": -0.1},
            {"precision": "float16"},
            {"random_state": -1},
            {"columns": []},
            {"hidden": (0,)},
            {"hidden": "wide"},
            {"dropout": 1.5},
            {"batch_norm": 7},
            {"activation": "sine"},
            {"model_options": [1]},
            {"model_options": {"n_heads": 2}},
            {"init": 3},
            {"device": "tpu"},
        ],
    )
    def test_options_that_mean_nothing_are_refused(self, data: Any, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            self.make(**{"columns": COLUMNS, **options}).fit(*data)
        assert any(name in str(caught.value) for name in [*options, "n_heads"])

    def test_a_wrong_option_leaves_a_fitted_model_as_it_was(self, data: Any, model: Any) -> None:
        before = self.outputs(model, data[0])
        with pytest.raises(OptionError, match="activation"):
            model.set_params(activation="sine").fit(np.eye(4), self.target(np.arange(4.0)))
        assert np.array_equal(self.outputs(model.set_params(activation=None), data[0]), before)

    @pytest.mark.parametrize("change", [{"hidden": (9,)}, {"dropout": 0.1}, {"activation": "tanh"}])
    def test_layers_stay_once_they_are_built(
        self, data: Any, model: Any, change: dict[str, Any], tmp_path: Any
    ) -> None:
        model.set_params(warm_start=True, **change)
        for going_on in (lambda: model.fit(*data), lambda: model.partial_fit(*data)):
            with pytest.raises(OptionError, match="was built with"):
                going_on()
        with pytest.raises(OptionError, match="was built with"):
            model.save(tmp_path / "m.crossfm")  # which could not be read
        assert not list(tmp_path.iterdir())

    def test_a_last_column_that_was_empty_is_no_surprise(self) -> None:
        X = np.array([[1.0, 2, 0], [1, 0, 0], [3, 1, 0], [2, 2, 0]])
        model = self.make().fit(X, self.target(np.arange(4.0)))
        later = X + np.array([0, 0, 1.0])
        np.testing.assert_allclose(self.raw(model, later), self.raw(model, X), rtol=1e-5)
        model.partial_fit(later, self.target(np.arange(4.0)))
        assert self.vectors(model)[2].any()
        columns = [crossfm.Categorical("a"), crossfm.MultiCategorical("tags")]
        table = pd.DataFrame({"a": list("xyxy"), "tags": ["", "", "", ""]})
        model = self.make(columns=columns).fit(table, self.target(np.arange(4.0)))
        assert np.isfinite(self.raw(model, table.assign(tags="new"))).all()

    def test_a_state_is_written_by_those_only_that_have_one(
        self, data: Any, model: Any, tmp_path: Any
    ) -> None:
        model.save(tmp_path / "plain.crossfm")
        loaded = crossfm.load(tmp_path / "plain.crossfm")
        loaded.save(tmp_path / "again.crossfm", with_state=True)
        assert np.array_equal(
            self.outputs(crossfm.load(tmp_path / "again.crossfm"), data[0]), self.outputs(model, data[0])
        )


class TestNFMRegressor(Network):
    kind = "NFMRegressor"


class TestNFMClassifier(Network):
    kind = "NFMClassifier"

    def test_many_classes_take_a_network_each(self, tmp_path: Any) -> None:
        table, score = clicks()
        y = np.digitize(score, np.quantile(score, [0.3, 0.7])) * 10
        model = self.make(columns=COLUMNS).fit(table, y)
        assert list(model.classes_) == [0, 10, 20]
        assert len(model.params_) == 3
        np.testing.assert_allclose(model.predict_proba(table).sum(axis=1), 1.0)
        assert (model.predict(table) == y).mean() > 0.75
        model.save(tmp_path / "m.crossfm", with_state=True)
        loaded = crossfm.load(tmp_path / "m.crossfm")
        assert np.array_equal(loaded.predict_proba(table), model.predict_proba(table))
        loaded.partial_fit(table, y)
        model.partial_fit(table, y)
        assert np.array_equal(loaded.predict_proba(table), model.predict_proba(table))


class TestDeepFMClassifier(Network):
    kind = "DeepFMClassifier"


class TestDCNv2(Network):
    kind = "NeuralFMRegressor"
    options: ClassVar[dict[str, Any]] = {"model": "dcnv2"}


# ----------------------------------------------------------------------------------------- each of the table


def options_of(name: str) -> dict[str, Any]:
    """Small layers, and dropout, for the models that have them."""
    known = MODELS[name].options
    return {n: v for n, v in {"hidden": (8, 4), "dropout": 0.2, "activation": "tanh"}.items() if n in known}


def make(name: str, **options: Any) -> Any:
    settings = {"model": name, "batch_size": 50, "max_iter": 3, "random_state": SEED, "learning_rate": 0.01}
    return crossfm.NeuralFMClassifier(4, **{**settings, **options_of(name), **options})


def few() -> tuple[pd.DataFrame, np.ndarray]:
    table, score = clicks(200)
    table.loc[5, "price"] = np.nan
    return table, (score > np.median(score)).astype(int)


def same(a: Any, b: Any) -> bool:
    ours, others = a.params_.to_arrays(), b.params_.to_arrays()
    return ours.keys() == others.keys() and all(np.array_equal(ours[n], others[n]) for n in ours)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_is_kept_and_goes_on(name: str, tmp_path: Any) -> None:
    table, y = few()
    model = make(name, columns=COLUMNS, max_iter=6, learning_rate_V=0.05).fit(table, y)
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
    said = model.predict_proba(table)
    assert np.isfinite(said).all()
    model.save(tmp_path / "m.crossfm", with_state=True)
    others = [crossfm.load(tmp_path / "m.crossfm"), pickle.loads(pickle.dumps(model))]
    for other in others:
        assert np.array_equal(other.predict_proba(table), said)
    more = pd.DataFrame({"user": [77, 3], "item": ["new", "i1"], "kind": ["a", "b"], "price": [1.0, 2.0]})
    for one in (model, *others):
        one.partial_fit(table, y).partial_fit(more, [0, 1])
    for other in others:  # training goes on as if there had been no pause, new features included
        assert same(other, model)
        assert other.history_[-1]["train_loss"] == model.history_[-1]["train_loss"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_the_same_from_a_stream(name: str, tmp_path: Any) -> None:
    table, y = few()
    write_table(tmp_path / "t.parquet", pa.table({**table, "y": y}))
    found = stream(tmp_path / "t.parquet", target="y", columns=COLUMNS)
    a, b = make(name, columns=COLUMNS).fit(table, y), make(name).fit(found)
    assert same(a, b)
    assert [e["train_loss"] for e in a.history_] == [e["train_loss"] for e in b.history_]
    np.testing.assert_array_equal(b.predict_proba(found), a.predict_proba(table))
    assert same(a.partial_fit(table, y), b.partial_fit(found))
    stopped = make(name, early_stopping=True, max_iter=2).fit(found)
    assert stopped.history_[-1]["valid_loss"] > 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("column", ["user", "price"])
def test_every_model_takes_a_table_of_one_column(name: str, column: str, tmp_path: Any) -> None:
    table, y = few()
    model = make(name, early_stopping=True).fit(table[[column]], y)
    assert np.isfinite(model.predict_proba(table[[column]])).all()
    model.save(tmp_path / "m.crossfm", with_state=True)
    assert same(
        crossfm.load(tmp_path / "m.crossfm").partial_fit(table[[column]], y),
        model.partial_fit(table[[column]], y),
    )


def test_models_that_read_fields_name_one_beyond_theirs_and_stay_as_they_were() -> None:
    rows = Rows(np.array([0, 1, 1, 0], np.uint32), 2, width=2, fields=np.array([0, 1], np.uint32))
    other = Rows(np.array([0, 5, 1, 0], np.uint32), 6, width=2, fields=np.array([0, 7], np.uint32))
    model = make("deepfm").fit(rows, [0, 1])
    before = model.params_.to_arrays()
    for ask in (lambda: model.partial_fit(other, [0, 1]), lambda: model.predict(replace_ids(other))):
        with pytest.raises(DataError, match="field 7, but the network was built for 2 fields"):
            ask()
    assert model.n_features_in_ == 2
    assert all(np.array_equal(array, before[name]) for name, array in model.params_.to_arrays().items())


def replace_ids(rows: Rows) -> Rows:
    """Return rows of the two features there are."""
    return Rows(rows.indices % 2, 2, width=rows.width, fields=rows.fields)


def test_a_default_is_the_same_wherever_it_is_said() -> None:
    signatures = [
        signature(getattr(crossfm, f"NeuralFM{kind}")).parameters
        for kind in ("Regressor", "Classifier", "Ranker")
    ]
    for one in signatures[1:]:
        shared = (one.keys() & signatures[0].keys()) - {"loss"}
        assert len(shared) > 25
        assert all(one[name].default == signatures[0][name].default for name in shared)
    fields = signature(crossfm.NeuralFMClassifier()._machine.__class__).parameters
    assert all(field.default is Parameter.empty for field in fields.values())


def test_models_without_layers_say_so() -> None:
    table, y = few()
    with pytest.raises(OptionError, match="fm has no option 'hidden'; it has no options"):
        crossfm.NeuralFMClassifier(model="fm", hidden=(8,)).fit(table, y)
    with pytest.raises(OptionError, match="did you mean 'deepfm'"):
        crossfm.NeuralFMClassifier(model="DeepFM").fit(table, y)


def test_a_network_without_its_counts_takes_those_of_the_rows_it_goes_on_with(tmp_path: Any) -> None:
    X, y = few()
    model = crossfm.NeuralFMClassifier(2, model="fm", l2_V=0.1, max_iter=1, random_state=0).fit(X, y)
    model.save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    loaded.partial_fit(X, y)
    table = loaded._machines[0]
    np.testing.assert_allclose(table.rarity()[table.counts > 0], len(X) / table.counts[table.counts > 0])


def test_the_usual_penalty_is_shared_out_over_the_rows() -> None:
    X, y = few()
    options = {"model": "fm", "max_iter": 3, "random_state": 0}

    def learnt(**more: Any) -> np.ndarray:
        return crossfm.NeuralFMClassifier(2, **options, **more).fit(X, y).params_.V

    np.testing.assert_array_equal(learnt(), learnt(l2_V=5 / len(X)))
    assert np.linalg.norm(learnt()) < np.linalg.norm(learnt(l2_V=0.0))


def test_a_ranker_without_a_penalty_of_its_own_takes_the_usual_one_over_its_pairs() -> None:
    X, y = few()
    group = np.repeat(np.arange(len(X) // 4), 4)

    def learnt(l2: float | None) -> np.ndarray:
        model = crossfm.NeuralFMRanker(2, model="fm", l2_V=l2, max_iter=3, random_state=0)
        return model.fit(X, y, groups=group).params_.V

    assert np.linalg.norm(learnt(None)) < np.linalg.norm(learnt(0.0))
