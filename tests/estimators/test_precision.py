"""Factors in bfloat16 through the estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfm
from contracts import clicks
from crossfm import (
    FFMClassifier,
    FFMRegressor,
    FMClassifier,
    FmFMClassifier,
    FMRegressor,
    FwFMRegressor,
    HOFMClassifier,
)
from crossfm.core.rules import RULES
from crossfm.errors import OptionError
from crossfm.metrics import auc

KINDS = [FMClassifier, FMRegressor, FFMClassifier, FFMRegressor]


def make(kind: type, **options: Any) -> Any:
    return kind(**{"n_factors": 6, "precision": "bfloat16", "max_iter": 8, "random_state": 0, **options})


def target(kind: type, score: np.ndarray) -> np.ndarray:
    return score if "Regressor" in kind.__name__ else (score > np.median(score)).astype(int)


def outputs(model: Any, table: Any) -> np.ndarray:
    return np.asarray(model.decision_function(table) if hasattr(model, "classes_") else model.predict(table))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", RULES)
def test_models_learn_as_with_floats(kind: type, solver: str) -> None:
    table, score = clicks(1500, 0)
    y = target(kind, score)
    train, test = table[:1000], table[1000:]
    quality = []
    for precision in ("float32", "bfloat16"):
        model = make(kind, solver=solver, precision=precision).fit(train, y[:1000])
        quality.append(auc((score[1000:] > np.median(score)).astype(float), outputs(model, test)))
        V = model.params_.V if hasattr(model.params_, "V") else model.params_.blocks[0].V
        assert V.dtype == np.float32
    assert quality[1] > 0.6
    assert abs(quality[1] - quality[0]) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", RULES)
def test_a_saved_model_goes_on_bit_for_bit(kind: type, solver: str, tmp_path: Path) -> None:
    table, score = clicks(600, 1)
    y = target(kind, score)
    model = make(kind, solver=solver).fit(table[:300], y[:300])
    crossfm.save(model, tmp_path / "m.crossfm", with_state=True)
    loaded = crossfm.load(tmp_path / "m.crossfm")
    assert loaded.precision == "bfloat16"
    np.testing.assert_allclose(outputs(loaded, table), outputs(model, table), rtol=1e-4, atol=1e-5)
    for one in (model, loaded):
        one.partial_fit(table, y)
    np.testing.assert_array_equal(outputs(loaded, table), outputs(model, table))


def test_another_precision_goes_on_from_the_same_weights() -> None:
    table, score = clicks(600, 2)
    model = make(FMClassifier, warm_start=True).fit(table, target(FMClassifier, score))
    before = model.params_
    model.set_params(precision="float32", max_iter=1, learning_rate=1e-9)
    model.fit(table, target(FMClassifier, score))
    np.testing.assert_allclose(model.params_.V, before.V, atol=1e-6)


@pytest.mark.parametrize("kind", [FwFMRegressor, FmFMClassifier, HOFMClassifier])
def test_machines_without_it_say_so(kind: type) -> None:
    table, score = clicks(100, 0)
    with pytest.raises(OptionError, match="is for FM and FFM"):
        make(kind).fit(table, target(kind, score))


def test_what_makes_no_sense_is_refused() -> None:
    table, score = clicks(100, 0)
    y = target(FMClassifier, score)
    with pytest.raises(OptionError, match="n_factors=0"):
        make(FMClassifier, n_factors=0).fit(table, y)
    with pytest.raises(OptionError, match="sgda"):
        make(FMClassifier, solver="sgda").fit(table, y)
    with pytest.raises(OptionError, match="one of 'float32', 'bfloat16'"):
        make(FMClassifier, precision="half").fit(table, y)
