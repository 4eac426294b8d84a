"""Recall against channels at equal numbers of candidates, beside naive lists."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import oracles
from contracts import visits
from crossfm import Categorical, FMRanker, MultiCategorical, Recommender
from crossfm.errors import DataError, OptionError
from crossfm.metrics import bootstrap_difference, bootstrap_interval
from crossfm.recommender.channels.kinds import make_channel
from crossfm.recommender.evaluation import channels as channels_module
from crossfm.recommender.evaluation.channels import (
    BOTH,
    UNION,
    ChannelReport,
    beside,
    compare_channels,
    interleaved,
    overlap,
    without,
)
from crossfm.recommender.evaluation.stages import evaluate_stages

TOTALS = (3, 7)
CHANNELS = ["popular", "item-kNN", "tags"]
STRANGER = 901


@pytest.fixture(scope="module")
def model() -> Recommender:
    log, users, items = visits(250)
    columns = [
        Categorical("taste"),
        Categorical("kind"),
        MultiCategorical("tags", combiner="sqrtn"),
        Categorical("part"),
    ]
    retriever = FMRanker(4, max_iter=10, learning_rate=0.1, random_state=0)
    model = Recommender(time="when", half_life=3.0, context=["part"], columns=columns, retriever=retriever)
    return model.fit(log.query("item_id != 'i16'"), users, items)


@pytest.fixture(scope="module")
def later() -> pd.DataFrame:
    more = visits(160, seed=5)[0].query("user_id > 105")
    strangers = {"user_id": [STRANGER] * 3, "item_id": ["i1", "gone", "i16"], "part": "day", "when": 2e6}
    return pd.concat([more, pd.DataFrame(strangers)], ignore_index=True)


@pytest.fixture(scope="module")
def report(model: Recommender, later: pd.DataFrame) -> ChannelReport:
    return compare_channels(model, later, TOTALS, channels=CHANNELS)


class Naive:
    """Lists of each part and relevant items of each user, from what a recommender says in public."""

    def __init__(self, model: Recommender, test: pd.DataFrame) -> None:
        catalogue = model.items_.ids.keys.to_pylist()
        place = {item: at for at, item in enumerate(catalogue)}
        self.relevant: list[set[int]] = []
        self.parts: dict[str, list[list[int]]] = {name: [] for name in ("recall", *CHANNELS)}
        for user in dict.fromkeys(test.user_id):
            rows = test[test.user_id == user]
            seen = model.seen_.of_users(model.users_.ids.positions(pa.array([int(user)]), "user_id")).items
            relevant = {place.get(item, 1000 + at) for at, item in enumerate(rows.item_id.unique())}
            if not relevant - set(seen.tolist()):
                continue
            self.relevant.append(relevant - set(seen.tolist()))
            full = model.recommend(int(user), 1000, context={"part": rows.part.iloc[0]}).to_pandas()
            self.parts["recall"].append([place[item] for item in full.item_id])
            may = ~np.isin(np.arange(len(catalogue)), seen)
            past = seen.astype(np.int64)
            for name in CHANNELS:
                self.parts[name].append(make_channel(name, model).best(past, past, may, 1000).tolist())

    def lists(self, *left_out: str) -> list[list[int]]:
        """All parts but some, in turn."""
        kept = [own for name, own in self.parts.items() if name not in left_out]
        return [oracles.in_turn(each, max(TOTALS)) for each in zip(*kept, strict=True)]

    def recall(self, lists: list[list[int]], n: int) -> list[float]:
        pairs = zip(lists, self.relevant, strict=True)
        return [len(relevant & set(listed[:n])) / len(relevant) for listed, relevant in pairs]


@pytest.fixture(scope="module")
def naive(model: Recommender, later: pd.DataFrame) -> Naive:
    return Naive(model, later)


@pytest.mark.parametrize("places", [10**7, 90])
def test_recall_is_that_of_the_lists_taken_in_turn(
    model: Recommender, later: pd.DataFrame, naive: Naive, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "PLACES_A_BLOCK", places)  # all users at once, and three at a time
    found = compare_channels(model, later, TOTALS, channels=CHANNELS)
    systems = {**naive.parts, UNION: naive.lists("recall"), BOTH: naive.lists()}
    assert list(dict.fromkeys(row["system"] for row in found.rows)) == list(systems)
    systems |= {without(name): naive.lists(name) for name in naive.parts}
    for name in CHANNELS:
        systems[beside(name)] = naive.lists(*({*CHANNELS} - {name}))
    for system, lists in systems.items():
        for n in TOTALS:
            expected = naive.recall(lists, n)
            np.testing.assert_allclose(found.per_user[system, n], expected, atol=1e-12)
            if system in (*naive.parts, UNION, BOTH):
                row = found.value(system, n)
                told = (row["mean"], row["low"], row["high"])
                assert told == pytest.approx(tuple(bootstrap_interval(expected)))
                assert row["n_users"] == len(expected)


def test_differences_resample_the_same_users(report: ChannelReport, naive: Naive) -> None:
    pairs = {(BOTH, "recall"): (naive.lists(), naive.parts["recall"])}
    pairs["recall", UNION] = (naive.parts["recall"], naive.lists("recall"))
    for (one, other), lists in pairs.items():
        for n in TOTALS:
            expected = bootstrap_difference(*(naive.recall(each, n) for each in lists))
            row = report.difference(one, other, n)
            assert (row["mean"], row["low"], row["high"]) == pytest.approx(tuple(expected))


def test_a_part_is_worth_what_is_lost_without_it(report: ChannelReport, naive: Naive) -> None:
    verdicts = set()
    for name in naive.parts:
        for n in TOTALS:
            loss = bootstrap_difference(naive.recall(naive.lists(), n), naive.recall(naive.lists(name), n))
            row = report.part(name, n)
            told = row["loss"]
            assert (told["mean"], told["low"], told["high"]) == pytest.approx(tuple(loss))
            gain = {"mean": None, "low": None, "high": None, "n_users": 0}
            if name != "recall":
                pair = naive.lists(*({*CHANNELS} - {name})), naive.parts["recall"]
                gain = bootstrap_difference(*(naive.recall(each, n) for each in pair))._asdict()
            assert {key: row["gain"][key] for key in ("mean", "low", "high")} == pytest.approx(
                {key: gain[key] for key in ("mean", "low", "high")}
            )
            assert row["verdict"] == ("adds" if loss.low > 0 else "adds nothing")
            verdicts.add(row["verdict"])
    assert verdicts == {"adds", "adds nothing"}


def test_hits_are_unique_where_no_other_part_has_them_in_its_share(
    report: ChannelReport, naive: Naive
) -> None:
    for n in TOTALS:
        share = n // len(naive.parts)
        for name, lists in naive.parts.items():
            counts = []
            for at, relevant in enumerate(naive.relevant):
                others = [own[at][:share] for other, own in naive.parts.items() if other != name]
                counts.append(len(relevant & set(lists[at][:share]) - {i for own in others for i in own}))
            row = report.part(name, n)
            assert row["unique_hits"] == sum(counts)
            expected = np.mean([c / len(r) for c, r in zip(counts, naive.relevant, strict=True)])
            assert row["unique"]["mean"] == pytest.approx(expected)
            same = [
                len(set(own[:n]) & set(recalled[:n])) / len(own[:n])
                for own, recalled in zip(lists, naive.parts["recall"], strict=True)
                if own
            ]
            assert row["overlap"]["mean"] == pytest.approx(np.mean(same))
            assert row["overlap"]["n_users"] == len(same)
    assert report.part("recall", 7)["overlap"]["mean"] == 1.0


@pytest.mark.parametrize("seed", range(10))
def test_lists_are_taken_in_turn_without_repeats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(1 + seed % 4):
        own = np.array([rng.permutation(12)[:6] for _ in range(5)])
        own[np.arange(6) >= rng.integers(0, 7, 5)[:, None]] = -1
        lists.append(own)
    for n in (1, 4, 11):
        found = interleaved(lists, n)
        for row in range(5):
            expected = oracles.in_turn([[int(i) for i in own[row] if i >= 0] for own in lists], n)
            assert found[row].tolist() == expected + [-1] * (n - len(expected))


def test_empty_lists_have_no_overlap() -> None:
    lists = np.array([[1, 2, -1], [-1, -1, -1], [0, 3, 4]])
    other = np.array([[2, 5, 1], [1, 2, 3], [-1, -1, -1]])
    np.testing.assert_array_equal(overlap(lists, other), [1.0, np.nan, 0.0])


def test_channels_that_the_model_cannot_give_are_left_out_or_refused(
    model: Recommender, later: pd.DataFrame
) -> None:
    found = compare_channels(model, later, (5,))
    assert found.channels == CHANNELS
    assert any(note.startswith("latest is left out") for note in found.notes)
    with pytest.raises(OptionError, match="latest needs item_time"):
        compare_channels(model, later, (5,), channels=["latest"])
    with pytest.raises(OptionError, match=r"no channel 'tag'.*did you mean 'tags'"):
        compare_channels(model, later, (5,), channels=["tag"])


def test_recall_alone_can_be_asked_for(model: Recommender, later: pd.DataFrame) -> None:
    found = compare_channels(model, later, (5,), channels=[])
    assert [row["system"] for row in found.rows] == ["recall"]
    assert found.parts == found.differences == []


@pytest.mark.parametrize("total", [(), (0,), (2.5,)])
def test_numbers_that_mean_nothing_are_refused(model: Recommender, later: pd.DataFrame, total: Any) -> None:
    with pytest.raises(OptionError, match="total"):
        compare_channels(model, later, total)
    with pytest.raises(DataError, match="nothing to evaluate"):
        compare_channels(model, visits(250)[0].query("item_id != 'i16'"))


def test_more_candidates_than_items_are_all_items(model: Recommender, later: pd.DataFrame) -> None:
    found = compare_channels(model, later, (5, 100, 300), channels=["popular"])
    assert found.totals == [5, 18]
    assert found.difference(BOTH, "recall", 18)["mean"] == 0.0


def test_the_report_of_both_stages_has_it_unless_told(model: Recommender, later: pd.DataFrame) -> None:
    found = evaluate_stages(model, later, ks=(3,), baselines=["item-kNN"])
    own = compare_channels(model, later, (18,))
    assert found.channels is not None
    assert found.channels["parts"] == own.parts
    assert "per_user" not in json.loads(json.dumps(found.to_json(), allow_nan=False))["channels"]
    assert evaluate_stages(model, later, ks=(3,), baselines=(), channels=False).channels is None


def test_candidates_of_channels_are_what_ranking_gets_in_the_report(
    later: pd.DataFrame, model: Recommender
) -> None:
    small = model.with_channels(None)
    small.n_candidates = 6
    channels = small.with_channels({"tags": 2, "popular": 2})
    found, plain = (
        evaluate_stages(m, later, ks=(2,), baselines=(), channels=False) for m in (channels, small)
    )
    expected = []
    naive = Naive(small, later)
    for at, relevant in enumerate(naive.relevant):
        recalled, lists = (
            naive.parts["recall"][at][:6],
            [naive.parts[name][at] for name in ("tags", "popular")],
        )
        chosen = oracles.with_quotas(recalled, lists, [2, 2], 6)
        if (
            at == len(naive.relevant) - 1
            and not channels.known(channels.queries([STRANGER], {"part": "day"}))[0]
        ):
            chosen = recalled
        expected.append(len(relevant & set(chosen)) / len(relevant))
    np.testing.assert_allclose(found.per_user["ideal ranking", "all", "recall@6"], expected)
    assert found.value("ideal ranking", "recall@6") != plain.value("ideal ranking", "recall@6")
    assert found.value("recall", "recall@2") == plain.value("recall", "recall@2")
