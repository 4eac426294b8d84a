"""Item and query vectors as a factorization machine makes them."""

from __future__ import annotations

import numpy as np


def fm_vectors(n_items, n_queries, *, k=16, seed=0):
    """Items with id, category, brand and tags, the pairs among these and a popularity in the last coordinate; queries.

    A query is a user and the mean of some items of a history, with 1 behind them.
    """
    rng = np.random.default_rng(seed)
    scale = 0.18 * np.sqrt(32 / k)
    parts = [rng.normal(size=(n, k)) * scale for n in (30, 300, 100)]
    picks = [rng.integers(0, len(part), n_items) for part in parts]
    own = rng.normal(size=(n_items, k)) * 0.12 * np.sqrt(32 / k)
    every = np.stack([own, *(part[pick] for part, pick in zip(parts, picks, strict=True))])
    sums = every.sum(axis=0)
    pairs = 0.5 * (sums**2 - (every**2).sum(axis=0)).sum(axis=1)
    items = np.column_stack([sums, pairs - 0.25 * np.log(rng.permutation(n_items) + 1)])
    history = rng.integers(0, n_items, (n_queries, 8))
    queries = rng.normal(size=(n_queries, k)) * 0.2 + 2.0 * sums[history].mean(axis=1)
    return items.astype(np.float32), np.column_stack([queries, np.ones(n_queries)]).astype(np.float32)
