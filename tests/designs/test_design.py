"""Designs of ratings against the models as their papers write them."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import crossfm
import oracles
from crossfm import Categorical, FFMRegressor, FMClassifier, FMRegressor, MultiCategorical, Numeric, designs
from crossfm.errors import ColumnError, DataError, OptionError

USER, ITEM = "user", "item"


def ratings(n=300, seed=0):
    """Ratings of 12 users and 15 items with times; no pair comes twice."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(12 * 15)[: min(n, 150)]
    frame = pd.DataFrame(
        {
            "user": [f"u{p // 15}" for p in pairs],
            "item": pairs % 15,
            "time": rng.integers(0, 1000, len(pairs)),
        }
    )
    offset = rng.normal(size=15)
    return frame.assign(rating=3 + offset[frame.item] + 0.1 * rng.normal(size=len(frame)))


class Named:
    """Weights and factors of a fitted machine by the names of its features."""

    def __init__(self, model):
        params = model.params_
        self.bias = params.bias
        self.w = dict(zip(model.encoder_.feature_names(), params.w, strict=True))
        self.V = dict(zip(model.encoder_.feature_names(), params.V, strict=True))

    def pairs(self, names, values):
        """The terms of pairs inside a list of features."""
        return sum(
            self.V[a] @ self.V[b] * x * z
            for (a, x), (b, z) in itertools.combinations(zip(names, values, strict=True), 2)
        )

    def across(self, some, others):
        """The terms of pairs of one feature of each list, all of value 1."""
        return sum(self.V[a] @ self.V[b] for a in some for b in others)


def fitted(design, log, solver="adagrad", **options):
    settings = {"max_iter": 4, "random_state": 0, "init_scale": 0.5} | options
    if solver == "als":
        settings |= {"l2_w": 1.0, "l2_V": 1.0}
    return FMRegressor(3, solver=solver, **settings, **design).fit(log[[USER, ITEM, "time"]], log.rating)


def rows(log):
    return zip(log.user, log.item, strict=True)


@pytest.mark.parametrize("solver", ["adagrad", "als"])
def test_mf_is_the_model(solver):
    log = ratings()
    model = fitted(designs.mf(USER, ITEM), log, solver)
    part = Named(model)
    expected = [
        oracles.svdpp(
            part.bias, part.w[f"user={u}"], part.w[f"item={i}"], part.V[f"user={u}"], part.V[f"item={i}"], []
        )
        for u, i in rows(log)
    ]
    np.testing.assert_allclose(model.predict(log[[USER, ITEM, "time"]]), expected, rtol=1e-4)


def expected_of_svdpp(part, log, history):
    """The model of the paper, and the terms that the machine has besides."""
    for u, i in rows(log):
        met = [f"items_of_user={j}" for j in history.get(u, [])]
        share = max(len(met), 1) ** -0.5
        user, item = f"user={u}", f"item={i}"
        paper = oracles.svdpp(
            part.bias, part.w[user], part.w[item], part.V[user], part.V[item], [part.V[j] for j in met]
        )
        linear = share * sum(part.w[j] + part.V[user] @ part.V[j] for j in met)
        yield paper + linear + part.pairs(met, [share] * len(met))


@pytest.mark.parametrize("solver", ["adagrad", "als"])
def test_svdpp_is_the_model_and_more_of_the_user(solver):
    log = ratings()
    model = fitted(designs.svdpp(log, USER, ITEM), log, solver)
    history = log.groupby("user").item.agg(list).to_dict()
    expected = list(expected_of_svdpp(Named(model), log, history))
    np.testing.assert_allclose(model.predict(log[[USER, ITEM, "time"]]), expected, rtol=1e-4)


def test_a_user_without_history_has_matrix_factorization():
    log, people = ratings(), pd.DataFrame({"user": [f"u{k}" for k in range(12)], "job": ["a", "b", "c"] * 4})
    some = log[log.user.isin(["u1", "u2"])]
    design = designs.svdpp(some, USER, ITEM) + designs.attributes(USER, people)
    model = fitted(design, log)
    names = model.explain(log[[USER, ITEM, "time"]]).names
    assert names == ["user", "item", "items_of_user", "job"]
    part = Named(model)
    for u, i in [("u5", 3), ("u7", 14)]:
        job = f"job={people.job[int(u[1:])]}"
        features = [f"user={u}", f"item={i}", job]
        expected = part.bias + sum(part.w[f] for f in features) + part.pairs(features, [1, 1, 1])
        got = model.predict(pd.DataFrame({"user": [u], "item": [i], "time": [0]}))[0]
        assert got == pytest.approx(expected, rel=1e-4)


def test_flipped_adds_who_met_the_item():
    log = ratings()
    one = designs.svdpp(log, USER, ITEM, flipped=True)
    other = designs.mf(USER, ITEM) + designs.implicit(log, USER, ITEM) + designs.implicit(log, ITEM, USER)
    assert one.columns == other.columns
    assert [column.name for column in one.columns] == ["user", "item", "items_of_user", "users_of_item"]
    assert all(one.tables[key].equals(other.tables[key]) for key in (USER, ITEM))
    met = dict(zip(*(one.tables[ITEM][name].to_pylist() for name in (ITEM, "users_of_item")), strict=True))
    assert {key: sorted(users) for key, users in met.items()} == {
        str(key): sorted(users) for key, users in log.groupby("item").user.agg(list).items()
    }


def test_time_svdpp_adds_a_bin_and_its_pairs():
    log = ratings()
    design = designs.time_svdpp(log, USER, ITEM, "time", n_bins=4)
    assert design.columns[-1] == Numeric("time", "quantile", 4)
    model = fitted(design, log)
    part = Named(model)
    history = log.groupby("user").item.agg(list).to_dict()
    edges = np.quantile(log.time, [0.25, 0.5, 0.75])
    bins = [name for name in part.w if name.startswith("time=(")]
    assert len(bins) == 4
    for (u, i), base, when, got in zip(
        rows(log),
        expected_of_svdpp(part, log, history),
        log.time,
        model.predict(log[[USER, ITEM, "time"]]),
        strict=True,
    ):
        if np.abs(edges - when).min() < 10:
            continue  # which side an edge is on is the encoder's
        time = bins[int((when > edges).sum())]
        met = [f"items_of_user={j}" for j in history[u]]
        more = part.w[time] + part.across([time], [f"user={u}", f"item={i}"])
        more += part.across([time], met) * len(met) ** -0.5
        assert got == pytest.approx(base + more, rel=1e-3)


def test_days_are_a_category_each():
    assert designs.time_bins("day", None).columns == (Categorical("day"),)


def test_neighbours_have_their_ratings_as_values():
    log = ratings()
    model = fitted(designs.mf(USER, ITEM) + designs.neighbours(log, USER, ITEM, "rating"), log)
    part = Named(model)
    expected = []
    for u, i in rows(log):
        own = log[log.user == u]
        names = [f"user={u}", f"item={i}", *(f"ratings_of_user={j}" for j in own.item)]
        values = [1.0, 1.0, *(own.rating * len(own) ** -0.5)]
        linear = sum(part.w[name] * x for name, x in zip(names, values, strict=True))
        expected.append(part.bias + linear + part.pairs(names, values))
    np.testing.assert_allclose(model.predict(log[[USER, ITEM, "time"]]), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "form", [lambda t: t, pl.from_pandas, pa.Table.from_pandas, lambda t: t.to_dict("list")]
)
def test_tables_of_any_library_give_one_design(form):
    log = ratings()
    expected = designs.svdpp(log, USER, ITEM) + designs.neighbours(log, USER, ITEM, "rating")
    found = designs.svdpp(form(log), USER, ITEM) + designs.neighbours(form(log), USER, ITEM, "rating")
    assert found.columns == expected.columns
    assert found.tables[USER].to_pylist() == expected.tables[USER].to_pylist()


@pytest.mark.parametrize(
    "model",
    [FMClassifier(2, solver="mcmc", max_iter=5), FMClassifier(2, max_iter=2), FFMRegressor(2, max_iter=2),
     FMRegressor(2, solver="mcmc", max_iter=5)],
)  # fmt: skip
def test_designs_are_for_all_that_take_tables(model, tmp_path):
    log = ratings()
    movies = pd.DataFrame({"item": range(15), "genres": ["a|b", "b", "a"] * 5, "year": range(1990, 2005)})
    design = designs.time_svdpp(log, USER, ITEM, "time", flipped=True) + designs.attributes(ITEM, movies)
    assert dict(design) == {"columns": list(design.columns), "tables": dict(design.tables)}
    y = log.rating > 3 if isinstance(model, FMClassifier) else log.rating
    model.set_params(random_state=0, **design).fit(log[[USER, ITEM, "time"]], y)
    crossfm.save(model, tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    new = pd.DataFrame({"user": ["u1", "nobody"], "item": [99, 3], "time": [5, 2000]})
    assert np.array_equal(loaded.predict(new), model.predict(new))


def test_rows_without_user_or_item_and_pairs_that_come_twice():
    log = {
        "user": ["a", None, "a", "a", "b"],
        "item": ["x", "x", "y", "x", None],
        "r": [1.0, 2.0, 3.0, 4.0, 5.0],
    }
    design = designs.implicit(log, "user", "item") + designs.neighbours(log, "user", "item", "r")
    assert design.tables["user"].to_pydict() == {
        "user": ["a"], "items_of_user": [["x", "y", "x"]], "rs_of_user": [[("x", 1.0), ("y", 3.0), ("x", 4.0)]]
    }  # fmt: skip
    model = FMRegressor(max_iter=1, columns=list(design.columns), tables=design.tables).fit(
        {"user": ["a"]}, [1.0]
    )
    assert {"items_of_user=x", "rs_of_user=y"} <= set(model.encoder_.feature_names())
    (side,) = model._sides
    np.testing.assert_allclose(
        sorted(side.rows.take(np.array([0])).values), sorted([*[2**-0.5] * 2, 5 * 2**-0.5, 3 * 2**-0.5])
    )


def test_designs_are_joined_by_key_whatever_its_type():
    one = designs.attributes("item", {"item": [1, 2], "year": [1990, 2000]}, [Numeric("year")])
    other = designs.attributes("item", {"item": ["2", "3"], "genre": ["a", "b"]}, [Categorical("genre")])
    assert (one + other).tables["item"].to_pydict() == {
        "item": ["1", "2", "3"], "year": [1990, 2000, None], "genre": [None, "a", "b"]
    }  # fmt: skip
    met = designs.implicit({"user": ["u"], "item": [3]}, "item", "user")
    assert (met + one).tables["item"].to_pydict()["users_of_item"] == [["u"], [], []]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: designs.implicit(ratings(), "person", ITEM), ColumnError, "no column 'person'"),
        (
            lambda: designs.implicit({"u": [None], "i": [1]}, "u", "i"),
            DataError,
            "no row of the ratings has both",
        ),
        (lambda: designs.neighbours(ratings(), USER, ITEM, "user"), DataError, "is not a number"),
        (lambda: designs.attributes("user", {"name": ["a"]}), ColumnError, "'user'"),
        (
            lambda: designs.attributes("user", {"user": ["a", "a"], "x": [1, 2]}),
            DataError,
            "user=a in 2 rows",
        ),
        (
            lambda: designs.attributes("user", {"user": ["a", None], "x": [1, 2]}),
            DataError,
            "row 1 has no user",
        ),
        (lambda: designs.attributes("user", {"user": ["a", "b"]}), ColumnError, "no column to learn from"),
        (
            lambda: designs.attributes("user", {"user": ["a"], "x": [1]}, [Categorical("y")]),
            ColumnError,
            "no column 'y'",
        ),
        (
            lambda: designs.mf(USER, ITEM) + designs.Design((Numeric("user"),)),
            OptionError,
            r"column 'user' is Categorical\(.*in one design and Numeric\(",
        ),
        (
            lambda: designs.implicit(ratings(), USER, ITEM) + designs.implicit(ratings(seed=1), USER, ITEM),
            ColumnError,
            "two tables of 'user' have the column 'items_of_user'",
        ),
    ],
)
def test_what_makes_no_design_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_history_columns_are_lists_of_their_own():
    column = designs.implicit(ratings(), USER, ITEM).columns[0]
    assert column == MultiCategorical("items_of_user", separator=None, combiner="sqrtn")
