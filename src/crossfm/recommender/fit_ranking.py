"""Training of the second stage on examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.core.random import stream
from crossfm.data.rows import Rows
from crossfm.errors import DataError
from crossfm.metrics import per_user_ranking
from crossfm.recommender.examples import Examples
from crossfm.recommender.ranking import Ranking
from crossfm.recommender.seen import Positions, offsets
from crossfm.recommender.signals import N_FEATURES
from crossfm.solvers.platt import platt

HELD = 0.1  # of the lists: for calibration
TOP = 20
START_SCALE = 0.05  # of the vectors of signals


def fit_ranking(
    estimator: Any, ranking: Ranking, start: FMParams | None, examples: Examples, items: Rows, seed: Any
) -> Ranking:
    """Fit ``estimator``, a clone that is free to be changed, for ``ranking``, and return it.

    Parameters
    ----------
    start : FMParams or None
        Recall's parameters, which the machine starts at: they must know nothing of the examples.
    items : Rows (n_items, ...)
        The catalogue, with ids behind those of the queries.

    A tenth of the lists is held out to calibrate probabilities by. A list with n choices has the weight 1/sqrt(n) for
    each of its examples: between a vote for each choice and one for each list. Raises ``OptionError`` for an
    estimator that cannot start at ``start``, ``DataError`` where all examples are of one kind.
    """
    held = stream(seed, "held lists").random(len(examples.n_past)) < HELD
    train = examples.part(~held[examples.query])
    if len(np.unique(train.label)) < 2:
        raise DataError(
            "ranking needs items that were chosen and items that were not; there is one kind alone"
        )
    rows = rows_of(ranking, train, items)
    weight = list_weight(train)
    if start is not None:
        share = float(np.average(train.label, weights=weight))
        estimator.begin_at(with_signals(start, np.log(share / (1.0 - share)), seed))
    if type(estimator).__name__.endswith("Ranker"):
        estimator.fit(rows, train.label, groups=train.query, sample_weight=weight)
    else:
        estimator.fit(rows, train.label.astype(np.int64), sample_weight=weight)
    rest = examples.part(held[examples.query])
    if len(np.unique(rest.label)) == 2:
        score = ranking.raw(rows_of(ranking, rest, items))
        ranking.calibration = platt(score, rest.label, rest.stands)
        ranking.held = judged(rest, score)
    return ranking


def list_weight(examples: Examples) -> NDArray[np.float64]:
    """Return the weight (n,) of each example, of mean 1."""
    chosen = np.bincount(examples.query, examples.label, len(examples.n_past))
    weight = examples.stands / np.sqrt(np.maximum(chosen, 1))[examples.query]
    return np.asarray(weight / weight.mean())


def with_signals(params: FMParams, bias: float, seed: Any) -> FMParams:
    """Return recall's parameters with the signals behind them: recall's own has a weight, vectors are near 0."""
    n_signals = N_FEATURES
    w = np.zeros(len(params.w) + n_signals, np.float32)
    w[len(params.w)] = 0.5
    noise = stream(seed, "signals").normal(0.0, START_SCALE, (n_signals, params.n_factors))
    return FMParams(float(bias), w, np.concatenate([params.V, noise.astype(np.float32)]))


def rows_of(ranking: Ranking, examples: Examples, items: Rows) -> Rows:
    """Return the examples as rows of the machine."""
    queries, n_past = examples.queries.take(examples.query), examples.n_past[examples.query]
    return ranking.joined(queries, items.take(examples.item), examples.numbers, n_past)


def judged(examples: Examples, score: NDArray[np.float32]) -> dict[str, float]:
    """Return NDCG@20 of lists with a choice, in recall's order and in that of ``score`` (n,).

    Among the examples alone: some of those that were not chosen are not there.
    """
    _, query = np.unique(examples.query, return_inverse=True)
    chosen = examples.label > 0
    count = np.bincount(query, chosen)
    relevant = np.flatnonzero(chosen)[np.argsort(query[chosen], kind="stable")]
    out: dict[str, float] = {"lists": float((count > 0).sum())}
    for name, by in (("recall", examples.numbers[:, 0]), ("ranking", score)):
        values = per_user_ranking(_lists(query, by), offsets(count), relevant, (TOP,))
        out[name] = float(np.nanmean(values[f"ndcg@{TOP}"]))
    return out


def _lists(query: Positions, score: NDArray[np.float32]) -> Positions:
    """Return the examples of each query by falling score (n_queries, TOP), -1 where there are no more."""
    order = np.lexsort((-score, query))
    place = np.arange(len(order)) - np.searchsorted(query[order], query[order], side="left")
    lists = np.full((int(query.max()) + 1, TOP), -1, np.int64)
    top = place < TOP
    lists[query[order][top], place[top]] = order[top]
    return lists
