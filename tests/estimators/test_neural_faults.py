"""What other libraries of neural machines get wrong (each was seen in one), as tests that ours passes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

import crossfm
from crossfm import (
    Categorical,
    DeepFMClassifier,
    FMClassifier,
    NeuralFMClassifier,
    NeuralFMRegressor,
    NFMClassifier,
    NFMRegressor,
    Numeric,
    Rows,
)
from crossfm.core.options import Hyper
from crossfm.core.rules import RULES
from crossfm.errors import OptionError
from crossfm.kernels.embedding import Penalties
from crossfm.kernels.table import Table, aligned_zeros, record_floats
from crossfm.neural import training
from crossfm.neural.dense import dense_values, survey
from crossfm.neural.engine.core import CoreEmbeddings
from crossfm.neural.models import MODELS
from crossfm.solvers.schedule import SCHEDULES

SMALL: dict[str, Any] = {"n_factors": 4, "batch_size": 64, "random_state": 0}


def wide_rows(n_rows: int = 400, n_fields: int = 39, seed: int = 0) -> Rows:
    """Rows of ``n_fields`` ids each, whose target two of the fields decide."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 5, (n_rows, n_fields)) + 5 * np.arange(n_fields)
    y = (ids[:, 0] + ids[:, 1]) % 2
    fields = np.arange(n_fields, dtype=np.uint32)
    return Rows(ids.ravel().astype(np.uint32), 5 * n_fields, width=n_fields, fields=fields, target=y * 1.0)


def mixed(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Two columns of ids and two of numbers."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "a": rng.integers(0, 6, n),
            "b": rng.integers(0, 6, n),
            "x": rng.normal(size=n),
            "z": rng.normal(3.0, 2.0, n),
        }
    )
    score = (table.a % 2 - 0.5) * table.x + 0.3 * (table.b % 3 - 1)
    return table, (score > 0).astype(int).to_numpy()


MIXED = [Categorical("a"), Categorical("b"), Numeric("x", transform="none"), Numeric("z")]


def params_equal(a: Any, b: Any) -> bool:
    ours, others = a.params_.to_arrays(), b.params_.to_arrays()
    return all(np.array_equal(ours[name], others[name]) for name in ours)


# ---------------------------------------------------------------------------------------------- ids and values


def test_ids_beyond_what_a_float_can_count_keep_their_own_embeddings() -> None:
    ids = np.array([16_777_216, 16_777_217, 16_777_218, 16_777_219, 30_000_001], np.uint32)
    n = 30_000_002
    data = aligned_zeros(
        n, record_floats(1, RULES["sgd"])
    )  # memory is given where it is written: a few pages
    table = Table(RULES["sgd"], 1, data, np.zeros(4, np.float32))
    table.w[ids] = np.arange(1, 6)
    table.V[ids, 0] = np.arange(1, 6)
    rows = Rows(ids, n, width=1, fields=np.zeros(1, np.uint32))
    engine = CoreEmbeddings(table, 1)
    x = engine.features(rows, np.arange(5), {"embedded"})
    assert x.linear.tolist() == [1, 2, 3, 4, 5]
    assert x.embedded is not None
    assert x.embedded.ravel().tolist() == [1, 2, 3, 4, 5]
    x = engine.features(rows, np.array([1, 3, 4]), {"embedded"})
    (x.linear.sum() / 3).backward()
    engine.step(Hyper(learning_rate=0.5), Penalties(), learning_rate_w=0.5)
    assert table.w[ids].tolist() == [1, 1.5, 3, 3.5, 4.5]
    near = np.r_[ids - 1, ids + 1]
    assert not table.w[near[~np.isin(near, ids) & (near < n)]].any()


@pytest.mark.parametrize("name", ["fm", "nfm", "deepfm", "ffm", "fwfm", "afm", "ipnn", "fibinet"])
def test_numbers_meet_the_ids_of_their_row(name: str) -> None:
    table, y = mixed()
    options = {"columns": MIXED, "learning_rate_V": 0.1, "l2_V": 0.0, "max_iter": 5, **SMALL}
    model = NeuralFMClassifier(model=name, **options).fit(table, y)
    one = pd.DataFrame({"a": [0, 0, 1, 1], "b": 0, "x": [0.0, 2.0, 0.0, 2.0], "z": 3.0})
    score = model.decision_function(one)
    assert abs((score[1] - score[0]) - (score[3] - score[2])) > 1e-2  # what x adds hangs on a


def test_what_a_number_adds_in_a_machine_without_layers_is_its_weight_and_its_pairs() -> None:
    table, y = mixed()
    model = NeuralFMClassifier(model="fm", columns=[*MIXED[:1], MIXED[2]], **SMALL).fit(table, y)
    names, params = model.encoder_.feature_names(), model.params_
    a, x = names.index("a=1"), names.index("x")
    score = model.decision_function(table.head(2).assign(a=1, x=[0.0, 1.7]))
    assert score[1] - score[0] == pytest.approx(1.7 * (params.w[x] + params.V[a] @ params.V[x]), rel=1e-4)


def test_a_value_never_seen_adds_nothing() -> None:
    table, y = mixed()
    for kind in (NFMClassifier, DeepFMClassifier):
        model = kind(columns=MIXED, hidden=(8,), max_iter=3, **SMALL).fit(table, y)
        rows = model.encoder_.transform(table.head(3).assign(a=999))
        without = [row for row in range(rows.nnz) if row % rows.width != 0]
        assert (rows.fields[: rows.width] == np.arange(4)).all()
        fields = rows.field_of_each()
        left = Rows(
            rows.indices[without],
            rows.n_features,
            values=rows.values[without],
            fields=fields[without],
            width=3,
        )
        np.testing.assert_array_equal(model.decision_function(rows), model.decision_function(left))


def test_numbers_that_are_missing_have_a_feature_of_their_own() -> None:
    table, _ = mixed()
    gone = table.x > 0.8
    table.loc[gone, "x"] = np.nan
    for kind in (NFMClassifier, DeepFMClassifier):
        model = kind(hidden=(8,), learning_rate=0.01, max_iter=20, **SMALL).fit(table, gone)
        assert (model.predict(table) == gone).mean() > 0.95
        assert model.params_.V[model.encoder_.feature_names().index("x=<missing>")].any()


def test_the_numbers_themselves_reach_the_deep_part() -> None:
    table, y = mixed()
    table.loc[::7, "x"] = np.nan
    model = DeepFMClassifier(hidden=(8,), columns=MIXED, max_iter=1, **SMALL).fit(table, y)
    names = model.encoder_.feature_names()
    assert [names[i] for i in model.params_.dense_ids] == ["x", "z"]
    assert model.params_.layers["deep.layers.0.weight"].shape == (8, 4 * 4 + 2)


def test_numbers_are_told_from_other_values() -> None:
    """One feature with values other than 1 and one more at most: not tags that share a row, not one-hot columns."""
    ids = np.array([0, 1, 2, 5, 6, 0, 1, 3, 5, 6, 0, 1, 4, 5, 7], np.uint32)
    fields = np.array([0, 1, 2, 3, 4], np.uint32)
    values = np.array([0.5, 1, 0.7, 1, 2, 0.5, 1, 0.7, 1, 2, 0.1, 1, 0.7, 1, 1], np.float32)
    whole = Rows(ids, 9, values=values, width=5, fields=fields)
    found = survey(whole, fields=True, counted=False)
    assert (found.n_fields, found.dense_ids.tolist()) == (5, [0, 6])

    class Windows:
        n_features, known = 9, None

        def __iter__(self) -> Any:
            return (whole.take([n]) for n in range(3))

    found = survey(Windows(), fields=True, counted=True)
    assert (found.n_fields, found.dense_ids.tolist()) == (5, [0, 6])
    assert found.counts.tolist() == np.bincount(ids, minlength=9).tolist()
    assert found.n_rows == 3
    tags = Rows(
        np.arange(3, dtype=np.uint32), 3, values=np.array([0.5, 1, 1], np.float32), width=1, fields=fields[:1]
    )
    assert survey(tags, fields=True, counted=False).dense_ids.tolist() == []  # one of three is no number
    narrow = Rows(ids[:5], 7, values=values[:5], width=5, fields=fields)
    assert dense_values(narrow, np.arange(1), np.array([0, 6, 8])).tolist() == [[0.5, 2.0, 0.0]]


def test_each_id_has_a_linear_weight() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 50, (2000, 2)) + np.array([0, 50])
    luck = rng.random(100) < 0.5  # known by heart only
    rows = Rows(ids.ravel().astype(np.uint32), 100, width=2, fields=np.array([0, 1], np.uint32))
    y = luck[ids[:, 0]] | luck[ids[:, 1]]
    still = {"learning_rate": 1e-9, "learning_rate_V": 1e-9, "learning_rate_w": 0.1}
    model = DeepFMClassifier(max_iter=30, hidden=(8,), **still, **SMALL).fit(rows, y)
    assert model.params_.w.shape == (100,)
    assert (model.predict(rows) == y).mean() > 0.95


# ---------------------------------------------------------------------------------------------------- the start


@pytest.mark.parametrize("name", MODELS)
def test_an_untrained_network_is_as_unsure_as_it_should_be(name: str) -> None:
    """The first log loss is near ln 2 on balanced classes, with 39 fields too."""
    rows = wide_rows(1000)
    still = {"learning_rate": 1e-9, "learning_rate_V": 1e-9, "learning_rate_w": 1e-9}
    known = {"hidden": (64, 32)} if "hidden" in MODELS[name].options else {}
    model = NeuralFMClassifier(16, model=name, max_iter=1, random_state=0, **still, **known).fit(rows)
    # Normalised layers start at unit variance whatever comes in: nfm, dcn ... may be off by a little more.
    assert abs(model.history_[0]["train_loss"] - np.log(2)) < 0.15
    assert np.average(rows.target) == pytest.approx(model.predict_proba(rows)[:, 1].mean(), abs=0.1)


# --------------------------------------------------------------------------------------------- stopping, judging


def test_early_stopping_fires_without_being_told_what_to_watch() -> None:
    rng = np.random.default_rng(0)
    rows = wide_rows(300)
    noise = rng.integers(0, 2, 300)
    model = NFMClassifier(max_iter=60, early_stopping=True, learning_rate_V=0.2, **SMALL).fit(rows, noise)
    assert model.n_iter_ < 60
    assert model.n_iter_ == model.best_iter_ + 3


def test_the_auc_is_that_of_all_rows_not_a_mean_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ROWS_SCORED", 16)
    train, valid = wide_rows(), wide_rows(150, seed=1)
    model = NFMClassifier(max_iter=3, monitor="auc", **SMALL).fit(train, eval_set=(valid, None))
    area = roc_auc_score(valid.target, model.predict_proba(valid)[:, 1])
    assert model.history_[-1]["valid_auc"] == pytest.approx(area, abs=1e-9)
    loss = NFMClassifier(max_iter=3, **SMALL).fit(train, eval_set=(valid, None)).history_[-1]["valid_loss"]
    p = model.predict_proba(valid)[np.arange(150), valid.target.astype(int)]
    assert loss == pytest.approx(-np.log(p).mean(), rel=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("solver", ["adagrad-row", "adagrad", "adam", "sgd"])
def test_every_schedule_works_with_every_solver(schedule: str, solver: str) -> None:
    rows = wide_rows(200, 4)
    model = NFMClassifier(schedule=schedule, solver=solver, warmup=3, max_iter=3, **SMALL).fit(rows)
    rates = [epoch["learning_rate"] for epoch in model.history_]
    assert rates == sorted(rates, reverse=True)
    assert (len(set(rates)) == 1) == (schedule == "constant")
    assert np.isfinite(model.params_.V).all()


def test_every_epoch_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[int]] = []
    run = training.Steps.run

    def spied(self: Any, rows: Any, order: Any) -> float:
        orders.append(order.tolist())
        return run(self, rows, order)

    monkeypatch.setattr(training.Steps, "run", spied)
    rows = wide_rows(100, 3)
    NFMClassifier(max_iter=3, **SMALL).fit(rows)
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    orders.clear()
    NFMClassifier(max_iter=2, shuffle=False, **SMALL).fit(rows)
    assert orders == [list(range(100))] * 2


# ------------------------------------------------------------------------------------------------------ penalties


@pytest.mark.parametrize("solver", ["adagrad-row", "adagrad", "adam", "sgd"])
def test_a_penalty_moves_what_a_batch_has_and_nothing_else(solver: str) -> None:
    rows = wide_rows(200, 4)
    model = NFMClassifier(solver=solver, l2_V=0.1, l2_w=0.1, **SMALL).fit(rows)
    V, w = model.params_.V, model.params_.w
    some = rows.take(np.flatnonzero((rows.indices.reshape(-1, 4) % 5 < 4).all(axis=1)))
    absent = ~np.isin(np.arange(20), some.indices)
    assert absent.sum() == 4
    model.partial_fit(some)
    assert np.array_equal(model.params_.V[absent], V[absent])
    assert np.array_equal(model.params_.w[absent], w[absent])
    assert (model.params_.V[~absent] != V[~absent]).any(axis=1).all()


def test_a_penalty_is_as_strong_in_batches_of_any_size() -> None:
    """Rows of weight 0 have no gradient: only the penalty moves their features."""
    rng = np.random.default_rng(0)
    ids = np.r_[[[10, 11]], rng.integers(0, 10, (400, 2))].astype(np.uint32)
    rows = Rows(ids.ravel(), 12, width=2)
    weight, y = np.r_[1.0, np.zeros(400)], np.r_[1.0, np.zeros(400)]
    shrunk = []
    for batch_size in (5, 40, 401):
        options = {"solver": "sgd", "random_state": 0, "batch_size": batch_size, "learning_rate_V": 0.01}
        start = NeuralFMRegressor(model="fm", max_iter=1, l2_V=0.0, loss="poisson", **options)
        end = NeuralFMRegressor(model="fm", max_iter=1, l2_V=1e-4, loss="poisson", **options)
        before, after = (
            m.fit(rows, y, sample_weight=weight).params_.V[:10].astype(float) for m in (start, end)
        )
        shrunk.append(np.log(np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)))
    assert (shrunk[0] > 1e-5).all()
    np.testing.assert_allclose(shrunk[1], shrunk[0], rtol=0.05)
    np.testing.assert_allclose(shrunk[2], shrunk[0], rtol=0.05)


def test_clipping_is_of_the_layers_and_does_not_hang_on_the_vocabulary() -> None:
    rows = wide_rows(200, 4)
    wide = Rows(rows.indices, 5000, width=4, fields=rows.fields, target=rows.target)
    models = [
        DeepFMClassifier(clip_norm=0.01, hidden=(8,), learning_rate=0.01, max_iter=2, **SMALL) for _ in "ab"
    ]
    losses = [m.fit(r).history_[-1]["train_loss"] for m, r in zip(models, (rows, wide), strict=True)]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


def test_weight_decay_of_the_layers_can_be_changed_between_fits() -> None:
    rows = wide_rows(200, 4)
    ends = []
    for decay in (0.0, 10.0):
        model = DeepFMClassifier(hidden=(8,), warm_start=True, max_iter=2, **SMALL).fit(rows)
        model.set_params(l2_layers=decay, learning_rate=0.01).fit(rows)
        ends.append(np.abs(model.params_.layers["deep.layers.0.weight"]).sum())
    assert ends[1] < 0.9 * ends[0]


# ------------------------------------------------------------------------------------------------------ vocabulary


def test_the_vocabulary_is_that_of_the_rows_to_train_on_and_the_same_every_time(tmp_path: Any) -> None:
    table, y = mixed()
    first, later = table[table.a < 4], table[table.a >= 4]
    y = pd.Series(y, table.index)
    models = [
        NFMClassifier(columns=MIXED, early_stopping=True, max_iter=3, **SMALL).fit(
            first, y[first.index], eval_set=(later, y[later.index])
        )
        for _ in range(2)
    ]
    names = models[0].encoder_.feature_names()
    assert {"a=4", "a=5"}.isdisjoint(names)
    assert names == models[1].encoder_.feature_names()
    assert params_equal(*models)
    models[0].save(tmp_path / "m.crossfm")
    assert crossfm.load(tmp_path / "m.crossfm").encoder_.feature_names() == names
    mean = models[0].encoder_.transform(first).values.reshape(len(first), -1)[:, 3].mean()
    assert abs(mean) < 1e-5  # standardised by the rows to train on alone


def test_ids_that_are_only_among_held_back_rows_stay_at_zero() -> None:
    rows = Rows(np.arange(200, dtype=np.uint32), 200, width=2, target=np.arange(100) % 2 * 1.0)
    model = NFMClassifier(early_stopping=True, validation_fraction=0.3, max_iter=3, **SMALL).fit(rows)
    trained = model.params_.V.any(axis=1)
    assert trained.sum() == 140
    assert not model.params_.w[~trained].any()


def test_a_column_without_any_frequent_value_is_no_trouble() -> None:
    table, y = mixed()
    table["rare"] = [f"r{n}" for n in range(len(table))]
    columns = [*MIXED, Categorical("rare", min_count=5)]
    for kind in (NFMClassifier, DeepFMClassifier):
        model = kind(columns=columns, hidden=(8,), max_iter=3, **SMALL).fit(table, y)
        assert np.isfinite(model.predict_proba(table)).all()
        assert np.isfinite(model.predict_proba(table.assign(rare="new"))).all()


def test_tables_of_nothing_but_numbers_are_learnt() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 60))
    table = pd.DataFrame(X, columns=[f"x{n}" for n in range(60)])
    y = (2 * X[:, 0] + X[:, 1] > 0).astype(int)
    for data in (table, X):
        for kind in (NFMClassifier, DeepFMClassifier):
            model = kind(hidden=(16,), learning_rate=0.01, max_iter=15, **SMALL).fit(data, y)
            assert model.score(data, y) > 0.85
        assert len(model.params_.dense_ids) == 60


# --------------------------------------------------------------------------------------------------- odd rows


def odd_rows(seed: int = 0) -> Rows:
    """Rows of no, one and many features, some of them twice in a row."""
    rng = np.random.default_rng(seed)
    lengths = np.r_[0, 1, 300, rng.integers(0, 6, 60)]
    n = int(lengths.sum())
    ids = rng.integers(0, 30, n).astype(np.uint32)
    return Rows(
        ids,
        30,
        np.r_[0, np.cumsum(lengths)],
        rng.normal(size=n).astype(np.float32),
        ids % 3,
        np.arange(63) % 2 * 1.0,
    )


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_any_length_are_taken(name: str) -> None:
    rows = odd_rows()
    known = {"hidden": (8,)} if "hidden" in MODELS[name].options else {}
    model = NeuralFMClassifier(model=name, max_iter=2, learning_rate_V=0.001, **known, **SMALL).fit(rows)
    whole = model.decision_function(rows)
    assert np.isfinite(whole).all()
    each = [model.decision_function(rows.take([n]))[0] for n in range(5)]
    np.testing.assert_allclose(each, whole[:5], rtol=1e-4, atol=1e-4)
    assert model.decision_function(rows.take([])).shape == (0,)


def test_rows_too_long_for_a_batch_are_refused_in_training_and_scored_all_the_same() -> None:
    n = 70_000
    rows = Rows(np.zeros(2 * n, np.uint32), 1, np.array([0, n, 2 * n]), np.full(2 * n, 1e-3, np.float32))
    many = rows.take(np.zeros(40, int)).with_target(np.arange(40) % 2)
    tall = Rows(many.indices, 1, many.indptr, many.values, target=many.target)
    model = NFMClassifier(max_iter=1, **SMALL).fit(tall)
    engine = CoreEmbeddings(model._machines[0].embeddings, 1)
    order = np.zeros(1 << 15, np.int64)
    with pytest.raises(OptionError, match="take a batch_size of at most 32768"):
        engine.features(rows, np.zeros((1 << 15) + 1, np.int64), {"pooled"})
    with torch.inference_mode():
        short = Rows(rows.indices[:4], 1, np.array([0, 2, 4]), rows.values[:4])
        assert engine.features(short, order, {"pooled"}).linear.shape == (1 << 15,)


def test_the_same_array_of_ids_may_be_filled_anew_between_calls() -> None:
    """What is known of rows is not kept by their array, which a caller may use again, with other values or ids."""
    rows, other = wide_rows(100, 4), wide_rows(100, 4, seed=1)
    a, b = (NFMClassifier(random_state=0, batch_size=32) for _ in "ab")
    a.partial_fit(rows).partial_fit(other)
    buffer = rows.indices.copy()
    b.partial_fit(Rows(buffer, 20, width=4, fields=rows.fields, target=rows.target))
    buffer[:] = other.indices
    b.partial_fit(Rows(buffer, 20, width=4, fields=rows.fields, target=other.target))
    assert params_equal(a, b)
    ones, halves = np.ones(400, np.float32), np.full(400, 0.5, np.float32)
    ends = []
    for ids in (rows.indices, None):
        model = NFMClassifier(random_state=0, batch_size=32)
        for values in (ones, halves):
            shared = rows.indices.copy() if ids is None else ids
            model.partial_fit(Rows(shared, 20, values=values, width=4, target=rows.target))
        ends.append(model)
    assert params_equal(*ends)


def test_a_model_lets_go_of_the_rows_it_was_fitted_on() -> None:
    import gc
    import weakref

    rows = wide_rows(100, 4)
    kept = weakref.ref(rows.indices)
    model = NFMClassifier(max_iter=2, **SMALL).fit(rows)
    del rows
    gc.collect()
    assert kept() is None
    assert model.n_iter_ == 2


def test_predictions_may_be_asked_for_in_several_threads() -> None:
    rows = wide_rows(2000, 10)
    model = DeepFMClassifier(hidden=(32,), max_iter=1, **SMALL).fit(rows)
    expected = [model.decision_function(rows.take(np.arange(n, 2000, 4))) for n in range(4)]
    wrong: list[int] = []

    def ask(n: int) -> None:
        part = rows.take(np.arange(n, 2000, 4))
        wrong.extend(n for _ in range(10) if not np.array_equal(model.decision_function(part), expected[n]))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["fm", "nfm"])
def test_pooled_machines_make_no_embedding_of_each_field(name: str) -> None:
    rows = wide_rows(100)
    model = NeuralFMClassifier(model=name, max_iter=1, **SMALL).fit(rows)
    arrays = model._machines[0].runtime.engine._memory.arrays
    assert arrays
    assert "embedded" not in arrays
    assert all(array.size < 100 * 39 * 4 for array in arrays.values())


# ------------------------------------------------------------------------------------------------ random numbers


def test_pytorchs_own_random_numbers_and_threads_stay_as_they_are() -> None:
    rows = wide_rows(100, 4)
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()

    def fails(epoch: Any, model: Any) -> None:
        raise RuntimeError("stop here")

    for n_threads in (1, threads + 1):
        options = {"hidden": (8,), "dropout": 0.5, "n_threads": n_threads, **SMALL}
        model = NFMClassifier(max_iter=2, **options).fit(rows)
        model.predict(rows)
        with pytest.raises(RuntimeError, match="stop here"):
            NFMClassifier(callbacks=[fails], **options).fit(rows)
        with pytest.raises(crossfm.errors.DivergenceError):
            NFMRegressor(loss="poisson", learning_rate_w=1e9, solver="sgd", **options).fit(
                rows, rows.target * 100
            )
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.get_num_threads() == threads


def test_what_dropout_draws_hangs_on_the_seed_and_the_step_alone() -> None:
    rows = wide_rows(100, 4)
    options = {"hidden": (8,), "dropout": 0.5, "shuffle": False, **SMALL}
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(NFMClassifier(max_iter=2, **options).fit(rows))
    assert params_equal(*models)
    paused = NFMClassifier(max_iter=1, warm_start=True, **options).fit(rows)
    torch.rand(3)
    paused.predict(rows)
    assert params_equal(paused.fit(rows), models[0])
    other = NFMClassifier(max_iter=2, **{**options, "random_state": 1}).fit(rows)
    assert not params_equal(other, models[0])


@pytest.mark.parametrize("kind", ["fm", "nfm", "deepfm"])
def test_threads_do_not_change_what_is_learnt(kind: str) -> None:
    """To the bit where the compiled core does all there is; PyTorch's layers add up in another order."""
    rows = wide_rows(600, 8)
    one, two = (NeuralFMClassifier(model=kind, max_iter=3, n_threads=n, **SMALL).fit(rows) for n in (1, 2))
    if kind == "fm":
        assert params_equal(one, two)
    np.testing.assert_allclose(two.decision_function(rows), one.decision_function(rows), atol=0.01)


# ------------------------------------------------------------------------------------------------- degenerate cases

STILL: dict[str, Any] = {
    "learning_rate": 1e-12,
    "learning_rate_V": 1e-12,
    "learning_rate_w": 1e-12,
    "max_iter": 1,
}


def test_a_deepfm_without_layers_is_an_fm_bit_for_bit() -> None:
    rows = wide_rows(300, 6)
    fm = NeuralFMClassifier(model="fm", max_iter=3, **SMALL).fit(rows)
    deep = DeepFMClassifier(hidden=(), max_iter=3, **SMALL).fit(rows)
    assert np.array_equal(deep.params_.w, fm.params_.w)
    assert np.array_equal(deep.params_.V, fm.params_.V)
    assert np.array_equal(deep.decision_function(rows), fm.decision_function(rows))


def test_an_nfm_without_layers_is_an_fm_where_its_output_weights_stay() -> None:
    """h is trained; it starts at 1, and so close it stays with a small learning rate of the layers."""
    rows = wide_rows(300, 6)
    options = {"learning_rate": 1e-9, "max_iter": 3, **SMALL}
    fm = NeuralFMClassifier(model="fm", **options).fit(rows)
    nfm = NFMClassifier(hidden=(), batch_norm=False, dropout=0.0, **options).fit(rows)
    np.testing.assert_allclose(nfm.params_.layers["h"], 1.0, atol=1e-6)
    np.testing.assert_allclose(nfm.params_.V, fm.params_.V, atol=1e-5)
    np.testing.assert_allclose(nfm.decision_function(rows), fm.decision_function(rows), atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_that_starts_at_an_fm_says_what_the_fm_said(n_classes: int) -> None:
    table, y = mixed()
    y = y if n_classes == 2 else (table.a % 3).to_numpy()
    fm = FMClassifier(4, columns=MIXED, random_state=0).fit(table, y)
    for options in (
        {"model": "fm"},
        {"model": "deepfm", "hidden": ()},
        {"model": "nfm", "hidden": (), "batch_norm": False},
    ):
        model = NeuralFMClassifier(4, columns=MIXED, init=fm, **options, **STILL).fit(table, y)
        np.testing.assert_allclose(model.predict_proba(table), fm.predict_proba(table), atol=1e-5)


def test_a_regression_that_starts_at_an_fm_has_its_unit_too() -> None:
    table, y = mixed()
    y = 1000.0 + 50.0 * (table.a * table.x).to_numpy()
    fm = crossfm.FMRegressor(4, columns=MIXED, random_state=0).fit(table, y)
    options = {"model": "fm", "columns": MIXED, "init": fm, **STILL}
    same = NeuralFMRegressor(4, **options).fit(table, y)
    np.testing.assert_allclose(same.predict(table), fm.predict(table), rtol=1e-5)
    shifted = NeuralFMRegressor(4, **options).fit(table, 3.0 * y - 7.0)  # standardised otherwise
    np.testing.assert_allclose(shifted.predict(table), fm.predict(table), rtol=1e-5)
    counts = table.a.to_numpy() * 1.0
    fm = crossfm.FMRegressor(4, loss="poisson", columns=MIXED, random_state=0).fit(table, counts)
    of_counts = NeuralFMRegressor(4, loss="poisson", **{**options, "init": fm}).fit(table, counts)
    np.testing.assert_allclose(of_counts.predict(table), fm.predict(table), rtol=1e-4)


def test_what_the_fm_has_learnt_from_other_rows_is_kept() -> None:
    rows = wide_rows(300, 4)
    some = rows.take(np.flatnonzero((rows.indices.reshape(-1, 4) % 5 < 4).all(axis=1)))
    fm = FMClassifier(4, random_state=0).fit(rows)
    model = NFMClassifier(4, init=fm, max_iter=1, random_state=0).fit(some)
    absent = ~np.isin(np.arange(20), some.indices)
    assert np.array_equal(model.params_.V[absent], fm.params_.V[absent])


def test_a_start_from_what_is_no_such_fm_is_refused() -> None:
    table, y = mixed()
    fm = FMClassifier(4, columns=MIXED, random_state=0, max_iter=1).fit(table, y)
    for init, message in (
        (FMClassifier(4), "a fitted FMClassifier"),
        (crossfm.FwFMClassifier(4, columns=MIXED, max_iter=1).fit(table, y), "machine is another"),
        (FMClassifier(5, columns=MIXED, max_iter=1).fit(table, y), "n_factors=4"),
        (FMClassifier(4, columns=MIXED, max_iter=1).fit(table, y + 1), r"classes \[1, 2\], but \[0, 1\]"),
        (
            FMClassifier(4, columns=[*MIXED[:3], Numeric("z", transform="none")], max_iter=1).fit(table, y),
            "encodes",
        ),
    ):
        with pytest.raises(OptionError, match=message):
            NFMClassifier(4, columns=MIXED, init=init).fit(table, y)
    assert NFMClassifier(4, columns=MIXED, init=fm, max_iter=1).fit(table, y).n_iter_ == 1


def test_searches_keep_the_fm_that_a_network_starts_at() -> None:
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    table, y = mixed()
    fm = FMClassifier(4, columns=MIXED, random_state=0, max_iter=1).fit(table, y)
    X = fm.encoder_.transform(table).to_csr()
    fm = FMClassifier(4, random_state=0, max_iter=1).fit(X, y)
    model = NFMClassifier(4, init=fm, max_iter=1)
    assert clone(model).init is fm
    assert len(cross_val_score(model, X, y, cv=2)) == 2
