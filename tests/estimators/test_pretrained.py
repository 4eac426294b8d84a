"""Networks that start at vectors learnt elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import crossfm
from crossfm import (
    Categorical,
    DeepFMClassifier,
    FMClassifier,
    MultiCategorical,
    NeuralFMRanker,
    NFMClassifier,
    Numeric,
)
from crossfm.data.writers import write_table
from crossfm.errors import ColumnError, DataError, OptionError

STILL: dict[str, Any] = {
    "hidden": [4], "batch_size": 64, "max_iter": 1, "random_state": 0, "learning_rate_V": 1e-9, "learning_rate_w": 1e-9,
}  # fmt: skip
COLUMNS = [
    MultiCategorical("last", share="item"), Categorical("item"), Numeric("price"), Categorical("shop", hash_buckets=5),
]  # fmt: skip
ITEMS = np.array([7, 3, 99, 1])  # 99 is no item
VECTORS = np.random.default_rng(1).normal(size=(4, 3))
LISTED = {"item": (ITEMS, VECTORS)}


def table(n_rows: int = 200) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(0)
    item, last = rng.integers(0, 6, n_rows), rng.integers(4, 9, n_rows)  # 6, 7 and 8 are in last alone
    X = {"last": [f"{i}|{i - 1}" for i in last], "item": item, "price": rng.random(n_rows), "shop": item % 3}
    return X, (item < last - 2).astype(int)


def start_of(model: Any, *values: Any) -> np.ndarray:
    """Return the embeddings of some items."""
    names = model.encoder_.feature_names()
    params = model.params_[0] if isinstance(model.params_, list) else model.params_
    return params.V[[names.index(f"item={value}") for value in values]]


@pytest.mark.parametrize(
    "pretrained",
    [
        LISTED,
        {"last": ([str(item) for item in ITEMS], VECTORS.tolist())},  # the same vocabulary
        {"item": {item: vector for item, vector in zip(ITEMS.tolist(), VECTORS, strict=True)}},  # noqa: C416
    ],
)
def test_listed_values_start_at_their_vectors_and_others_as_usual(pretrained: Any) -> None:
    X, y = table()
    usual = NFMClassifier(3, columns=COLUMNS, **STILL).fit(X, y)
    model = NFMClassifier(3, columns=COLUMNS, pretrained=pretrained, **STILL).fit(X, y)
    np.testing.assert_allclose(start_of(model, 7, 3, 1), VECTORS[[0, 1, 3]], atol=1e-6)
    np.testing.assert_allclose(
        start_of(model, 0, 2, 4, "<unseen>"), start_of(usual, 0, 2, 4, "<unseen>"), atol=1e-6
    )


@pytest.mark.parametrize("solver", ["adagrad", "adam", "sgd"])
def test_the_vectors_are_trained_on(solver: str) -> None:
    X, y = table()
    options = {**STILL, "solver": solver, "learning_rate_V": 0.05}
    moved = start_of(DeepFMClassifier(3, columns=COLUMNS, pretrained=LISTED, **options).fit(X, y), 3)
    assert 1e-5 < np.abs(moved - VECTORS[1]).max() < 1


def test_rows_held_back_do_not_take_a_vector_away() -> None:
    X, y = table()
    X["item"][:20], y[:20] = 50, 0
    item_50 = {"item": ([50], VECTORS[:1])}
    model = NFMClassifier(3, columns=COLUMNS, pretrained=item_50, early_stopping=True, **STILL)
    model._split = lambda rows: (np.arange(20, 200), np.arange(20))
    np.testing.assert_allclose(start_of(model.fit(X, y), 50), VECTORS[:1], atol=1e-6)


def test_streams_start_there_and_every_class_does(tmp_path: Any) -> None:
    X, y = table()
    write_table(tmp_path / "t.parquet", {**X, "y": y})
    rows = crossfm.stream(tmp_path / "t.parquet", target="y", columns=COLUMNS)
    model = NFMClassifier(3, pretrained=LISTED, **STILL)
    np.testing.assert_allclose(start_of(clone(model).fit(rows), 7, 3), VECTORS[:2], atol=1e-6)
    classes = clone(model).set_params(columns=COLUMNS).fit(X, X["item"] % 3)
    for params in classes.params_:
        at = classes.encoder_.features_of("item", [7, 3])
        np.testing.assert_allclose(params.V[at], VECTORS[:2], atol=1e-6)


def test_only_the_start_looks_at_them(tmp_path: Any) -> None:
    X, y = table()
    model = NFMClassifier(3, columns=COLUMNS, pretrained=LISTED, warm_start=True, **STILL)
    model.partial_fit(X, y)
    np.testing.assert_allclose(start_of(model, 7), VECTORS[:1], atol=1e-6)
    later = {name: cells[:2] for name, cells in X.items()} | {"item": np.array([99, 7])}
    model.set_params(pretrained={"item": ([7, 99], np.ones((2, 3)))})
    for again in (model.partial_fit(later, y[:2]), model.fit(X, y)):
        np.testing.assert_allclose(start_of(again, 7), VECTORS[:1], atol=1e-6)
        assert np.abs(start_of(again, 99)).max() < 0.5
    model.save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert loaded.pretrained is None
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_a_plain_list_is_not_written_to_the_file_either() -> None:
    X, y = table()
    model = NFMClassifier(3, columns=COLUMNS, pretrained={"item": ([3], [[1.0, 2.0, 3.0]])}, **STILL).fit(
        X, y
    )
    assert "pretrained" not in model.to_state()[1]["settings"]


def test_a_clone_has_the_same_vectors_without_a_copy() -> None:
    assert clone(NFMClassifier(3, pretrained=LISTED)).pretrained is LISTED


def test_they_come_before_a_machine_to_start_at() -> None:
    X, y = table()
    fm = FMClassifier(3, columns=COLUMNS, max_iter=2, random_state=0).fit(X, y)
    model = NFMClassifier(3, init=fm, pretrained=LISTED, **STILL).fit(X, y)
    np.testing.assert_allclose(start_of(model, 7, 3), VECTORS[:2], atol=1e-6)
    np.testing.assert_allclose(start_of(model, 0), start_of(fm, 0), atol=1e-6)


def test_a_ranker_starts_there_too() -> None:
    X, y = table()
    model = NeuralFMRanker(3, columns=COLUMNS, pretrained=LISTED, **STILL).fit(X, y)
    np.testing.assert_allclose(start_of(model, 7, 3), VECTORS[:2], atol=1e-6)


def test_a_checkpoint_of_other_vectors_is_refused(tmp_path: Any) -> None:
    def killed(epoch: Any, model: Any) -> None:
        if len(model.history_) == 2:
            raise KeyboardInterrupt

    X, y = table()
    many = np.zeros((3000, 3), np.float32)  # numpy writes an array of this size short
    options: dict[str, Any] = {**STILL, "columns": COLUMNS, "checkpoint": tmp_path / "c", "max_iter": 3}
    vectors = {"item": (np.arange(3000), many)}
    with pytest.raises(KeyboardInterrupt):
        NFMClassifier(3, pretrained=vectors, callbacks=[killed], **options).fit(X, y)
    other = many.copy()
    other[1500] = 1
    with pytest.raises(OptionError, match="pretrained"):
        NFMClassifier(3, pretrained={"item": (np.arange(3000), other)}, **options).fit(X, y)
    assert NFMClassifier(3, pretrained=vectors, **options).fit(X, y).n_iter_ == 3


@pytest.mark.parametrize(
    ("pretrained", "words"),
    [
        ([1], "is a list, but a dict of columns is expected"),
        ({"item": VECTORS}, r"pretrained\['item'\] is a ndarray, but a pair"),
        ({"item": (ITEMS, VECTORS[:, :2])}, r"shape \(4, 2\), but 4 values need \(4, 3\)"),
        ({"item": (ITEMS[:3], VECTORS)}, r"but 3 values need \(3, 3\)"),
        ({"item": (ITEMS, [["a"] * 3] * 4)}, "no list of values with a matrix of numbers"),
        ({"item": (3, VECTORS)}, "no list of values with a matrix of numbers"),
        ({"item": (ITEMS, np.where(VECTORS[1, 1] == VECTORS, np.nan, VECTORS))}, "not finite, of value .*3"),
        ({"item": (ITEMS, VECTORS * 1e300)}, "not finite"),
        ({"item": (["3", 3.0], VECTORS[:2])}, "cannot be read|more than one vector"),
        ({"item": ([3, 4, 3], VECTORS[:3])}, "more than one vector for item=3"),
        ({"item": ([3], VECTORS[:1]), "last": ([3], VECTORS[:1])}, "more than one vector for item=3"),
        ({"price": (ITEMS, VECTORS)}, "'price' has no vocabulary"),
        ({"shop": (ITEMS, VECTORS)}, "'shop' has no vocabulary"),
        ({"itm": (ITEMS, VECTORS)}, "did you mean 'item'"),
    ],
)
def test_vectors_that_cannot_be_a_start_are_refused(pretrained: Any, words: str) -> None:
    X, y = table()
    with pytest.raises((OptionError, ColumnError, DataError), match=words):
        NFMClassifier(3, columns=COLUMNS, pretrained=pretrained, **STILL).fit(X, y)


def test_rows_without_columns_and_vectors_for_fields_are_refused() -> None:
    X, y = table()
    with pytest.raises(OptionError, match="X has no named columns"):
        NFMClassifier(3, pretrained=LISTED, **STILL).fit(np.eye(20), np.arange(20) % 2)
    ffm = crossfm.NeuralFMClassifier(3, model="ffm", columns=COLUMNS, pretrained=LISTED, batch_size=64)
    with pytest.raises(OptionError, match="model='ffm' has a vector for each field"):
        ffm.fit(X, y)
