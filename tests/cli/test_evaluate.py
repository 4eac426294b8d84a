from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import csv

from crossfm import FMClassifier, load
from crossfm.cli.judge import class_numbers, pairs_in_order
from crossfm.errors import DataError, LabelError
from crossfm.metrics import auc, gauc, log_loss
from realdata import shared_data


def test_classifiers_are_judged_beside_the_constant(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--group", "user_id", "--json", "r.json")
    assert done.exit_code == 0, done.output
    found = json.loads(Path("r.json").read_text())["evaluation"]
    table, model = csv.read_csv(clicks), load("m.crossfm")
    y, p = np.asarray(table["click"]), model.predict_proba(model.encoder_.transform(table))[:, 1]
    expected = {
        "log loss": log_loss(y, p),
        "AUC": auc(y, p),
        "GAUC": gauc(y, p, np.asarray(table["user_id"])),
    }
    assert {name: found["model"][name] for name in expected} == pytest.approx(expected)
    assert set(found["model"]) == {*expected, "ECE", "accuracy"}
    assert found["baseline"]["log loss"] == pytest.approx(log_loss(y, np.full(len(y), y.mean())))
    assert f"{expected['AUC']:.4f}" in done.stdout


def test_regressors_are_judged_beside_the_mean(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "price", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--target", "price", "--json", "r.json")
    found = json.loads(Path("r.json").read_text())["evaluation"]
    price = np.asarray(csv.read_csv(clicks)["price"])
    assert found["baseline"]["RMSE"] == pytest.approx(price.std())
    assert set(found["model"]) == {"RMSE", "MAE"}
    assert "RMSE" in done.stdout


def test_many_classes_have_log_loss_and_accuracy(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "genres", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--target", "genres", "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["accuracy"] > 0.9


def test_rows_of_one_class_have_no_area(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    lines = clicks.read_text().splitlines()
    Path("ones.csv").write_text("\n".join([lines[0], *(line for line in lines[1:] if line.endswith(",1"))]))
    done = crossfm("evaluate", "m.crossfm", "ones.csv", "--json", "r.json")
    assert "there is no AUC" in done.stdout
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["AUC"] is None


def naive_pairs_in_order(y: Any, score: Any, groups: Any) -> float:
    won, total = 0.0, 0
    for i, j in itertools.permutations(range(len(y)), 2):
        if groups[i] == groups[j] and y[i] > y[j]:
            total += 1
            won += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return won / total


@pytest.mark.parametrize("seed", range(5))
def test_pairs_in_order_equal_the_count_over_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, score, groups = rng.integers(0, 4, 40), rng.integers(0, 6, 40), rng.choice(list("abc"), 40)
    assert pairs_in_order(y, score, groups) == pytest.approx(naive_pairs_in_order(y, score, groups))


def test_pairs_in_order_need_two_labels_in_a_group() -> None:
    with pytest.raises(DataError, match="no group has two different labels"):
        pairs_in_order(np.array([0, 1]), np.array([0.0, 1.0]), np.array(["a", "b"]))


def test_labels_are_compared_by_what_they_say() -> None:
    model = FMClassifier()
    model.classes_ = np.array([0, 1])
    for y in (np.array([0.0, 1.0]), np.array(["0", "1"]), np.array([False, True])):
        assert class_numbers(model, y).tolist() == [0, 1]
    with pytest.raises(LabelError, match=r"row 1 has label 2.0, but the model's classes are 0, 1"):
        class_numbers(model, np.array([1.0, 2.0]))


def test_frappe_from_the_command_line_reaches_the_published_area(crossfm: Any) -> None:
    folder = shared_data("frappe")
    train, valid, test = (folder / f"frappe.{p}.libfm.gz" for p in ("train.resampled", "validation", "test"))
    assert crossfm("train", train, "--valid", valid, "-k", 10, "--out", "m.crossfm", "-q").exit_code == 0
    crossfm("evaluate", "m.crossfm", test, "--json", "r.json")
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["AUC"] > 0.96
