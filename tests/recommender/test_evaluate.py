"""Evaluation against naive lists, relevant sets and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import oracles
from contracts import RECOMMENDER_COLUMNS, visits
from crossfm import Categorical, FMRanker, MultiCategorical, Numeric, Recommender
from crossfm.errors import ColumnError, CrossFMError, DataError, OptionError
from crossfm.metrics import bootstrap_interval
from crossfm.recommender import evaluate as evaluate_module
from crossfm.recommender.evaluate import evaluate
from movielens import movielens

KS = (2, 5)
STRANGER, NEWCOMER, NOBODY = 901, 902, 105  # unknown; unknown, in the day only; in the table of users only


@pytest.fixture(scope="module")
def trained() -> Recommender:
    log, users, items = visits(250)
    ranker = FMRanker(4, max_iter=10, learning_rate=0.1, random_state=0)
    log = log[log.user_id != NOBODY]
    return Recommender(
        context=["part"], time="when", half_life=3.0, columns=RECOMMENDER_COLUMNS, retriever=ranker
    ).fit(log, users, items)


@pytest.fixture(scope="module")
def test_log() -> pd.DataFrame:
    """Later visits: repeats of old ones, repeats among themselves, unknown users and items."""
    log = visits(160, seed=5)[0]
    log = log[log.user_id > 103]
    more = pd.DataFrame(
        {
            "user_id": [STRANGER, STRANGER, NEWCOMER, 100, 100, NOBODY],
            "item_id": ["i1", "never", "i2", "gone", "gone", "i4"],
            "part": ["night", "day", "day", "day", "night", "night"],
        }
    )
    return pd.concat([log, more, log.head(20)], ignore_index=True)


def naive(model: Recommender, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Lists, relevant sets, segments and AUCs by user and system, from what the recommender says in public."""
    catalogue = model.items_.ids.keys.to_pylist()
    position = {item: at for at, item in enumerate(catalogue)}
    counts = train.item_id.value_counts()
    age = (train.when.max() - train.when) / 86_400
    recent = (0.5 ** (age / 3.0)).groupby(train.item_id).sum()
    result: dict[str, Any] = {"warm": [], "relevant": [], "lists": {}, "auc": {}, "users": []}
    for user in sorted(test.user_id.unique(), key=test.user_id.tolist().index):
        rows = test[test.user_id == user]
        seen = set(train.item_id[train.user_id == user])
        relevant = set(rows.item_id) - seen
        if not relevant:
            continue
        context = {"part": rows.part.iloc[0]}
        full = model.recommend(int(user), 1000, context=context).to_pandas()
        left = [item for item in catalogue if item not in seen]
        scores = {
            "fm": dict(zip(full.item_id, full.score, strict=True)),
            "popularity": {item: counts.get(item, 0) for item in left},
            "recent popularity": {item: recent.get(item, 0.0) for item in left},
        }
        result["users"].append(user)
        result["warm"].append(bool(seen))
        result["relevant"].append(relevant)
        for system, score in scores.items():
            ranked = sorted(left, key=lambda item: (-score[item], position[item]))
            result["lists"].setdefault(system, []).append(ranked[: max(KS)])
            label = [float(item in relevant) for item in left]
            area = (
                oracles.auc(label, [score[item] for item in left]) if 0 < sum(label) < len(label) else np.nan
            )
            result["auc"].setdefault(system, []).append(area)
    return result


@pytest.fixture(scope="module")
def expected(trained: Recommender, test_log: pd.DataFrame) -> dict[str, Any]:
    log = visits(250)[0]
    return naive(trained, log[log.user_id != NOBODY], test_log)


@pytest.mark.parametrize("block", [10**7, 40])
def test_metrics_are_those_of_the_naive_forms(
    trained: Recommender, test_log: pd.DataFrame, expected: Any, block: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(evaluate_module, "SCORES_A_BLOCK", block)  # all users at once, and two at a time
    result = evaluate(trained, test_log, ks=KS)
    assert result.warm.tolist() == expected["warm"]
    assert any(expected["warm"])
    assert not all(expected["warm"])
    for system, lists in expected["lists"].items():
        for k in KS:
            for name in ("recall", "precision", "ndcg", "mrr", "hit_rate", "map"):
                form = getattr(oracles, f"{name}_at_k")
                values = [form(a, b, k) for a, b in zip(lists, expected["relevant"], strict=True)]
                np.testing.assert_allclose(result.per_user[system, f"{name}@{k}"], values, atol=1e-12)
                assert result.value(system, f"{name}@{k}")["mean"] == pytest.approx(np.mean(values))
        np.testing.assert_allclose(result.per_user[system, "gauc"], expected["auc"][system], atol=1e-9)


def test_gauc_weighs_users_by_their_relevant_items(
    trained: Recommender, test_log: pd.DataFrame, expected: Any
) -> None:
    result = evaluate(trained, test_log, ks=KS)
    for segment, keep in (("all", lambda w: True), ("warm", lambda w: w), ("new", lambda w: not w)):
        judged = [
            (area, len(relevant))
            for area, relevant, warm in zip(
                expected["auc"]["fm"], expected["relevant"], expected["warm"], strict=True
            )
            if keep(warm) and np.isfinite(area)
        ]
        row = result.value("fm", "gauc", segment)
        assert row["mean"] == pytest.approx(sum(a * n for a, n in judged) / sum(n for _, n in judged))
        assert row["n_users"] == len(judged)


def test_segments_and_intervals_are_those_of_their_users(
    trained: Recommender, test_log: pd.DataFrame
) -> None:
    result = evaluate(trained, test_log, ks=KS, seed=3)
    values = result.per_user["fm", "ndcg@5"]
    for segment, mask in (("all", values >= 0), ("warm", result.warm), ("new", ~result.warm)):
        row = result.value("fm", "ndcg@5", segment)
        interval = bootstrap_interval(values[mask], seed=3)
        assert (row["mean"], row["low"], row["high"]) == pytest.approx(tuple(interval))
        assert row["n_users"] == mask.sum()
    assert evaluate(trained, test_log, ks=KS, seed=3).rows == result.rows
    assert evaluate(trained, test_log, ks=KS, seed=4).rows != result.rows


def test_whole_lists_are_described(trained: Recommender, test_log: pd.DataFrame, expected: Any) -> None:
    result = evaluate(trained, test_log, ks=KS)
    catalogue = trained.items_.ids.keys.to_pylist()
    for system, lists in expected["lists"].items():
        places = [[catalogue.index(item) for item in ranked] for ranked in lists]
        n_items = len(catalogue)
        assert result.value(system, "coverage@5")["mean"] == pytest.approx(oracles.coverage(places, n_items))
        assert result.value(system, "gini@5")["mean"] == pytest.approx(oracles.gini(places, n_items))
        novelty = oracles.novelty(places, trained.counts_.tolist())
        assert result.value(system, "novelty@5")["mean"] == pytest.approx(novelty)


def test_what_was_left_out_is_told(trained: Recommender, test_log: pd.DataFrame, expected: Any) -> None:
    notes = evaluate(trained, test_log).notes
    log = visits(250)[0]
    old = set(zip(log.user_id, log.item_id, strict=True))
    again = {(u, i) for u, i in zip(test_log.user_id, test_log.item_id, strict=True) if u != NOBODY} & old
    assert notes == [
        "2 items of the test are not in the catalogue and count as misses",
        f"{len(again)} test interactions repeat ones of the training and are left out",
    ]


def test_without_a_half_life_there_is_one_popularity(test_log: pd.DataFrame) -> None:
    log = visits(250)[0]
    model = Recommender(retriever=FMRanker(2, max_iter=1, random_state=0)).fit(log)
    result = evaluate(model, test_log, ks=(3,))
    assert {row["system"] for row in result.rows} == {"fm", "popularity"}
    with pytest.raises(KeyError, match="recent"):
        result.value("recent popularity", "ndcg@3")


def test_lists_longer_than_the_catalogue_are_cut(trained: Recommender, test_log: pd.DataFrame) -> None:
    result = evaluate(trained, test_log, ks=(1000,))
    row = result.value("fm", "recall@1000")
    assert 0.9 < row["mean"] < 1.0  # all but the items that are in no catalogue


def test_bad_tests_are_refused(trained: Recommender, test_log: pd.DataFrame) -> None:
    with pytest.raises(ColumnError, match="item_id"):
        evaluate(trained, test_log.drop(columns="item_id"))
    with pytest.raises(DataError, match="no test interaction is left"):
        evaluate(trained, test_log.head(0))
    log = visits(250)[0]
    with pytest.raises(DataError, match="no test interaction is left"):
        evaluate(trained, log[log.user_id != NOBODY])
    with pytest.raises(DataError, match="'user_id' has no id in row 2"):
        evaluate(trained, pd.DataFrame({"user_id": [1, 2, None], "item_id": ["i1", "i2", "i3"]}))
    with pytest.raises(DataError, match="'item_id' has no id in row 1"):
        evaluate(trained, pd.DataFrame({"user_id": [1, 2], "item_id": ["i1", None]}))
    with pytest.raises(CrossFMError, match="not fitted"):
        evaluate(Recommender(), test_log)
    for ks in ((), (0,), (5, 2.5)):
        with pytest.raises(OptionError, match="k"):
            evaluate(trained, test_log, ks=ks)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 2])
def test_on_real_data_with_a_time_split_the_machine_beats_popularity(seed: int) -> None:
    """L2 was chosen on windows inside the training part."""
    ratings, users, items = movielens()
    cut = int(0.8 * len(ratings))
    columns = [
        Numeric("age", "quantile", n_buckets=8), Categorical("gender"), Categorical("occupation"),
        MultiCategorical("genres", combiner="sqrtn"),
    ]  # fmt: skip
    ranker = FMRanker(
        n_factors=8, negatives="popularity", learning_rate=0.05, schedule="linear", max_iter=20, l2_w=0.01,
        l2_V=0.05, random_state=seed,
    )  # fmt: skip
    model = Recommender(time="timestamp", half_life=14, columns=columns, retriever=ranker)
    result = evaluate(model.fit(ratings[:cut], users, items), ratings[cut:])
    fm, popularity = (result.value(system, "ndcg@20") for system in ("fm", "popularity"))
    assert fm["low"] > popularity["high"]
    assert fm["mean"] == pytest.approx(0.37, abs=0.01)
    assert popularity["mean"] == pytest.approx(0.315, abs=0.005)
    assert result.warm.sum() == 109
    recent = result.value("recent popularity", "ndcg@20")
    assert fm["mean"] > recent["mean"]
    for segment in ("warm", "new"):
        assert (
            result.value("fm", "ndcg@20", segment)["mean"]
            > 1.1 * result.value("popularity", "ndcg@20", segment)["mean"]
        )
