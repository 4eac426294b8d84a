"""Sweeps and chains that are killed and called again end with the bits of those that were not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from crossfm import FMClassifier, FMOrdinalRegressor, FMRegressor, Rows, relate
from crossfm.errors import OptionError
from crossfm.estimators import exact


class Killed(BaseException):
    """Stands for the end of the process."""


def made_rows(n_rows: int = 300, seed: int = 0) -> Rows:
    """Two fields, one of lists; features 40 to 44 have no row."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.integers(0, 12, n_rows) + 12 * field for field in range(3))
    fields = np.tile(np.array([0, 1, 1], np.uint32), n_rows)
    ids = np.stack([a, b, c], 1).ravel().astype(np.uint32)
    return Rows(
        ids, 45, width=3, fields=fields, target=rng.standard_normal(45)[ids].reshape(-1, 3).prod(1) + 3
    )


def classes() -> Rows:
    rows = made_rows()
    assert rows.target is not None
    return rows.with_target(rows.target > 3)


def killed_at(n: int, monkeypatch: pytest.MonkeyPatch, fit: Any) -> None:
    """Call ``fit``, and break off in the n-th sweep, half done."""
    done = 0
    with monkeypatch.context() as broken:
        for name in ("sample", "least_squares"):
            real = getattr(exact, name)

            def move(*args: Any, real: Any = real, **options: Any) -> float:
                nonlocal done
                done += 1
                loss: float = real(*args, **options)
                if done == n:
                    raise Killed
                return loss

            broken.setattr(exact, name, move)
        with pytest.raises(Killed):
            fit()


def assert_same(a: Any, b: Any, rows: Rows) -> None:
    for name, ours in a.params_.to_arrays().items():
        np.testing.assert_array_equal(ours, b.params_.to_arrays()[name])
    drop = [[{**epoch, "seconds": 0} for epoch in model.history_] for model in (a, b)]
    assert drop[0] == drop[1]
    assert (a.best_iter_, a.n_iter_) == (b.best_iter_, b.n_iter_)
    chains = [None if model._chain is None else model._chain.to_state() for model in (a, b)]
    if chains[0] is not None:
        assert chains[0][1] == chains[1][1]
        for name, ours in chains[0][0].items():
            np.testing.assert_array_equal(ours, chains[1][0][name])
    np.testing.assert_array_equal(a.predict(rows), b.predict(rows))


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "als": (FMRegressor, {"solver": "als"}),
    "als, early stopping": (
        FMRegressor,
        {"solver": "als", "early_stopping": True, "n_iter_no_change": 50, "l2_V": 0.01, "l2_w": 0.01},
    ),
    "mcmc": (FMRegressor, {"solver": "mcmc", "keep_samples": 6}),
    "mcmc, no burn-in": (FMRegressor, {"solver": "mcmc", "burn_in": 0, "normalize": True}),
    "classes": (FMClassifier, {"solver": "mcmc", "burn_in": 4}),
    "logistic classes": (FMClassifier, {"solver": "mcmc", "link": "logistic"}),
    "levels": (FMOrdinalRegressor, {}),
    "relations": (FMRegressor, {"solver": "mcmc", "keep_samples": 6}),
    "classes, AUC": (FMClassifier, {"solver": "mcmc", "monitor": "auc", "calibrate": True}),
}


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_was_killed_goes_on_exactly(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, case: str, judged: bool
) -> None:
    kind, options = CASES[case]
    monkeypatch.setattr(exact, "SETTLE", 7)
    rows = classes() if kind is FMClassifier else made_rows()
    if kind is FMOrdinalRegressor:
        rows = rows.with_target(np.clip(np.round(rows.target), 1, 5))
    if case == "relations":
        user = np.random.default_rng(0).integers(0, 20, rows.n_rows)
        target = rows.target
        rows = relate(rows, (scipy.sparse.random(20, 9, 0.4, "csr", random_state=0), user)).with_target(
            target
        )
    held = rows.take(np.arange(100))
    threads = iter([1, 2, 3, 1, 2])

    def fit(checkpoint: Any = None, seconds: float = 0.0) -> Any:
        model = kind(
            3, max_iter=20, random_state=3, **options, n_threads=next(threads), checkpoint=checkpoint
        )
        model.set_params(checkpoint_seconds=seconds)
        return model.fit(rows, eval_set=(held, held.target) if judged else None)

    whole = fit()
    path = tmp_path / "c"
    for n in (3, 1, 9):  # in the burn-in, again, and after it
        killed_at(n, monkeypatch, lambda: fit(path))
    assert path.exists()
    assert_same(fit(path), whole, rows)
    assert not path.exists()


def test_a_checkpoint_is_written_when_it_is_old_enough_not_after_each_sweep(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(seconds: float) -> None:
        FMRegressor(solver="mcmc", checkpoint=tmp_path / "c", checkpoint_seconds=seconds).fit(made_rows())

    killed_at(5, monkeypatch, lambda: fit(1e9))
    assert not (tmp_path / "c").exists()
    killed_at(5, monkeypatch, lambda: fit(0))
    assert (tmp_path / "c").exists()


@pytest.mark.parametrize("first", ["als", "mcmc"])
def test_a_chain_that_goes_on_does_so_from_its_own_only(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    rows, path = made_rows(), tmp_path / "c"

    def fit(checkpoint: Any = None, keep: int = 50) -> FMRegressor:
        own = {} if first == "als" else {"keep_samples": keep}
        model = FMRegressor(3, solver=first, max_iter=12, random_state=0, warm_start=True, **own).fit(rows)
        model.set_params(solver="mcmc", keep_samples=50, checkpoint=checkpoint, checkpoint_seconds=0)
        return model.fit(rows)

    whole = fit()
    killed_at(17, monkeypatch, lambda: fit(path))
    if first == "mcmc":  # the same table, but other samples
        with pytest.raises(OptionError, match="the model to go on with not the same"):
            fit(path, keep=3)
    assert_same(fit(path), whole, rows)
