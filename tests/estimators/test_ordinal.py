"""Ordered levels: ``FMOrdinalRegressor``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import crossfm
from contracts import COLUMNS, SEED, EstimatorContract, assert_lets_go_of_the_file
from crossfm import FMOrdinalRegressor, FMRegressor
from crossfm.errors import LabelError, OptionError
from crossfm.solvers.latent import probability

ENDS = np.array([-1.2, -0.4, 0.9])
LEVELS = np.array([1, 2, 4, 5])


class TestOrdinal(EstimatorContract):
    def make(self, **options: Any) -> FMOrdinalRegressor:
        settings = {"n_factors": 4, "max_iter": 20, "random_state": SEED}
        return FMOrdinalRegressor(**{**settings, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return LEVELS[np.digitize(score, np.quantile(score, [0.2, 0.5, 0.8]))]

    def raw(self, model: Any, X: Any) -> np.ndarray:
        """Scores on the scale of the latent target."""
        return np.asarray(model._chain.moments(model._input(X)[0])[0])

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        odd = data[0].head(3).copy()
        odd["item"] = ["never", None, "i1"]
        assert np.isfinite(model.predict(odd)).all()  # draws from the prior

    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": -1},
            {"solver": "adagrad"},
            {"max_iter": 0},
            {"burn_in": 20},
            {"keep_samples": -1},
            {"groups": "columns"},
            {"n_threads": -5},
            {"init_scale": -0.1},
            {"random_state": -1},
            {"columns": []},
        ],
    )
    def test_options_that_mean_nothing_are_refused(self, data: Any, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            self.make(**{"columns": COLUMNS, **options}).fit(*data)
        assert any(name in str(caught.value) for name in options)


def ratings(n: int = 4000) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """One-hot blocks, probabilities of four levels by a known machine, and levels drawn by them."""
    rng = np.random.default_rng(0)
    ids = np.column_stack([rng.integers(0, 40, n), 40 + rng.integers(0, 30, n)])
    X = csr_matrix((np.ones(2 * n), ids.ravel(), np.arange(0, 2 * n + 1, 2)), shape=(n, 70))
    w, V = rng.standard_normal(70), rng.standard_normal((70, 2))
    chance = probability("ordinal", w[ids].sum(1) + (V[ids[:, 0]] * V[ids[:, 1]]).sum(1), ENDS)
    level = (rng.random(n)[:, None] > np.cumsum(chance, axis=1)[:, :-1]).sum(axis=1)
    return X, chance, LEVELS[level]


def ordinal(**options: Any) -> FMOrdinalRegressor:
    return FMOrdinalRegressor(**{"n_factors": 2, "max_iter": 100, "random_state": 0, **options})


def test_probabilities_and_cut_points_are_those_that_made_the_levels() -> None:
    X, chance, y = ratings()
    model = ordinal(keep_samples=100).fit(X[:3000], y[:3000], eval_set=(X[3000:], y[3000:]))
    said = model.predict_proba(X[3000:])
    assert np.sqrt(np.mean((said - chance[3000:]) ** 2)) < 0.08
    np.testing.assert_allclose(np.diff(model.cuts_), np.diff(ENDS), rtol=0.15)
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    assert model.classes_.tolist() == LEVELS.tolist()
    np.testing.assert_allclose(model.predict(X[3000:]), said @ LEVELS)
    mean, deviation = model.predict(X[3000:], return_std=True)
    np.testing.assert_allclose(mean**2 + deviation**2, said @ LEVELS**2)
    assert np.array_equal(model.predict_mode(X[3000:]), LEVELS[said.argmax(axis=1)])
    log_loss = -np.mean(np.log(said[np.arange(1000), np.searchsorted(LEVELS, y[3000:])]))
    assert model.history_[-1]["valid_loss"] == pytest.approx(log_loss, rel=1e-6)
    assert model.params_.bias == 0


def test_levels_are_predicted_better_than_by_regression_where_their_steps_differ() -> None:
    X, chance, y = ratings()
    best = chance[3000:] @ LEVELS
    error = {}
    for model in (ordinal(), FMRegressor(2, solver="mcmc", max_iter=100, random_state=0)):
        error[type(model)] = np.sqrt(np.mean((model.fit(X[:3000], y[:3000]).predict(X[3000:]) - best) ** 2))
    assert error[FMOrdinalRegressor] < 0.8 * error[FMRegressor]


def test_a_saved_chain_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    X, _, y = ratings(500)
    model = ordinal(max_iter=10, keep_samples=4, warm_start=True).fit(X, y.astype(float) / 2)
    model.save(tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(loaded.cuts_, model.cuts_)
    assert loaded.predict_mode(X).dtype == np.float64
    again = loaded.fit(X, y / 2).predict(X)
    assert np.array_equal(again, model.fit(X, y / 2).predict(X))
    assert len(model._chain.kept_cuts) == len(model._chain.samples) <= 4
    assert_lets_go_of_the_file(model, tmp_path / "m.crossfm")


def test_threads_do_not_change_a_bit() -> None:
    X, _, y = ratings(20_000)
    fits = [ordinal(n_threads=n, max_iter=4).fit(X, y).predict(X) for n in (1, 2)]
    assert np.array_equal(*fits)


def test_weights_are_as_many_rows() -> None:
    X, _, y = ratings(300)
    weight = np.arange(300) % 3
    twice = np.repeat(np.arange(300), weight)
    model = ordinal(n_factors=0, max_iter=500, keep_samples=500)
    weighted = model.fit(X, y, sample_weight=weight).predict(X)
    repeated = model.fit(X[twice], y[twice]).predict(X)
    assert np.corrcoef(weighted, repeated)[0, 1] > 0.99
    with pytest.raises(OptionError, match="sample_weight"):
        ordinal().fit(X, y, sample_weight=weight / 2)
    with pytest.raises(LabelError, match="5 has no row with a sample_weight above 0"):
        ordinal().fit(X, y, sample_weight=(y < 5).astype(int))


def test_two_levels_are_probit() -> None:
    X, _, y = ratings(1000)
    high = (y > 2).astype(int)
    options: dict[str, Any] = {"n_factors": 0, "max_iter": 500, "keep_samples": 500, "random_state": 0}
    said = FMOrdinalRegressor(**options).fit(X, high).predict(X)
    classes = crossfm.FMClassifier(solver="mcmc", **options).fit(X, high)
    np.testing.assert_allclose(said, classes.predict_proba(X)[:, 1], atol=0.06)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["bad", "good"] * 50, "number them in their order"),
        ([1.0] * 100, "1 class only"),
        ([np.nan, *[1.0, 2.0] * 49, 1.0], "row 0 has target nan|contains NaN"),
    ],
)
def test_levels_that_mean_nothing_are_refused(y: list[Any], message: str) -> None:
    with pytest.raises((LabelError, ValueError), match=message):
        ordinal().fit(ratings(100)[0], y)


def test_more_levels_than_regression_is_for_are_refused() -> None:
    X = ratings(300)[0]
    with pytest.raises(LabelError, match="300 different values"):
        ordinal().fit(X, np.arange(300))
    model = ordinal(max_iter=5).fit(X[:200], np.arange(200))
    assert np.isfinite(model.predict(X)).all()


def test_a_level_that_was_not_there_is_named() -> None:
    X, _, y = ratings(100)
    with pytest.raises(LabelError, match=r"row 0 has level 3, but the levels are \[1, 2, 4, 5\]"):
        ordinal(max_iter=3).fit(X, y, eval_set=(X[:2], [3, 1]))
    model = ordinal(max_iter=3, warm_start=True).fit(X, y)
    with pytest.raises(LabelError, match="1 has no row"):
        model.fit(X[y > 1], y[y > 1])


def test_a_callback_may_stop_a_chain_in_its_burn_in() -> None:
    X, _, y = ratings(200)
    model = ordinal(max_iter=9, burn_in=5, callbacks=[lambda epoch, model: epoch.epoch == 2]).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert len(model.cuts_) == 3
