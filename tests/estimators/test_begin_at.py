"""Machines that start from a factorization machine instead of at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossfm import FFMClassifier, FMClassifier, FMRanker, FwFMClassifier, HOFMClassifier
from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from oracles import entries, fm_score

N_FEATURES, K = 9, 4


def data() -> tuple[Rows, np.ndarray]:
    rng = np.random.default_rng(0)
    indices = np.stack([3 * field + rng.integers(0, 3, 30) for field in range(3)], axis=1)
    values = rng.uniform(0.5, 2.0, indices.shape).astype(np.float32)
    fields = np.arange(3, dtype=np.uint32)
    rows = Rows(indices.ravel().astype(np.uint32), N_FEATURES, values=values.ravel(), fields=fields, width=3)
    return rows, rng.integers(0, 2, 30)


def start() -> FMParams:
    rng = np.random.default_rng(1)
    return FMParams(
        0.3, rng.normal(size=N_FEATURES).astype(np.float32), rng.normal(size=(N_FEATURES, K)).astype("f")
    )


def neural(kind: str) -> Any:
    from crossfm.estimators import neural

    rates = dict.fromkeys(("learning_rate", "learning_rate_V", "learning_rate_w"), 1e-9)
    return getattr(neural, kind)(n_factors=K, max_iter=1, random_state=0, **rates)


@pytest.mark.parametrize("solver", ["sgd", "adagrad", "ftrl"])
@pytest.mark.parametrize("kind", [FMClassifier, FwFMClassifier, FFMClassifier])
def test_the_first_scores_are_those_of_the_machine_it_starts_from(kind: Any, solver: str) -> None:
    rows, y = data()
    model = (
        kind(K, solver=solver, learning_rate=1e-9, max_iter=1, random_state=0).begin_at(start()).fit(rows, y)
    )
    p = start()
    expected = [fm_score(entries(x), p.bias, p.w, p.V) for x in rows.to_csr().toarray()]
    np.testing.assert_allclose(model.decision_function(rows), expected, atol=1e-4)


def test_a_ranker_starts_there_too() -> None:
    rows, y = data()
    model = FMRanker(K, learning_rate=1e-9, max_iter=1, random_state=0).begin_at(start()).fit(rows, y)
    np.testing.assert_allclose(model.params_.V, start().V, atol=1e-5)
    np.testing.assert_allclose(model.params_.w, start().w, atol=1e-5)


@pytest.mark.parametrize("kind", ["NFMClassifier", "DeepFMClassifier"])
def test_networks_start_at_the_same_vectors(kind: str) -> None:
    pytest.importorskip("torch")
    rows, y = data()
    model = neural(kind).begin_at(start()).fit(rows, y)
    np.testing.assert_allclose(model.params_.V, start().V, atol=1e-5)
    np.testing.assert_allclose(model.params_.w, start().w, atol=1e-5)


def test_features_that_no_row_has_keep_what_they_have_there() -> None:
    rows, y = data()
    wider = Rows(rows.indices, N_FEATURES + 1, values=rows.values, fields=rows.fields, width=3)
    p = start()
    more = FMParams(
        p.bias, np.append(p.w, 5.0).astype("f"), np.vstack([p.V, np.full((1, K), 2.0)]).astype("f")
    )
    model = FMClassifier(K, learning_rate=0.1, max_iter=2, random_state=0).begin_at(more).fit(wider, y)
    np.testing.assert_array_equal(model.params_.V[-1], 2.0)
    assert model.params_.w[-1] == 5.0
    assert np.abs(model.params_.V[:-1] - p.V).max() > 0.01


def test_it_learns_from_there() -> None:
    rows, y = data()
    first = FMClassifier(K, learning_rate=0.1, max_iter=30, random_state=0).fit(rows, y)
    again = (
        FMClassifier(K, learning_rate=1e-9, max_iter=1, random_state=0).begin_at(first.params_).fit(rows, y)
    )
    np.testing.assert_allclose(again.predict_proba(rows), first.predict_proba(rows), atol=1e-4)


def test_other_lengths_and_higher_degrees_are_refused() -> None:
    with pytest.raises(OptionError, match=f"set n_factors={K}"):
        FMClassifier(K + 1).begin_at(start())
    with pytest.raises(OptionError, match="degree 3"):
        HOFMClassifier(K).begin_at(start())
