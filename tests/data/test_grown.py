"""Vocabularies that grow: ids never move, new values come behind, and all of it can be saved."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfm import Categorical, Encoder, MultiCategorical, Numeric
from crossfm.data import fitted as fitted_columns
from crossfm.errors import ColumnError, DataError, ModelFileError, OptionError

COLUMNS = [
    Categorical("user"),
    MultiCategorical("tags"),
    Numeric("price"),
    Categorical("city", hash_buckets=5),
]


def table(users: list[Any], tags: list[Any] | None = None) -> pd.DataFrame:
    n = len(users)
    return pd.DataFrame(
        {
            "user": users,
            "tags": tags if tags is not None else ["x"] * n,
            "price": np.arange(n, dtype=float),
            "city": ["rome"] * n,
        }
    )


def named(encoder: Encoder, rows: Any) -> list[set[str]]:
    """Return the names of each row's features."""
    names, offsets = np.array(encoder.feature_names(), object), rows.offsets()
    return [set(names[rows.indices[offsets[i] : offsets[i + 1]]]) for i in range(rows.n_rows)]


def test_new_values_get_ids_behind_all_others_and_no_id_moves() -> None:
    first = Encoder(COLUMNS).fit(table(["ann", "bob", "ann"], ["x|y", "x", None]))
    before = first.feature_names()
    more, rows = first.grown(table(["cec", "ann", "dan", "dan"], ["z|y", "x", "z", ""]))
    assert more.feature_names() == [*before, "user=dan", "user=cec", "tags=z"]
    assert first.feature_names() == before  # self stays as it was
    assert more.feature_fields[first.n_features :].tolist() == [0, 0, 1]
    assert np.array_equal(more.starts, first.starts)
    expected = [
        {"user=cec", "tags=z", "tags=y"},
        {"user=ann", "tags=x"},
        {"user=dan", "tags=z"},
        {"user=dan"},
    ]
    for row, names in zip(named(more, rows), expected, strict=True):
        assert names <= row
    assert rows.n_features == more.n_features
    again = more.transform(table(["cec", "ann", "dan", "dan"], ["z|y", "x", "z", ""]))
    assert again.indices.tolist() == rows.indices.tolist()
    assert again.fields is not None
    assert np.array_equal(more.feature_fields[again.indices], again.fields)


def test_old_values_encode_to_the_same_features_after_growing() -> None:
    start = table(["ann", "bob", None], ["x", None, "x|y"])
    first = Encoder(COLUMNS).fit(start)
    more, _ = first.grown(table(["zoe"], ["q|r"]))
    assert first.transform(start).indices.tolist() == more.transform(start).indices.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=6), min_size=1, max_size=6))
def test_growing_part_by_part_knows_what_one_fit_on_all_knows(parts: list[list[str]]) -> None:
    encoder = Encoder([Categorical("user"), MultiCategorical("tags")])
    encoder.fit(table(parts[0], parts[0]))
    for part in parts[1:]:
        encoder, rows = encoder.grown(table(part, part))
        for value, names in zip(part, named(encoder, rows), strict=True):
            assert names == {f"user={value}", f"tags={value}"}
    everything = [value for part in parts for value in part]
    whole = Encoder(encoder.columns).fit(table(everything, everything))
    assert sorted(encoder.feature_names()) == sorted(whole.feature_names())
    counts = dict(zip(whole.feature_names(), whole.feature_counts.tolist(), strict=True))
    assert dict(zip(encoder.feature_names(), encoder.feature_counts.tolist(), strict=True)) == counts


def test_rare_values_and_full_vocabularies_stay_unseen() -> None:
    encoder = Encoder([Categorical("user", min_count=2, max_size=3)]).fit(table(["a", "a", "b", "b", "c"]))
    more, rows = encoder.grown(table(["d", "e", "e", "f", "f", "f", "a"]))
    assert more.feature_names()[2:] == ["user=a", "user=b", "user=f"]
    assert named(more, rows)[0] == {"user=<unseen>"}
    full, _ = more.grown(table(["g", "g"]))
    assert full.n_features == more.n_features


@pytest.mark.parametrize("n_known", [3, 500])
def test_few_values_are_found_as_many_are(n_known: int, monkeypatch: Any) -> None:
    """Below and above the size at which values are looked up in a dict."""
    known = [f"u{i}" for i in range(n_known)]
    asked = table(["u1", "u2", "new", None, "u0"])
    found = []
    for few in (10**9, 0):
        monkeypatch.setattr(fitted_columns, "FEW", few)
        encoder = Encoder(COLUMNS).fit(table(known))
        found.append(encoder.transform(asked).indices.tolist())
        encoder, _ = encoder.grown(asked)
        found.append(encoder.transform(asked).indices.tolist())
    assert found[0] == found[2]
    assert found[1] == found[3]


def test_two_ways_to_grow_from_one_encoder_do_not_disturb_each_other(monkeypatch: Any) -> None:
    monkeypatch.setattr(fitted_columns, "FEW", 0)  # a dict is shared
    first = Encoder([Categorical("user")]).fit(table(["a", "b"]))
    dropped, _ = first.grown(table(["x", "y"]))
    kept, rows = first.grown(table(["y"]))
    kept, _ = kept.grown(table(["z"]))
    assert rows.indices.tolist() == [first.n_features]
    assert kept.feature_names()[4:] == ["user=y", "user=z"]
    assert dropped.feature_names()[4:] == ["user=x", "user=y"]
    assert kept.transform(table(["x", "z"])).indices.tolist() == [1, first.n_features + 1]
    assert first.transform(table(["x"])).indices.tolist() == [1]


def test_a_grown_encoder_is_saved_and_pickled() -> None:
    encoder, _ = Encoder(COLUMNS).fit(table(["ann", "bob"])).grown(table(["cec"], ["new"]))
    asked = table(["cec", "ann", "who"], ["new|x", "x", "new"])
    for back in (Encoder.from_state(*encoder.to_state()), pickle.loads(pickle.dumps(encoder))):
        assert back.feature_names() == encoder.feature_names()
        assert back.transform(asked).indices.tolist() == encoder.transform(asked).indices.tolist()
        assert back.grown(table(["dan"]))[0].feature_names()[-1] == "user=dan"


def test_an_encoder_that_did_not_grow_is_written_as_before() -> None:
    assert "joined" not in Encoder(COLUMNS).fit(table(["ann"])).to_state()[0]


@pytest.mark.parametrize(
    "joined",
    [
        np.array([9, 1], np.uint32),  # a column that is not there
        np.array([0, 0, 0, 0, 0, 0, 0, 0], np.uint32),  # more than the column has
        np.array([0, 1], np.int64),
        np.zeros((1, 2), np.uint32),
    ],
)
def test_a_broken_state_is_refused(joined: Any) -> None:
    encoder, _ = Encoder(COLUMNS).fit(table(["ann", "bob"])).grown(table(["cec"], ["new"]))
    arrays, meta = encoder.to_state()
    with pytest.raises(ModelFileError):
        Encoder.from_state(arrays | {"joined": joined}, meta)


def test_what_transform_refuses_growing_refuses() -> None:
    encoder = Encoder(COLUMNS)
    with pytest.raises(DataError, match="not fitted"):
        encoder.grown(table(["ann"]))
    encoder.fit(table(["ann"]))
    with pytest.raises(ColumnError, match="price"):
        encoder.grown(table(["bob"]).drop(columns="price"))
    with pytest.raises(DataError):
        encoder.grown(table(["bob"]).assign(price="much"))
    assert "user=bob" not in encoder.feature_names()


def test_the_vocabulary_of_a_column_can_be_asked_for() -> None:
    encoder, _ = Encoder(COLUMNS).fit(table(["ann", "bob", "ann"])).grown(table(["cec"]))
    assert encoder.vocabulary("user").to_pylist() == ["ann", "bob", "cec"]
    for name in ("price", "city"):
        with pytest.raises(OptionError, match="no vocabulary"):
            encoder.vocabulary(name)
