"""A recommender of any size whose numbers are drawn and not learnt: what a server holds, without the training.

Items are the sum of an id, a category, a brand and three tags, with popular ids longer and first-order weights by
Zipf's law; queries are a user with age and country, the hour, the device and 20 items of history. Encoders, index,
second stage and file are the package's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfm import FMRanker, Recommender
from crossfm.data.columns import Categorical, MultiCategorical, Numeric
from crossfm.recommender.fit_ranking import with_signals
from crossfm.recommender.ranking import Ranking
from crossfm.recommender.signals import N_FIELDS, NUMBERS, Signals
from crossfm.scoring.decompose import query_vectors

COLUMNS = [
    *(Categorical(name) for name in ("user", "item", "country", "hour", "device", "category", "brand")),
    *(Numeric("age"), Numeric("price"), MultiCategorical("tags", separator="|", combiner="mean")),
]
EVENTS_A_USER = 25
SHOWN = 4_000  # impressions that the second stage learns from: not to be good, but to have weights


def items_of(n: int, rng: np.random.Generator) -> pa.Table:
    """Return a table of ``n`` items with titles and attributes."""
    tags = pa.array([f"tag{at}" for at in range(300)])
    drawn = tags.take(pa.array(rng.zipf(1.3, (n, 3)).ravel() % 300))
    cells = pa.FixedSizeListArray.from_arrays(drawn, 3).cast(pa.list_(pa.string()))
    ids = pa.array(np.arange(n)).cast(pa.string())
    text = {
        "item": pc.binary_join_element_wise("i", ids, ""),
        "title": pc.binary_join_element_wise("The title of item", ids, " "),
        "tags": pc.binary_join(cells, "|"),
    }
    codes = {"category": rng.zipf(1.2, n) % 60, "brand": rng.zipf(1.2, n) % max(20, n // 200)}
    other = {
        name: pc.binary_join_element_wise(name, pa.array(code).cast(pa.string()), "")
        for name, code in codes.items()
    }
    return pa.table(
        {**text, **other, "price": np.exp(rng.normal(3, 1, n)).round(2), "year": rng.integers(1980, 2027, n)}
    )


def log_of(n_users: int, n_items: int, rng: np.random.Generator) -> pa.Table:
    """Return interactions: each user has ``EVENTS_A_USER``, popular items more of them."""
    n = n_users * EVENTS_A_USER
    item = (n_items * rng.random(n) ** 3).astype(np.int64)
    return pa.table(
        {
            "user": np.repeat(np.arange(n_users), EVENTS_A_USER),
            "item": pc.binary_join_element_wise("i", pa.array(item).cast(pa.string()), ""),
            "time": np.tile(np.arange(EVENTS_A_USER, dtype=np.float64), n_users),
            "hour": (rng.integers(0, 24, n)),
            "device": np.array(["phone", "tablet", "desktop"])[rng.integers(0, 3, n)],
        }
    )


def users_of(n: int, rng: np.random.Generator) -> pa.Table:
    """Return a table of users."""
    country = np.array([f"country{at}" for at in range(50)])[rng.zipf(1.3, n) % 50]
    return pa.table({"user": np.arange(n), "age": rng.integers(14, 90, n), "country": country})


def recommender(
    n_items: int, n_users: int = 20_000, *, n_candidates: int = 500, ranker: Any = None, seed: int = 0
) -> Recommender:
    """Return a recommender that is ready to be saved and served; without ``ranker`` it has one stage."""
    rng = np.random.default_rng(seed)
    log, users, items = log_of(n_users, n_items, rng), users_of(n_users, rng), items_of(n_items, rng)
    model = Recommender(
        user="user",
        item="item",
        time="time",
        context=["hour", "device"],
        columns=COLUMNS,
        history=20,
        retriever=FMRanker(
            n_factors=16 if ranker is None else ranker.n_factors, max_iter=1, random_state=seed
        ),
        title="title",
        n_candidates=n_candidates,
    )
    model._index = lambda index=None: None  # type: ignore[method-assign]  # made once, of the numbers drawn below
    model.fit(log, users=users, items=items)
    del model.__dict__["_index"]
    draw(model, rng)
    model._index()
    if ranker is not None:
        rank(model, log, rng, ranker)
    return model


def draw(model: Recommender, rng: np.random.Generator) -> None:
    """Put drawn parameters in the place of learnt ones."""
    retriever, n = model.retriever_, len(model.items_.ids)
    params = retriever.params_
    V = rng.standard_normal(params.V.shape, np.float32) * np.float32(0.35 / np.sqrt(params.n_factors))
    w = rng.standard_normal(len(V), np.float32) * np.float32(0.05)
    rank = np.arange(n, dtype=np.float32)
    ids = slice(
        retriever.n_query_features_ + 2, retriever.n_query_features_ + 2 + n
    )  # behind missing and unseen
    V[ids] *= (1 + 1 / np.sqrt(1 + rank))[:, None]
    w[ids] += 0.6 - 0.06 * np.log(1 + rank)
    drawn = replace(params, V=V, w=w)
    retriever._machines = [retriever._machine.from_arrays(drawn.to_arrays())]
    model.query_sample_ = query_vectors(model.queries(np.arange(1_000)), drawn)[0]


def rank(model: Recommender, log: pa.Table, rng: np.random.Generator, ranker: Any) -> None:
    """Fit the second stage on a few rows with drawn labels; it starts at the vectors of recall."""
    user = model.users_.ids.positions(log["user"], "user")
    item = model.items_.ids.positions(log["item"], "item")
    order = np.argsort(log["time"].to_numpy(), kind="stable")
    n_users, n_items, n_fields = len(model.users_.ids), len(model.items_.ids), len(model.field_names())
    signals = Signals.fit(user[order], item[order], n_users=n_users, n_items=n_items, n_log=len(log))
    left, end = n_fields - len(model.items_.encoder.fields), n_fields + N_FIELDS
    model.ranking_ = ranking = Ranking(ranker, signals, left, end, model.n_candidates)
    shown = rng.choice(len(log), SHOWN, replace=False)
    queries = model.queries(log.select(["user", "hour", "device"]).take(shown))
    numbers = rng.standard_normal((SHOWN, len(NUMBERS)), np.float32)
    rows = ranking.joined(queries, model._catalogue.take(item[shown]), numbers, np.full(SHOWN, EVENTS_A_USER))
    ranker.begin_at(with_signals(model.retriever_.params_, 0.0, 0)).fit(rows, rng.integers(0, 2, SHOWN))
