"""Memory of the training, told before it begins."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossfm import FFMClassifier, FMClassifier, FMRanker, Recommender
from crossfm.errors import MemoryLimitError
from crossfm.recommender.estimate import FAR, tell_memory, training_memory


def log_of(n: int, n_users: int, n_items: int) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(0)
    log = pa.table(
        {
            "user_id": rng.integers(0, n_users, n),
            "item_id": (n_items * rng.random(n) ** 2).astype(int),
            "time": np.arange(n, dtype=float),
            "place": rng.integers(0, 3, n).astype(str),
        }
    )
    genres = ["|".join(rng.choice(list("abcdefgh"), 3, replace=False)) for _ in range(n_items)]
    return log, pa.table(
        {"item_id": np.arange(n_items), "genres": genres, "year": rng.integers(1980, 2020, n_items)}
    )


def recommender(**settings: Any) -> Recommender:
    retriever = FMRanker(n_factors=16, max_iter=1, random_state=0)
    return Recommender(time="time", retriever=retriever, n_candidates=100, **settings)


@pytest.mark.parametrize(
    ("n", "n_users", "n_items", "settings"),
    [
        (10_000, 300, 500, {"history": 20, "ranker": FFMClassifier(16, max_iter=1)}),
        (10_000, 300, 500, {"history": 20, "context": ["place"], "ranker": FMClassifier(16, max_iter=1)}),
        (40_000, 300, 500, {"history": 20, "ranker": FMClassifier(16, max_iter=1)}),
        (100_000, 3_000, 5_000, {"history": 5}),
    ],
)
def test_the_estimate_is_near_what_is_taken(
    n: int, n_users: int, n_items: int, settings: dict[str, Any]
) -> None:
    log, items = log_of(n, n_users, n_items)
    model = recommender(**settings)
    told = sum(training_memory(model, log, None, items).values())
    tracemalloc.start()
    try:
        model.fit(log, items=items)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken / FAR < told < taken * FAR, (told / 1e6, taken / 1e6)


def test_what_will_not_fit_is_refused_and_the_largest_part_named() -> None:
    log, items = log_of(20_000, 500, 1_000)
    model = recommender(history=20, ranker=FMClassifier(16))
    parts = training_memory(model, log, None, items)
    assert max(parts, key=lambda name: parts[name]) == "lists"
    needed = sum(parts.values())
    assert "would take less" not in tell_memory(parts, int(2 * needed))
    assert "may be too much: a smaller ranker_share" in tell_memory(parts, int(needed))
    with pytest.raises(MemoryLimitError, match="Take a smaller ranker_share or ranker_negatives"):
        tell_memory(parts, int(needed / 2))


def test_impressions_are_what_the_second_stage_learns_from() -> None:
    log, items = log_of(20_000, 500, 1_000)
    model = recommender(ranker=FMClassifier(16))
    shown = log.slice(0, 1_000)
    some, none = (
        training_memory(model, log, None, items, table)["lists"] for table in (shown, shown.slice(0, 10))
    )
    assert some == pytest.approx(100 * none)
