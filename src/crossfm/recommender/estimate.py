"""How much memory the training of a recommender will take, told before it begins.

The parts that grow with the data are counted: bytes of a row are its non-zeros (id, value and field: 12) and two
offsets. ``tests/recommender/test_estimate.py`` holds the sum beside what a process took.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.core.memory import available, show_size
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.infer import infer_columns
from crossfm.errors import MemoryLimitError
from crossfm.recommender.second_stage import MOST_LISTS, windows
from crossfm.recommender.signals import N_FEATURES, N_FIELDS, NEIGHBOURS
from crossfm.recommender.times import seconds_of

NONZERO = 12
OFFSETS = 24
QUERIES = 3  # copies of the log's rows: as learnt from, in the order of time, and what came before a window
LISTS = 3  # copies of the rows of lists: as written, put together, and as the machine takes them
FOUND = 0.5  # of what was chosen recall finds, which makes it an example
SAMPLE = 100_000  # cells that are counted of a column with several values
FAR = 1.5  # an estimate may be wrong by this factor
ADVICE = {
    "queries": "fewer items of history, or fewer interactions",
    "lists": "a smaller ranker_share or ranker_negatives ([ranking] share, negatives)",
    "machines": "fewer factors, or a smaller machine for the ranking (fm)",
    "items": "fewer columns of the items, or fewer factors",
}


def training_memory(
    model: Any, log: Any, users: Any, items: Any, impressions: Any = None
) -> dict[str, float]:
    """Return bytes by part that ``model.fit`` of these tables will take, beside the tables themselves.

    Parameters
    ----------
    model : Recommender
        Not fitted.
    log, users, items, impressions : pyarrow.Table or None
        As ``fit`` takes them.

    Returns
    -------
    dict
        "queries" (rows of the log), "lists" (what the second stage learns from), "machines" (parameters, optimizers,
        copies), "items" (rows, vectors, index, neighbours).
    """
    user, n_users = _codes(log[model.user])
    _, n_items = _codes(log[model.item])
    n_users, n_items = _more(n_users, users), _more(n_items, items)
    own_width, own_features = _side(model, users, model.user, n_users)
    item_width, item_features = _side(model, items, model.item, n_items)
    for name in model.context:
        width, features = _encoded(log, _column(model, log, name))
        own_width, own_features = own_width + width, own_features + features
    past = float(np.minimum(_order_in_user(user), model.history).mean()) if model.history else 0.0
    width = own_width + past
    features = own_features + item_features + (n_items if model.history else 0)
    row, item_row = NONZERO * width + OFFSETS, NONZERO * item_width + OFFSETS
    factors = 1 + (16 if model.retriever is None else model.retriever.n_factors)
    machines, lists = 3.0 * 4 * features * factors, 0.0
    if model.ranker is not None:
        n_fields = len(_names(model, users, items)) + N_FIELDS
        size = _size(model.ranker, n_fields)
        machines += 4.0 * 4 * features * factors + 3.0 * 4 * (features + N_FEATURES) * size
        example = NONZERO * (width + item_width + N_FIELDS) + OFFSETS + 60
        lists = LISTS * _examples(model, log, user, impressions) * example
    return {
        "queries": len(log) * (QUERIES * row + NONZERO * own_width + 2 * OFFSETS),
        "lists": lists,
        "machines": machines,
        "items": n_items
        * (2 * item_row + 4 * 4 * factors + (16 * NEIGHBOURS if model.ranker is not None else 0)),
    }


def tell_memory(parts: dict[str, float], free: int | None = None) -> str:
    """Return a line about an estimate; ``free`` bytes default to what the machine has.

    Raises ``MemoryLimitError`` where it is certain not to fit, and says what would take less.
    """
    free = available() if free is None else free
    needed, most = sum(parts.values()), max(parts, key=lambda name: parts[name])
    told = ", ".join(f"{show_size(size)} {name}" for name, size in parts.items() if size)
    line = f"memory: about {show_size(needed)} for the training ({told})"
    if free is None:
        return line
    if needed > FAR * free:
        raise MemoryLimitError(
            f"the training would take about {show_size(needed)} ({told}), but {show_size(free)} of memory are free. "
            f"Take {ADVICE[most]}."
        )
    warning = f"; that may be too much: {ADVICE[most]} would take less" if FAR * needed > free else ""
    return f"{line}, {show_size(free)} are free{warning}"


def _codes(column: Any) -> tuple[NDArray[np.int64], int]:
    coded = pc.dictionary_encode(column.combine_chunks() if hasattr(column, "combine_chunks") else column)
    missing = len(coded.dictionary)
    return np.asarray(coded.indices.fill_null(missing)).astype(np.int64), missing + 1


def _more(known: int, table: Any) -> int:
    return known if table is None else max(known, len(table))


def _order_in_user(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many rows of the same user stand before each row (n,), in any order."""
    count = np.bincount(user)
    return np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)


def _column(model: Any, table: Any, name: str) -> Column:
    given = [column for column in model.columns or () if column.name == name]
    return given[0] if given else infer_columns(table.select([name]).slice(0, SAMPLE))[0]


def _names(model: Any, users: Any, items: Any) -> list[str]:
    """Return the names of the fields of a query and an item."""
    there = [name for table in (users, items) if table is not None for name in table.column_names]
    own = [name for name in there if name not in (model.user, model.item) and _is_feature(model, name)]
    return [model.user, model.item, *own, *model.context, *(["history"] if model.history else [])]


def _is_feature(model: Any, name: str) -> bool:
    if model.columns is None:
        return name not in (model.title, model.item_time)
    return any(column.name == name for column in model.columns)


def _side(model: Any, table: Any, key: str, n: int) -> tuple[float, int]:
    """Return non-zeros of a row of users or items and the number of features, the id among them."""
    width, features = 1.0, n + 2
    for name in () if table is None else table.column_names:
        if name != key and _is_feature(model, name):
            more, new = _encoded(table, _column(model, table, name))
            width, features = width + more, features + new
    return width, features


def _encoded(table: Any, column: Column) -> tuple[float, int]:
    """Return the mean number of non-zeros of a cell, and how many features the column has."""
    if isinstance(column, Numeric):
        return 1.0, 2
    cells = table[column.name]
    if isinstance(column, MultiCategorical):
        some = cells.slice(0, SAMPLE)
        parts = pc.split_pattern(some.cast("string"), column.separator) if column.separator else some
        return float(pc.mean(pc.list_value_length(parts)).as_py() or 0.0), len(
            pc.unique(pc.list_flatten(parts))
        )
    assert isinstance(column, Categorical)
    return 1.0, int(pc.count_distinct(cells).as_py()) + 2


def _size(ranker: Any, n_fields: int) -> int:
    """Return the numbers that the second stage has for each feature."""
    factors: int = ranker.n_factors
    return 1 + factors * (n_fields if type(ranker).__name__.startswith("FFM") else 1)


def _examples(model: Any, log: Any, user: NDArray[np.int64], impressions: Any) -> float:
    """Return how many items the lists of the second stage have in all."""
    if impressions is not None:
        return float(len(impressions))
    asks = user  # one list for each user in each context
    for name in model.context:
        codes, n_codes = _codes(log[name])
        asks = np.unique(asks * n_codes + codes, return_inverse=True)[1]
    order = np.arange(len(user))
    if model.time is not None:
        order = np.argsort(seconds_of(log[model.time], model.time), kind="stable")
    lists, chosen = 0, 0.0
    for begin, end in windows(len(user), model.ranker_share):
        asked = len(np.unique(asks[order[begin:end]]))
        lists += min(asked, MOST_LISTS)
        chosen += FOUND * (end - begin) * min(1.0, MOST_LISTS / asked)
    return float(lists * min(model.ranker_negatives, model.n_candidates) + chosen)
