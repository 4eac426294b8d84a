"""``solver="vb"``; what it shares with the other exact solvers is in ``test_exact.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import crossfm
from contracts import SEED, EstimatorContract, assert_lets_go_of_the_file
from crossfm import FMClassifier, FMRegressor, Rows
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import VB
from crossfm.errors import OptionError
from crossfm.estimators.exact import exact_bytes
from crossfm.kernels.gibbs import Columns, Moves
from crossfm.kernels.table import Table
from crossfm.kernels.vb import MeanField
from one_hot import blocks, classes, noisy


class TestVb(EstimatorContract):
    def make(self, **options: Any) -> FMRegressor:
        settings = {"n_factors": 4, "solver": "vb", "random_state": SEED}
        return FMRegressor(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return 100.0 + 20.0 * score

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        assert_unseen_have_the_mean_of_their_group(model, data[0])


class TestVbClassifier(EstimatorContract):
    def make(self, **options: Any) -> FMClassifier:
        settings = {"n_factors": 4, "solver": "vb", "random_state": SEED}
        return FMClassifier(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return score > np.median(score)

    def raw(self, model: Any, X: Any) -> np.ndarray:
        rows = model._input(X)[0]
        return np.asarray(model._posterior.moments(rows, model.params_)[0])

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        assert_unseen_have_the_mean_of_their_group(model, data[0])

    @pytest.mark.skip("weights of classes are refused: test_classes_have_no_weights")
    def test_sample_weights_matter(self, data: Any) -> None: ...


def assert_unseen_have_the_mean_of_their_group(model: Any, table: Any) -> None:
    odd = table.head(3).copy()
    odd["item"] = ["never", None, "i1"]
    odd.loc[odd.index[1], "price"] = np.nan
    rows = model.encoder_.transform(odd)
    item = rows.indices[rows.field_of_each() == model.encoder_.fields.index("item")][0]
    means = model._posterior.mean[model._posterior.group[item]]
    np.testing.assert_array_equal(model._machines[0].w[item], np.float32(means[0]))
    np.testing.assert_array_equal(model._machines[0].V[item], means[1:].astype(np.float32))
    assert np.isfinite(model.predict_proba(odd) if hasattr(model, "classes_") else model.predict(odd)).all()


def vb(**options: Any) -> FMRegressor:
    return FMRegressor(**{"n_factors": 3, "solver": "vb", "max_iter": 60, "random_state": 0, **options})


def classifier(**options: Any) -> FMClassifier:
    return FMClassifier(**{"n_factors": 2, "solver": "vb", "max_iter": 60, "random_state": 0, **options})


def test_the_machine_that_made_the_data_is_found_nearly_as_well_as_by_sampling() -> None:
    errors: dict[str, list[float]] = {"vb": [], "mcmc": [], "als": []}
    for seed in range(3):
        X, score, y = noisy(1500, seed=seed)
        for solver, options in (("vb", {}), ("mcmc", {}), ("als", {"l2_w": 1.0, "l2_V": 1.0})):
            model = vb(solver=solver, **options).fit(X[:1000], y[:1000])
            errors[solver].append(np.sqrt(np.mean((model.predict(X[1000:]) - score[1000:]) ** 2)))
    mean = {solver: np.mean(each) for solver, each in errors.items()}
    assert mean["vb"] < 1.15 * mean["mcmc"]
    assert mean["vb"] < mean["als"]


def test_the_bound_of_each_epoch_is_in_the_history_and_never_falls() -> None:
    X, _, y = noisy(800)
    for model in (vb().fit(X, y), classifier().fit(X, y > 50)):
        bounds = [epoch["elbo"] for epoch in model.history_]
        assert (np.diff(bounds) > -1e-5 * abs(bounds[-1])).all()
        assert bounds[-1] > bounds[0] + 10


def test_intervals_hold_about_as_many_new_targets_as_they_promise() -> None:
    X, _, y = noisy(3000)
    model = vb(max_iter=100).fit(X[:1000], y[:1000])
    mean, deviation = model.predict(X[1000:], return_std=True)
    assert np.array_equal(mean, model.predict(X[1000:]))
    assert np.mean(np.abs(y[1000:] - mean) < 1.645 * deviation) == pytest.approx(0.9, abs=0.04)
    assert (deviation > 1.8).all()  # the noise alone is 2


def test_a_feature_without_rows_is_less_certain() -> None:
    X, _, y = noisy(1000)
    known = X[:, 3].toarray().ravel() == 0
    model = vb().fit(X[known], y[known])
    deviation = model.predict(X, return_std=True)[1]
    assert deviation[~known].min() > 1.5 * deviation[known].max()


@pytest.mark.parametrize("kind", ["blocks", "lists"])
def test_threads_do_not_change_a_bit(kind: str) -> None:
    X, _, y = noisy(20_000)
    if kind == "lists":
        X = X + csr_matrix(np.random.default_rng(0).random(X.shape) < 0.05).astype(float)
    fits = [vb(n_threads=n, max_iter=4).fit(X, y).predict(X, return_std=True) for n in (1, 2, 3)]
    for other in fits[1:]:
        assert np.array_equal(np.stack(fits[0]), np.stack(other))


@pytest.mark.parametrize("solver", ["vb", "probit"])
def test_a_saved_model_says_the_same_and_goes_on_with_the_same_bits(solver: str, tmp_path: Path) -> None:
    X, _, y = noisy(500)
    model: Any = vb(max_iter=5, warm_start=True)
    if solver == "probit":
        model, y = classifier(max_iter=5, warm_start=True), y > 50
    model.fit(X, y).save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")

    def said(of: Any) -> np.ndarray:
        return of.predict_proba(X) if solver == "probit" else np.stack(of.predict(X, return_std=True))

    assert np.array_equal(said(loaded), said(model))
    assert np.array_equal(said(loaded.fit(X, y)), said(model.fit(X, y)))
    bounds = [epoch["elbo"] for epoch in model.history_]
    assert len(bounds) == 10
    assert (np.diff(bounds) > 0).all()  # it went on from where it was
    assert_lets_go_of_the_file(model, tmp_path / "m.crossfm")


def test_another_fit_forgets_what_was_believed() -> None:
    X, _, y = noisy(300)
    model = vb(max_iter=5).fit(X, y)
    once = model.predict(X)
    assert np.array_equal(model.fit(X, y).predict(X), once)
    model.set_params(solver="als").fit(X, y)
    assert model._posterior is None
    with pytest.raises(OptionError, match="return_std"):
        model.predict(X, return_std=True)
    model.set_params(solver="vb", warm_start=True).fit(X, y)  # from where als has left it
    assert np.isfinite(model.predict(X, return_std=True)).all()
    with pytest.raises(OptionError, match="groups: 1, but the posterior to go on with has 2"):
        model.set_params(groups=None).fit(X, y)


def test_training_ends_when_the_bound_hardly_rises() -> None:
    X, _, y = noisy(600)
    model = vb(max_iter=500, tol=1e-4).fit(X, y)
    before, last = (epoch["elbo"] for epoch in model.history_[-2:])
    assert 5 < model.n_iter_ < 500
    assert last - before < 1e-4 * abs(last)


def test_early_stopping_goes_back_to_all_that_was_believed_in_the_best_epoch() -> None:
    X, _, y = noisy(200, noise=20.0)
    options: dict[str, Any] = {"n_factors": 8, "early_stopping": True, "n_iter_no_change": 4}
    model = vb(**options).fit(X[:120], y[:120], eval_set=(X[120:], y[120:]))
    assert model.best_iter_ < model.n_iter_
    short = vb(n_factors=8, max_iter=model.best_iter_).fit(X[:120], y[:120])
    for one, other in zip(model.predict(X, return_std=True), short.predict(X, return_std=True), strict=True):
        assert np.array_equal(one, other)


def test_groups_learn_their_own_precision() -> None:
    rng = np.random.default_rng(0)
    X, _ = blocks(4000)
    w = np.concatenate([rng.normal(0, 3, 40), rng.normal(0, 0.1, 30)])
    y = X @ w + 0.5 * rng.standard_normal(4000)
    model = vb(n_factors=0).fit(X, y)
    assert model._posterior is not None
    assert model._posterior.group.tolist() == [0] * 40 + [1] * 30
    precision = model._posterior.prior.precision[:, 0] / np.var(
        y
    )  # of the second, 30 features, the prior says most
    assert precision[0] == pytest.approx(1 / np.var(w[:40]), rel=0.3)
    assert precision[1] > 20 * precision[0]


def test_weights_are_as_many_rows() -> None:
    X, _, y = noisy(400)
    weight = np.arange(400) % 3
    weighted = vb(max_iter=3).fit(X, y, sample_weight=weight)
    assert np.isfinite(weighted.predict(X)).all()
    ones = vb(max_iter=3).fit(X, y, sample_weight=np.ones(400))
    np.testing.assert_allclose(ones.predict(X), vb(max_iter=3).fit(X, y).predict(X), rtol=1e-4)
    assert not np.allclose(weighted.predict(X), ones.predict(X), rtol=1e-3)


def test_probabilities_are_about_those_that_made_the_classes() -> None:
    X, probability, label = classes()
    model = classifier().fit(X[:3000], label[:3000], eval_set=(X[3000:], label[3000:]))
    said = model.predict_proba(X[3000:])[:, 1]
    assert np.sqrt(np.mean((said - probability[3000:]) ** 2)) < 0.12
    assert np.array_equal(model.predict(X) == "yes", model.predict_proba(X)[:, 1] > 0.5)
    log_loss = -np.mean(np.log(np.where(label[3000:] == "yes", said, 1 - said)))
    assert model.history_[-1]["valid_loss"] == pytest.approx(log_loss, rel=1e-6)
    assert np.array_equal(
        classifier(n_threads=2).fit(X[:3000], label[:3000]).predict_proba(X[3000:])[:, 1], said
    )


def test_classes_have_no_weights() -> None:
    X, _, label = classes(100)
    with pytest.raises(OptionError, match='solver="vb" has no sample_weight'):
        classifier().fit(X, label, sample_weight=np.arange(100))
    with pytest.raises(OptionError, match="two classes, but there are 3"):
        classifier().fit(X, np.arange(100) % 3)


def test_classes_that_a_feature_tells_apart_stay_finite() -> None:
    X = np.repeat(np.eye(2), 200, axis=0)
    model = classifier(n_factors=0, max_iter=200).fit(X, X[:, 0])
    assert np.isfinite(model.decision_function(X)).all()
    assert (model.predict_proba(X)[:200, 1] > 0.97).all()


@pytest.mark.parametrize(
    "options", [{"l2_V": 1.0}, {"l2_w": 0.0}, {"burn_in": 3}, {"keep_samples": 9}, {"checkpoint": "here"}]
)
def test_what_it_does_not_know_is_refused(options: dict[str, Any]) -> None:
    X, _, y = noisy(50)
    with pytest.raises(OptionError, match=next(iter(options))):
        vb(**options).fit(X, y)


def test_more_factors_than_there_are_do_little_harm() -> None:
    """Factors that the data do not need are pruned: their precision rises."""
    X, score, y = noisy(1500)
    errors = {}
    for k in (2, 16):
        model = vb(n_factors=k, max_iter=100).fit(X[:1000], y[:1000])
        errors[k] = np.sqrt(np.mean((model.predict(X[1000:]) - score[1000:]) ** 2))
    assert errors[16] < 1.1 * errors[2]


def test_the_memory_that_is_checked_counts_variances_and_sums_of_rows() -> None:
    rows = Rows(np.arange(2000, dtype=np.uint32) % 70, 70, width=2, target=np.zeros(1000))
    table = Table.start(
        FMParams(0.0, np.zeros(70, np.float32), np.zeros((70, 8), np.float32)), VB, Hyper(1.0)
    )
    field = MeanField(Moves(rows, Columns.of(rows), table), table.copy())
    held = sum(a.nbytes for a in (field.moves.e, field.moves.q, field.tu, field.variance.data))
    counted = exact_bytes(FMRegressor(8, solver="vb"), VB, rows.n_rows, rows.nnz, 70)
    assert held < counted < 2.5 * held
