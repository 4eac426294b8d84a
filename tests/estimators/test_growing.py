"""Online learning: features that appear after the first fit, and models that go on after a pause in a file."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import crossfm
from contracts import clicks
from crossfm import Categorical, FFMClassifier, FMClassifier, FMRanker, FMRegressor, MultiCategorical, Rows
from crossfm.core.rules import RULES
from crossfm.errors import DataError, FeatureIndexError, LabelError, OptionError
from crossfm.kernels.table import Table

COLUMNS = [Categorical("user"), Categorical("item")]
KINDS = [FMRegressor, FMClassifier]


def make(kind: type, **options: Any) -> Any:
    return kind(**{"n_factors": 4, "learning_rate": 0.1, "random_state": 0, **options})


def log(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    table, score = clicks(n, seed)
    return table[["user", "item"]], (score > np.median(score)).astype(int)


def halves() -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Rows of six users, then rows of other users and all items."""
    table, y = log()
    early = (table["user"] < 6).to_numpy() & table["item"].isin(["i0", "i1", "i2"]).to_numpy()
    late = (table["user"] >= 4).to_numpy()
    return table[early], y[early], table[late], y[late]


def weights(model: Any) -> dict[str, tuple[float, bytes]]:
    """Return the weight and the vector of each feature by name."""
    names = model.encoder_.feature_names()
    return {n: (model.params_.w[i], model.params_.V[i].tobytes()) for i, n in enumerate(names)}


@pytest.mark.parametrize("solver", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_new_categories_learn_and_others_stay_bit_for_bit(kind: type, solver: str) -> None:
    early, y, late, z = halves()
    model = make(kind, columns=COLUMNS, solver=solver).fit(early, y)
    before = weights(model)
    assert "user=11" not in before
    model.partial_fit(late, z)
    after = weights(model)
    assert list(after)[: len(before)] == list(before)
    absent = [f"user={u}" for u in range(4)]
    assert all(after[name] == before[name] for name in absent)
    for name in ("user=11", "item=i8"):
        assert after[name][0] != 0
        assert any(after[name][1])
    for _ in range(30):
        model.partial_fit(late, z)
    assert model.history_[-1]["train_loss"] < 0.9 * model.history_[len(model.history_) - 30]["train_loss"]
    assert model.params_.V.shape == (model.encoder_.n_features, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_growing_is_the_same_for_the_same_seed(kind: type) -> None:
    early, y, late, z = halves()
    models = [make(kind, columns=COLUMNS).fit(early, y).partial_fit(late, z) for _ in range(2)]
    assert models[0].params_.V.tobytes() == models[1].params_.V.tobytes()
    other = make(kind, columns=COLUMNS).fit(early, y).set_params(random_state=1).partial_fit(late, z)
    assert not np.array_equal(other.params_.V, models[0].params_.V)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_sparse_matrices_may_bring_larger_ids(kind: type) -> None:
    rng = np.random.default_rng(0)
    first, more = rng.integers(0, 5, (40, 2)), rng.integers(3, 9, (40, 2))
    more[0] = (8, 3)
    y = rng.integers(0, 2, 40)

    def rows(ids: np.ndarray) -> Rows:
        return Rows(ids.astype(np.uint32).ravel(), int(ids.max()) + 1, width=2)

    by_rows = make(kind).fit(rows(first), y).partial_fit(rows(more), y)
    assert by_rows.n_features_in_ == 9
    assert by_rows.params_.V.shape == (9, 4)
    assert by_rows.params_.V[8].any()
    assert np.isfinite(by_rows.predict(rows(more)).astype(float)).all()

    def matrix(ids: np.ndarray) -> Any:
        return csr_matrix(
            (np.ones(ids.size), ids.ravel(), np.arange(0, ids.size + 1, 2)), (len(ids), ids.max() + 1)
        )

    by_matrix = make(kind).fit(matrix(first), y).partial_fit(matrix(more), y)
    assert by_matrix.n_features_in_ == 9
    assert by_matrix.predict(matrix(more)).shape == (40,)
    narrow = by_rows.partial_fit(rows(first), y)  # ids that all are known
    assert narrow.n_features_in_ == 9


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_growth_is_refused_and_leaves_the_model_as_it_was(kind: type) -> None:
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 2
    model = make(kind).fit(X, y)
    before = model.params_.w.tobytes()
    for other in (np.ones((30, 5)), X[:, :3], csr_matrix(X[:, :3])):
        with pytest.raises(ValueError, match="is expecting 4 features"):
            model.partial_fit(other, y)
    with pytest.raises(DataError, match="y has 29"):
        model.partial_fit(csr_matrix(np.ones((30, 6))), y[:29])
    with pytest.raises(LabelError, match="None"):
        model.partial_fit(csr_matrix(np.ones((30, 6))))
    with pytest.raises(FeatureIndexError):
        model.partial_fit(Rows(np.array([7], np.uint32), 3, width=1), [1])
    assert model.params_.w.tobytes() == before
    assert model.n_features_in_ == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_with_a_bad_target_leaves_the_vocabulary_as_it_was(kind: type) -> None:
    early, y, late, z = halves()
    model = make(kind, columns=COLUMNS).fit(early, y)
    before = weights(model)
    bad = z.astype(object)
    bad[3] = "what"
    with pytest.raises(LabelError):
        model.partial_fit(late, bad)
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(late.rename(columns={"item": "article"}), z)
    with pytest.raises(DataError, match="without named columns"):
        model.partial_fit(late.to_numpy(), z)
    assert weights(model) == before
    assert np.isfinite(model.predict(late).astype(float)).all()


def test_fit_with_warm_start_keeps_the_features() -> None:
    early, y, late, z = halves()
    model = make(FMRegressor, columns=COLUMNS, warm_start=True, max_iter=2).fit(early, y)
    n = model.encoder_.n_features
    assert model.fit(late, z).encoder_.n_features == n


def test_each_class_of_many_grows() -> None:
    table, score = clicks()
    y = np.digitize(score, np.quantile(score, [0.3, 0.7]))
    early = (table["user"] < 6).to_numpy()
    model = (
        make(FMClassifier, columns=COLUMNS).fit(table[early], y[early]).partial_fit(table[~early], y[~early])
    )
    assert {p.V.shape for p in model.params_} == {(model.encoder_.n_features, 4)}
    assert model.predict_proba(table).shape == (len(y), 3)


def test_explanations_name_features_that_joined_by_their_column() -> None:
    columns = [Categorical("user"), MultiCategorical("tags")]
    first = {"user": ["a", "b", "a", "b"], "tags": ["x|y", "x", "y", "x"]}
    later = {"user": ["c", "a", "c", "b"], "tags": ["z|x", "z", "", "q|z"]}
    y = np.array([0.0, 1, 0, 2])
    model = make(FMRegressor, columns=columns).fit(first, y)
    for _ in range(3):
        model.partial_fit(later, y)
    explained = model.explain(later)
    assert explained.names == ["user", "tags"]
    np.testing.assert_allclose(explained.score(), model.predict(later), rtol=1e-5)
    tags = explained.names.index("tags")
    assert explained.columns[2, tags] == 0
    assert (explained.columns[[0, 1, 3], tags] != 0).all()


def test_vectors_that_l1_put_to_zero_are_not_started_again() -> None:
    table, y = log()
    model = make(FMClassifier, columns=COLUMNS, solver="ftrl", l1_V=30.0, n_factors=1).fit(table, y)
    occurred = model.encoder_.seen_mask
    still = occurred & ~model.params_.V.any(axis=1)
    assert still.any()
    model.partial_fit(table, y)
    assert not model.params_.V[still].any()


def test_ftrl_that_forgets_follows_a_world_that_turns() -> None:
    rng = np.random.default_rng(0)
    X = csr_matrix(np.eye(8)[rng.integers(0, 8, 6000)])
    odd = (X.indices % 2).astype(int)
    last = []
    for decay in (1.0, 0.95):
        model = make(FMClassifier, solver="ftrl", ftrl_decay=decay, learning_rate=0.5, n_factors=0)
        model.partial_fit(X[:4000], odd[:4000])
        assert (model.predict(X) == odd).all()
        for at in range(4000, 6000, 200):
            model.partial_fit(X[at : at + 200], 1 - odd[at : at + 200])
        last.append(model.history_[-1]["train_loss"])
    assert last[1] < 0.5 * last[0]


@pytest.mark.parametrize(
    "options", [{"ftrl_decay": 0.0}, {"ftrl_decay": 1.1}, {"solver": "sgd", "ftrl_decay": 0.9}]
)
def test_decay_is_above_0_at_most_1_and_for_ftrl(options: dict[str, Any]) -> None:
    table, y = log(50)
    with pytest.raises(OptionError, match="ftrl_decay"):
        make(FMRegressor, columns=COLUMNS, **{"solver": "ftrl", **options}).fit(table, y)


# --------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("solver", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_saved_with_its_state_goes_on_as_if_it_had_not_been(
    kind: type, solver: str, tmp_path: Path
) -> None:
    early, y, late, z = halves()
    model = make(kind, columns=COLUMNS, solver=solver, n_factors=5).fit(early, y).partial_fit(late, z)
    crossfm.save(model, tmp_path / "with.crossfm", with_state=True)
    crossfm.save(model, tmp_path / "without.crossfm")
    loaded = crossfm.load(tmp_path / "with.crossfm")
    plain = crossfm.load(tmp_path / "without.crossfm")
    for other in (loaded, plain):
        assert np.array_equal(other.predict(late), model.predict(late))
        assert other.encoder_.feature_names() == model.encoder_.feature_names()
    more = pd.concat([late, pd.DataFrame({"user": [77, 78], "item": ["new", "i1"]})])
    target = np.append(z, [0, 1])
    for one in (model, loaded, plain):
        one.partial_fit(more, target).partial_fit(late, z)
    assert loaded.params_.V.tobytes() == model.params_.V.tobytes()
    assert loaded.params_.w.tobytes() == model.params_.w.tobytes()
    assert loaded.params_.bias == model.params_.bias
    assert loaded.history_[-1]["train_loss"] == model.history_[-1]["train_loss"]
    assert (plain.params_.w.tobytes() == model.params_.w.tobytes()) == (solver == "sgd")  # which has no state
    if solver != "sgd":
        sizes = [(tmp_path / f"{name}.crossfm").stat().st_size for name in ("with", "without")]
        assert sizes[0] > sizes[1]


@pytest.mark.parametrize("solver", ["adagrad", "ftrl"])
@pytest.mark.parametrize("machine", ["FFMClassifier", "FwFMRegressor", "FmFMClassifier", "HOFMRegressor"])
def test_other_machines_go_on_from_their_files_too(machine: str, solver: str, tmp_path: Path) -> None:
    early, y, late, z = halves()
    model = make(getattr(crossfm, machine), columns=COLUMNS, solver=solver).fit(early, y).partial_fit(late, z)
    crossfm.save(model, tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert np.array_equal(loaded.predict(late), model.predict(late))
    for one in (model, loaded):
        one.partial_fit(late, z)
    assert loaded.history_[-1]["train_loss"] == model.history_[-1]["train_loss"]
    assert np.array_equal(loaded.predict(late), model.predict(late))


def test_many_classes_keep_their_states(tmp_path: Path) -> None:
    table, score = clicks()
    y = np.digitize(score, np.quantile(score, [0.3, 0.7]))
    model = make(FMClassifier, columns=COLUMNS).fit(table, y)
    model.save(tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm").partial_fit(table, y)
    model.partial_fit(table, y)
    for ours, theirs in zip(model.params_, loaded.params_, strict=True):
        assert ours.V.tobytes() == theirs.V.tobytes()


def test_a_state_is_for_its_own_solver(tmp_path: Path) -> None:
    table, y = log()
    model = make(FMRegressor, columns=COLUMNS).fit(table, y)
    model.save(tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm").set_params(solver="adam", learning_rate=0.01)
    assert np.isfinite(loaded.partial_fit(table, y).params_.w).all()
    assert loaded._machines[0].rule.name == "adam"


def test_only_models_that_can_go_on_have_a_state(tmp_path: Path) -> None:
    rows = Rows(np.arange(8, dtype=np.uint32), 8, width=2).with_target([0.0, 1, 0, 1])
    ranker = FMRanker(max_iter=1).fit(rows)
    with pytest.raises(OptionError, match="with_state"):
        crossfm.save(ranker, tmp_path / "r.crossfm", with_state=True)
    assert not list(tmp_path.iterdir())


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    from crossfm.errors import ModelFileError
    from crossfm.io.model_file import read_model, write_model

    table, y = log()
    make(FMRegressor, columns=COLUMNS).fit(table, y).save(tmp_path / "m.crossfm", with_state=True)
    arrays, meta = read_model(tmp_path / "m.crossfm")
    broken: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (arrays | {"machine.0.state": arrays["machine.0.state"][:-1]}, meta),
        (arrays, meta | {"optimizer": "adam"}),
        (arrays, meta | {"optimizer": "newton"}),
        ({name: a for name, a in arrays.items() if name != "machine.0.bias_state"}, meta),
    ]
    for some, about in broken:
        write_model(tmp_path / "b.crossfm", some, about)
        with pytest.raises(ModelFileError):
            crossfm.load(tmp_path / "b.crossfm")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("kind", [*KINDS, FFMClassifier])
def test_a_copy_goes_on_as_the_model_does(kind: type, copied: Any) -> None:
    """Growing takes the room behind the table: a copy's must hold what the copy has learnt since."""
    early, y, late, z = halves()
    model = make(kind, columns=COLUMNS).fit(early, y)
    other = copied(model)
    for one in (model, other):
        one.partial_fit(early, y).partial_fit(late, z)
    assert np.array_equal(other.predict(late), model.predict(late))
    assert other.history_[-1]["train_loss"] == model.history_[-1]["train_loss"]
    assert len(pickle.dumps(model)) < 200_000  # no spare records
    threaded = copied(model).set_params(n_threads=2)
    threaded.partial_fit(pd.concat([late] * 200), np.tile(z, 200))
    assert np.isfinite(threaded.history_[-1]["train_loss"])
    known = copied(model).set_params(n_threads=2)
    assert known.partial_fit(late, z).history_[-1]["train_loss"] < 2 * model.history_[-1]["train_loss"]


def test_tables_grow_without_copying_at_every_step() -> None:
    early, y, _, _ = halves()
    model = make(FMRegressor, columns=COLUMNS).fit(early, y)
    rooms = set()
    for number in range(60):
        model.partial_fit(pd.DataFrame({"user": [100 + number], "item": ["i1"]}), [1.0])
        table = model._machines[0]
        assert isinstance(table, Table)
        assert table.room is not None
        rooms.add(len(table.room))
    assert len(rooms) <= 3
    assert len(model.params_.w) == model.encoder_.n_features
