"""A recommender that is trained in a moment, with context and attributes."""

from __future__ import annotations

import numpy as np

from crossfm import FMRanker, Recommender


def small_model(seed: int, *, first: int = 0) -> Recommender:
    """Thirty users, forty films from id ``first`` on."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 30, 400), rng.integers(0, 40, 400)
    log = {"user_id": users, "item_id": items + first, "daytime": np.where(users % 2, "evening", "morning")}
    catalogue = {
        "item_id": np.arange(40) + first,
        "title": [f"Film {at}" for at in range(40)],
        "genre": [("Comedy", "Drama")[at % 2] for at in range(40)],
    }
    model = Recommender(context=["daytime"], retriever=FMRanker(n_factors=4, max_iter=2, random_state=seed))
    return model.fit(log, items=catalogue)
