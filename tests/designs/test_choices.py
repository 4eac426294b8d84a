"""Designs of choices against the models as their papers write them."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import oracles
from crossfm import Categorical, FMRanker, MultiCategorical, designs
from crossfm.errors import ColumnError, DataError


def log(n=200, seed=0):
    """What 8 users took of 10 items, several at a time now and then."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"user": rng.integers(0, 8, n), "item": rng.integers(0, 10, n), "day": rng.integers(0, 12, n)}
    )
    return frame.assign(item="i" + frame.item.astype(str)).drop_duplicates()


def fitted(choices):
    model = FMRanker(3, max_iter=3, init_scale=0.5, columns=choices.columns, random_state=0)
    model.fit(choices.X, choices.y, groups=choices.groups, catalogue=choices.catalogue)
    names = model.encoder_.feature_names()
    params, n = model.params_, model.n_query_features_
    w, V = params.w[n:][choices.catalogue.indices], params.V[n:][choices.catalogue.indices]
    return model, dict(zip(names, params.V, strict=False)), w, V


def scores(model, choices, at):
    """What each item of the catalogue scores for one query."""
    n = choices.catalogue.n_rows
    return model.predict(choices.X.take([at] * n), items=choices.catalogue)


def test_pitf_orders_tags_as_the_model_does():
    posts = log().rename(columns={"item": "tag", "day": "item"})
    choices = designs.pitf(posts, "user", "item", "tag")
    model, V, w, tags = fitted(choices)
    for at in range(5):
        u, i = posts.user.iloc[at], posts.item.iloc[at]
        got = scores(model, choices, at)
        expected = [w[t] + oracles.pitf(V[f"user={u}"], V[f"item={i}"], v, v) for t, v in enumerate(tags)]
        np.testing.assert_allclose(got - got[0], np.subtract(expected, expected[0]), atol=1e-4)
    assert choices.items.take(choices.y).to_pylist() == posts.tag.tolist()
    one = pd.Series(choices.groups).groupby([posts.user.to_numpy(), posts.item.to_numpy()]).nunique()
    assert (one == 1).all()
    assert len(set(choices.groups)) == len(one)


def test_fpmc_orders_items_as_the_model_does():
    taken = log()
    choices = designs.fpmc(taken, "user", "item", "day")
    assert choices.columns == [
        Categorical("user"),
        MultiCategorical("last_items", separator=None, combiner="mean"),
    ]
    model, V, w, items = fitted(choices)
    sizes = set()
    for at in range(60):
        basket = choices.X["last_items"][at].as_py()
        sizes.add(len(set(basket)))
        user, last = V[f"user={taken.user.iloc[at]}"], [V[f"last_items={j}"] for j in basket]
        got = scores(model, choices, at)
        expected = [w[i] + oracles.fpmc(user, v, v, last) for i, v in enumerate(items)]
        np.testing.assert_allclose(got - got[0], np.subtract(expected, expected[0]), atol=1e-4)
    assert {0, 1, 2} <= sizes
    assert model.encoder_.vocabulary("last_items").to_pylist() != choices.items.to_pylist()


def naive_last(table):
    """The items that each row's user took at the last time before the row's."""
    for row in table.itertuples():
        before = table[(table.user == row.user) & (table.day < row.day)]
        yield sorted(before.item[before.day == before.day.max()])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_last_basket_is_that_of_the_time_before(seed):
    taken = log(seed=seed)
    for form in (
        taken,
        pl.from_pandas(taken),
        pa.Table.from_pandas(taken, preserve_index=False),
        taken.to_dict("list"),
    ):
        found = designs.last_baskets(form, "user", "item", "day")
        assert found.column_names == ["user", "item", "day", "last_items"]
        assert [sorted(cell) for cell in found["last_items"].to_pylist()] == list(naive_last(taken))


def test_times_are_numbers_dates_or_texts_that_sort():
    days = [3, 1, 2, 2]
    forms = [
        days,
        [float(d) for d in days],
        [f"2020-01-0{d}" for d in days],
        [dt.date(2020, 1, d) for d in days],
    ]
    for form in forms:
        found = designs.last_baskets({"u": list("aaaa"), "i": [7, 8, 9, 10], "t": form}, "u", "i", "t")
        assert found["last_is"].to_pylist() == [["9", "10"], [], ["8"], ["8"]]


def test_later_choices_look_back_into_the_same_log():
    taken = log()
    choices = designs.fpmc(taken[taken.day < 9], "user", "item", "day")
    model = fitted(choices)[0]
    later = designs.last_baskets(taken, "user", "item", "day").select(["user", "last_items"])
    later = later.take(np.flatnonzero(taken.day >= 9))
    n = later.num_rows
    assert np.isfinite(model.predict(later, items=choices.catalogue.take(np.zeros(n, int)))).all()
    assert choices.positions(["i3", "nothing", None]).tolist() == [
        choices.items.to_pylist().index("i3"),
        -1,
        -1,
    ]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.drop(columns="day"), ColumnError, "no column 'day'"),
        (lambda t: t.assign(day=[None, *t.day[1:]]), DataError, "row 0 has no day"),
        (lambda t: t.assign(user=[*t.user[:-1], None]), DataError, "has no user"),
        (lambda t: t.assign(item=[None, *t.item[1:]]), DataError, "row 0 has no item"),
        (lambda t: t.assign(last_items=1), ColumnError, "has a column 'last_items' already"),
    ],
)
def test_choices_that_say_too_little_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        designs.fpmc(change(log()), "user", "item", "day")
