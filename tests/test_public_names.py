"""The names people may rely on: a change here is a change of the interface."""

from __future__ import annotations

import pytest

import crossfm
from crossfm import designs

PUBLIC = [
    "Categorical",
    "DeepFMClassifier",
    "DeepFMRegressor",
    "Encoder",
    "FFMClassifier",
    "FFMRegressor",
    "FMClassifier",
    "FMOrdinalRegressor",
    "FMRanker",
    "FMRegressor",
    "FmFMClassifier",
    "FmFMRegressor",
    "FwFMClassifier",
    "FwFMRegressor",
    "HOFMClassifier",
    "HOFMRegressor",
    "MultiCategorical",
    "NFMClassifier",
    "NFMRegressor",
    "NeuralFMClassifier",
    "NeuralFMRanker",
    "NeuralFMRegressor",
    "Numeric",
    "Recommender",
    "RowStream",
    "Rows",
    "__version__",
    "infer_columns",
    "load",
    "read",
    "relate",
    "save",
    "stream",
]


def test_public_names_are_these() -> None:
    assert sorted(crossfm.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(crossfm, name)
    assert name in dir(crossfm)
    assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'FMClasifier'"):
        _ = crossfm.FMClasifier


DESIGNS = [
    "Choices",
    "Design",
    "attributes",
    "fpmc",
    "implicit",
    "last_baskets",
    "mf",
    "neighbours",
    "pitf",
    "svdpp",
    "time_bins",
    "time_svdpp",
]


def test_public_designs_are_these_and_documented() -> None:
    assert sorted(designs.__all__) == DESIGNS
    assert all(getattr(designs, name).__doc__ for name in DESIGNS)
