"""Users that training never met."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crossfm import FMRanker, Recommender


def log(n: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"user_id": rng.integers(0, 20, n), "item_id": (rng.random(n) ** 2 * 15).astype(int)})


def test_a_user_about_whom_nothing_is_known_gets_the_popular_items() -> None:
    model = Recommender(retriever=FMRanker(max_iter=3, random_state=0)).fit(log())
    found = model.recommend([999], n=15)
    assert set(found["source"].to_pylist()) == {"popularity"}
    order = [model.counts_[model.items_.ids.positions(pa.array([i]), "item_id")[0]] for i in found["item_id"]]
    assert order == sorted(order, reverse=True)


def test_features_that_no_row_had_get_no_vector() -> None:
    model = Recommender(retriever=FMRanker(max_iter=1, random_state=0)).fit(log())
    unseen = np.r_[~model.users_.encoder.seen_mask, ~model.items_.encoder.seen_mask]
    assert unseen.sum() == 4  # missing and unseen, of each side
    assert not model.retriever_.params_.V[unseen].any()
    assert model.retriever_.params_.V[~unseen].any(axis=1).all()
