"""Networks that start at a factorization machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from crossfm import FMClassifier, FMRegressor, NFMClassifier, load
from crossfm.errors import DataError, OptionError
from crossfm.io.dump import dump_text

SMALL: dict[str, Any] = {"hidden": [8], "batch_size": 64, "max_iter": 1, "random_state": 0}
STILL = {"learning_rate_V": 1e-9, "learning_rate_w": 1e-9}


def table(n_rows: int, n_users: int) -> tuple[dict[str, Any], list[int]]:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, n_users, n_rows), rng.integers(0, 5, n_rows)
    return {"user": [f"u{i}" for i in user], "item": [f"i{i}" for i in item]}, ((user + item) % 2).tolist()


@pytest.fixture(scope="module")
def fm() -> Any:
    return FMClassifier(4, max_iter=3, random_state=0).fit(*table(300, 10))


def test_a_table_is_encoded_as_the_machine_did(fm: Any) -> None:
    X, y = table(100, 6)
    model = NFMClassifier(4, init=fm, **SMALL, **STILL).fit(X, y)
    assert model.encoder_ is fm.encoder_
    np.testing.assert_allclose(model.params_.V, fm.params_.V, atol=1e-6)
    assert model.params_.V[fm.encoder_.feature_names().index("user=u9")].any()  # which no row has
    assert model.predict_proba(X).shape == (100, 2)


def test_a_clone_starts_where_the_first_did(fm: Any) -> None:
    model = clone(NFMClassifier(4, init=fm, **SMALL))
    assert model.init is fm
    assert model.fit(*table(100, 6)).n_iter_ == 1


@pytest.mark.parametrize(
    ("start", "labels", "expected"),
    [
        (FMClassifier(4, normalize=True), (0, 1), "normalize=True, which networks do not do"),
        (FMClassifier(4), ("no", "yes"), "init has classes"),
        (FMClassifier(3), (0, 1), "vectors of"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(start: Any, labels: Any, expected: str) -> None:
    X, y = table(100, 6)
    start = clone(start).fit(X, y)
    with pytest.raises(OptionError, match=expected):
        NFMClassifier(4, init=start, **SMALL).fit(X, [labels[k] for k in y])


def test_other_columns_than_the_machines_are_refused(fm: Any) -> None:
    with pytest.raises(OptionError, match="columns differ from those of init"):
        NFMClassifier(4, init=fm, columns=list(fm.encoder_.columns)[:1], **SMALL).fit(*table(100, 6))


def test_a_regressor_may_be_the_start_of_a_classifier() -> None:
    X, y = table(100, 6)
    start = FMRegressor(4, max_iter=1, random_state=0).fit(X, y)
    assert NFMClassifier(4, init=start, **SMALL).fit(X, y).n_iter_ == 1


def test_weight_decay_may_change_where_training_goes_on(tmp_path: Any) -> None:
    X, y = table(100, 6)
    model = NFMClassifier(4, warm_start=True, **SMALL).fit(X, y)
    model.save(tmp_path / "m.crossfm", with_state=True)
    decayed = load(tmp_path / "m.crossfm").set_params(l2_layers=10.0).fit(X, y)
    model.fit(X, y)
    weight = "mlp.layers.0.weight"
    assert not np.array_equal(model.params_.layers[weight], decayed.params_.layers[weight])


def test_a_network_has_no_text_form(tmp_path: Any) -> None:
    params = NFMClassifier(4, **SMALL).fit(*table(100, 6)).params_
    with pytest.raises(DataError, match="a network has layers"):
        dump_text(tmp_path / "m.txt", params)
