"""What crossfm reaches on real data, with the settings that the documentation quotes."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.model_selection import StratifiedKFold

from crossfm import (
    Categorical,
    Encoder,
    FFMClassifier,
    FMClassifier,
    FMRegressor,
    FwFMClassifier,
    MultiCategorical,
    Numeric,
)
from crossfm.datasets import frappe, movielens_u_split
from crossfm.metrics import auc, log_loss, rmse
from realdata import shared_data

IDS = [Categorical("user_id"), Categorical("item_id")]
FEATURES = [
    Numeric("age", "quantile", n_buckets=10),
    Categorical("gender"),
    Categorical("occupation"),
    MultiCategorical("genres", combiner="sqrtn"),
    Categorical("year", min_count=50),
]
SETTINGS: dict[str, dict[str, Any]] = {
    "adagrad": {"l2_w": 0.02, "l2_V": 0.05, "early_stopping": True, "max_iter": 60},
    "adagrad-row": {"l2_w": 0.02, "l2_V": 0.05, "early_stopping": True, "max_iter": 60},
    "adam": {"l2_w": 0.02, "l2_V": 0.05, "early_stopping": True, "max_iter": 60},
    "ftrl": {"l2_w": 1.0, "l2_V": 1.0, "learning_rate": 0.1, "max_iter": 5},
    "sgd": {
        "l2_w": 0.02, "l2_V": 0.06, "learning_rate": 0.02, "schedule": "linear", "init_scale": 0.1, "max_iter": 40,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared_data() / "ml-100k"


def read(path: Path, separator: str) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="latin-1") as file:
        return list(csv.reader(file, delimiter=separator))


def with_features(ratings: pa.Table, folder: Path) -> pa.Table:
    users = read(folder / "u.user.gz", "|")
    genres = [row[0] for row in read(folder / "u.genre.gz", "|") if row]
    items = read(folder / "u.item.gz", "|")
    user_table = pa.table(
        {
            "user_id": pa.array([int(row[0]) for row in users], pa.int32()),
            "age": [int(row[1]) for row in users],
            "gender": [row[2] for row in users],
            "occupation": [row[3] for row in users],
        }
    )
    item_table = pa.table(
        {
            "item_id": pa.array([int(row[0]) for row in items], pa.int32()),
            "year": [row[2][-4:] or None for row in items],
            "genres": [
                "|".join(g for g, has in zip(genres, row[5:], strict=True) if has == "1") for row in items
            ],
        }
    )
    return ratings.join(user_table, "user_id").join(item_table, "item_id").sort_by("timestamp")


@pytest.mark.parametrize("solver", SETTINGS)
def test_movielens_ratings_from_ids_alone(folder: Path, solver: str) -> None:
    train, test = movielens_u_split(folder, 1)
    model = FMRegressor(solver=solver, columns=IDS, random_state=0, **SETTINGS[solver])
    model.fit(train, train["rating"].to_numpy())
    assert rmse(test["rating"].to_numpy(), model.predict(test)) <= 0.935


def test_movielens_ratings_with_user_and_movie_features(folder: Path) -> None:
    train, test = (with_features(part, folder) for part in movielens_u_split(folder, 1))
    model = FMRegressor(n_factors=16, columns=[*IDS, *FEATURES], random_state=0, **SETTINGS["adagrad"])
    model.fit(train, train["rating"].to_numpy())
    assert rmse(test["rating"].to_numpy(), model.predict(test)) <= 0.925  # 0.93 is asked


@pytest.mark.parametrize(
    ("machine", "asked"), [(FMClassifier, 0.970), (FFMClassifier, 0.9786), (FwFMClassifier, 0.9776)]
)
def test_frappe_clicks(machine: Any, asked: float) -> None:
    data = frappe(shared_data() / "frappe")  # with re-drawn training negatives
    train, valid, test = (
        replace(rows, fields=np.arange(10, dtype=np.uint32))
        for rows in (data.train, data.validation, data.test)
    )
    model = machine(
        n_factors=10,
        learning_rate=0.2,
        l2_V=0.01,
        max_iter=60,
        early_stopping=True,
        monitor="auc",
        random_state=0,
    )
    model.fit(train, eval_set=(valid, None))
    assert auc(test.target > 0, model.predict_proba(test)[:, 1]) >= asked


def test_criteo_pairs_beat_a_linear_model() -> None:
    """10,000 rows hold little about pairs: the machines of degree 2 win by a hair, and only with strong penalties."""
    table = pd.read_csv(
        shared_data() / "criteo" / "criteo_train_head10k.txt.gz",
        sep="\t",
        names=["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))],
        dtype={f"C{i}": str for i in range(1, 27)},
    )
    y = table.pop("label").to_numpy()
    columns = [Numeric(f"I{i}", transform="log2") for i in range(1, 14)]
    columns += [Categorical(f"C{i}", min_count=4) for i in range(1, 27)]
    models = {
        "linear": FMClassifier(0, learning_rate=0.02, max_iter=7, random_state=0),
        "fm": FMClassifier(2, learning_rate=0.02, max_iter=6, l2_V=1.0, init_scale=0.02, random_state=0),
        "ffm": FFMClassifier(4, learning_rate=0.01, max_iter=10, l2_V=0.003, random_state=0),
    }
    loss = dict.fromkeys(models, 0.0)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(y, y):
        encoder = Encoder(columns).fit(table.iloc[train])
        rows, held = encoder.transform(table.iloc[train]), encoder.transform(table.iloc[test])
        for name, model in models.items():
            loss[name] += log_loss(y[test], model.fit(rows, y[train]).predict_proba(held)) / 5
    assert loss["ffm"] < loss["linear"]
    assert loss["fm"] < loss["linear"]
    assert loss["linear"] < 0.458  # well trained itself


def test_adaptive_regularisation_cures_a_bad_start(folder: Path) -> None:
    """No penalty, many factors, many epochs: SGD learns the training part by heart, SGDA finds its penalties."""
    train, test = movielens_u_split(folder, 1)
    y = test["rating"].to_numpy()
    error = {}
    for solver in ("sgd", "sgda"):
        model = FMRegressor(16, solver=solver, learning_rate=0.01, max_iter=100, columns=IDS, random_state=0)
        error[solver] = rmse(y, model.fit(train, train["rating"].to_numpy()).predict(test))
    assert error["sgda"] <= 0.935
    assert error["sgd"] >= error["sgda"] + 0.1
