"""Estimators on rows with relations."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, hstack

import crossfm
from crossfm import Categorical, FFMRegressor, FMClassifier, FMRegressor, MultiCategorical, Numeric, relate
from crossfm.data.blocks import concat_rows
from crossfm.data.relation import expand
from crossfm.data.rows import join_rows, shift_ids
from crossfm.data.side import transform
from crossfm.errors import ColumnError, DataError, OptionError
from crossfm.estimators import exact


def problem(n=1500, seed=0):
    """Users and items with attributes, one-hot, and scores of a machine over all."""
    rng = np.random.default_rng(seed)

    def one_hot(ids, size):
        return csr_matrix((np.ones(len(ids)), (np.arange(len(ids)), ids)), shape=(len(ids), size))

    users = hstack([one_hot(np.arange(30), 30), one_hot(rng.integers(0, 4, 30), 4)]).tocsr()
    items = hstack([one_hot(np.arange(20), 20), csr_matrix(rng.random((20, 2)) < 0.5)]).tocsr()
    user, item = rng.integers(0, 30, n), rng.integers(0, 20, n)
    day = one_hot(rng.integers(0, 7, n), 7)
    whole = hstack([day, users[user], items[item]]).tocsr()
    w, V = rng.normal(size=whole.shape[1]), rng.normal(size=(whole.shape[1], 2))
    sums = whole @ V
    score = whole @ w + ((sums**2).sum(1) - whole.multiply(whole) @ (V**2).sum(1)) / 2
    return relate(day, (users, user), (items, item)), whole, score + 0.3 * rng.normal(size=n)


@pytest.mark.parametrize("solver", ["als", "mcmc"])
def test_relations_learn_what_the_rows_written_out_do(solver):
    rows, whole, y = problem()
    settings = {"n_factors": 3, "solver": solver, "max_iter": 60, "l2_w": 1.0, "l2_V": 1.0, "random_state": 0}
    if solver == "mcmc":
        settings |= {"l2_w": None, "l2_V": None}
    train, test = np.arange(1000), np.arange(1000, 1500)
    found = {}
    for name, X in (("relations", rows), ("written out", whole)):
        part = (lambda at, X=X: X.take(at)) if X is rows else (lambda at, X=X: X[at])
        model = FMRegressor(**settings).fit(part(train), y[train])
        found[name] = np.sqrt(np.mean((model.predict(part(test)) - y[test]) ** 2))
    assert found["relations"] < 0.55
    assert found["relations"] == pytest.approx(found["written out"], rel=0.05)


def test_one_model_scores_relations_and_rows_written_out_alike(tmp_path):
    rows, whole, y = problem(400)
    model = FMRegressor(n_factors=3, solver="mcmc", max_iter=20, random_state=0).fit(rows, y)
    predicted = model.predict(rows)
    np.testing.assert_allclose(model.predict(expand(rows)), predicted, rtol=1e-4)
    np.testing.assert_allclose(model.predict(whole), predicted, rtol=1e-4)
    mean, deviation = model.predict(rows, return_std=True)
    np.testing.assert_allclose(mean, predicted)
    assert (deviation > 0.2).all()
    crossfm.save(model, tmp_path / "m.crossfm")
    assert np.array_equal(crossfm.load(tmp_path / "m.crossfm").predict(rows), predicted)
    explained = model.explain(rows.take(np.arange(5)))
    np.testing.assert_allclose(explained.score(), predicted[:5], rtol=1e-3)


def test_groups_are_blocks_of_each_part():
    rows, _, y = problem(500)
    model = FMRegressor(solver="mcmc", max_iter=3, random_state=0).fit(rows, y)
    assert model._chain.prior.group.tolist() == [0] * 7 + [1] * 30 + [2] * 4 + [3] * 22


@pytest.mark.parametrize("make", [FMRegressor, FFMRegressor, lambda **o: FMRegressor(solver="adam", **o)])
def test_other_solvers_take_them_written_out(make):
    rows, _, y = problem(300)
    one, other = (make(max_iter=2, random_state=0).fit(X, y).predict(X) for X in (rows, expand(rows)))
    assert np.array_equal(one, other)


def test_classes_by_relations():
    rows, whole, y = problem()
    labels = (y > np.median(y)).astype(int)
    model = FMClassifier(n_factors=3, solver="mcmc", max_iter=60, random_state=0).fit(rows, labels)
    assert np.mean(model.predict(whole) == labels) > 0.9


def test_weights_count_rows():
    rows, _, y = problem(300)
    weight = np.random.default_rng(0).integers(0, 3, 300)
    twice = np.repeat(np.arange(300), weight)
    settings = {"n_factors": 2, "solver": "als", "max_iter": 8, "random_state": 0}
    one = FMRegressor(**settings).fit(rows, y, sample_weight=weight)
    other = FMRegressor(**settings).fit(rows.take(twice), y[twice])
    np.testing.assert_allclose(one.predict(rows), other.predict(rows), rtol=2e-3, atol=2e-3)


def people():
    """A frame of ratings, tables of users and items, and the frame joined."""
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user": [f"u{i}" for i in range(30)], "job": rng.choice(["a", "b", "c"], 30)})
    users["seen"] = [
        list(rng.choice([f"m{i}" for i in range(20)], rng.integers(0, 6), False)) for _ in range(30)
    ]
    items = pd.DataFrame({"item": range(20), "price": rng.normal(size=20)})
    X = pd.DataFrame(
        {
            "user": rng.choice(users.user, 900),
            "item": rng.choice(20, 900),
            "day": rng.choice(list("xyz"), 900),
        }
    )
    joined = X.merge(users, on="user").merge(items, on="item")
    offset = dict(zip(users.user, rng.normal(size=30), strict=True))
    y = joined.user.map(offset) + 0.5 * (joined.day == "x") + joined.price + 0.1 * rng.normal(size=900)
    kinds = [Categorical("user"), Categorical("item"), Categorical("day"), Categorical("job"),
             MultiCategorical("seen", combiner="sqrtn"), Numeric("price")]  # fmt: skip
    return joined[["user", "item", "day"]], {"user": users, "item": items}, joined, y.to_numpy(), kinds


@pytest.mark.parametrize("solver", ["mcmc", "als", "adagrad"])
def test_tables_are_found_by_their_keys(solver, tmp_path):
    X, tables, joined, y, kinds = people()
    settings = {"n_factors": 2, "solver": solver, "max_iter": 40, "random_state": 0, "columns": kinds}
    if solver == "als":
        settings |= {"l2_w": 0.1, "l2_V": 0.1}
    model = FMRegressor(**settings, tables=tables).fit(X, y)
    whole = FMRegressor(**settings).fit(joined, y)
    assert model.encoder_.fields == whole.encoder_.fields
    error = np.sqrt(np.mean((model.predict(X) - y) ** 2))
    assert error < 0.4 * np.std(y)
    assert error == pytest.approx(np.sqrt(np.mean((whole.predict(joined) - y) ** 2)), rel=0.15)
    crossfm.save(model, tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    names = model.explain(X.head(2)).names
    assert sorted(names) == sorted(whole.explain(joined.head(2)).names)


def test_fields_are_known_where_all_columns_come_from_tables():
    X, tables, _, y, kinds = people()
    kinds = [kind for kind in kinds if kind.name != "day"]
    settings = {"columns": kinds, "max_iter": 3, "random_state": 0}
    model = FFMRegressor(**settings, tables=tables).fit(X[["user", "item"]], y)
    assert model.params_.n_fields == len(kinds)
    names = model.explain(X[["user", "item"]].head(2)).names
    assert sorted(names) == sorted(column.name for column in kinds)


def test_each_row_has_the_features_of_its_own_entities():
    X, tables, joined, y, kinds = people()
    model = FMRegressor(max_iter=1, tables=tables, columns=kinds, random_state=0).fit(X, y)
    found = expand(transform(model.encoder_, model._sides, X)).to_csr()
    wanted = model.encoder_.transform(joined).to_csr()
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), rtol=1e-6)


def test_columns_of_tables_are_inferred():
    X, tables, _, y, _ = people()
    model = FMRegressor(solver="mcmc", max_iter=3, tables=tables, random_state=0).fit(X, y)
    assert model.encoder_.fields == ["user", "item", "day", "job", "seen", "price"]


def test_an_entity_that_the_table_lacks_has_missing_cells():
    X, tables, _, y, kinds = people()
    model = FMRegressor(max_iter=3, tables=tables, columns=kinds, random_state=0).fit(X, y)
    odd = X.head(3).assign(user=["nobody", None, "u1"])
    rows = transform(model.encoder_, model._sides, odd)
    features = [
        set(expand(rows).indices[a:b].tolist()) for a, b in itertools.pairwise(expand(rows).offsets())
    ]
    missing = {int(model.encoder_.starts[model.encoder_.field_of(name)]) for name in ("user", "job", "seen")}
    assert missing <= features[0]
    assert missing <= features[1]
    assert not missing & features[2]
    assert np.isfinite(model.predict(odd)).all()


@pytest.mark.parametrize("solver", ["mcmc", "adagrad"])
def test_an_entity_of_the_rows_that_the_table_lacks_has_a_feature_of_its_own(solver):
    X, tables, joined, y, kinds = people()
    some = {"user": tables["user"].iloc[:10], "item": tables["item"]}
    y = y + 3.0 * (X.user == "u20").to_numpy()
    settings = {"n_factors": 0, "solver": solver, "max_iter": 60, "random_state": 0, "columns": kinds}
    model = FMRegressor(**settings, tables=some).fit(X, y)
    assert len(model.encoder_.vocabulary("user")) == 30
    unlike = model.predict(X)[(X.user == "u20")].mean() - model.predict(X)[(X.user == "u21")].mean()
    assert unlike > 1.5
    lacking = joined.assign(
        **{name: joined[name].where(joined.user.isin(some["user"].user), None) for name in ("job", "seen")}
    )
    written_out = FMRegressor(**settings).fit(lacking, y).predict(lacking)
    np.testing.assert_allclose(model.predict(X), written_out, atol=0.25)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X, t: (X, {"user": t["user"].drop(columns="user")}), ColumnError, "has no column 'user'"),
        (lambda X, t: (X.drop(columns="user"), t), ColumnError, "X has no column 'user'"),
        (lambda X, t: (X.assign(job="a"), t), ColumnError, "column 'job' is in X and tables"),
        (lambda X, t: (X, {"user": t["user"].iloc[:0]}), DataError, "has no rows"),
        (
            lambda X, t: (X, {"user": pd.concat([t["user"], t["user"].head(1)])}),
            DataError,
            "user=u0 in 2 rows",
        ),
        (lambda X, t: (X, {"user": t["user"].assign(user=None)}), DataError, "row 0 has no user"),
        (lambda X, t: (X, {}), OptionError, "a dict of key column to table is expected"),
        (lambda X, t: (X, t["user"]), OptionError, "a dict of key column"),
        (lambda X, t: (X.to_numpy(), t), OptionError, "without named columns"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, error, message):
    X, tables, _, y, _ = people()
    X, tables = change(X, tables)
    with pytest.raises(error, match=message):
        FMRegressor(max_iter=1, tables=tables).fit(X, y)


def test_tables_are_for_fit(tmp_path):
    X, tables, _, y, _ = people()
    with pytest.raises(OptionError, match="tables is for fit"):
        FMRegressor(tables=tables).partial_fit(X, y)
    FMRegressor(max_iter=1, tables=tables).fit(X, y).save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    with pytest.raises(OptionError, match=r"has side tables \(of user, item\)"):
        loaded.partial_fit(X, y)
    loaded.set_params(warm_start=True).fit(X, y)
    assert len(loaded.history_) > 1


def test_a_model_without_tables_is_saved_whatever_it_learnt_from(tmp_path):
    path = tmp_path / "rows.csv"
    pd.DataFrame({"user": list("ab") * 30, "y": [0, 1] * 30}).to_csv(path, index=False)
    X, tables, _, y, _ = people()
    model = FMClassifier(max_iter=1, tables=tables).fit(X, y > 0)
    model.set_params(tables=None).fit(crossfm.stream(path, target="y"))
    model.save(tmp_path / "m.crossfm")
    new = pd.DataFrame({"user": ["a", "b"]})
    assert np.array_equal(crossfm.load(tmp_path / "m.crossfm").predict(new), model.predict(new))


def test_a_killed_training_with_lists_in_a_table_goes_on(tmp_path, monkeypatch):
    X, tables, _, y, kinds = people()

    def fit(tables=tables, checkpoint=None):
        settings = {"n_factors": 2, "solver": "mcmc", "max_iter": 9, "random_state": 0, "columns": kinds}
        return FMRegressor(**settings, tables=tables, checkpoint=checkpoint, checkpoint_seconds=0).fit(X, y)

    whole, path = fit(), tmp_path / "c"
    real, done = exact.sample, []

    def broken(*args, **options):
        done.append(0)
        if len(done) == 5:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(exact, "sample", broken)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=path)
    other = {**tables, "user": tables["user"].assign(seen=[["m1"]] * 30)}
    with pytest.raises(OptionError, match="tables"):
        fit(other, checkpoint=path)
    assert np.array_equal(fit(checkpoint=path).predict(X), whole.predict(X))


def test_relations_are_not_lost_on_the_way():
    rows, _, _ = problem(20)
    for lose in (
        lambda: concat_rows([rows, rows]),
        lambda: join_rows(rows, rows),
        lambda: shift_ids(rows, 3),
    ):
        with pytest.raises(DataError, match="the rows have relations"):
            lose()
    with pytest.raises(DataError, match="relation 0 has relations itself"):
        relate(None, (rows, np.zeros(5, int)))


def test_a_stream_lacks_what_side_tables_say(tmp_path):
    X, tables, _, y, kinds = people()
    model = FMRegressor(max_iter=1, tables=tables, columns=kinds, random_state=0).fit(X, y)
    X.to_csv(tmp_path / "x.csv", index=False)
    columns = [Categorical("user"), Categorical("item"), Categorical("day")]
    rows = crossfm.stream(tmp_path / "x.csv", columns=columns, target="day", cache=tmp_path / "cache")
    with pytest.raises(OptionError, match="a stream's rows know nothing of"):
        model.predict(rows)
    with pytest.raises(OptionError, match="init has side tables"):
        crossfm.DeepFMRegressor(2, init=model, max_iter=1).fit(X, y)


def test_vb_knows_relations_under_any_later_solver():
    rows, _, y = problem(300)
    model = FMRegressor(2, solver="vb", max_iter=8, random_state=0).fit(rows, y)
    before = model.predict(rows, return_std=True)
    after = model.set_params(solver="mcmc").predict(rows, return_std=True)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
