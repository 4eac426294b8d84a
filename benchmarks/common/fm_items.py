"""Item and query vectors as a trained factorization machine has them, made up: 32 factors and the items' own score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
FACTORS = 32
AT_ONCE = 1 << 16


def fm_items(n_items: int, *, seed: int = 0) -> Floats32:
    """Return (n_items, 33): the sum of id, category, brand and three tags; and their pairs with a Zipf popularity.

    Popular ids are longer. Lengths of the first 32 numbers at 1, 50 and 99 %: 1.4, 1.95, 2.55; deviation of the last:
    0.46.
    """
    rng = np.random.default_rng(seed)
    tables = [rng.normal(0, s, (n, FACTORS)) for n, s in ((50, 0.18), (2000, 0.15), *[(500, 0.12)] * 3)]
    tables[3] = tables[4] = tables[2]  # three tags of one vocabulary
    popularity = rng.permutation(1 / np.sqrt(np.arange(1, n_items + 1)))
    share = np.log1p(popularity * np.sqrt(n_items)) / np.log1p(np.sqrt(n_items))
    items = np.empty((n_items, FACTORS + 1), np.float32)
    for start in range(0, n_items, AT_ONCE):
        part = slice(start, min(start + AT_ONCE, n_items))
        n = part.stop - part.start
        own = rng.standard_normal((n, FACTORS)) * (0.12 * (1 + 1.5 * share[part]))[:, None]
        vectors = [own, tables[0][rng.integers(0, 50, n)]]  # then brands and tags, some of them frequent
        vectors += [table[(len(table) * rng.random(n) ** 2).astype(int)] for table in tables[1:]]
        total = np.sum(vectors, axis=0)
        pairs = 0.5 * (total**2 - np.sum(np.square(vectors), axis=0)).sum(axis=1)
        items[part, :-1], items[part, -1] = total, pairs + 0.25 * np.log(popularity[part] * np.sqrt(n_items))
    items[:, -1] -= items[:, -1].mean()
    return items


def fm_queries(items: Floats32, n_queries: int, *, seed: int = 1) -> Floats32:
    """Return (n_queries, 33): a user, the mean of 8 items of a history, a context; 1 at the end.

    The deviation of <query, item> without the last coordinate, over items, is about 0.73.
    """
    rng = np.random.default_rng(seed)
    history = items[rng.integers(0, len(items), (n_queries, 8)), :-1].mean(axis=1)
    context = rng.normal(0, 0.2, (20, FACTORS))[rng.integers(0, 20, n_queries)]
    queries = rng.normal(0, 0.12, (n_queries, FACTORS)) + 2.2 * history + context
    return np.column_stack([queries, np.ones(n_queries)]).astype(np.float32)
