"""Part one of the demo: how far off are predicted ratings?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfm.cli.steps import Steps
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.split import random_split
from crossfm.datasets import MovieLens
from crossfm.estimators.fm import FMRegressor
from crossfm.metrics import bootstrap_difference, bootstrap_interval, mae, rmse

# Chosen by the RMSE on the validation ratings, never on the test ratings.
IDS: list[Column] = [Categorical("user_id"), Categorical("item_id")]
FEATURES: list[Column] = [
    Numeric("age", "quantile", n_buckets=8),
    Categorical("gender"),
    Categorical("occupation"),
    MultiCategorical("genres", combiner="sqrtn"),
    Numeric("year", "quantile", n_buckets=12),
]
COMMON: dict[str, Any] = {"solver": "adagrad", "l2_w": 0.02, "max_iter": 60, "early_stopping": True}
LINEAR: dict[str, Any] = {**COMMON, "n_factors": 0, "learning_rate": 0.1}
FACTORS: dict[str, Any] = {**COMMON, "n_factors": 32, "learning_rate": 0.05, "l2_V": 0.07}
SYSTEMS: tuple[tuple[str, str, list[Column], dict[str, Any]], ...] = (
    ("bias", "bias of user and movie", IDS, LINEAR),
    ("mf", "MF: FM on user and movie", IDS, FACTORS),
    ("fm", "FM with their features too", IDS + FEATURES, FACTORS),
)
TEST_FRACTION = VALIDATION_FRACTION = 0.1


def rate(data: MovieLens, seed: int) -> tuple[dict[str, Any], dict[str, FMRegressor]]:
    """Fit the three systems and return their numbers, and the fitted models by name."""
    table = with_features(data)
    rest, test_rows = random_split(table.num_rows, TEST_FRACTION, seed)
    train_rows, valid_rows = random_split(len(rest), VALIDATION_FRACTION, seed + 1)
    train, valid, test = (table.take(rows) for rows in (rest[train_rows], rest[valid_rows], test_rows))
    systems, models, errors = [], {}, {}
    with Steps("rating prediction", len(SYSTEMS)) as steps:
        for name, title, columns, settings in SYSTEMS:
            with steps(title):
                model = FMRegressor(columns=columns, random_state=seed, **settings)
                model.fit(train, ratings_of(train), eval_set=(valid, ratings_of(valid)))
                numbers, errors[name] = _judge(model, valid, test, seed)
            about = {"name": name, "title": title, "columns": [column.name for column in columns]}
            curves = _curves(model, float(np.std(ratings_of(train))))
            systems.append({**about, "settings": settings, **numbers, **curves})
            models[name] = model
    gain = bootstrap_difference(errors["mf"], errors["fm"], seed=seed)
    numbers = {
        "split": "random, 81 % to learn, 9 % to choose the epoch, 10 % to test",
        "n_train": train.num_rows,
        "n_valid": valid.num_rows,
        "n_test": test.num_rows,
        "systems": systems,
        "mf_minus_fm_squared_error": gain._asdict(),
        "seconds": steps.seconds,
    }
    return numbers, models


def with_features(data: MovieLens) -> pa.Table:
    """Return the ratings with the columns of their user and movie, in the order of the ratings."""
    table = data.ratings
    for side, key in ((data.users, "user_id"), (data.items, "item_id")):
        row = pc.index_in(table[key], value_set=side[key].combine_chunks())
        for name in side.column_names:
            if name != key:
                table = table.append_column(name, side[name].take(row))
    return table


def ratings_of(table: pa.Table) -> Any:
    """Return the ratings as float64 (n_rows,)."""
    return table["rating"].to_numpy().astype(np.float64)


def _judge(model: FMRegressor, valid: pa.Table, test: pa.Table, seed: int) -> tuple[dict[str, Any], Any]:
    y, predicted = ratings_of(test), model.predict(test)
    squared = (y - predicted) ** 2
    interval = bootstrap_interval(squared, seed=seed)
    numbers = {
        "rmse": rmse(y, predicted),
        "rmse_low": float(np.sqrt(interval.low)),
        "rmse_high": float(np.sqrt(interval.high)),
        "mae": mae(y, predicted),
        "valid_rmse": rmse(ratings_of(valid), model.predict(valid)),
    }
    return numbers, squared


def _curves(model: FMRegressor, spread: float) -> dict[str, Any]:
    """Return the losses of each epoch, (s - y)^2 / 2 of the standardised target, as RMSE in stars."""
    epochs = model.history_
    return {
        "best_epoch": model.best_iter_,
        "epochs": [
            {
                "epoch": epoch["epoch"],
                "train_rmse": float(np.sqrt(2 * epoch["train_loss"]) * spread),
                "valid_rmse": float(np.sqrt(2 * epoch["valid_loss"]) * spread),
            }
            for epoch in epochs
        ],
    }
