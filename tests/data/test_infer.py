"""Inferred columns: each rule, and real tables."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crossfm.data.columns import Categorical, MultiCategorical, Numeric
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.errors import ColumnError
from realdata import shared_data

RNG = np.random.default_rng(0)
N = 400
ADULT = ["age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"]
ADULT += ["relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country"]
ADULT += ["income"]


def guess(cells, name="x"):
    """Return the inferred column, or None where it is left out."""
    found = infer_columns({name: cells})
    assert found.reasons[name]
    assert found.left_out == ([] if found else [name])
    return found[0] if found else None


CASES = [
    (["a", "b"] * 9, Categorical),
    ([True, False, None], Categorical),
    (pa.array(["a", "a"]).dictionary_encode(), None),
    (pa.array(["a", "b"]).dictionary_encode(), Categorical),
    (["Drama|Comedy", "Drama", "Comedy|Action", "Action", None], MultiCategorical),
    (["1;2", "2;3", "3;1", "2"], MultiCategorical),
    (["red, blue", "blue, green", "green", "red"], MultiCategorical),
    (["1,000 - 5,000", "5,000 - 10,000", "1,000 - 10,000", "5,000 - 50,000"], Categorical),
    ([f"Name{i}, The" for i in range(99)], Categorical),
    ([f"A long title about {i}" for i in range(99)], None),
    ([f"A long title about {i}" for i in range(3)], Categorical),
    ([f"{i}" for i in range(99)], Categorical),
    (["prose " * 20 + str(i % 50) for i in range(99)], None),
    (["01-Jan-1995", "02-Feb-1996"], None),
    (["2017-11-07 09:30:00", "2017-11-08"], None),
    ([["a"], ["b"]], MultiCategorical),
    ([[1], [2, 3]], MultiCategorical),
    ([[0.1], [0.2]], None),
    ([[dt.date(2020, 1, 1)], []], None),
    ([{"a": 1}, {"a": 2}], MultiCategorical),
    ([{"a": "b"}, {"a": "c"}], None),
    ([b"a", b"b"], None),
    ([dt.date(2020, 1, 1), dt.date(2020, 1, 2)], None),
    (np.array(["2020-01-01", "2020-01-02"], "M8[s]"), None),
    ([None, None], None),
    ([np.nan, np.nan], None),
    ([], None),
    (["", ""], None),
    ([7, 7, 7], None),
    ([7, None, 7], Categorical),
    ([np.inf, -np.inf], None),
    ([0, 1, 0], Categorical),
    (np.arange(N), Numeric("x")),
    (np.arange(N) % 19, Categorical),
    ((np.arange(N) % 19).astype(float), Categorical),
    ([1.0, np.nan, 2.0] * 30, Categorical),
    (np.arange(N) % 60, Numeric("x")),
    (np.arange(N) + 0.5, Numeric("x")),
    (RNG.lognormal(0, 2, N), Numeric("x", "log")),
    (-RNG.lognormal(0, 2, N), Numeric("x")),
    (RNG.lognormal(0, 2, N) - 0.5, Numeric("x")),
    (RNG.exponential(1, N), Numeric("x")),
    ([0.0] * 99 + [5000.5], Numeric("x", "log")),
]


@pytest.mark.parametrize(("cells", "expected"), CASES, ids=range(len(CASES)))
def test_a_column_is_guessed_from_its_values(cells, expected):
    column = guess(cells)
    if isinstance(expected, Numeric):
        assert column == expected
    else:
        assert type(column) is (expected or type(None))


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "user",
        "userId",
        "userid",
        "user_id",
        "User ID",
        "MovieID",
        "zip_code",
        "itemID",
        "ad",
        "ip",
        "sku2_id",
    ],
)
def test_names_of_ids_make_whole_numbers_categories(name):
    assert guess(np.arange(N), name) == Categorical(name)
    assert isinstance(guess(np.arange(N) + 0.5, name), Numeric)


@pytest.mark.parametrize(
    "name", ["age", "paid", "user_age", "item_price", "n_users", "user_count", "num_id", "width"]
)
def test_names_of_amounts_leave_whole_numbers_numbers(name):
    assert guess(np.arange(N), name) == Numeric(name)


def test_few_values_of_an_amount_are_still_numbers():
    assert guess(np.arange(N) % 5, "item_count") == Numeric("item_count")
    assert guess(np.arange(N) % 5, "weekday") == Categorical("weekday")


def test_ids_that_all_differ_are_kept_and_unix_times_are_not():
    assert guess([f"customer number {i}" for i in range(99)], "user_id") == Categorical("user_id")
    assert guess(np.arange(N) + 880_000_000, "timestamp") is None
    assert guess(np.arange(N), "time") == Numeric("time")


def test_the_separator_is_found_in_parts_that_recur():
    assert guess(["a;b", "b;c", "c", "a"]) == MultiCategorical("x", separator=";")
    assert guess([["a"]] * 2) == MultiCategorical("x", separator=None)


def test_excluded_columns_are_passed_over():
    table = {"rating": [1, 2], "user": [1, 2], "x": [0.5, 1.5]}
    assert [column.name for column in infer_columns(table, exclude="rating")] == ["user", "x"]
    found = infer_columns(table, exclude=["rating", "x"])
    assert (list(found), list(found.reasons)) == ([Categorical("user")], ["user"])
    with pytest.raises(ColumnError, match="exclude names 'label'"):
        infer_columns(table, exclude="label")


def test_the_explanation_reads_line_by_line():
    found = infer_columns({"user": [1, 2], "tags": [["a"], []], "day": [dt.date(2020, 1, 1)] * 2})
    lines = [re.split("  +", line)[:2] for line in str(found).splitlines()]
    assert lines == [
        ["user", "Categorical"],
        ["tags", "MultiCategorical(separator=None)"],
        ["day", "left out"],
    ]
    assert str(infer_columns({"user": [1]}, exclude="user")) == ""


# ------------------------------------------------------------------------------------------------- real data


def movies():
    genres = pd.read_csv(shared_data("ml-100k/u.genre.gz"), sep="|", names=["genre", "id"]).genre.tolist()
    names = ["item_id", "title", "release_date", "video_release_date", "url", *genres]
    table = pd.read_csv(shared_data("ml-100k/u.item.gz"), sep="|", encoding="latin-1", names=names)
    flags = table[genres].to_numpy(bool)
    return table.assign(genres=["|".join(np.array(genres)[row]) for row in flags])


def users():
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    return pd.read_csv(shared_data("ml-100k/u.user.gz"), sep="|", names=names)


def test_movielens_users_are_read_as_people_would():
    found = infer_columns(users())
    print(found)
    names = ["user_id", "gender", "occupation", "zip_code"]
    assert sorted(found, key=lambda c: c.name) == sorted(
        [Numeric("age"), *map(Categorical, names)], key=lambda c: c.name
    )
    rows = Encoder(found).fit_transform(users())
    assert (rows.n_rows, rows.width) == (943, 5)


def test_movielens_movies_are_read_as_people_would():
    found = infer_columns(movies())
    print(found)
    kinds = {column.name: column for column in found}
    assert kinds["item_id"] == Categorical("item_id")
    assert kinds["genres"] == MultiCategorical("genres")
    assert kinds["Drama"] == Categorical("Drama")
    assert found.left_out == ["title", "release_date", "video_release_date", "url"]
    encoder = Encoder([kinds["genres"]])
    rows = encoder.fit_transform(movies())
    flags = movies().iloc[:, 5:24].to_numpy()
    assert rows.nnz == flags.sum()
    counts = dict(zip(encoder.feature_names(), encoder.feature_counts.tolist(), strict=True))
    assert counts["genres=Drama"] == movies()["Drama"].sum()


def test_movielens_ratings_with_their_features_are_read_as_people_would():
    log = pd.read_csv(
        shared_data("ml-100k/u.data.gz"), sep="\t", names=["user_id", "item_id", "rating", "timestamp"]
    )
    table = log.merge(users(), on="user_id").merge(movies()[["item_id", "genres"]], on="item_id")
    found = infer_columns(table, exclude="rating")
    print(found)
    kinds = {column.name: type(column) for column in found}
    assert kinds == {
        **dict.fromkeys(["user_id", "item_id", "gender", "occupation", "zip_code"], Categorical),
        "age": Numeric,
        "genres": MultiCategorical,
    }
    assert found.left_out == ["timestamp"]


def test_adult_is_read_as_people_would():
    table = pd.read_csv(shared_data("adult/adult.data.gz"), names=ADULT, skipinitialspace=True, na_values="?")
    found = infer_columns(table, exclude="income")
    print(found)
    numeric = {column.name: column.transform for column in found if isinstance(column, Numeric)}
    assert numeric == {
        **dict.fromkeys(["age", "fnlwgt", "education-num", "hours-per-week"], "standard"),
        **dict.fromkeys(["capital-gain", "capital-loss"], "log"),
    }
    assert found.left_out == []
    assert len(found) == 14


def test_criteo_counts_get_logarithms_and_hashes_are_categories():
    names = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    table = pd.read_csv(shared_data("criteo/criteo_train_head10k.txt.gz"), sep="\t", names=names)
    found = {column.name: column for column in infer_columns(table, exclude="label")}
    assert all(found[f"C{i}"] == Categorical(f"C{i}") for i in range(1, 27))
    assert all(found[f"I{i}"] == Numeric(f"I{i}", "log") for i in (1, 3, 4, 5, 6, 7, 8, 9, 11, 13))


def test_a_column_without_a_name_is_left_out():
    found = infer_columns({"": [0, 1, 2], "user": ["a", "b", "a"]})
    assert [column.name for column in found] == ["user"]
    assert "no name" in found.reasons[""]
