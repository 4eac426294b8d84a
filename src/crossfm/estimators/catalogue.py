"""Training of a ranker on choices from a catalogue: with drawn negatives, or on all items at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper, check_count, check_number, thread_count
from crossfm.core.random import stream
from crossfm.data.rows import Rows
from crossfm.errors import DataError, OptionError
from crossfm.kernels.embedding import RULES
from crossfm.solvers.epochs import Plan
from crossfm.solvers.hard import HardNegatives
from crossfm.solvers.pairwise import (
    POPULARITY_POWER,
    CatalogueNegatives,
    own_features_start,
    popularity_start,
)
from crossfm.solvers.whole import WholeData, WholePass

if TYPE_CHECKING:
    from crossfm.estimators.ranker import FMRanker

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def check_hard(model: FMRanker) -> None:
    """Raise ``OptionError`` for options of hard negatives that mean nothing."""
    if check_number("hard_negatives", model.hard_negatives) > 1:
        raise OptionError(f"hard_negatives={model.hard_negatives:g}, but it is a share, from 0 to 1")
    if not model.hard_negatives:
        return
    check_count("hard_every", model.hard_every, low=1)
    ranks = model.hard_ranks
    if not (isinstance(ranks, (tuple, list)) and len(ranks) == 2):
        raise OptionError(f"hard_ranks={ranks!r}, but two ranks (low, high) are expected")
    check_count("hard_ranks[1]", ranks[1], low=check_count("hard_ranks[0]", ranks[0]) + 1)
    if model.loss not in ("bpr", "softmax"):
        raise OptionError(f"hard_negatives is for loss='bpr' and 'softmax', not {model.loss!r}")


def fit_choices(
    model: FMRanker,
    rows: Rows,
    items: Rows,
    chosen: Positions,
    groups: Any,
    owners: Any,
    hyper: Hyper,
    plan: Plan,
) -> None:
    """Train the model's table on choices with negatives; ``items`` have their ids behind those of ``rows``."""
    pool = CatalogueNegatives(chosen, groups, items.n_rows, model.negatives, rows.weight)
    if not pool.any_negative():
        raise DataError(
            f"the {items.n_rows} items of the catalogue leave nothing to compare with: what was chosen needs items "
            "that were not, inside its group"
        )
    table = model._machines[0]
    table.start_w(popularity_start(items, pool.count), hyper)
    rng, threads = stream(model.random_state, "negatives"), thread_count(model.n_threads)
    each = 1 if model.loss == "bpr" else model.n_negatives
    query_looks, item_looks = pool.looks(each)
    model._expect((rows, query_looks), (items, item_looks))
    more: dict[str, Any] = {"weight": rows.weight, "offset": pool.offset, "n_threads": threads}
    hard = _hard(model, rows, items, chosen, groups if owners is None else owners)
    negatives, epochs = pool.negatives, 0

    def begin_epoch() -> None:
        nonlocal negatives, epochs
        if hard is not None and epochs and epochs % model.hard_every == 0:
            negatives = hard.refreshed(pool.negatives, table.params(), threads)
        epochs += 1

    def visit(part: Positions, hyper: Hyper) -> float:
        which, seed = part % rows.n_rows, int(rng.integers(2**63))
        loss, used = model._choice_pass(
            rows, items, which, negatives, hyper, seed=seed, n_negatives=each, **more
        )
        return loss * len(part) / max(used, 1)  # as if the choices without a negative were like the others

    nnz = rows.nnz // rows.n_rows + (1 + each) * (items.nnz // items.n_rows)
    weight = 1.0 if rows.weight is None else float(rows.weight.mean(dtype=np.float64))
    model._run(visit, rows.n_rows, nnz, hyper, plan, weight, begin_epoch)


def _hard(model: FMRanker, rows: Rows, items: Rows, chosen: Positions, owners: Any) -> HardNegatives | None:
    if not model.hard_negatives:
        return None
    low, high = model.hard_ranks
    if low >= items.n_rows:
        raise OptionError(f"hard_ranks={(low, high)} start behind the {items.n_rows} items of the catalogue")
    rng = stream(model.random_state, "hard negatives")
    return HardNegatives(rows, items, chosen, owners, (low, high), model.hard_negatives, rng)


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
