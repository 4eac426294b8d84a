"""Recall is the machine's own order: the two-stage identity, end to end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crossfm import Categorical, FMRanker, MultiCategorical, Numeric, Recommender
from crossfm.data.rows import join_rows
from crossfm.kernels.fm import scores
from crossfm.recommender.index import ExactIndex
from crossfm.scoring.decompose import query_vectors
from movielens import movielens
from oracles import fm_score, top_items


def whole_scores(model: Recommender, queries: Any, which: int) -> np.ndarray:
    """The machine's score of every item for one query, row by joined row."""
    items = model._catalogue
    joined = join_rows(queries.take(np.full(items.n_rows, which)), items)
    return scores(joined, model.retriever_.params_).astype(np.float64)


def check_recall(model: Recommender, queries: Any, n: int) -> None:
    """Constant plus inner product is the score; recalled and ranked lists are those of brute force."""
    vectors, constants = query_vectors(queries, model.retriever_.params_)
    recalled, inner = model.recall(queries, n)
    ranked, _ = model.rank(queries, recalled, inner)
    for which in range(len(queries)):
        whole = whole_scores(model, queries, which)
        found = constants[which] + (vectors[which].astype(np.float64) @ model.item_vectors_)
        np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())
        np.testing.assert_allclose(
            constants[which] + inner[which],
            whole[recalled[which]],
            rtol=1e-5,
            atol=1e-5 * np.abs(whole).max(),
        )
        order = np.lexsort((np.arange(len(whole)), -whole))[:n]
        assert ranked[which].tolist() == order.tolist()
        # recall's own order is the same, but for scores that rounding cannot tell apart
        assert np.abs(whole[recalled[which]] - whole[order]).max() <= 2e-6 * np.abs(whole).max()


@pytest.mark.parametrize("n_factors", [0, 1, 5, 16])
@pytest.mark.parametrize("seed", range(3))
def test_recall_is_the_order_of_the_machine(n_factors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_users, n_items = 1500, 20, 150
    words = np.array(list("abcdefg"))

    def several(size: int) -> list[Any]:
        return [
            None if rng.random() < 0.1 else list(rng.choice(words, rng.integers(0, 5), False))
            for _ in range(size)
        ]

    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, n_users, n),
            "item_id": rng.integers(0, n_items, n),
            "hour": rng.integers(0, 24, n),
            "heat": rng.normal(20, 9, n),
            "query": several(n),
        }
    )
    users = pd.DataFrame(
        {"user_id": range(n_users), "age": rng.gamma(4, 9, n_users), "likes": several(n_users)}
    )
    items = pd.DataFrame(
        {
            "item_id": range(n_items),
            "price": rng.lognormal(2, 1, n_items),
            "weight": rng.normal(size=n_items),
            "tags": several(n_items),
        }
    )
    columns = [
        Numeric("age"), MultiCategorical("likes", combiner="mean"), Categorical("hour"), Numeric("heat"),
        MultiCategorical("query", combiner="sum"), Numeric("price", "log"), Numeric("weight"),
        MultiCategorical("tags", combiner="sqrtn"),
    ]  # fmt: skip
    model = Recommender(
        context=["hour", "heat", "query"],
        columns=columns,
        retriever=FMRanker(n_factors, learning_rate=0.2, max_iter=6, init_scale=0.5, random_state=seed),
    ).fit(log, users, items)
    asked = log[["user_id", "hour", "heat", "query"]].head(12)
    queries = model.queries(asked)
    check_recall(model, queries, 100)
    # and the joined row is what the oracle scores: every pair, from the parameters
    params = model.retriever_.params_
    joined = join_rows(queries.take(np.arange(12)), model._catalogue.take(np.arange(12)))
    at = joined.offsets()
    for row, value in enumerate(scores(joined, params)):
        part = slice(at[row], at[row + 1])
        entries = list(zip(joined.indices[part].tolist(), joined.value_of_each()[part].tolist(), strict=True))
        expected = fm_score(entries, params.bias, params.w, params.V)
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.fixture(scope="module")
def real() -> Any:
    ratings, users, items = movielens()
    columns = [
        Numeric("age"), Categorical("gender"), Categorical("occupation"), Categorical("hour"), Categorical("weekday"),
        MultiCategorical("genres", combiner="sqrtn"),
    ]  # fmt: skip
    model = Recommender(
        context=["hour", "weekday"], columns=columns, retriever=FMRanker(8, max_iter=4, random_state=0)
    ).fit(ratings, users, items)
    return model, ratings, items


def test_recall_is_the_order_of_the_machine_on_real_data(real: Any) -> None:
    model, ratings, _ = real
    asked = ratings[["user_id", "hour", "weekday"]].iloc[:: len(ratings) // 100]
    check_recall(model, model.queries(asked), 100)
    strangers = pd.DataFrame(
        {
            "user_id": [-1, -2],
            "age": [30, 60],
            "gender": ["F", "M"],
            "hour": [8, 23],
            "weekday": ["Monday", None],
        }
    )
    check_recall(model, model.queries(strangers), 100)


def test_parts_of_real_scores_add_up(real: Any) -> None:
    model, _, items = real
    table = model.recommend(22, 20, context={"hour": 20, "weekday": "Friday"}).to_pandas()
    explained = model.explain(22, table.item_id, context={"hour": 20, "weekday": "Friday"})
    np.testing.assert_allclose(explained.score(), table.score, rtol=1e-5)
    assert explained.names == [
        "user_id",
        "age",
        "gender",
        "occupation",
        "hour",
        "weekday",
        "item_id",
        "genres",
    ]
    assert set(table.item_id) <= set(items.item_id)


def test_an_exact_index_of_real_items_is_a_full_sort(real: Any) -> None:
    """Ids and order, ties included: vectors are rounded so that sums are exact in any order, and many are equal."""
    model, ratings, _ = real
    asked = ratings[["user_id", "hour", "weekday"]].iloc[:: len(ratings) // 25]
    queries = np.rint(8 * query_vectors(model.queries(asked), model.retriever_.params_)[0])
    items = np.rint(4 * model.item_vectors_.T)
    index = ExactIndex(items)
    where = model.users_.ids.positions(pa.array(asked.user_id), "user_id")
    indptr, seen = model.seen_.skip(where, np.zeros(0, np.int64))
    skip = [set(seen[a:b].tolist()) for a, b in pairwise(indptr)]
    rng = np.random.default_rng(0)
    for share in (1.0, 0.3, 0.02):
        allowed = rng.random(len(items)) < share
        expected = top_items(queries, items, 100, skip, set(np.flatnonzero(allowed).tolist()))
        ids, scores = index.search(queries, 100, skip=(indptr, seen), allowed=allowed)
        for row, pairs in enumerate(expected):
            assert ids[row][: len(pairs)].tolist() == [i for i, _ in pairs]
            assert scores[row][: len(pairs)].tolist() == [s for _, s in pairs]
            assert (ids[row][len(pairs) :] == -1).all()
        if share == 1.0:
            assert any(len(set(scores[row].tolist())) < 90 for row in range(len(queries)))  # ties there are
