"""What the index of recall misses, by comparison with exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.index import ExactIndex
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import skip_of
from crossfm.scoring.decompose import query_vectors

QUERIES = 300
SLACK = 1e-5  # of a score: equal scores may come in another order


def index_loss(model: Recommender, later: Later, n: int, engine: Engine | None = None) -> dict[str, Any]:
    """Ask the engine, with its index, for ``n`` items of up to 300 users of the test, and compare with exact search.

    Returns the index's own "report", "n", "n_queries", "overlap" (share of the exact ``n`` that the index found; items
    with the score of the last one count as found), "recall" and "exact_recall" (share of the relevant items among the
    ``n`` of each), averages over users; numbers are None when nothing is known about any user.
    """
    engine = engine or Engine(model)
    n = min(n, later.n_items)
    known = np.flatnonzero(model.known(later.queries))
    chosen = known[np.unique(np.linspace(0, len(known) - 1, min(QUERIES, len(known))).astype(np.int64))]
    left = later.n_items - np.diff(later.skip[0])
    exact = ExactIndex(model.index_.vectors(np.arange(later.n_items)))
    values = np.array([_of_user(model, later, int(row), n, engine, exact) for row in chosen if left[row]])
    names = ("overlap", "recall", "exact_recall")
    means = values.mean(axis=0).tolist() if len(values) else [None] * 3
    report = {"report": engine.index_report(), "n": n, "n_queries": len(values)}
    return report | dict(zip(names, means, strict=True))


def _of_user(
    model: Recommender, later: Later, row: int, n: int, engine: Engine, whole: ExactIndex
) -> tuple[float, float, float]:
    asked = later.asks.slice(row, 1).to_pylist()[0]
    user = asked.pop(model.user)
    context = {name: value for name, value in asked.items() if value is not None}
    found = [one.item for one in engine.recall(Ask(user=user, n=n, context=context)).items]
    mine = model.items_.ids.positions(pa.array([str(one) for one in found], pa.string()), model.item)
    query = later.queries.take(np.array([row]))
    vector, _ = query_vectors(query, model._machine)
    exact, score = whole.search(vector, n, skip=skip_of(later.skip, slice(row, row + 1)))
    exact, score = exact[0][exact[0] >= 0], score[0][exact[0] >= 0]
    least = score[-1] - SLACK * max(1.0, abs(float(score[-1])))
    overlap = float((whole.vectors(mine) @ vector[0] >= least).sum() / len(exact))
    good = later.relevant[later.indptr[row] : later.indptr[row + 1]]
    return min(1.0, overlap), float(np.isin(good, mine).mean()), float(np.isin(good, exact).mean())
