"""Training of a ranker on all pairs of query and item: ``loss="ensfm"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper, check_count, check_number, thread_count
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.kernels.embedding import RULES
from crossfm.solvers.epochs import Plan
from crossfm.solvers.pairwise import POPULARITY_POWER, own_features_start
from crossfm.solvers.whole import WholeData, WholePass

if TYPE_CHECKING:
    from crossfm.estimators.ranker import FMRanker

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def check_whole(model: FMRanker) -> None:
    """Raise ``OptionError`` for options that the whole-data loss cannot take."""
    check_number("negative_weight", model.negative_weight, above=True)
    check_count("batch_size", model.batch_size, low=1)
    if model.loss == "ensfm" and model.solver not in RULES:
        raise OptionError(
            f"solver={model.solver!r}, but loss='ensfm' moves a feature once for many queries: use one of "
            f"{', '.join(map(repr, RULES))}"
        )


def item_weights(chosen: Positions, n_items: int, weight: Any, negatives: str, mean: float) -> Floats:
    """Return the weight of each item (n_items,) where it was not chosen; ``mean`` is their mean.

    All alike, or for "popularity" proportional to (weight of its choices + 1)^0.75.
    """
    if negatives == "uniform":
        return np.full(n_items, mean)
    popular = (np.bincount(chosen, weight, n_items) + 1.0) ** POPULARITY_POWER
    return np.asarray(mean * popular / popular.mean())


def fit_whole(
    model: FMRanker, rows: Rows, items: Rows, chosen: Positions, groups: Any, hyper: Hyper, plan: Plan
) -> None:
    """Train the model's table on choices; ``items`` have their ids behind those of ``rows``."""
    negative = item_weights(chosen, items.n_rows, rows.weight, model.negatives, model.negative_weight)
    data = WholeData.of(rows, chosen, groups, negative, rows.weight)
    table = model._machines[0]
    table.start_w(own_features_start(items, data.best_constants()), hyper)
    step = WholePass(data, items, table, thread_count(model.n_threads)).step
    n_queries = len(data.queries)

    def visit(part: Positions, hyper: Hyper) -> float:
        batches = range(0, len(part), model.batch_size)
        return sum(step(part[at : at + model.batch_size] % n_queries, hyper) for at in batches)

    nnz = (rows.nnz + items.nnz * -(-n_queries // model.batch_size)) // n_queries
    model._run(visit, n_queries, nnz, hyper, plan, float(data.weight.mean(dtype=np.float64)))
