"""Training of the second stage: on impressions, or on what recall brings up beside each choice.

A machine of recall that was trained on an interaction puts its item too high to be beaten by what it recalls beside it.
So without impressions the log is cut in time: recall learns from the earlier part alone, and is asked for candidates
for the queries of the later part, which the ranking learns from; then recall learns from everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.core.random import stream
from crossfm.data.rows import Rows
from crossfm.errors import DataError, OptionError
from crossfm.estimators.ranker import FMRanker
from crossfm.kernels.topk import top_items
from crossfm.recommender.ranking import Ranking, of_lists
from crossfm.recommender.seen import Positions, Seen
from crossfm.scoring.decompose import item_vectors, query_vectors
from crossfm.solvers.platt import platt

QUERIES_AT_ONCE = 2_000
HELD = 0.1  # of the examples, the latest ones: for calibration


@dataclass(frozen=True, eq=False)
class Examples:
    """Queries with items that were chosen or not.

    Attributes
    ----------
    queries : Rows (n_queries, ...)
    query : int64 (n,)
        The query of each example, rising.
    item : int64 (n,)
        Position in the catalogue.
    label : float64 (n,)
        1 for chosen, 0 for not.
    weight : float64 (n,)
        What an example stands for: more than 1 where only some of those not chosen were drawn.
    place : float32 (n,)
        Recall's score, in deviations from the mean of the list that it was found in.
    """

    queries: Rows
    query: Positions
    item: Positions
    label: NDArray[np.float64]
    weight: NDArray[np.float64]
    place: NDArray[np.float32]

    def part(self, of_query: NDArray[np.bool_]) -> Examples:
        """Return the examples of some queries (a mask)."""
        keep = of_query[self.query]
        each = (self.query, self.item, self.label, self.weight, self.place)
        query, item, label, weight, place = (array[keep] for array in each)
        return Examples(self.queries, query, item, label, weight, place)  # type: ignore[arg-type]


def recalled_examples(
    retriever: FMRanker,
    queries: Rows,
    chosen: Positions,
    user: Positions,
    seen: Seen,
    items: Rows,
    *,
    n_candidates: int,
    n_negatives: int,
    seed: Any,
) -> Examples:
    """Return each choice that recall finds, and ``n_negatives`` drawn from the ``n_candidates`` found beside it.

    Choices beyond these are left out: the ranking will never see such, and beside negatives that recall puts high they
    would teach that a low place is a good sign. What its user has chosen at any time is no negative.

    Parameters
    ----------
    retriever : fitted FMRanker
        Must not have learnt from these choices.
    queries : Rows (n, ...)
    chosen, user : int64 (n,)
    seen : Seen
        All choices of each user.
    items : Rows (n_items, ...)
        The catalogue, with ids behind those of the queries.
    """
    rng = stream(seed, "ranking negatives")
    params = retriever.params_
    vectors = np.ascontiguousarray(item_vectors(items, params).T)
    n_best = min(n_candidates, items.n_rows)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, len(chosen), QUERIES_AT_ONCE):
        rows = np.arange(start, min(start + QUERIES_AT_ONCE, len(chosen)))
        q, _ = query_vectors(queries.take(rows), params)
        found, best = top_items(q, vectors, n_best, skip=seen.skip(user[rows], np.empty(0, np.int64)))
        own = (q * vectors[:, chosen[rows]].T).sum(axis=1)
        recalled = own > best[:, -1]  # others will never be ranked: -inf where the list is not full
        rows, found, best, own = rows[recalled], found[recalled], best[recalled], own[recalled]
        mean, spread = of_lists(best)
        own, best = (own - mean) / spread, (best - mean[:, None]) / spread[:, None]
        n_found = (found >= 0).sum(axis=1)
        n_drawn = np.minimum(n_found, n_negatives)
        keys = np.where(found >= 0, rng.random(found.shape), np.inf)
        drawn = np.argsort(keys, axis=1)[:, :n_negatives]
        kept = np.arange(drawn.shape[1]) < n_drawn[:, None]
        standing_for = np.repeat(n_found / np.maximum(n_drawn, 1), n_drawn)
        parts.append((rows, chosen[rows], np.ones(len(rows)), np.ones(len(rows)), own))
        item, place = (np.take_along_axis(each, drawn, 1)[kept] for each in (found, best))
        parts.append((np.repeat(rows, n_drawn), item, np.zeros(len(item)), standing_for, place))
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Examples(queries, *(column[order] for column in columns))


def fit_ranking(
    estimator: Any,
    retriever: FMRanker,
    examples: Examples,
    items: Rows,
    n_query_fields: int,
    n_fields: int,
) -> Ranking:
    """Fit ``estimator``, a clone that is free to be changed, starting at the retriever's vectors.

    The latest tenth of the queries is held out to calibrate probabilities by. Raises ``OptionError`` for an estimator
    that neither classifies nor ranks, or whose ``n_factors`` are others than the retriever's.
    """
    kind = type(estimator).__name__
    if not hasattr(estimator, "begin_at") or not kind.endswith(("Classifier", "Ranker")):
        raise OptionError(f"ranker is a {kind}, but a classifier or ranker of crossfm is expected")
    ranking = Ranking(estimator.begin_at(with_place(retriever.params_)), n_query_fields, n_fields)
    held = np.zeros(len(examples.queries), bool)
    held[int((1 - HELD) * len(held)) :] = True
    train = examples.part(~held)
    if len(np.unique(train.label)) < 2:
        raise DataError(
            "ranking needs items that were chosen and items that were not; there is one kind alone"
        )
    rows = _rows(ranking, train, items)
    if kind.endswith("Ranker"):
        estimator.fit(rows, train.label, groups=train.query)
    else:
        estimator.fit(rows, train.label.astype(np.int64))
    rest = examples.part(held)
    if len(np.unique(rest.label)) == 2:
        ranking.calibration = platt(ranking.raw(_rows(ranking, rest, items)), rest.label, rest.weight)
    return ranking


def with_place(params: FMParams) -> FMParams:
    """Return recall's parameters with one feature more, the place: its weight is 1, others start without weights."""
    w = np.zeros(params.n_features + 1, np.float32)
    w[-1] = 1.0
    V = np.concatenate([params.V, np.zeros((1, params.n_factors), np.float32)])
    return FMParams(0.0, w, V)


def _rows(ranking: Ranking, examples: Examples, items: Rows) -> Rows:
    return ranking.joined(examples.queries.take(examples.query), items.take(examples.item), examples.place)
