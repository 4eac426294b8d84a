"""Part four of the demo: benign or malignant, from thirty measurements of cell nuclei."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crossfm.cli.steps import Steps
from crossfm.datasets import BreastCancer
from crossfm.estimators.fm import FMClassifier
from crossfm.metrics import auc, expected_calibration_error, log_loss

FOLDS, INNER_FOLDS = 5, 3
COMMON: dict[str, Any] = {"solver": "adagrad", "learning_rate": 0.05, "max_iter": 60}
Make = Callable[[float, int], Any]


class _Scikit:
    """scikit-learn's logistic regression, fed with tables as ours is."""

    def __init__(self, C: float) -> None:
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))

    def fit(self, X: pa.Table, y: Any) -> _Scikit:
        self.model.fit(_matrix(X), y)
        return self

    def predict_proba(self, X: pa.Table) -> Any:
        return self.model.predict_proba(_matrix(X))


def _linear(l2: float, seed: int) -> Any:
    return FMClassifier(n_factors=0, l2_w=l2, random_state=seed, **COMMON)


def _machine(l2: float, seed: int) -> Any:
    return FMClassifier(n_factors=4, l2_w=0.001, l2_V=l2, random_state=seed, **COMMON)


# name, title, what is chosen in each training fold, its candidates, the model
SYSTEMS: tuple[tuple[str, str, str, tuple[float, ...], Make], ...] = (
    ("scikit-learn", "logistic regression (scikit-learn)", "C", (0.1, 1.0, 10.0), lambda C, seed: _Scikit(C)),
    ("linear", "logistic regression (FM, no factors)", "l2_w", (0.0001, 0.001, 0.01), _linear),
    ("fm", "FM, 4 factors", "l2_V", (0.03, 0.1, 0.3), _machine),
)


def diagnose(data: BreastCancer, seed: int) -> tuple[dict[str, Any], FMClassifier]:
    """Cross-validate the systems; return their numbers, and an FM fitted on all rows."""
    folds = _folds(data.y, FOLDS, seed)
    systems = []
    with Steps("breast cancer", len(SYSTEMS) + 1) as steps:
        for name, title, option, candidates, make in SYSTEMS:
            with steps(f"{title}: {FOLDS} folds"):
                numbers = _cross_validate(data, folds, candidates, make, seed)
            systems.append(
                {"name": name, "title": title, "option": option, "candidates": candidates, **numbers}
            )
        with steps("fit the FM on all rows"):
            *_, candidates, make = SYSTEMS[-1]
            l2 = _choose(data, np.arange(len(data.y)), candidates, make, seed)
            model = make(l2, seed).fit(data.X, data.y)
    numbers = {
        "split": f"{FOLDS}-fold, stratified; in each training part the penalty is chosen by {INNER_FOLDS} inner folds",
        "n_rows": len(data.y),
        "n_columns": data.X.num_columns,
        "settings": {
            **COMMON,
            "n_factors": 4,
            "l2_w": 0.001,
            "numbers": "standardised in each training part",
        },
        "systems": systems,
        "target": data.y.tolist(),
        "seconds": steps.seconds,
    }
    return numbers, model


def _cross_validate(data: BreastCancer, folds: Any, candidates: Any, make: Make, seed: int) -> dict[str, Any]:
    probability = np.empty(len(data.y))
    areas, losses, chosen = [], [], []
    for train, test in folds:
        chosen.append(_choose(data, train, candidates, make, seed))
        model = make(chosen[-1], seed).fit(data.X.take(train), data.y[train])
        probability[test] = model.predict_proba(data.X.take(test))[:, 1]
        areas.append(auc(data.y[test], probability[test]))
        losses.append(log_loss(data.y[test], probability[test]))
    return {
        "auc": float(np.mean(areas)),
        "auc_std": float(np.std(areas, ddof=1)),
        "log_loss": float(np.mean(losses)),
        "log_loss_std": float(np.std(losses, ddof=1)),
        "calibration_error": expected_calibration_error(data.y, probability, n_bins=10),
        "folds": {"auc": areas, "log_loss": losses, "chosen": chosen},
        "probability": probability.tolist(),
    }


def _choose(data: BreastCancer, rows: Any, candidates: Any, make: Make, seed: int) -> float:
    """Return the candidate of least log loss over inner folds of ``rows``."""
    X, y = data.X.take(rows), data.y[rows]
    losses = []
    for candidate in candidates:
        parts = []
        for train, test in _folds(y, INNER_FOLDS, seed):
            model = make(candidate, seed).fit(X.take(train), y[train])
            parts.append(log_loss(y[test], model.predict_proba(X.take(test))[:, 1]))
        losses.append(np.mean(parts))
    return float(candidates[int(np.argmin(losses))])


def _folds(y: Any, n: int, seed: int) -> list[tuple[Any, Any]]:
    return list(StratifiedKFold(n, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))


def _matrix(X: pa.Table) -> Any:
    return np.stack([column.to_numpy() for column in X.columns], axis=1)
