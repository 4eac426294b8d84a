"""Columns that share a vocabulary: one id a value, whichever of them has it, and a field for each."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfm import Categorical, Encoder, MultiCategorical, Numeric
from crossfm.data.learn import Learner
from crossfm.errors import ModelFileError, OptionError

LAST = MultiCategorical("last", combiner="mean", share="item")
COLUMNS = [LAST, Numeric("price"), Categorical("item"), Categorical("first", share="item")]
ITEMS = st.none() | st.sampled_from("abcdef")
ROWS = st.fixed_dictionaries(
    {"item": ITEMS, "last": st.none() | st.lists(st.sampled_from("abcdef"), max_size=3)}
)
LIMITS = {"min_count": st.integers(1, 3), "max_size": st.none() | st.integers(1, 4)}
SCHEMA = pa.schema({"item": pa.string(), "last": pa.list_(pa.string())})


def table(items: list[Any], last: list[Any], first: list[Any] | None = None) -> dict[str, Any]:
    return {"item": items, "last": last, "first": first or items, "price": [1.0] * len(items)}


SMALL = table(["a", "b", "a", None], ["b|c", "", None, "d|a"], ["e", "e", "e", "a"])


def cells(encoder: Encoder, rows: Any) -> list[dict[str, dict[str, float]]]:
    """Return, for each row and column, the names of the features with their values."""
    names, offsets = encoder.feature_names(), rows.offsets()
    fields, values = rows.field_of_each(), rows.value_of_each()
    found: list[dict[str, dict[str, float]]] = []
    for i in range(rows.n_rows):
        found.append({name: {} for name in encoder.fields})
        for at in range(offsets[i], offsets[i + 1]):
            found[i][encoder.fields[fields[at]]][names[rows.indices[at]]] = pytest.approx(float(values[at]))
    return found


def same(a: Encoder, b: Encoder) -> None:
    (arrays, meta), (others, other) = a.to_state(), b.to_state()
    assert json.dumps(meta) == json.dumps(other)
    assert arrays.keys() == others.keys()
    for name in arrays.keys() - {"feature_counts"}:
        np.testing.assert_array_equal(arrays[name], others[name], err_msg=name)


def test_each_column_is_a_field_and_its_features_are_the_owners() -> None:
    encoder = Encoder(COLUMNS)
    rows = encoder.fit_transform(SMALL)
    values = ["<missing>", "<unseen>", "a", "e", "b", "c", "d"]  # a: 2 + 1 + 1 cells, e: 3, b: 1 + 1
    assert encoder.feature_names() == ["price=<missing>", "price", *(f"item={value}" for value in values)]
    assert encoder.owners == [2, 1, 2, 2]
    assert encoder.starts.tolist() == [0, 0, 2, 9, 9]
    assert encoder.feature_fields.tolist() == [1] * 2 + [2] * 7
    assert [encoder.vocabulary(name).to_pylist() for name in ("last", "item", "first")] == [values[2:]] * 3
    found = cells(encoder, rows)
    assert found[0]["last"] == {"item=b": 0.5, "item=c": 0.5}  # the combiner is its own
    assert found[0]["item"] == {"item=a": 1}
    assert [row["last"] for row in found[1:3]] == [{}, {"item=<missing>": 1}]
    assert found[3] | {"price": 0} == {
        "last": {"item=a": 0.5, "item=d": 0.5}, "item": {"item=<missing>": 1}, "first": {"item=a": 1}, "price": 0,
    }  # fmt: skip
    counts = np.bincount(rows.indices, minlength=rows.n_features)
    assert encoder.feature_counts.tolist() == counts.tolist()
    assert encoder.seen_mask.tolist() == (counts > 0).tolist()


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=8), st.lists(ROWS, max_size=4), st.fixed_dictionaries(LIMITS))
def test_the_vocabulary_is_that_of_all_cells(
    train: list[Any], new: list[Any], limits: dict[str, Any]
) -> None:
    columns = [Categorical("item", **limits), MultiCategorical("last", share="item")]
    count = Counter(row["item"] for row in train)
    count += Counter(value for row in train for value in set(row["last"] or ()))
    del count[None]
    frequent = [
        v for v, n in sorted(count.items(), key=lambda pair: (-pair[1], pair[0])) if n >= limits["min_count"]
    ]
    known = frequent[: limits["max_size"]]
    whole, more = (pa.Table.from_pylist(rows, SCHEMA) for rows in (train, new))
    encoder = Encoder(columns).fit(whole)
    assert encoder.vocabulary("item").to_pylist() == known

    def name(value: Any) -> str:
        return f"item={'<missing>' if value is None else value if value in known else '<unseen>'}"

    for row, got in zip(new, cells(encoder, encoder.transform(more)), strict=True):
        assert set(got["item"]) == {name(row["item"])}
        assert set(got["last"]) == {
            name(value) for value in (row["last"] if row["last"] is not None else [None])
        }

    learner = Learner(columns)
    for start in range(0, len(train), 3):
        learner.add(whole.slice(start, 3))
    same(learner.encoder(), encoder)


def test_chosen_columns_keep_the_shared_ids() -> None:
    encoder = Encoder(COLUMNS).fit(SMALL)
    rows = encoder.transform({"first": ["a", "zz"]}, columns=["first"])
    assert rows.fields is not None
    assert rows.fields.tolist() == [3]
    assert cells(encoder, rows) == [
        {"last": {}, "price": {}, "item": {}, "first": {f"item={value}": 1}} for value in ("a", "<unseen>")
    ]


def test_new_values_of_any_of_them_join_once_with_one_id() -> None:
    first = Encoder(COLUMNS).fit(SMALL)
    asked = table(["new", "x", "a"], ["y|new", "new", "x|y|y"], ["y", "a", "b"])
    more, rows = first.grown(asked)
    assert more.feature_names() == [*first.feature_names(), "item=new", "item=y", "item=x"]
    assert more.feature_fields[first.n_features :].tolist() == [2, 2, 2]
    found = cells(more, rows)
    assert found[0]["last"].keys() == {"item=y", "item=new"}
    assert found[0]["item"].keys() == {"item=new"}
    assert found[0]["first"].keys() == {"item=y"}
    assert cells(more, more.transform(asked)) == found
    old = np.append(first.feature_counts, [0, 0, 0])
    assert (more.feature_counts - old).tolist() == np.bincount(rows.indices, minlength=len(old)).tolist()
    for back in (Encoder.from_state(*more.to_state()), pickle.loads(pickle.dumps(more))):
        same(back, more)
        assert cells(back, back.transform(asked)) == found
        assert back.grown(table(["z"], ["z"]))[0].feature_names()[-1] == "item=z"


def test_hashed_values_share_their_buckets() -> None:
    encoder = Encoder([Categorical("item", hash_buckets=5), LAST])
    rows = encoder.fit_transform({"item": ["a", "b", None], "last": ["b", "a", None]})
    ids = rows.indices.reshape(3, 2)
    assert encoder.n_features == 6
    assert ids[0].tolist() == ids[1, ::-1].tolist()
    assert ids[2].tolist() == [0, 0]
    learner = Learner(encoder.columns)
    learner.add(pa.table({"item": ["a"], "last": ["b"]}))
    same(learner.encoder(), encoder)
    with pytest.raises(OptionError, match="'last' has no vocabulary"):
        encoder.vocabulary("last")


def test_a_state_without_the_option_is_read_as_before() -> None:
    encoder = Encoder([Categorical("item"), MultiCategorical("tags")]).fit({"item": ["a"], "tags": ["x|y"]})
    arrays, meta = encoder.to_state()
    for column in meta["columns"]:
        del column["share"]
    same(Encoder.from_state(arrays, meta), encoder)


def test_a_feature_that_joined_a_column_without_features_is_a_broken_state() -> None:
    arrays, meta = Encoder(COLUMNS).fit(SMALL).grown(table(["new"], [""]))[0].to_state()
    with pytest.raises(ModelFileError, match="joined later"):
        Encoder.from_state(arrays | {"joined": np.array([0], np.uint32)}, meta)


def test_the_features_of_values_can_be_asked_for() -> None:
    encoder, _ = Encoder(COLUMNS).fit({**SMALL, "item": [1.0, 2.0, 1.0, None]}).grown(table(["new"], [""]))
    names = [*encoder.feature_names(), "none"]  # -1 is the last
    for column in ("item", "last"):
        found = encoder.features_of(column, np.array([2, 1, 7]))
        assert [names[at] for at in found] == ["item=2", "item=1", "none"]
        assert [names[at] for at in encoder.features_of(column, ["new", None, "1"])] == [
            "item=new",
            "none",
            "item=1",
        ]
    with pytest.raises(OptionError, match="'price' has no vocabulary"):
        encoder.features_of("price", [1])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (lambda: Categorical("a", share="a"), "'a': share is 'a', but must be the name of another column"),
        (lambda: Categorical("a", share=""), "must be the name of another column"),
        (lambda: MultiCategorical("a", share=3), "must be the name of another column"),
        (lambda: Categorical("a", share="b", min_count=2), "give min_count, max_size and hash_buckets there"),
        (lambda: Categorical("a", share="b", max_size=2), "give min_count, max_size and hash_buckets there"),
        (
            lambda: MultiCategorical("a", share="b", hash_buckets=2),
            "give min_count, max_size and hash_buckets",
        ),
        (lambda: Encoder([Categorical("a", share="b")]), "the encoder has no such column. It has a"),
        (lambda: Encoder([Categorical("a", share="b"), Numeric("b")]), "that one is Numeric and has none"),
        (
            lambda: Encoder([Categorical("a", share="b"), Categorical("b", share="c"), Categorical("c")]),
            "that one itself shares 'c': name that",
        ),
    ],
)
def test_sharing_that_cannot_be_is_refused(columns: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        columns()
