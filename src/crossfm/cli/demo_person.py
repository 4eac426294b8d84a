"""Part three of the demo: one real user, ten movies, and where each score came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from crossfm.cli.demo_lists import day_of
from crossfm.cli.steps import Steps
from crossfm.datasets import MovieLens
from crossfm.errors import DataError
from crossfm.recommender.recommender import Recommender
from crossfm.scoring.explain import Explanation

READABLE = 20  # interactions before the split, at least
RULE = f"of users with {READABLE} or more ratings before the split and some after it, the one in the middle by number"
N_HISTORY = N_ITEMS = 10


def explain(data: MovieLens, model: Recommender, test: pa.Table) -> dict[str, Any]:
    """Return the user, the last ratings, and the recommended movies with the parts of their scores."""
    with Steps("one user", 1) as steps, steps("recommend and explain"):
        cutoff = test["timestamp"].to_numpy().min()
        user = choose_user(data.ratings, cutoff)
        found = model.recommend(user, N_ITEMS)
        items = found["item_id"].to_pylist()
        parts = model.explain(user, items)
        movies = {row["item_id"]: row for row in data.items.to_pylist()}
        watched = _watched(data.ratings, user, cutoff)
        scores = found["score"].to_numpy()
        same = _same_for_all(parts)
        gap = float(np.max(np.abs(parts.score() - scores)))
    return {
        "chosen_by": RULE,
        "user": next(row for row in data.users.to_pylist() if row["user_id"] == user),
        "n_history": len(watched["before"]),
        "history": [
            _movie(movies[row["item_id"]]) | {"rating": row["rating"], "day": day_of(row["timestamp"])}
            for row in watched["before"][:N_HISTORY]
        ],
        "recommended": [
            _movie(movies[item])
            | {"rank": rank + 1, "score": float(scores[rank]), "rated_later": item in watched["after"]}
            | {"parts": _shares(parts.row(rank), float(scores[rank]), same)}
            for rank, item in enumerate(items)
        ],
        "largest_gap": gap,
        "adds_up": bool(gap <= 1e-4 * max(1.0, float(np.abs(scores).max()))),
        "seconds": steps.seconds,
    }


def choose_user(ratings: pa.Table, cutoff: Any) -> int:
    """Return the user with the middle number of ratings before ``cutoff``, as ``RULE`` says; ties by id."""
    users, times = ratings["user_id"].to_numpy(), ratings["timestamp"].to_numpy()
    ids, before = np.unique(users[times < cutoff], return_counts=True)
    warm = np.isin(ids, users[times >= cutoff])
    readable = warm & (before >= READABLE)
    allowed = readable if readable.any() else warm
    if not allowed.any():
        raise DataError("no user has ratings both before and after the split: nobody to explain")
    ids, before = ids[allowed], before[allowed]
    order = np.lexsort((ids, before))
    return int(ids[order[len(order) // 2]])


def _watched(ratings: pa.Table, user: int, cutoff: Any) -> dict[str, Any]:
    mine = [row for row in ratings.to_pylist() if row["user_id"] == user]
    mine.sort(key=lambda row: (-row["timestamp"], row["item_id"]))
    return {
        "before": [row for row in mine if row["timestamp"] < cutoff],
        "after": {row["item_id"] for row in mine if row["timestamp"] >= cutoff},
    }


def _movie(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("item_id", "title", "year", "genres")}


def _same_for_all(parts: Explanation) -> set[str]:
    """Return the names of parts that do not depend on the movie: those of the user's columns alone."""
    columns = {n for n, values in zip(parts.names, parts.columns.T, strict=True) if np.ptp(values) == 0}
    pairs = zip(parts.pair_names, parts.pairs.T, strict=True)
    return columns | {f"{a} x {b}" for (a, b), values in pairs if np.ptp(values) == 0} | {"bias"}


def _shares(parts: list[tuple[str, float]], score: float, same: set[str]) -> list[dict[str, Any]]:
    """Return every part that is not exactly zero, with its share of the score."""
    return [
        {
            "columns": name.split(" x "),
            "points": points,
            "share": points / score if score else 0.0,
            "same_for_all": name in same,
        }
        for name, points in parts
        if points
    ]
