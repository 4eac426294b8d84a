"""From the log or the impressions of a recommender to its second stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.errors import ColumnError, DataError, LabelError
from crossfm.recommender.fit_ranking import QUERIES_AT_ONCE, Examples, fit_ranking, recalled_examples
from crossfm.recommender.history import before
from crossfm.recommender.ranking import Ranking, of_lists
from crossfm.recommender.seen import Positions
from crossfm.recommender.side import need
from crossfm.recommender.times import seconds_of
from crossfm.scoring.decompose import query_vectors


@dataclass(frozen=True, eq=False)
class Log:
    """Encoded interactions: query rows, positions of user and item, times and weights (n,), the last two if any."""

    queries: Rows
    user: Positions
    item: Positions
    seconds: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None


def fit_second_stage(model: Any, log: Log, impressions: Any) -> Ranking:
    """Fit ``model.ranker`` on ``impressions`` (a table), or where it is None on the later part of the log."""
    from sklearn.base import clone

    if impressions is None:
        examples, retriever = _from_log(model, log)
    else:
        examples, retriever = _from_impressions(model, log, impressions), model.retriever_
    n_fields = len(model.field_names())
    left = n_fields - len(model.items_.encoder.fields)
    return fit_ranking(clone(model.ranker), retriever, examples, model._catalogue, left, n_fields + 1)


def _from_log(model: Any, log: Log) -> tuple[Examples, Any]:
    """Return examples of the later part, and the machine of recall that saw the earlier part alone."""
    order = np.arange(len(log.item)) if log.seconds is None else np.argsort(log.seconds, kind="stable")
    cut = int((1 - model.ranker_share) * len(order))
    early, late = order[:cut], order[cut:]
    if not len(early) or not len(late):
        raise DataError(f"{len(order)} interactions are too few to be cut in time for recall and ranking")
    retriever = model._new_retriever()
    weight = None if log.weight is None else log.weight[early]
    retriever.fit(
        log.queries.take(early),
        log.item[early],
        catalogue=model.items_.rows,
        sample_weight=weight,
        owners=log.user[early],
    )
    examples = recalled_examples(
        retriever,
        log.queries.take(late),
        log.item[late],
        log.user[late],
        model.seen_,
        model._catalogue,
        n_candidates=model.n_candidates,
        n_negatives=model.ranker_negatives,
        seed=retriever.random_state,
    )
    return examples, retriever


def _from_impressions(model: Any, log: Log, table: Any) -> Examples:
    for name in (model.user, model.item, model.label):
        need(table, name, "the table of impressions")
    item = model.items_.ids.positions(table[model.item], model.item)
    table, item = (
        table.filter(pa.array(item >= 0)),
        item[item >= 0],
    )  # what is not in the catalogue is never ranked
    if not len(item):
        raise DataError("no impression is of an item of the catalogue")
    own, where = model.users_.encode(table.select([model.user]))
    queries = model._with_context(own, table)
    order = np.arange(len(item))
    if model.time is not None and model.time in table.column_names:
        seconds = seconds_of(table[model.time], model.time)
        order = np.argsort(seconds, kind="stable")
    if model.history:
        if log.seconds is None or model.time not in table.column_names:
            raise ColumnError(
                "impressions need the column of times, and the recommender time=...: what a user had done before each "
                "is a feature (history)"
            )
        known = before((log.user, log.item, log.seconds), where, seconds, model.history)
        queries = model._with_history(queries, known, model._n_known)
    label = _labels(table[model.label], model.label)
    n = len(order)
    queries, item = queries.take(order), item[order]
    place = _places(model, queries, item)
    return Examples(queries, np.arange(n), item, label[order], np.ones(n), place)


def _places(model: Any, queries: Rows, item: Positions) -> NDArray[np.float32]:
    """Return recall's score of one item a query, in deviations from the mean of the list that recall finds."""
    out = np.empty(len(item), np.float32)
    for start in range(0, len(item), QUERIES_AT_ONCE):
        block = slice(start, start + QUERIES_AT_ONCE)
        rows = queries.take(np.arange(len(item))[block])
        _, best = model.recall(rows, model.n_candidates)
        vectors, _ = query_vectors(rows, model._machine)
        mean, spread = of_lists(best)
        own = (vectors * model.index_.vectors(item[block])).sum(axis=1)
        out[block] = (own - mean) / spread
    return out


def _labels(column: Any, name: str) -> NDArray[np.float64]:
    try:
        label = np.asarray(column.to_numpy(), np.float64)
    except (TypeError, ValueError) as exc:
        raise LabelError(f"column {name!r} holds {column.type}, but labels are 0 and 1") from exc
    wrong = ~np.isin(label, (0.0, 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(f"row {row} of the impressions has the label {label[row]}, but labels are 0 and 1")
    return label
