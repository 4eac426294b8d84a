"""The estimators of each machine, by the names that the command line uses."""

from __future__ import annotations

from typing import Any

from crossfm.estimators.ffm import FFMClassifier, FFMRegressor
from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.estimators.fwfm import FmFMClassifier, FmFMRegressor, FwFMClassifier, FwFMRegressor
from crossfm.estimators.hofm import HOFMClassifier, HOFMRegressor

ESTIMATORS: dict[str, dict[str, Any]] = {
    "fm": {"classification": FMClassifier, "regression": FMRegressor},
    "ffm": {"classification": FFMClassifier, "regression": FFMRegressor},
    "fwfm": {"classification": FwFMClassifier, "regression": FwFMRegressor},
    "fmfm": {"classification": FmFMClassifier, "regression": FmFMRegressor},
    "hofm": {"classification": HOFMClassifier, "regression": HOFMRegressor},
}


def machine_and_task(model: Any) -> tuple[str, str] | None:
    """Return the names of a classifier's or regressor's machine and task; None for another model."""
    for machine, kinds in ESTIMATORS.items():
        for task, kind in kinds.items():
            if type(model) is kind:
                return machine, task
    return None
