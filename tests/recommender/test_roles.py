"""Roles of columns: guessed from names, types and what values do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossfm.errors import ColumnError
from crossfm.recommender.roles import feature_tables, guess_roles

N = 400


def log(**columns: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    item = rng.integers(0, 20, N)
    return pa.table({"user_id": rng.integers(0, 30, N), "item_id": item, **columns})


@pytest.mark.parametrize(
    ("user", "item"),
    [
        ("user", "movieId"),
        ("CustomerID", "product_id"),
        ("reader", "article"),
        ("uid", "iid"),
        ("visitor-id", "sku"),
        ("account_id", "video"),
        ("listener", "song_id"),
        ("memberId", "isbn"),
    ],
)
def test_usual_names_are_known(user: str, item: str) -> None:
    table = pa.table({"row": range(N), item: np.arange(N) % 7, user: np.arange(N) % 11})
    roles = guess_roles(table)
    assert (roles.user, roles.item) == (user, item)


def test_a_column_of_a_few_values_is_no_catalogue_where_another_has_more() -> None:
    at = np.arange(N)
    table = pa.table({"listener": at % 30, "app": at % 3, "film_name": at % 40, "track_code": at % 40})
    assert guess_roles(table).item == "track_code"
    assert guess_roles(table.drop_columns(["track_code", "film_name"])).item == "app"  # better than nothing


def test_rows_without_an_id_do_not_hide_what_is_of_the_user() -> None:
    user = [None if at % 50 == 0 else int(at % 30) for at in range(N)]
    town = [f"town{at % 3 if who is None else who % 7}" for at, who in enumerate(user)]
    assert guess_roles(
        pa.table({"user_id": user, "item_id": np.arange(N) % 20, "town": town})
    ).user_columns == ["town"]


def test_the_only_column_of_dates_is_the_time_whatever_its_name() -> None:
    day = np.datetime64("2026-01-01", "s") + np.arange(N)
    assert guess_roles(log(played_on=day)).time == "played_on"
    assert guess_roles(log(born=day, played_on=day)).time is None


def test_columns_that_two_tables_share_are_the_ids() -> None:
    table = pa.table({"who": np.arange(N) % 9, "what": np.arange(N) % 7})
    users, items = (
        pa.table({"who": range(9), "age": range(9)}),
        pa.table({"what": range(7), "name": list("abcdefg")}),
    )
    roles = guess_roles(table, users, items)
    assert (roles.user, roles.item, roles.title) == ("who", "what", "name")
    with pytest.raises(ColumnError, match="no column looks like the user: there are who, what"):
        guess_roles(table)
    assert guess_roles(table, user="who", item="what").user == "who"


@pytest.mark.parametrize(
    "when",
    [
        1_600_000_000 + np.arange(N),
        1.6e9 + np.arange(N),
        np.datetime64("2024-01-01", "s") + np.arange(N),
        np.datetime64("2024-01-01", "D") + np.arange(N),
    ],
)
def test_times_are_times(when: Any) -> None:
    roles = guess_roles(log(ts=when))
    assert roles.time == "ts"
    assert roles.reasons["time"].startswith("from 20")


def test_numbers_that_are_no_times_are_not() -> None:
    assert guess_roles(log(time=np.arange(N) % 24)).time is None
    assert guess_roles(log(time=np.arange(N) % 24)).context == ["time"]


def test_what_is_the_same_in_all_rows_of_an_item_belongs_to_it() -> None:
    table = log()
    user, item = (table[name].to_numpy() for name in ("user_id", "item_id"))
    table = log(
        title=[f"t{i}" for i in item],
        kind=[None if at % 50 == 0 else "ab"[i % 2] for at, i in enumerate(item)],
        age=user % 5,
        device=[("tv", "phone")[at % 2] for at in range(N)],
        clicked=np.arange(N) % 2,
    )
    roles = guess_roles(table)
    assert roles.item_columns == ["title", "kind"]
    assert roles.user_columns == ["age"]
    assert roles.context == ["device"]
    assert (roles.label, roles.title) == ("clicked", "title")
    users, items = feature_tables(table, roles)
    assert users.num_rows == len(np.unique(user))
    for row in items.to_pylist():
        assert row == {
            "item_id": row["item_id"],
            "title": f"t{row['item_id']}",
            "kind": "ab"[row["item_id"] % 2],
        }


def test_columns_that_are_no_context_say_why() -> None:
    table = log(
        note=[f"a very long text about what went on when this happened, number {at}" for at in range(N)],
        session=[f"s{at}" for at in range(N)],
        plays=np.arange(N) % 13,
        nothing=pa.nulls(N, pa.string()),
    )
    roles = guess_roles(table)
    assert roles.context == ["session"]  # 400 different ones are still few
    assert roles.reasons["note"] == "left out: prose"
    assert roles.reasons["plays"].startswith("left out: how much")
    assert roles.reasons["nothing"] == "left out: no values"
    many = pa.concat_tables(
        [table.set_column(3, "session", pa.array([f"{k}s{i}" for i in range(N)])) for k in "abc"]
    )
    assert guess_roles(many).reasons["session"].startswith("left out: 1,200 different values")


def test_given_tables_are_left_alone() -> None:
    users = pa.table({"user_id": [1], "city": ["x"]})
    roles = guess_roles(log(), users)
    assert feature_tables(log(), roles, users, None) == (users, None)
