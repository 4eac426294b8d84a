"""Part two of the demo: do the recommended lists hold what people watched next?"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from crossfm.cli.steps import Steps
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.split import time_split
from crossfm.datasets import MovieLens
from crossfm.estimators.ranker import FMRanker
from crossfm.metrics import bootstrap_difference
from crossfm.recommender.evaluate import Evaluation, evaluate
from crossfm.recommender.recommender import Recommender

TEST_FRACTION = 0.2
HALF_LIVES = (7, 14, 30, 60)  # days
K = 20
COLUMNS: list[Column] = [
    Numeric("age", "quantile", n_buckets=8),
    Categorical("gender"),
    Categorical("occupation"),
    MultiCategorical("genres", combiner="sqrtn"),
]
# Chosen on the inner split of ``_choose_half_life``.
SETTINGS: dict[str, Any] = {
    "n_factors": 8,
    "negatives": "popularity",
    "learning_rate": 0.05,
    "schedule": "linear",
    "max_iter": 30,
    "l2_w": 0.02,
    "l2_V": 0.05,
}
RULE = (
    "the longest half-life whose NDCG@20 on the last fifth of the training part is within one standard error of the "
    "best"
)


def recommend(data: MovieLens, seed: int) -> tuple[dict[str, Any], Recommender, pa.Table]:
    """Fit and judge the recommender; return the numbers, the model and the test interactions."""
    times = data.ratings["timestamp"].to_numpy()
    train_rows, test_rows = time_split(times, TEST_FRACTION)
    train, test = data.ratings.take(train_rows), data.ratings.take(test_rows)
    with Steps("recommendation", len(HALF_LIVES) + 2) as steps:
        candidates, half_life = _choose_half_life(data, train, seed, steps)
        with steps(f"fit with a half-life of {half_life} days"):
            model = _fit(data, train, half_life, seed)
        with steps("rank the whole catalogue for each test user"):
            judged = evaluate(model, test, ks=(10, K), seed=seed)
    numbers = {
        "split": "global in time: the last fifth of the interactions is the test",
        "test_from": day_of(times[test_rows].min()),
        "n_train": train.num_rows,
        "n_test": test.num_rows,
        "n_users": len(judged.warm),
        "n_warm": int(judged.warm.sum()),
        "n_new": int((~judged.warm).sum()),
        "columns": model.field_names(),
        "settings": SETTINGS,
        "half_life": {"rule": RULE, "candidates": candidates, "chosen": half_life},
        "rows": judged.rows,
        "differences": _differences(judged, seed),
        "intervals_apart": _apart(judged),
        "notes": judged.notes,
        "losses": [epoch["train_loss"] for epoch in model.retriever_.history_],
        "seconds": steps.seconds,
    }
    return numbers, model, test


def day_of(seconds: Any) -> str:
    """Return the day (UTC) of a time in seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).date().isoformat()


def _fit(data: MovieLens, log: pa.Table, half_life: float, seed: int) -> Recommender:
    ranker = FMRanker(random_state=seed, **SETTINGS)
    model = Recommender(time="timestamp", half_life=half_life, columns=COLUMNS, retriever=ranker)
    return model.fit(log, data.users, data.items)


def _choose_half_life(
    data: MovieLens, train: pa.Table, seed: int, steps: Steps
) -> tuple[list[dict[str, Any]], int]:
    """Judge each candidate inside the training part; the test interactions have no say."""
    earlier, later = time_split(train["timestamp"].to_numpy(), TEST_FRACTION)
    candidates = []
    for days in HALF_LIVES:
        with steps(f"try a half-life of {days} days inside the training part"):
            model = _fit(data, train.take(earlier), days, seed)
            values = evaluate(model, train.take(later), ks=(K,), seed=seed).per_user["fm", f"ndcg@{K}"]
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        candidates.append({"days": days, f"ndcg@{K}": float(values.mean()), "standard_error": error})
    return candidates, longest_near_best(candidates)


def longest_near_best(candidates: list[dict[str, Any]]) -> int:
    """Return the days of the longest half-life within one standard error of the best: the milder of equals."""
    best = max(candidates, key=lambda one: one[f"ndcg@{K}"])
    least = best[f"ndcg@{K}"] - best["standard_error"]
    return int(max(one["days"] for one in candidates if one[f"ndcg@{K}"] >= least))


def _differences(judged: Evaluation, seed: int) -> list[dict[str, Any]]:
    """Return FM minus each baseline, the same users resampled for both."""
    segments = {"all": np.ones(len(judged.warm), bool), "warm": judged.warm, "new": ~judged.warm}
    rows = []
    for baseline in ("popularity", "recent popularity"):
        for metric in (f"recall@{K}", f"ndcg@{K}"):
            for segment, mask in segments.items():
                if not mask.any():
                    continue
                fm, other = (judged.per_user[system, metric][mask] for system in ("fm", baseline))
                found = bootstrap_difference(fm, other, seed=seed)
                rows.append({"baseline": baseline, "metric": metric, "segment": segment, **found._asdict()})
    return rows


def _apart(judged: Evaluation) -> bool:
    """Whether the intervals of the FM and of popularity do not touch."""
    fm, popularity = (judged.value(system, f"ndcg@{K}") for system in ("fm", "popularity"))
    return bool(fm["low"] > popularity["high"] or fm["high"] < popularity["low"])
