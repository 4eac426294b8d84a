"""Settings of a recommender and the tables it gets, checked before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossfm.core.options import check_count, check_number, thread_count
from crossfm.errors import ColumnError, DataError, OptionError
from crossfm.estimators.ranker import FMRanker
from crossfm.recommender.channels.kinds import check_channels
from crossfm.recommender.defaults import N_FACTORS
from crossfm.recommender.history import FIELD
from crossfm.recommender.side import need


def check_settings(model: Any, log: Any, users: Any, items: Any) -> None:
    """Refuse settings of a recommender that mean nothing, and columns that are not there."""
    roles = (model.user, model.item, *model.context)
    twice = next((name for name in roles if roles.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"column {twice!r} cannot be two of user, item and context; name another column")
    if answer := {model.user, model.item} & {"rank", "score", "source"}:
        raise OptionError(f"column {min(answer)!r} is also one of the answer's; rename it")
    if model.retriever is not None and not isinstance(model.retriever, FMRanker):
        kind = type(model.retriever).__name__
        raise OptionError(f"retriever is a {kind}, but it must be an FMRanker or None")
    _check_retriever(model.retriever)
    for name in (*roles, *([model.time] if model.time else [])):
        need(log, name, "the table of interactions")
    if log.num_rows == 0:
        raise DataError("the table of interactions has no rows")
    check_count("n_candidates", model.n_candidates, low=1)
    check_channels(model.channels, model.n_candidates, model.item_time)
    thread_count(model.n_threads)
    check_count("history", model.history)
    check_count("ranker_negatives", model.ranker_negatives, low=1)
    if not 0 < check_number("ranker_share", model.ranker_share) < 1:
        raise OptionError(f"ranker_share={model.ranker_share}, but it is a share between 0 and 1")
    if model.half_life is None and not model.history and model.ranker is None and model.time is not None:
        raise OptionError(
            f"time={model.time!r} is there for half_life, history and ranker, which are not asked for; give one of "
            "them, or no time"
        )
    if model.ranker is not None:
        _check_ranker(model.ranker, model.retriever)
    if model.half_life is not None:
        check_number("half_life", model.half_life, above=True)
        if model.time is None:
            raise OptionError("half_life needs time, the column that says when each interaction was")
    check_number("freshness_half_life", model.freshness_half_life, above=True)
    for role in ("title", "item_time"):
        shown = getattr(model, role)
        if shown is not None and (items is None or shown not in items.column_names):
            has = "there is none" if items is None else f"it has {items.column_names}"
            raise ColumnError(f"{role}={shown!r} is to be a column of the table of items, but {has}")
    sides = [side.column_names for side in (users, items) if side is not None]
    if model.history and FIELD in {*roles}.union(*sides):
        raise OptionError(
            f"column {FIELD!r} is the name of what history=... makes of the log; rename the column"
        )
    there = {model.user, model.item, *model.context}.union(*sides)
    for column in model.columns or ():
        if column.name not in there:
            raise ColumnError(
                f"columns has {column.name!r}, but it is no id, no context column and in no table of features: "
                f"these have {sorted(there)}"
            )
    _check_shared(model, users, items)


def _check_retriever(retriever: Any) -> None:
    """Refuse before training the networks whose score is no inner product."""
    network = getattr(retriever, "model", None)
    layers = getattr(retriever, "hidden", None)
    if network in (None, "fm", "fwfm") or (network == "nfm" and layers is not None and not np.size(layers)):
        return
    what = f"{network!r} network" + (" with hidden layers" if network == "nfm" else "")
    raise OptionError(
        f"the retriever is a {what}, whose layers read query and item together: no index can search it. Recall with "
        "FMRanker, or with the model 'fm', 'fwfm', or 'nfm' with hidden=(); rank with this one."
    )


def _check_ranker(ranker: Any, retriever: Any) -> None:
    kind = type(ranker).__name__
    if not hasattr(ranker, "begin_at") or not kind.endswith(("Classifier", "Ranker")):
        raise OptionError(f"ranker is a {kind}, but a classifier or ranker of crossfm is expected")
    n_factors = N_FACTORS if retriever is None else retriever.n_factors
    if ranker.n_factors != n_factors:
        raise OptionError(
            f"ranker has n_factors={ranker.n_factors}, but it starts at vectors of the retriever, which has "
            f"n_factors={n_factors}: give both the same"
        )


def _check_shared(model: Any, users: Any, items: Any) -> None:
    sides = [
        {model.user, *(() if users is None else users.column_names)},
        {model.item, *(() if items is None else items.column_names)},
        set(model.context),
    ]
    for column in model.columns or ():
        share = getattr(column, "share", None)
        if share is not None and not any({column.name, share} <= side for side in sides):
            raise OptionError(
                f"column {column.name!r} shares the vocabulary of {share!r}, but they are not both of users, of "
                "items or of the context, each of which has features of its own"
            )
