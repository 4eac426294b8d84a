from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossfm import load
from crossfm.io.dump import read_dump


def test_a_table_is_shown_with_columns_and_reasons(crossfm: Any, clicks: Path) -> None:
    out = crossfm("inspect", clicks).stdout
    assert "csv, 600 rows" in out
    assert "looks like Unix time" in out
    assert "MultiCategorical" in out


def test_numbered_rows_are_shown_with_labels(crossfm: Any, libsvm: Path) -> None:
    out = crossfm("inspect", libsvm).stdout
    assert "libsvm, 400 rows" in out
    assert "features: 20, ids 0 to 19; 20 occur" in out
    assert "non-zeros: 800, 2 to 2 a row; values all 1" in out
    assert "labels: -1: " in out


def test_a_model_is_shown_with_settings_columns_and_history(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-k", 3, "-q")
    out = crossfm("inspect", "m.crossfm").stdout
    for part in (
        "FMClassifier",
        "classes: 0, 1",
        "n_factors=3",
        "item_id",
        "categorical",
        "valid loss",
        "best",
    ):
        assert part in out


def test_weights_are_the_largest_ones(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    out = crossfm("inspect", "m.crossfm", "--weights", 3).stdout.partition("largest weights")[2]
    model = load("m.crossfm")
    names = np.array(model.encoder_.feature_names())[np.argsort(-np.abs(model.params_.w))]
    assert all(name in out for name in names[:3])
    assert names[3] not in out


def test_importance_names_columns_and_pairs(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    assert "user_id x item_id" in crossfm("inspect", "m.crossfm", "--data", clicks).stdout
    crossfm("train", clicks, "--out", "r.crossfm", "--user", "user_id", "--item", "item_id", "-q")
    assert "user_id x item_id" in crossfm("inspect", "r.crossfm", "--data", clicks).stdout


def test_a_dump_is_the_model_bit_for_bit(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    assert crossfm("inspect", "m.crossfm", "--dump", "m.txt").exit_code == 0
    params, names = read_dump("m.txt")
    model = load("m.crossfm")
    assert np.array_equal(params.V, model.params_.V)
    assert names == model.encoder_.feature_names()


def test_many_classes_are_dumped_to_a_file_each(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "genres", "-q")
    crossfm("inspect", "m.crossfm", "--dump", "m.txt")
    assert sorted(path.name for path in Path().glob("m.*.txt")) == ["m.a_b.txt", "m.b_c.txt", "m.c.txt"]


def test_a_recommender_is_shown_side_by_side(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--user", "user_id", "--item", "item_id", "-q")
    out = crossfm("inspect", "m.crossfm", "--weights", 2).stdout
    assert "15 users, 12 items, 600 interactions" in out
    assert "largest weights" in out


def test_data_sets_are_listed_and_copied(crossfm: Any) -> None:
    assert "movielens-100k" in crossfm("datasets", "list").stdout
    done = crossfm("datasets", "get", "breast-cancer", "--to", "here")
    assert done.exit_code == 0, done.output
    assert crossfm("inspect", "here/breast-cancer.csv").stdout.startswith("here/breast-cancer.csv")
    assert crossfm("datasets", "get", "brest-cancer").stderr.count("\n") == 1


def test_rows_of_a_libffm_file_are_explained(crossfm: Any, tmp_path: Path) -> None:
    (tmp_path / "a.libffm").write_text("1 0:0:1 1:2:1\n0 0:1:1 1:3:0.5\n" * 20)
    assert crossfm("train", "a.libffm", "--out", "m.crossfm", "--epochs", 1, "-q").exit_code == 0
    done = crossfm("inspect", "m.crossfm", "--data", "a.libffm")
    assert done.exit_code == 0, done.output
    assert "field 1" in done.stdout
