"""What a client needs to know of a recommender: roles, columns, values to choose from."""

from __future__ import annotations

from typing import Any

from crossfm.data.columns import Numeric
from crossfm.recommender.catalogue import Catalogue

SHOWN = 50  # values of a column


def describe(model: Any, items: Catalogue) -> dict[str, Any]:
    """Return roles and columns of ``model``; a column has its name, kind and the first values by frequency."""
    encoder = model.context_encoder_
    context = [] if encoder is None else _columns(encoder, encoder.fields)
    ranking = model.ranking_
    channels = {"channels": dict(model.channels)} if model.channels else {}
    return {
        "user": model.user,
        "item": model.item,
        "time": model.time,
        "title": items.title,
        "item_time": items.item_time,
        "context": context,
        "user_columns": _columns(model.users_.encoder, model.users_.encoder.fields[1:]),
        "item_columns": of_items(items),
        "history": model.history,
        "retriever": type(model.retriever_).__name__,
        "ranker": None if ranking is None else ranking.name,
        "n_candidates": model.n_candidates,
        **channels,
    }


def _columns(encoder: Any, names: Any) -> list[dict[str, Any]]:
    by_name = {column.name: column for column in encoder.columns}
    return [_column(encoder, by_name[name]) for name in names]


def _column(encoder: Any, column: Any) -> dict[str, Any]:
    values = None
    if not isinstance(column, Numeric) and getattr(column, "hash_buckets", None) is None:
        values = encoder.vocabulary(column.name)[:SHOWN].to_pylist()
    return {"name": column.name, "kind": column.kind, "values": values}


def of_items(items: Catalogue) -> list[dict[str, Any]]:
    """Return the attributes that items can be filtered by; long texts such as titles are left out."""
    out = []
    side = items.shelf.side
    for name in side.table.column_names:
        if name in (side.column, items.title):
            continue
        kind = side.table[name].type
        numeric = "int" in str(kind) or "float" in str(kind) or "double" in str(kind)
        values = items.filters.values(name)
        few = len(values.names) <= max(SHOWN, len(values) // 10)
        shown = values.frequent(SHOWN) if few else None
        out.append({"name": name, "kind": "numeric" if numeric else "categorical", "values": shown})
    return out
