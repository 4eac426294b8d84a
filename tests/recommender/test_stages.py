"""Evaluation of both stages against naive lists, relevant sets and metrics."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import oracles
from contracts import RECOMMENDER_COLUMNS, visits
from crossfm import FMRanker, Recommender
from crossfm.errors import CrossFMError, DataError, OptionError
from crossfm.metrics import bootstrap_difference, bootstrap_interval, expected_calibration_error, log_loss
from crossfm.recommender.baselines import ItemKNN, Popularity
from crossfm.recommender.evaluation import stages as stages_module
from crossfm.recommender.evaluation.candidates import chance_ndcg
from crossfm.recommender.evaluation.measure import attribute_values
from crossfm.recommender.evaluation.stages import StageReport, evaluate_stages
from crossfm.recommender.index import ExactIndex

KS = (2, 4)
N_CANDIDATES = 7
STRANGER, NEWCOMER = 901, 902  # unknown; of 100 to 105 nothing is in the test
METRICS = ("ndcg", "recall", "precision", "mrr", "map", "hit_rate")


class ByTaste:
    """A second stage with an order of its own, and chances."""

    name = "ByTaste"

    def __init__(self, taste: np.ndarray) -> None:
        self.taste = taste

    def scores_of(
        self, queries: Any, past: Any, items: Any, positions: Any, recalled: Any, by: Any
    ) -> np.ndarray:
        assert len(queries) == len(positions) == len(recalled) == len(past.indptr) - 1
        assert np.isfinite(recalled[positions >= 0]).all()
        assert len(items) == len(self.taste)
        return np.where(positions >= 0, self.taste[positions], -np.inf).astype(np.float32)

    def probability(self, score: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-np.asarray(score)))


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return visits(250)[0].query("item_id != 'i16'")  # in the table of items only


@pytest.fixture(scope="module")
def one_stage(log: pd.DataFrame) -> Recommender:
    _, users, items = visits(250)
    retriever = FMRanker(4, max_iter=10, learning_rate=0.1, random_state=0)
    settings = {"context": ["part"], "columns": RECOMMENDER_COLUMNS, "retriever": retriever}
    model = Recommender(time="when", half_life=3.0, n_candidates=N_CANDIDATES, **settings)
    return model.fit(log, users, items)


@pytest.fixture(scope="module")
def model(one_stage: Recommender) -> Recommender:
    both = copy.copy(one_stage)
    both.ranking_ = ByTaste(np.random.default_rng(8).standard_normal(len(one_stage.items_.ids)))
    return both


@pytest.fixture(scope="module")
def later() -> pd.DataFrame:
    """Later visits: unknown users and items, an item that is new to the log, and repeats."""
    more = visits(160, seed=5)[0].query("user_id > 105")
    columns = {
        "user_id": [STRANGER, STRANGER, NEWCOMER, 106, 107, 108],
        "item_id": ["i1", "never", "i16", "i16", "gone", "i16"],
        "part": ["night", "day", "day", "day", "night", "night"],
        "when": 2_000_000.0,
    }
    return pd.concat([more, pd.DataFrame(columns), more.head(20)], ignore_index=True)


@pytest.fixture(scope="module")
def report(model: Recommender, later: pd.DataFrame) -> StageReport:
    return evaluate_stages(model, later, ks=KS)


class Naive:
    """Lists and relevant sets of each user, from what a recommender of one stage says in public."""

    def __init__(
        self, one_stage: Recommender, model: Recommender, log: pd.DataFrame, test: pd.DataFrame
    ) -> None:
        self.catalogue = one_stage.items_.ids.keys.to_pylist()
        place = {item: at for at, item in enumerate(self.catalogue)}
        self.counts = [int((log.item_id == item).sum()) for item in self.catalogue]
        assert model.ranking_ is not None
        self.taste = model.ranking_.taste
        self.relevant: list[set[int]] = []
        self.seen: list[set[int]] = []
        self.lists: dict[str, list[list[int]]] = {"recall": [], "two stages": [], "ideal ranking": []}
        for user in dict.fromkeys(test.user_id):
            rows = test[test.user_id == user]
            seen = {place[item] for item in log.item_id[log.user_id == user]}
            relevant = {place.get(item, 1000 + at) for at, item in enumerate(rows.item_id.unique())} - seen
            if not relevant:
                continue
            full = one_stage.recommend(int(user), 1000, context={"part": rows.part.iloc[0]}).to_pandas()
            recalled = [place[item] for item in full.item_id]
            candidates = recalled[:N_CANDIDATES]
            known = full.source.iloc[0] == "fm"
            ranked = sorted(candidates, key=lambda i: -self.taste[i]) if known else candidates
            hits = [item for item in candidates if item in relevant]
            self.relevant.append(relevant)
            self.seen.append(seen)
            self.lists["recall"].append(recalled)
            self.lists["two stages"].append(ranked)
            self.lists["ideal ranking"].append(hits + [item for item in candidates if item not in relevant])

    def values(self, system: str, metric: str, items: set[int] | None = None) -> list[float]:
        """The metric of each user, judged by ``items`` alone; NaN without such relevant ones."""
        name, k = metric.split("@")
        out = []
        for ranked, relevant in zip(self.lists[system], self.relevant, strict=True):
            wanted = relevant if items is None else relevant & items
            out.append(getattr(oracles, f"{name}_at_k")(ranked, wanted, int(k)) if wanted else np.nan)
        return out


@pytest.fixture(scope="module")
def naive(one_stage: Recommender, model: Recommender, log: pd.DataFrame, later: pd.DataFrame) -> Naive:
    return Naive(one_stage, model, log, later)


@pytest.mark.parametrize("block", [10**7, 40])
def test_each_stage_has_the_metrics_of_its_lists(
    model: Recommender, later: pd.DataFrame, naive: Naive, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_module, "SCORES_A_BLOCK", block)  # all users at once, and two at a time
    found = evaluate_stages(model, later, ks=KS)
    assert found.systems == ["recall", "two stages", "popularity", "recent popularity", "item-kNN", "EASE"]
    assert found.final == "two stages"
    for system in naive.lists:
        for metric in (f"{name}@{k}" for name in METRICS for k in KS):
            values = naive.values(system, metric)
            np.testing.assert_allclose(found.per_user[system, "all", metric], values, atol=1e-12)
            row = found.value(system, metric)
            assert (row["mean"], row["low"], row["high"]) == pytest.approx(tuple(bootstrap_interval(values)))
            assert row["n_users"] == len(values)
    for one in found.curve:
        if one["system"] == "recall":
            assert one["mean"] == pytest.approx(np.mean(naive.values("recall", f"recall@{one['n']}")))


def test_items_of_a_kind_are_judged_by_themselves(report: StageReport, naive: Naive) -> None:
    head = oracles.head(naive.counts, 0.5)
    new = {at for at, count in enumerate(naive.counts) if not count}
    assert {naive.catalogue[at] for at in new} == {"i16"}
    kinds = {"head items": head, "new items": new, "tail items": set(range(len(naive.counts))) - head - new}
    for segment, items in kinds.items():
        for system in naive.lists:
            values = np.array(naive.values(system, "ndcg@4", items))
            np.testing.assert_allclose(report.per_user[system, segment, "ndcg@4"], values, atol=1e-12)
            row = report.value(system, "ndcg@4", segment)
            assert row["n_users"] == np.isfinite(values).sum() > 0
            assert row["mean"] == pytest.approx(np.nanmean(values))


def test_users_are_divided_by_what_training_knows_of_them(report: StageReport, naive: Naive) -> None:
    n_seen = np.array([len(seen) for seen in naive.seen])
    middle = np.median(n_seen[n_seen > 0])
    masks = {
        "warm": n_seen > 0,
        "new": n_seen == 0,
        "few": (n_seen > 0) & (n_seen < middle),
        "many": (n_seen > 0) & (n_seen >= middle),
    }
    values = np.array(naive.values("two stages", "ndcg@4"))
    for segment, mask in masks.items():
        row = report.value("two stages", "ndcg@4", segment)
        assert row["n_users"] == mask.sum() > 0
        assert (row["mean"], row["low"], row["high"]) == pytest.approx(
            tuple(bootstrap_interval(values[mask]))
        )
    assert f"fewer than {middle:g} items" in report.segments["few"]


def test_differences_resample_the_same_users(report: StageReport, naive: Naive) -> None:
    first, second = (np.array(naive.values(system, "ndcg@4")) for system in ("two stages", "recall"))
    one = report.difference("two stages", "recall", "ndcg@4")
    assert (one["mean"], one["low"], one["high"]) == pytest.approx(tuple(bootstrap_difference(first, second)))
    tail = [report.per_user[system, "tail items", "ndcg@4"] for system in ("two stages", "recall")]
    judged = np.isfinite(tail[0])
    one = report.difference("two stages", "recall", "ndcg@4", "tail items")
    expected = bootstrap_difference(tail[0][judged], tail[1][judged])
    assert (one["mean"], one["low"], one["high"]) == pytest.approx(tuple(expected))
    assert {row["other"] for row in report.differences} == set(report.systems) - {"two stages"}
    means = {name: report.value(name, "ndcg@4")["mean"] for name in report.systems[2:]}
    assert report.best_baseline == max(means, key=lambda name: means[name])


def test_ranking_alone_is_judged_by_the_relevant_candidates(report: StageReport, naive: Naive) -> None:
    found = {(one["order"], one["metric"]): one for one in report.given}
    ndcg: dict[str, list[float]] = {"recall": [], "two stages": [], "chance": []}
    areas = []
    for at, relevant in enumerate(naive.relevant):
        candidates = naive.lists["recall"][at][:N_CANDIDATES]
        hits = relevant & set(candidates)
        if not hits:
            continue
        ranked = naive.lists["two stages"][at]
        ndcg["recall"].append(oracles.ndcg_at_k(candidates, hits, 4))
        ndcg["two stages"].append(oracles.ndcg_at_k(ranked, hits, 4))
        ndcg["chance"].append(oracles.mean_ndcg_of_all_orders(len(hits), len(candidates), 4))
        if len(hits) < len(candidates):
            label = [float(item in hits) for item in ranked]
            areas.append(oracles.auc(label, list(range(len(ranked), 0, -1))))
    assert 0 < len(ndcg["recall"]) < len(naive.relevant)
    for order, values in ndcg.items():
        assert found[order, "ndcg@4"]["mean"] == pytest.approx(np.mean(values))
        assert found[order, "ndcg@4"]["n_users"] == len(values)
    assert found["two stages", "auc"]["mean"] == pytest.approx(np.mean(areas))
    assert {one["order"] for one in report.given} == {*report.systems, "chance"}


@pytest.mark.parametrize(("n_relevant", "n_items", "k"), [(1, 4, 2), (3, 5, 4), (2, 3, 10), (4, 4, 2)])
def test_the_ndcg_of_chance_is_the_mean_over_all_orders(n_relevant: int, n_items: int, k: int) -> None:
    expected = oracles.mean_ndcg_of_all_orders(n_relevant, n_items, k)
    assert chance_ndcg(np.array([n_relevant]), np.array([n_items]), k) == pytest.approx([expected])


def test_the_area_of_two_stages_puts_candidates_above_the_rest(report: StageReport, naive: Naive) -> None:
    areas, weights = [], []
    for at, relevant in enumerate(naive.relevant):
        ranked = naive.lists["two stages"][at]
        order = ranked + [item for item in naive.lists["recall"][at] if item not in ranked]
        label = [float(item in relevant) for item in order]
        if 0 < sum(label) < len(label):
            areas.append(oracles.auc(label, list(range(len(order), 0, -1))))
            weights.append(len(relevant))
    row = report.value("two stages", "gauc")
    assert row["n_users"] == len(areas)
    assert row["mean"] == pytest.approx(np.average(areas, weights=weights), abs=0.01)  # popularity has ties


def test_the_funnel_counts_what_is_left(report: StageReport, naive: Naive) -> None:
    inside = [{item for item in relevant if item < 1000} for relevant in naive.relevant]
    n_items = len(naive.catalogue)
    candidates = [set(ranked[:N_CANDIDATES]) for ranked in naive.lists["recall"]]
    hits = [len(a & b) for a, b in zip(inside, candidates, strict=True)]
    shown = [len(a & set(b[:4])) for a, b in zip(inside, naive.lists["two stages"], strict=True)]
    expected = [
        (None, np.mean([len(relevant) for relevant in naive.relevant])),
        (n_items, np.mean([len(relevant) for relevant in inside])),
        (n_items - np.mean([len(seen) for seen in naive.seen]), np.mean([len(one) for one in inside])),
        (np.mean([len(one) for one in candidates]), np.mean(hits)),
        (4, np.mean([min(4, n) for n in hits])),
        (4, np.mean(shown)),
    ]
    for step, (items, relevant) in zip(report.funnel, expected, strict=True):
        assert step["items"] == (None if items is None else pytest.approx(items))
        assert step["relevant"] == pytest.approx(relevant)
        assert step["share"] == pytest.approx(relevant / expected[0][1])


def test_chances_of_candidates_are_compared_with_what_was_chosen(report: StageReport, naive: Naive) -> None:
    y, p = [], []
    for ranked, relevant in zip(naive.lists["two stages"], naive.relevant, strict=True):
        if ranked == sorted(ranked, key=lambda item: -naive.taste[item]):
            y += [float(item in relevant) for item in ranked]
            p += [1.0 / (1.0 + np.exp(-naive.taste[item])) for item in ranked]
    assert 0 < sum(y) < len(y)
    found = report.calibration
    assert found is not None
    assert found["n_pairs"] == len(y)
    assert found["ece"] == pytest.approx(expected_calibration_error(y, p), abs=1e-6)
    assert found["log_loss"] == pytest.approx(log_loss(y, p), abs=1e-6)
    assert sum(found["curve"]["count"]) == len(y)


def test_lists_are_described_by_items_and_by_attributes(
    model: Recommender, report: StageReport, naive: Naive
) -> None:
    values = attribute_values(model)
    assert values is not None
    table = model.items_.table.to_pandas().fillna("")
    sets = [
        {kind, *(tags.split("|") if tags else [])} for kind, tags in zip(table.kind, table.tags, strict=True)
    ]
    distance = [
        oracles.mean_over_pairs(ranked[:4], lambda a, b: oracles.jaccard_distance(sets[a], sets[b]))
        for ranked in naive.lists["two stages"]
    ]
    assert report.value("two stages", "attribute_diversity@4")["mean"] == pytest.approx(np.mean(distance))
    head = oracles.head(naive.counts, 0.5)
    shares = [np.mean([item in head for item in ranked[:4]]) for ranked in naive.lists["two stages"]]
    assert report.value("two stages", "head_share@4")["mean"] == pytest.approx(np.mean(shares))
    shown = [ranked[:4] for ranked in naive.lists["two stages"]]
    assert report.value("two stages", "coverage@4")["mean"] == oracles.coverage(shown, len(naive.catalogue))
    assert report.value("two stages", "novelty@4")["mean"] == pytest.approx(
        oracles.novelty(shown, naive.counts)
    )


class Forgetful(ExactIndex):
    """An index that loses the best item."""

    def search(self, queries: Any, n_best: int, **options: Any) -> Any:
        ids, scores = super().search(queries, n_best + 1, **options)
        return ids[:, 1:], scores[:, 1:]


def test_what_the_index_loses_is_told(
    model: Recommender, later: pd.DataFrame, report: StageReport, naive: Naive
) -> None:
    assert report.index["overlap"] == 1.0
    assert report.index["recall"] == report.index["exact_recall"]
    assert report.index["report"]["kind"] == "exact"
    forgetful = copy.copy(model)
    forgetful.index_ = copy.copy(model.index_)
    forgetful.index_.__class__ = Forgetful
    lossy = evaluate_stages(forgetful, later, ks=KS, baselines=()).index
    assert lossy["overlap"] == pytest.approx(1 - 1 / N_CANDIDATES, abs=0.02)  # some have fewer left
    assert lossy["exact_recall"] == report.index["exact_recall"] > lossy["recall"]


def test_without_a_second_stage_recall_is_what_users_see(
    one_stage: Recommender, later: pd.DataFrame, report: StageReport
) -> None:
    found = evaluate_stages(one_stage, later, ks=KS, baselines=["popularity"])
    assert found.systems == ["recall", "popularity", "recent popularity"]
    assert found.final == "recall"
    assert found.calibration is None
    assert "no second stage" in found.notes[-1]
    assert found.value("recall", "ndcg@4") == report.value("recall", "ndcg@4")
    assert {row["system"] for row in found.differences} == {"recall"}


def test_baselines_can_be_brought_along_or_left_out(one_stage: Recommender, later: pd.DataFrame) -> None:
    own = [Popularity(one_stage.counts_, "mine"), ItemKNN(3).fit(one_stage.seen_, len(one_stage.items_.ids))]
    found = evaluate_stages(one_stage, later, ks=KS, baselines=own)
    assert found.systems == ["recall", "mine", "item-kNN"]
    assert found.about["baselines"]["item-kNN"] == {"n_neighbours": 3, "shrinkage": 10.0}
    none = evaluate_stages(one_stage, later, ks=KS, baselines=())
    assert none.systems == ["recall"]
    assert none.best_baseline is None
    assert none.differences == []


def test_the_numbers_become_json(report: StageReport, later: pd.DataFrame) -> None:
    text = json.dumps(report.to_json(), allow_nan=False)
    assert "per_user" not in json.loads(text)
    assert report.about["n_test_interactions"] == len(later)
    assert report.about["test_to"] == 2_000_000.0
    assert report.about["ranker"] == "ByTaste"


def test_the_same_seed_gives_the_same_report(
    model: Recommender, later: pd.DataFrame, report: StageReport
) -> None:
    assert evaluate_stages(model, later, ks=KS).to_json() == report.to_json()
    assert evaluate_stages(model, later, ks=KS, seed=1).rows != report.rows


def test_users_who_are_all_unknown_can_be_judged(later: pd.DataFrame, log: pd.DataFrame) -> None:
    bare = Recommender(retriever=FMRanker(2, max_iter=1, random_state=0)).fit(log[["user_id", "item_id"]])
    strangers = later[later.user_id >= STRANGER]
    found = evaluate_stages(bare, strangers, ks=(3,))
    assert found.index["overlap"] is None
    assert found.value("recall", "ndcg@3") == {**found.value("popularity", "ndcg@3"), "system": "recall"}
    assert found.value("recall", "ndcg@3", "warm")["mean"] is None
    assert not any("attribute" in row["metric"] for row in found.rows)


def test_unknown_users_get_popular_items_from_both_stages(log: pd.DataFrame, later: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    bare = Recommender(n_candidates=9, retriever=FMRanker(2, learning_rate=0.2, max_iter=5, random_state=0))
    bare.fit(log[["user_id", "item_id"]])
    bare.ranking_ = ByTaste(rng.standard_normal(len(bare.items_.ids)))
    items = log.item_id.unique()
    wanted = {STRANGER: items[:6], NEWCOMER: items[5:9], 110: items}
    test = pd.DataFrame(
        [(user, item) for user, own in wanted.items() for item in own], columns=["user_id", "item_id"]
    )
    found = evaluate_stages(bare, test, ks=(5,), baselines=["popularity"])
    order = oracles.best_unseen(bare.counts_, set(), 9, bare.counts_)
    place = {item: at for at, item in enumerate(bare.items_.ids.keys.to_pylist())}
    expected = [
        oracles.ndcg_at_k(order, {place[item] for item in wanted[user]}, 5) for user in (STRANGER, NEWCOMER)
    ]
    for system in found.systems:
        np.testing.assert_allclose(found.per_user[system, "all", "ndcg@5"][:2], expected)
        area = found.per_user[system, "all", "gauc"][:2]
        np.testing.assert_allclose(area, found.per_user["popularity", "all", "gauc"][:2])
    assert found.index["n_queries"] == 1


def test_later_interactions_need_no_times(
    model: Recommender, later: pd.DataFrame, report: StageReport
) -> None:
    gaps = later.assign(when=later.when.where(later.index != 3))
    for test in (gaps, later.drop(columns="when")):
        found = evaluate_stages(model, test, ks=KS)
        assert found.rows == report.rows
        assert "test_from" not in found.about


def test_bad_requests_are_refused(model: Recommender, later: pd.DataFrame) -> None:
    for ks in ((), (0,), (2.5,)):
        with pytest.raises(OptionError, match="k"):
            evaluate_stages(model, later, ks=ks)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="baselines has 'BPR'"):
        evaluate_stages(model, later, baselines=["BPR"])
    with pytest.raises(OptionError, match="head is 1"):
        evaluate_stages(model, later, head=1.0)
    with pytest.raises(DataError, match="no test interaction is left"):
        evaluate_stages(model, later.head(0))
    with pytest.raises(CrossFMError, match="not fitted"):
        evaluate_stages(Recommender(), later)
    with pytest.raises(KeyError):
        evaluate_stages(model, later, baselines=()).value("recall", "ndcg@7")
