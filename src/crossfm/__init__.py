"""Factorization machines, from raw rows to a two-stage recommender.

Names are imported when first used, so ``import crossfm`` loads no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "DeepFMClassifier": "crossfm.estimators.neural",
    "DeepFMRegressor": "crossfm.estimators.neural",
    "NFMClassifier": "crossfm.estimators.neural",
    "NFMRegressor": "crossfm.estimators.neural",
    "FFMClassifier": "crossfm.estimators.ffm",
    "FFMRegressor": "crossfm.estimators.ffm",
    "FMClassifier": "crossfm.estimators.fm",
    "FMOrdinalRegressor": "crossfm.estimators.ordinal",
    "FMRanker": "crossfm.estimators.ranker",
    "FMRegressor": "crossfm.estimators.fm",
    "FmFMClassifier": "crossfm.estimators.fwfm",
    "FmFMRegressor": "crossfm.estimators.fwfm",
    "FwFMClassifier": "crossfm.estimators.fwfm",
    "FwFMRegressor": "crossfm.estimators.fwfm",
    "HOFMClassifier": "crossfm.estimators.hofm",
    "NeuralFMClassifier": "crossfm.estimators.neural",
    "NeuralFMRanker": "crossfm.estimators.neural_ranker",
    "NeuralFMRegressor": "crossfm.estimators.neural",
    "HOFMRegressor": "crossfm.estimators.hofm",
    "Recommender": "crossfm.recommender.recommender",
    "Categorical": "crossfm.data.columns",
    "Encoder": "crossfm.data.encode",
    "MultiCategorical": "crossfm.data.columns",
    "Numeric": "crossfm.data.columns",
    "Rows": "crossfm.data.rows",
    "infer_columns": "crossfm.data.infer",
    "load": "crossfm.models",
    "read": "crossfm.data.readers",
    "relate": "crossfm.data.relation",
    "RowStream": "crossfm.data.stream",
    "stream": "crossfm.data.streaming",
    "save": "crossfm.models",
}

__all__ = [*sorted(_HOME), "__version__"]

if TYPE_CHECKING:
    from crossfm.data.rows import Rows as Rows


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crossfm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
