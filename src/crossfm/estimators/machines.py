"""The estimators of each machine, by the names that the command line uses."""

from __future__ import annotations

from functools import partial
from typing import Any

from crossfm.estimators.ffm import FFMClassifier, FFMRegressor
from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.estimators.fwfm import FmFMClassifier, FmFMRegressor, FwFMClassifier, FwFMRegressor
from crossfm.estimators.hofm import HOFMClassifier, HOFMRegressor
from crossfm.estimators.neural import (
    DeepFMClassifier,
    DeepFMRegressor,
    Neural,
    NeuralFMClassifier,
    NeuralFMRegressor,
    NFMClassifier,
    NFMRegressor,
)
from crossfm.estimators.neural_ranker import NeuralFMRanker
from crossfm.estimators.ordinal import FMOrdinalRegressor
from crossfm.estimators.ranker import FMRanker

# The models of crossfm.neural.models that are no classic machine: a list of its own, for that room imports PyTorch.
NETWORKS = (
    "nfm", "deepfm", "widedeep", "fnn", "ipnn", "opnn", "afm", "xdeepfm", "dcn", "dcnv2", "autoint", "fibinet",
    "finalmlp",
)  # fmt: skip

ESTIMATORS: dict[str, dict[str, Any]] = {
    "fm": {
        "classification": FMClassifier,
        "regression": FMRegressor,
        "ordinal": FMOrdinalRegressor,
        "ranking": FMRanker,
    },
    "ffm": {"classification": FFMClassifier, "regression": FFMRegressor},
    "fwfm": {"classification": FwFMClassifier, "regression": FwFMRegressor},
    "fmfm": {"classification": FmFMClassifier, "regression": FmFMRegressor},
    "hofm": {"classification": HOFMClassifier, "regression": HOFMRegressor},
    **{
        name: {
            "classification": partial(NeuralFMClassifier, model=name),
            "regression": partial(NeuralFMRegressor, model=name),
            "ranking": partial(NeuralFMRanker, model=name),
        }
        for name in NETWORKS
    },
}
ESTIMATORS["nfm"] |= {"classification": NFMClassifier, "regression": NFMRegressor}
ESTIMATORS["deepfm"] |= {"classification": DeepFMClassifier, "regression": DeepFMRegressor}


def machine_and_task(model: Any) -> tuple[str, str] | None:
    """Return the names of an estimator's machine and task; None for another model."""
    if isinstance(model, Neural):
        machine = model.model if model.model in NETWORKS else f"the neural {model.model}"
        if isinstance(model, NeuralFMRanker):
            return machine, "ranking"
        return machine, "classification" if isinstance(model, FMClassifier) else "regression"
    for machine, kinds in ESTIMATORS.items():
        for task, kind in kinds.items():
            if type(model) is kind:
                return machine, task
    return None
