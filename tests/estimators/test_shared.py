"""Machines on columns that share a vocabulary: one weight and one vector a value, in a field for each column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import crossfm
from crossfm import Categorical, MultiCategorical, Numeric, stream
from crossfm.data.writers import write_table
from crossfm.errors import OptionError

ITEM, LAST = Categorical("item"), MultiCategorical("last", combiner="mean", share="item")
COLUMNS = [LAST, Categorical("before", share="item"), Numeric("price"), ITEM]
MACHINES = ["FM", "FFM", "FwFM", "FmFM", "HOFM", "NFM", "DeepFM"]


def make(machine: str, **options: Any) -> Any:
    if machine in ("NFM", "DeepFM"):
        options = {"hidden": (8,), "batch_size": 32, **options}
    kind = getattr(crossfm, f"{machine}Classifier")
    return kind(4, columns=COLUMNS, max_iter=2, random_state=0, **options)


def table(n_rows: int = 300, names: str = "abcdefg", seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    """Rows that are clicked where the item is one of the last or the one before."""
    rng = np.random.default_rng(seed)
    item, before = rng.choice(list(names), n_rows), rng.choice(list(names), n_rows)
    last = ["|".join(rng.choice(list(names), n)) for n in rng.integers(0, 4, n_rows)]
    y = np.array([i == b or i in many for i, b, many in zip(item, before, last, strict=True)])
    X = {"last": last, "before": before.tolist(), "price": rng.random(n_rows).tolist(), "item": item.tolist()}
    return X, y.astype(int)


@pytest.mark.parametrize("machine", MACHINES)
def test_files_streams_and_growing_know_what_is_shared(machine: str, tmp_path: Any) -> None:
    X, y = table()
    model = make(machine).fit(X, y)
    assert model.params_.n_features == 2 + 2 + 7
    if machine in ("FM", "FFM", "FwFM", "FmFM"):
        np.testing.assert_allclose(model.explain(X).score(), model.decision_function(X), atol=1e-5)
    model.save(tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

    write_table(tmp_path / "t.parquet", {**X, "y": y.tolist()})
    rows = stream(tmp_path / "t.parquet", target="y", columns=COLUMNS)
    streamed = make(machine).fit(rows)
    np.testing.assert_array_equal(streamed.predict_proba(X), model.predict_proba(X))

    later = {**{name: cells[:2] for name, cells in X.items()}, "last": ["new|a", "b"], "item": ["a", "new"]}
    for one in (model, loaded):
        one.partial_fit(later, y[:2])
        assert one.encoder_.n_features == 12
    np.testing.assert_array_equal(loaded.predict_proba(later), model.predict_proba(later))


def test_what_one_column_has_taught_the_others_know() -> None:
    X, y = table()
    X["item"] = ["a" if item == "g" else item for item in X["item"]]  # g is only in the others
    model = make("FM").fit(X, y)
    asked = {name: [cells[0]] * 2 for name, cells in X.items()} | {"item": ["g", "never seen"]}
    rows = model.encoder_.transform(asked)
    names = model.encoder_.feature_names()
    last = rows.offsets()[1:] - 1
    assert [names[at] for at in rows.indices[last]] == ["item=g", "item=<unseen>"]
    V = model.params_.V[rows.indices[last]]
    assert V[0].any()
    assert not V[1].any()


@pytest.mark.parametrize("share", ["item", None])
def test_ffm_moves_twice_where_two_columns_often_have_the_same_value(
    share: str | None, tmp_path: Any
) -> None:
    X, y = table()
    X = {name: X[name] for name in ("before", "item")}
    columns = [Categorical("before", share=share), ITEM]
    model = crossfm.FFMClassifier(4, columns=columns, max_iter=1, random_state=0).fit(X, y)
    model.save(tmp_path / "m.crossfm")
    for one in (model, crossfm.load(tmp_path / "m.crossfm").partial_fit(X, y)):
        assert one._machines[0].repeats == (share is not None)


def test_penalties_are_learnt_for_the_owner() -> None:
    X, y = table()
    model = crossfm.FMClassifier(4, columns=COLUMNS, solver="sgda", max_iter=3, random_state=0).fit(X, y)
    penalties = model.l2_V_
    assert penalties.shape == (4, 4)
    assert (penalties[:2] == penalties[0, 0]).all()  # no features, so nothing to learn
    assert (penalties[3] != penalties[0, 0]).any()


def test_a_ranker_and_its_catalogue_share_among_themselves() -> None:
    X, y = table()
    rankers = (crossfm.FMRanker, crossfm.NeuralFMRanker)
    for ranker in (kind(4, columns=COLUMNS, max_iter=2, random_state=0) for kind in rankers):
        scores = ranker.fit(X, y).predict(X)
        assert np.isfinite(scores).all()


def recommender(columns: list[Any]) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    log = {"user_id": rng.integers(0, 20, 400).tolist(), "item_id": rng.integers(0, 9, 400).tolist()}
    items = {
        "item_id": list(range(9)),
        "like": [f"{i - 1}|{i + 1}" for i in range(9)],
        "kind": ["x", "y", "z"] * 3,
    }
    return crossfm.Recommender(columns=columns), log, items


def test_features_of_items_may_share_with_the_items() -> None:
    model, log, items = recommender([MultiCategorical("like", share="item_id"), Categorical("kind")])
    model.fit(log, items=items)
    names = model.items_.encoder.feature_names()
    assert not [name for name in names if name.startswith("like")]
    model.add_items({"item_id": [77], "like": ["3|4"], "kind": ["x"]})
    rows = model.items_.rows
    assert {names[i] for i in rows.indices[rows.offsets()[-2] :]} >= {"item_id=3", "item_id=4"}
    assert model.recommend([1, 2], n=3, exclude_seen=False).num_rows == 6
    parts = model.explain(1, [77, 3])
    column = parts.names.index("like")
    assert parts.columns[:, column].all()


def test_a_known_id_takes_its_stored_features_field_by_field() -> None:
    model, log, items = recommender([MultiCategorical("like", share="item_id"), Categorical("kind")])
    model.fit(log, items=items)
    side = model.items_
    rows, _ = side.encode(crossfm.data.tables.as_table({"item_id": [4], "kind": ["z"]}))
    whole = side.encoder.transform({"item_id": [4], "like": ["3|5"], "kind": ["z"]})
    assert rows.field_of_each().tolist() == whole.field_of_each().tolist()
    assert rows.indices.tolist() == whole.indices.tolist()


def test_users_and_items_have_features_of_their_own() -> None:
    model, log, items = recommender([MultiCategorical("like", share="user_id")])
    with pytest.raises(
        OptionError, match=r"'like' shares the vocabulary of 'user_id', but they are not both"
    ):
        model.fit(log, items=items)
