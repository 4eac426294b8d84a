"""Where the class of each kind of saved estimator is; none is loaded before it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from crossfm.errors import ModelFileError

KINDS = {
    **dict.fromkeys(("FMClassifier", "FMRegressor"), "crossfm.estimators.fm"),
    **dict.fromkeys(("FFMClassifier", "FFMRegressor"), "crossfm.estimators.ffm"),
    **dict.fromkeys(
        ("FwFMClassifier", "FwFMRegressor", "FmFMClassifier", "FmFMRegressor"), "crossfm.estimators.fwfm"
    ),
    **dict.fromkeys(("HOFMClassifier", "HOFMRegressor"), "crossfm.estimators.hofm"),
    **dict.fromkeys(
        (f"{kind}{task}" for kind in ("NeuralFM", "NFM", "DeepFM") for task in ("Classifier", "Regressor")),
        "crossfm.estimators.neural",
    ),
    "NeuralFMRanker": "crossfm.estimators.neural_ranker",
    "FMOrdinalRegressor": "crossfm.estimators.ordinal",
    "FMRanker": "crossfm.estimators.ranker",
}


def restore(arrays: dict[str, Any], meta: dict[str, Any]) -> Any:
    """Rebuild the estimator that ``to_state`` described. Raises ``ModelFileError`` for a kind that is none."""
    kind = meta.get("kind")
    if kind not in KINDS:
        raise ModelFileError(f"a {kind!r} is none of the estimators {', '.join(KINDS)}. Upgrade crossfm.")
    return getattr(importlib.import_module(KINDS[kind]), kind).from_state(arrays, meta)
