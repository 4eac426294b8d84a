"""``solver="als"`` and ``solver="mcmc"``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.special import ndtr

import crossfm
from contracts import COLUMNS, SEED, EstimatorContract, assert_lets_go_of_the_file, clicks
from crossfm import (
    Categorical,
    FFMRegressor,
    FMClassifier,
    FMOrdinalRegressor,
    FMRanker,
    FMRegressor,
    MultiCategorical,
    Rows,
)
from crossfm.data.writers import write_libsvm
from crossfm.errors import DataError, LabelError, OptionError
from crossfm.kernels import fm
from crossfm.kernels.gibbs import Moves
from crossfm.kernels.vb import MeanField
from machines import as_lists
from one_hot import classes, noisy
from oracles import fm_score

SOLVERS = ("als", "mcmc", "vb")


class TestAls(EstimatorContract):
    def make(self, **options: Any) -> FMRegressor:
        settings = {"n_factors": 4, "solver": "als", "random_state": SEED}
        return FMRegressor(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return 100.0 + 20.0 * score


class TestMcmc(EstimatorContract):
    def make(self, **options: Any) -> FMRegressor:
        settings = {"n_factors": 4, "solver": "mcmc", "random_state": SEED}
        return FMRegressor(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return 100.0 + 20.0 * score

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        odd = data[0].head(3).copy()
        odd["item"] = ["never", None, "i1"]
        odd.loc[odd.index[1], "price"] = np.nan
        assert np.isfinite(model.predict(odd)).all()  # draws from the prior


def mcmc(**options: Any) -> FMRegressor:
    return FMRegressor(**{"n_factors": 3, "solver": "mcmc", "max_iter": 80, "random_state": 0, **options})


def test_the_machine_that_made_the_data_is_found_and_sampling_finds_it_best() -> None:
    errors: dict[str, list[float]] = {"mcmc": [], "als": [], "adagrad": []}
    for seed in range(3):
        X, score, y = noisy(1500, seed=seed)
        for solver, options in (("mcmc", {}), ("als", {"l2_w": 1.0, "l2_V": 1.0}), ("adagrad", {})):
            model = mcmc(solver=solver, **options).fit(X[:1000], y[:1000])
            errors[solver].append(np.sqrt(np.mean((model.predict(X[1000:]) - score[1000:]) ** 2)))
    mean = {solver: np.mean(each) for solver, each in errors.items()}
    assert mean["mcmc"] < 1.3  # least squares on as many columns as there are numbers: 0.92
    assert mean["mcmc"] < min(mean["als"], mean["adagrad"])
    assert mean["als"] < 1.7


def test_intervals_hold_as_many_new_targets_as_they_promise() -> None:
    X, _, y = noisy(3000)
    model = mcmc(max_iter=150).fit(X[:1000], y[:1000])
    mean, deviation = model.predict(X[1000:], return_std=True)
    assert np.array_equal(mean, model.predict(X[1000:]))
    assert np.mean(np.abs(y[1000:] - mean) < 1.645 * deviation) == pytest.approx(0.9, abs=0.03)
    assert (deviation > 1.9).all()  # the noise alone is 2


def test_a_new_target_deviates_by_what_samples_differ_and_by_the_mean_variance_of_noise() -> None:
    X, _, y = noisy(90)
    model = mcmc(max_iter=30).fit(X[:60], y[:60])  # so few rows that the noise is hardly known
    rows = as_lists(model._input(X)[0])
    each = [[fm_score(row, p.bias, p.w, p.V) for row in rows] for p in model._chain.samples]
    variance = np.var(each, axis=0, ddof=1) + np.mean(1 / np.array(model._chain.alphas))
    np.testing.assert_allclose(model.predict(X, True)[1], np.sqrt(variance) * y[:60].std(), rtol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_errors_and_sums_are_computed_again_every_fifty_iterations(
    solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = MeanField if solver == "vb" else Moves
    settle, done = kind.settle, []
    monkeypatch.setattr(kind, "settle", lambda *args: done.append(1) or settle(*args))
    X, _, y = noisy(60)
    model = mcmc(solver=solver, max_iter=20).fit(X, y)
    first = len(done)
    model.set_params(max_iter=120).fit(X, y)
    assert len(done) == 2 * first + 2


def test_quantiles_are_those_of_new_targets_drawn_from_the_samples() -> None:
    X, _, y = noisy(1000)
    model = mcmc(max_iter=40).fit(X[:700], y[:700])
    rows, rng = model._input(X[700:710])[0], np.random.default_rng(0)
    each = [
        y[:700].mean()
        + y[:700].std()
        * (
            np.array([fm_score(row, p.bias, p.w, p.V) for row in as_lists(rows)])[:, None]
            + rng.standard_normal(10_000) / np.sqrt(alpha)
        )
        for p, alpha in zip(model._chain.samples, model._chain.alphas, strict=True)
    ]
    drawn = np.quantile(np.concatenate(each, axis=1), [0.05, 0.5, 0.95], axis=1).T
    found = model.predict_quantiles(X[700:710])
    assert found.shape == (10, 3)
    np.testing.assert_allclose(found, drawn, atol=0.05)  # of a deviation of 2 or more
    at_once = model.predict_quantiles(X)
    with pytest.MonkeyPatch.context() as small:
        small.setattr("crossfm.solvers.gibbs.CELLS", 700)
        np.testing.assert_allclose(model.predict_quantiles(X), at_once, rtol=1e-9)
    np.testing.assert_allclose(model.predict_quantiles(X, [0.5])[:, 0], at_once[:, 1], rtol=1e-9)


def test_intervals_of_quantiles_hold_what_they_promise() -> None:
    X, _, y = noisy(4000)
    model = mcmc(max_iter=150).fit(X[:600], y[:600])
    levels = (0.5, 0.8, 0.9, 0.95)
    ends = [(1 - level) / 2 for level in levels]
    found = model.predict_quantiles(X[600:], [*ends, *(1 - end for end in ends)])
    low, high = found[:, :4], found[:, 4:]
    held = ((low < y[600:, None]) & (y[600:, None] < high)).mean(axis=0)
    np.testing.assert_allclose(held, levels, atol=0.03)


def test_quantiles_need_samples_and_numbers_between_zero_and_one(tmp_path: Path) -> None:
    X, _, y = noisy(60)
    with pytest.raises(OptionError, match='predict_quantiles needs samples: fit with solver="mcmc"'):
        mcmc(solver="als").fit(X, y).predict_quantiles(X)
    model = mcmc(max_iter=3, normalize=True).fit(X, y)
    for wrong in (0.5, [], [0.0], [1.0], [np.nan], [[0.5]], "half", [1.5, 0.5]):
        with pytest.raises(OptionError, match=r"quantiles=.*numbers between 0 and 1"):
            model.predict_quantiles(X, wrong)
    write_libsvm(tmp_path / "a.libsvm", replace(model._input(X)[0], values=None, target=y))
    opened = crossfm.stream(tmp_path / "a.libsvm", n_features=70)
    np.testing.assert_allclose(model.predict_quantiles(opened), model.predict_quantiles(X), rtol=1e-5)
    for ours, theirs in zip(model.predict(opened, True), model.predict(X, True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_feature_without_rows_is_less_certain() -> None:
    X, _, y = noisy(1000)
    known = X[:, 3].toarray().ravel() == 0
    model = mcmc().fit(X[known], y[known])
    deviation = model.predict(X, return_std=True)[1]
    assert deviation[~known].min() > 1.5 * deviation[known].max()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["blocks", "lists"])
def test_threads_do_not_change_a_bit(solver: str, kind: str) -> None:
    X, _, y = noisy(20_000)
    if kind == "lists":
        X = X + csr_matrix(np.random.default_rng(0).random(X.shape) < 0.05).astype(float)
    fits = [mcmc(solver=solver, n_threads=n, max_iter=4).fit(X, y).predict(X) for n in (1, 2, 3)]
    assert np.array_equal(fits[0], fits[1])
    assert np.array_equal(fits[0], fits[2])


def test_the_validation_loss_is_that_of_the_mean_of_all_samples() -> None:
    X, _, y = noisy(600)
    model = mcmc(max_iter=30, burn_in=5, keep_samples=25).fit(X[:400], y[:400], eval_set=(X[400:], y[400:]))
    half = np.mean((model.predict(X[400:]) - y[400:]) ** 2) / np.var(y[:400]) / 2
    assert model.history_[-1]["valid_loss"] == pytest.approx(half, rel=1e-4)
    assert [epoch["epoch"] for epoch in model.history_] == list(range(1, 31))


@pytest.mark.parametrize("kind", [FMRegressor, FMClassifier, FMOrdinalRegressor])
def test_known_rows_are_predicted_by_all_samples_and_none_need_be_kept(kind: Any) -> None:
    X, _, y = noisy(600)
    if kind is not FMRegressor:
        y = np.digitize(y, [50]) if kind is FMClassifier else np.digitize(y, [45, 55])
    found = []
    for keep in (25, 10, 0):
        model = kind(3, solver="mcmc", max_iter=30, burn_in=5, keep_samples=keep, random_state=0)
        found.append(model.fit(X[:400], y[:400], eval_set=(X[400:], y[400:])))
    whole, part, none = found
    known = whole.predict(X[400:]) if kind is FMRegressor else whole.predict_proba(X[400:])
    np.testing.assert_allclose(whole.eval_prediction_, known, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(part.eval_prediction_, known, rtol=1e-5, atol=1e-6)
    assert not np.allclose(part.predict(X[400:]), whole.predict(X[400:]), rtol=1e-5) or kind is FMClassifier
    np.testing.assert_allclose(none.eval_prediction_, known, rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionError, match="keep_samples=0: no samples were kept"):
        none.predict(X)


@pytest.mark.parametrize("fields", [None, [0] * 40 + [1] * 30])
def test_the_fields_of_a_matrix_are_groups_known_or_found(fields: Any) -> None:
    X, _, y = noisy(500)
    model = mcmc(max_iter=3, fields=fields).fit(X, y)
    assert model._chain is not None
    assert model._chain.prior.group.tolist() == [0] * 40 + [1] * 30
    dense = mcmc(max_iter=3, fields=fields).fit(X.toarray(), y)
    assert np.array_equal(dense.predict(X.toarray()), model.predict(X))


def test_groups_are_columns_of_a_table_fields_of_rows_one_or_as_given() -> None:
    X, _, y = noisy(500)
    table, score = clicks()
    assert groups_of(mcmc(columns=COLUMNS).fit(table, score)).max() == 3
    ids = X.indices.astype(np.uint32)
    rows = Rows(ids, 70, width=2, fields=np.array([2, 0], np.uint32))
    assert groups_of(mcmc().fit(rows, y)).tolist() == [2] * 40 + [0] * 30
    assert not groups_of(mcmc(groups=None).fit(X, y)).any()
    own = np.arange(70) % 3 * 10
    assert groups_of(mcmc(groups=own).fit(X, y)).tolist() == (np.arange(70) % 3).tolist()
    lists = csr_matrix(np.random.default_rng(0).random((50, 9)) < 0.4).astype(float)
    assert not groups_of(mcmc().fit(lists, np.arange(50.0))).any()


def groups_of(model: FMRegressor) -> np.ndarray:
    assert model._chain is not None
    return model._chain.prior.group


@pytest.mark.parametrize("groups", ["columns", [0, 1], np.zeros(70), np.zeros((70, 2), int), 3])
def test_groups_that_do_not_fit_are_refused(groups: Any) -> None:
    X, _, y = noisy(50)
    with pytest.raises(OptionError, match="groups"):
        mcmc(groups=groups).fit(X, y)


def test_a_saved_chain_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    X, _, y = noisy(500)
    model = mcmc(max_iter=30, keep_samples=7, warm_start=True).fit(X, y)
    model.save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    for method in ({}, {"return_std": True}):
        assert np.array_equal(loaded.predict(X, **method), model.predict(X, **method))
    before = model._chain.drawn
    assert np.array_equal(loaded.fit(X, y).predict(X), model.fit(X, y).predict(X))
    assert model._chain.drawn == before + 30  # no second burn-in
    assert len(model._chain.samples) <= 7
    assert model.n_iter_ == 60
    assert_lets_go_of_the_file(model, tmp_path / "m.crossfm")


def test_the_trace_has_every_iteration_in_the_unit_of_the_target(tmp_path: Path) -> None:
    X, _, y = noisy(2000)
    model = mcmc(max_iter=60, burn_in=20, warm_start=True).fit(X, y)
    trace = model.trace_
    assert trace["precision"].shape == trace["mean"].shape == (60, 2, 4)
    assert trace["burn_in"].tolist() == [True] * 20 + [False] * 40
    assert np.mean(trace["alpha"][20:]) == pytest.approx(1 / 2**2, rel=0.1)  # the noise has deviation 2
    assert trace["alpha"][-1] * np.var(y) == pytest.approx(model._chain.alphas[-1])
    assert trace["bias"][-1] == pytest.approx(model.params_.bias, rel=1e-6)
    assert np.mean(trace["precision"][20:, :, 0]) == pytest.approx(1 / 5**2, rel=0.3)  # w has deviation 5
    model.save(tmp_path / "m")
    loaded = crossfm.load(tmp_path / "m").fit(X, y)
    assert loaded.trace_["burn_in"].tolist() == [True] * 20 + [False] * 100
    for name, array in model.fit(X, y).trace_.items():
        assert np.array_equal(loaded.trace_[name], array)
    with pytest.raises(AttributeError, match="trace_"):
        mcmc(solver="als", max_iter=2).fit(X, y).trace_  # noqa: B018


def test_another_fit_forgets_the_chain() -> None:
    X, _, y = noisy(300)
    model = mcmc(max_iter=5).fit(X, y)
    assert len(model._chain.samples) == 5
    once = model.predict(X)
    assert np.array_equal(model.fit(X, y).predict(X), once)
    model.set_params(solver="als").fit(X, y)
    assert model._chain is None
    model.set_params(solver="mcmc", warm_start=True).fit(X, y)  # from where als has left it
    assert len(model._chain.samples) == 5


def test_rows_to_go_on_with_may_have_fewer_features() -> None:
    X, _, y = noisy(300)
    rows = Rows(X.indices.astype(np.uint32), 75, width=2)
    for solver, options in (("als", {}), ("mcmc", {"groups": None})):
        fits = [mcmc(solver=solver, max_iter=5, warm_start=True, **options).fit(rows, y) for _ in range(2)]
        fits[0].fit(replace(rows, n_features=70), y)
        assert np.array_equal(fits[0].predict(rows), fits[1].fit(rows, y).predict(rows))


def test_a_chain_cannot_go_on_with_other_groups() -> None:
    X, _, y = noisy(300)
    model = mcmc(max_iter=5, warm_start=True).fit(X, y)
    with pytest.raises(OptionError, match="groups: 1, but the chain to go on with has 2"):
        model.set_params(groups=None).fit(X, y)


def test_weights_are_as_many_rows() -> None:
    X, _, y = noisy(400)
    weight = np.arange(400) % 3
    twice = np.repeat(np.arange(400), weight)
    options: dict[str, Any] = {"solver": "als", "max_iter": 3}
    weighted = mcmc(**options).fit(X, y, sample_weight=weight)
    repeated = mcmc(**options).fit(X[twice], y[twice])
    np.testing.assert_allclose(weighted.predict(X[twice]), repeated.predict(X[twice]), rtol=1e-4)
    assert np.isfinite(mcmc(max_iter=3).fit(X, y, sample_weight=weight).predict(X)).all()


def test_least_squares_stop_early() -> None:
    X, _, y = noisy(600)
    model = mcmc(solver="als", early_stopping=True, n_iter_no_change=2, l2_V=0.01, l2_w=0.01).fit(X, y)
    assert model.best_iter_ < model.n_iter_ < 80


def test_lists_in_a_column_are_learnt() -> None:
    rng = np.random.default_rng(0)
    tags = [list(rng.choice(list("abcdefgh"), rng.integers(0, 4), replace=False)) for _ in range(600)]
    taste = dict(zip("abcdefgh", rng.standard_normal(8), strict=True))
    y = np.array([sum(taste[tag] for tag in row) for row in tags]) + 0.1 * rng.standard_normal(600)
    table = pd.DataFrame({"user": rng.integers(0, 5, 600).astype(str), "tags": tags})
    columns = [Categorical("user"), MultiCategorical("tags")]
    for solver in SOLVERS:
        model = mcmc(solver=solver, columns=columns, max_iter=40).fit(table, y)
        assert np.corrcoef(model.predict(table), y)[0, 1] > 0.97


@pytest.mark.parametrize("solver", SOLVERS)
def test_small_cases(solver: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(6)
    for X in (np.ones((6, 1)), np.zeros((6, 2)), np.eye(6), np.column_stack([np.ones(6), rng.random(6)])):
        for n_factors in (0, 1, 5):
            for target in (y, np.full(6, 3.0)):
                model = mcmc(solver=solver, n_factors=n_factors, max_iter=5).fit(X, target)
                assert np.isfinite(model.predict(X)).all()
                assert np.isfinite(
                    mcmc(solver=solver, max_iter=5).fit(csr_matrix(X), target).predict(X)
                ).all()


def test_a_callback_may_stop_a_chain_in_its_burn_in() -> None:
    X, _, y = noisy(100)
    model = mcmc(max_iter=9, burn_in=5, callbacks=[lambda epoch, model: epoch.epoch == 2]).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(OptionError, match="return_std"):
        model.predict(X, return_std=True)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.1},
        {"schedule": "cosine"},
        {"precision": "bfloat16"},
        {"l1_w": 0.1},
        {"ftrl_decay": 0.9},
    ],
)
def test_what_an_exact_solver_does_not_know_is_refused(solver: str, options: dict[str, Any]) -> None:
    X, _, y = noisy(50)
    with pytest.raises(OptionError, match=next(iter(options))):
        mcmc(solver=solver, **options).fit(X, y)


@pytest.mark.parametrize(
    "options",
    [
        {"l2_V": 1.0},
        {"l2_w": 0.0},
        {"early_stopping": True},
        {"burn_in": 80},
        {"burn_in": -1},
        {"keep_samples": -1},
    ],
)
def test_what_sampling_does_not_know_is_refused(options: dict[str, Any]) -> None:
    X, _, y = noisy(50)
    with pytest.raises(OptionError, match=next(iter(options))):
        mcmc(**options).fit(X, y)


@pytest.mark.parametrize("solver", ["als", "adagrad"])
@pytest.mark.parametrize(
    "options", [{"burn_in": 3}, {"groups": None}, {"groups": np.zeros(70)}, {"keep_samples": 9}]
)
def test_options_of_sampling_are_refused_elsewhere(solver: str, options: dict[str, Any]) -> None:
    X, _, y = noisy(50)
    with pytest.raises(OptionError, match=rf"{next(iter(options))}=.*needs solver=\"mcmc\""):
        mcmc(solver=solver, **options).fit(X, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_estimators_refuse_them(solver: str) -> None:
    X, _, y = noisy(50)
    message = "cannot draw counts" if solver == "mcmc" else "is for FMRegressor"
    with pytest.raises(OptionError, match=message):
        mcmc(solver=solver, loss="poisson").fit(X, np.arange(50))
    with pytest.raises(OptionError, match="is for FMRegressor"):
        FMClassifier(solver="als").fit(X, y > 50)
    with pytest.raises(OptionError, match="is for FMRegressor"):
        FFMRegressor(solver=solver, fields=[0] * 40 + [1] * 30).fit(X, y)
    with pytest.raises(OptionError, match=solver):
        FMRanker(solver=solver).fit(X, y)
    with pytest.raises(OptionError, match="partial_fit"):
        mcmc(solver=solver).partial_fit(X, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_feature_twice_in_a_row_is_refused(solver: str) -> None:
    rows = Rows(np.array([0, 1, 2, 2], np.uint32), 3, width=2)
    with pytest.raises(DataError, match="row 1 has feature 2 twice"):
        mcmc(solver=solver).fit(rows, [0.0, 1.0])


class TestMcmcClassifier(EstimatorContract):
    def make(self, **options: Any) -> FMClassifier:
        settings = {"n_factors": 4, "solver": "mcmc", "random_state": SEED}
        return FMClassifier(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return score > np.median(score)

    def raw(self, model: Any, X: Any) -> np.ndarray:
        rows = model._input(X)[0]
        return np.asarray(model._chain.moments(rows)[0])

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        odd = data[0].head(3).copy()
        odd["item"] = ["never", None, "i1"]
        assert np.isfinite(model.predict_proba(odd)).all()


class TestLogistic(TestMcmcClassifier):
    def make(self, **options: Any) -> FMClassifier:
        return super().make(**{"link": "logistic", **options})


def classifier(**options: Any) -> FMClassifier:
    return FMClassifier(**{"n_factors": 2, "solver": "mcmc", "max_iter": 100, "random_state": 0, **options})


@pytest.mark.parametrize("link", ["probit", "logistic"])
def test_probabilities_are_those_that_made_the_classes(link: str) -> None:
    X, probability, label = classes(link=link)
    model = classifier(link=link).fit(X[:3000], label[:3000], eval_set=(X[3000:], label[3000:]))
    said = model.predict_proba(X[3000:])[:, 1]
    logistic = (
        classifier(solver="adagrad", max_iter=20).fit(X[:3000], label[:3000]).predict_proba(X[3000:])[:, 1]
    )
    error = np.sqrt(np.mean((said - probability[3000:]) ** 2))
    assert error < 0.12
    assert error < np.sqrt(np.mean((logistic - probability[3000:]) ** 2))
    assert np.array_equal(model.predict(X) == "yes", model.predict_proba(X)[:, 1] > 0.5)
    log_loss = -np.mean(np.log(np.where(label[3000:] == "yes", said, 1 - said)))
    assert model.history_[-1]["valid_loss"] == pytest.approx(
        log_loss, rel=0.01
    )  # all samples, not the kept ones
    assert np.array_equal(
        classifier(n_threads=2, link=link).fit(X[:3000], label[:3000]).predict_proba(X[3000:])[:, 1], said
    )


def test_more_classes_are_refused_and_learnt_one_against_the_rest() -> None:
    from sklearn.multiclass import OneVsRestClassifier

    table, score = clicks()
    y = np.digitize(score, np.quantile(score, [0.3, 0.6]))
    model = classifier(max_iter=30, columns=COLUMNS)
    with pytest.raises(OptionError, match=r"two classes, but there are 3; .*OneVsRestClassifier"):
        model.fit(table, y)
    probability = OneVsRestClassifier(model).fit(table, y).predict_proba(table)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert np.mean(probability.argmax(axis=1) == y) > 0.7


@pytest.mark.parametrize("link", ["probit", "logistic"])
def test_a_saved_classifier_predicts_and_goes_on(tmp_path: Path, link: str) -> None:
    X, _, label = classes(500)
    model = classifier(max_iter=10, warm_start=True, calibrate=True, link=link).fit(X, label)
    model.save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(loaded.fit(X, label).predict_proba(X), model.fit(X, label).predict_proba(X))


def test_weights_of_classes_are_whole_numbers_for_as_many_rows() -> None:
    X, _, label = classes(300)
    weight = np.where(label == "yes", 3, 1)
    for link in ("probit", "logistic"):
        model = classifier(link=link, n_factors=0, max_iter=500, keep_samples=500)
        weighted = model.fit(X, label, sample_weight=weight).decision_function(X)
        by_class = model.set_params(class_weight={"yes": 3}).fit(X, label).decision_function(X)
        assert np.array_equal(by_class, weighted)
        twice = np.repeat(np.arange(300), weight)
        repeated = model.set_params(class_weight=None).fit(X[twice], label[twice]).decision_function(X)
        assert np.corrcoef(weighted, repeated)[0, 1] > 0.99
        assert np.mean(weighted - repeated) == pytest.approx(0, abs=0.1)
    for odd in (np.arange(300) / 2, np.full(300, 1001)):
        with pytest.raises(OptionError, match=r"sample_weight.*counts a row 0 to 1000 times"):
            classifier().fit(X, label, sample_weight=odd)
    with pytest.raises(OptionError, match=r"class_weight.*whole numbers"):
        classifier(class_weight="balanced").fit(X, label)
    with pytest.raises(LabelError, match="'yes' has no row"):
        classifier().fit(X, label, sample_weight=(label == "no").astype(int))


def test_the_link_is_one_of_two_is_for_mcmc_and_stays() -> None:
    X, _, label = classes(100)
    with pytest.raises(OptionError, match="link"):
        classifier(link="cauchit").fit(X, label)
    with pytest.raises(OptionError, match=r"link=.*needs solver=\"mcmc\""):
        classifier(solver="adagrad", link="logistic").fit(X, label)
    model = classifier(max_iter=3, warm_start=True).fit(X, label)
    with pytest.raises(OptionError, match="link='logistic', but the chain to go on with has 'probit'"):
        model.set_params(link="logistic").fit(X, label)


def test_classes_that_a_feature_tells_apart_stay_finite() -> None:
    X = np.repeat(np.eye(2), 200, axis=0)
    model = classifier(n_factors=0, max_iter=200).fit(X, X[:, 0])
    assert np.isfinite(model.decision_function(X)).all()
    assert (model.predict_proba(X)[:200, 1] > 0.97).all()


def test_a_chain_starts_far_enough_from_zero_to_learn_pairs_in_a_few_iterations() -> None:
    X, score, y = noisy(3000)
    near, usual = (
        mcmc(max_iter=3, burn_in=1, init_scale=scale).fit(X, y).predict(X) for scale in (1e-4, None)
    )
    assert np.mean((usual - score) ** 2) < 0.5 * np.mean((near - score) ** 2)


def test_a_chain_that_was_stopped_says_what_it_has() -> None:
    X, _, label = classes(400)

    def stopped(at: int, **options: Any) -> FMClassifier:
        model = FMClassifier(
            2, solver="mcmc", random_state=0, callbacks=[lambda e, m: e.epoch == at], **options
        )
        return model.fit(X, label)

    early = stopped(5, max_iter=40, burn_in=20)
    score = fm.scores(early._input(X)[0], early._machines[0])
    np.testing.assert_allclose(early.predict_proba(X)[:, 1], ndtr(score), atol=1e-6)
    late = stopped(22, max_iter=400, burn_in=20)
    assert len(late._chain.samples) == 1
    for keep in (1, 3, 7, 50):
        chain = stopped(60, max_iter=60, burn_in=3, keep_samples=keep)._chain
        assert min(keep, 57) / 2 <= len(chain.samples) <= keep


def test_a_chain_goes_on_for_fewer_iterations_than_its_burn_in_and_with_its_groups(tmp_path: Path) -> None:
    X, _, y = noisy(300)
    own = np.arange(70) % 3
    model = mcmc(max_iter=20, burn_in=10, groups=own, warm_start=True).fit(X, y)
    crossfm.save(model, tmp_path / "m")
    loaded = crossfm.load(tmp_path / "m").set_params(max_iter=4, warm_start=True).fit(X, y)
    assert len(loaded.history_) == 24
    assert np.array_equal(groups_of(loaded), own)
    with pytest.raises(OptionError, match="groups=an array"):
        FMRegressor(solver="als", groups=pd.Series(own)).fit(X, y)
