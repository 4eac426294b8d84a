"""What the index of recall misses, by comparison with exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from crossfm.kernels.topk import top_items
from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import Positions, Seen
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
    left = later.n_items - np.diff(later.skip[0])
    known = np.flatnonzero(model.known(later.queries) & (left > 0))
    chosen = known[np.unique(np.linspace(0, len(known) - 1, min(QUERIES, len(known))).astype(np.int64))]
    vectors, queries = model.item_vectors_, later.queries.take(chosen)
    q, _ = query_vectors(queries, model._machine)
    mine = Seen(*later.skip).of_users(chosen)
    exact, score = top_items(q, vectors, n, skip=(mine.indptr, mine.items), n_threads=model._threads)
    values = []
    for at, row in enumerate(chosen):
        found = _found_by(engine, model, later, int(row), n)
        there = exact[at] >= 0
        last = score[at][there][-1]
        least = last - SLACK * max(1.0, abs(float(last)))
        overlap = min(1.0, float((q[at] @ vectors[:, found] >= least).sum() / there.sum()))
        good = later.relevant[later.indptr[row] : later.indptr[row + 1]]
        values.append((overlap, np.isin(good, found).mean(), np.isin(good, exact[at]).mean()))
    means = np.mean(values, axis=0).tolist() if values else [None] * 3
    report = {"report": engine.index_report(), "n": n, "n_queries": len(values)}
    return report | dict(zip(("overlap", "recall", "exact_recall"), means, strict=True))


def _found_by(engine: Engine, model: Recommender, later: Later, row: int, n: int) -> Positions:
    """Return the positions of what the engine recalls for one user."""
    asked = later.asks.slice(row, 1).to_pylist()[0]
    user = asked.pop(model.user)
    context = {name: value for name, value in asked.items() if value is not None}
    found = [str(one.item) for one in engine.recall(Ask(user=user, n=n, context=context)).items]
    return model.items_.ids.positions(pa.array(found, pa.string()), model.item)
