"""Real MovieLens-100K as the recommender takes it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossfm.datasets.movielens import GENRES
from realdata import shared_data


def movielens() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings in order of time with hour and weekday, users, items; skips where the data is not there."""
    folder: Path = shared_data("ml-100k")
    ratings = pd.read_csv(
        folder / "u.data.gz", sep="\t", names=["user_id", "item_id", "rating", "timestamp"]
    ).sort_values("timestamp", kind="stable")
    when = pd.to_datetime(ratings.timestamp, unit="s")
    ratings = ratings.assign(hour=when.dt.hour, weekday=when.dt.day_name())
    users = pd.read_csv(
        folder / "u.user.gz", sep="|", names=["user_id", "age", "gender", "occupation", "zip_code"]
    )
    names = ["item_id", "title", "release", "video", "url", *GENRES]
    items = pd.read_csv(folder / "u.item.gz", sep="|", encoding="latin-1", names=names)
    genres = [
        "|".join(g for g, flag in zip(GENRES, row, strict=True) if flag)
        for row in items[list(GENRES)].to_numpy()
    ]
    return ratings, users, items[["item_id", "title"]].assign(genres=genres)
