"""The table of data sets, and the set that a dependency carries."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from crossfm.datasets import get, list_datasets, load
from crossfm.errors import OptionError

from .conftest import SITE, World, zipped


def test_every_entry_has_digests_sources_and_a_licence() -> None:
    assert [entry.name for entry in list_datasets()] == ["breast-cancer", "movielens-100k"]
    for entry in list_datasets():
        assert entry.sources
        assert entry.licence
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in entry.files.values())


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        OptionError, match=r"'movielens-10k'; there are breast-cancer, movielens-100k\. Did you mean"
    ):
        load("movielens-10k")
    with pytest.raises(OptionError, match="no data set"):
        get("../etc")


def test_an_entry_says_whether_it_is_cached(cache: Path, world: World) -> None:
    world.site = zipped(SITE)
    assert [entry.cached for entry in list_datasets()] == [False, False]
    folder = get("movielens-100k")
    assert [entry.cached for entry in list_datasets()] == [False, True]
    (folder / "users.tsv").write_bytes(b"broken")
    assert [entry.cached for entry in list_datasets()] == [False, False]


def test_breast_cancer_is_loaded_with_names_and_without_a_cache(cache: Path) -> None:
    expected = load_breast_cancer()
    data = load("breast-cancer")
    assert data.X.column_names == list(expected.feature_names)
    np.testing.assert_array_equal(
        np.column_stack([column.to_numpy() for column in data.X.columns]), expected.data
    )
    np.testing.assert_array_equal(data.y, expected.target)
    assert data.target_names == ("malignant", "benign")
    assert not cache.exists()


def test_breast_cancer_can_be_had_as_a_file(cache: Path) -> None:
    path = get("breast-cancer") / "breast-cancer.csv"
    expected = load_breast_cancer()
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table, np.column_stack([expected.target, expected.data]))
    assert path.read_text().startswith("target,mean radius,")
