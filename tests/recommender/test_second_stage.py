"""The second stage: what it learns from, that it knows nothing of the future, and that both ways of asking agree."""

from __future__ import annotations

import copy
import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import crossfm
from contracts import N_USERS, RECOMMENDER_COLUMNS, visits
from crossfm import FFMClassifier, FMClassifier, FMRanker, FMRegressor, Recommender
from crossfm.errors import ColumnError, DataError, LabelError, OptionError
from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluate import evaluate
from crossfm.recommender.examples import Examples
from crossfm.recommender.fit_ranking import judged, list_weight
from crossfm.recommender.second_stage import Log, Shown, asks_of, chosen_in, moment_at, windows
from crossfm.recommender.seen import Seen
from crossfm.recommender.signals import NUMBERS, Signals
from oracles import history_before, ndcg_at_k

K = 4
NO_ROWS: Any = None
N_CANDIDATES = 10


def retriever(**options: Any) -> FMRanker:
    return FMRanker(K, **{"learning_rate": 0.1, "max_iter": 8, "random_state": 0, **options})


def machine(kind: Any = FMClassifier, **options: Any) -> Any:
    return kind(K, **{"learning_rate": 0.05, "max_iter": 2, "random_state": 0, **options})


def unfitted(**options: Any) -> Recommender:
    settings = {"context": ["part"], "time": "when", "history": 3, "columns": RECOMMENDER_COLUMNS}
    settings |= {"retriever": retriever(), "ranker": machine(), "n_candidates": N_CANDIDATES}
    return Recommender(**{**settings, **options})


@pytest.fixture(scope="module")
def model() -> Recommender:
    return unfitted().fit(*visits())


@pytest.fixture(scope="module")
def log(model: Recommender) -> Log:
    """The log of ``model`` as its second stage got it."""
    caught: list[Log] = []

    class Caught(Exception):  # noqa: N818  (no error)
        pass

    def catch(_: Any, log: Log, __: Any) -> None:
        caught.append(log)
        raise Caught

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfm.recommender.recommender.fit_second_stage", catch)
        with pytest.raises(Caught):
            unfitted().fit(*visits())
    return caught[0]


# ---------------------------------------------------------------------------------------- what it learns from


def test_windows_are_the_latest_share_without_gaps() -> None:
    found = windows(1_000, 0.5)
    assert found[0][0] == 500
    assert found[-1][1] == 1_000
    assert all(end == begin for (_, end), (begin, _) in pairwise(found))


@pytest.mark.parametrize(("n", "share"), [(3, 0.5), (1_000, 0.001), (5, 0.999)])
def test_logs_too_short_for_windows_are_refused(n: int, share: float) -> None:
    with pytest.raises(DataError, match=f"{n} interactions are too few"):
        windows(n, share)


def test_one_list_is_asked_for_each_user_and_context(model: Recommender, log: Log) -> None:
    data = visits()[0]
    first, ask = asks_of(log.own, log.user)
    pairs = list(zip(data.user_id, data.part, strict=True))
    assert len(first) == len(set(pairs))
    for row, one in enumerate(ask):
        assert pairs[first[one]] == pairs[row]
        assert first[one] <= row


def test_lists_are_those_of_recall_at_the_begin_of_the_window(model: Recommender, log: Log) -> None:
    data = visits()[0]
    begin, end = windows(len(log), 0.5)[1]
    moment, _ = moment_at(model, log, begin)
    found = chosen_in(model, log, moment, begin, end, np.random.default_rng(0))
    early, late = data.iloc[:begin], data.iloc[begin:end]
    place = {item: at for at, item in enumerate(model.items_.ids.keys.to_pylist())}
    pairs = sorted(set(zip(late.user_id, late.part, strict=True)))
    assert len(found.n_past) == len(pairs)
    names = [(model.users_.ids.keys[int(u)].as_py(), r) for u, r in _asked(model, log, begin, end)]
    n_good = n_bad = 0
    for row, (user, first) in enumerate(names):
        part = data.part.iloc[first]
        mine = found.query == row
        seen = {place[i] for i in early.item_id[early.user_id == int(user)]}
        ever = {place[i] for i in data.item_id[data.user_id == int(user)]}
        chosen = {place[i] for i in late.item_id[(late.user_id == int(user)) & (late.part == part)]} - seen
        good = set(found.item[mine & (found.label > 0)].tolist())
        bad = set(found.item[mine & (found.label == 0)].tolist())
        assert found.n_past[row] == len(seen)
        assert good <= chosen
        assert not bad & (ever | seen)
        assert len(good) + len(bad) <= N_CANDIDATES
        n_good, n_bad = n_good + len(good), n_bad + len(bad)
    assert n_good > 10
    assert n_bad > 100


def _asked(model: Recommender, log: Log, begin: int, end: int) -> list[tuple[int, int]]:
    """User and row of each list of a window."""
    first, _ = asks_of(log.own.take(np.arange(begin, end)), log.user[begin:end])
    return [(int(log.user[begin + at]), begin + int(at)) for at in first]


def test_drawn_negatives_stand_for_all(model: Recommender, log: Log) -> None:
    begin, end = windows(len(log), 0.5)[0]
    moment, _ = moment_at(model, log, begin)
    few, many = (_with(model, ranker_negatives=n) for n in (2, 1_000))
    some, every = (chosen_in(m, log, moment, begin, end, np.random.default_rng(0)) for m in (few, many))
    assert (np.bincount(some.query, some.label == 0) <= 2).all()
    assert (every.stands == 1).all()
    np.testing.assert_allclose(np.bincount(some.query, some.stands), np.bincount(every.query))
    np.testing.assert_array_equal(some.item[some.label > 0], every.item[every.label > 0])


def _with(model: Recommender, **settings: Any) -> Recommender:
    other = copy.copy(model)
    for name, value in settings.items():
        setattr(other, name, value)
    return other


def test_nothing_later_than_a_moment_is_known_at_it(model: Recommender, log: Log) -> None:
    begin, end = windows(len(log), 0.5)[2]
    rng = np.random.default_rng(5)
    other = log.item.copy()
    other[begin:] = rng.integers(0, len(model.items_.ids), len(log) - begin)
    changed = dataclasses.replace(log, item=other)
    one, two = (moment_at(model, each, begin)[0] for each in (log, changed))
    np.testing.assert_array_equal(one.vectors, two.vectors)
    for name, array in one.signals.to_state().items():
        np.testing.assert_array_equal(array, two.signals.to_state()[name])
    np.testing.assert_array_equal(one.seen.items, two.seen.items)
    parts = [chosen_in(model, log, m, begin, end, np.random.default_rng(0)) for m in (one, two)]
    np.testing.assert_array_equal(parts[0].numbers, parts[1].numbers)


def test_the_first_weights_of_the_ranking_know_none_of_its_examples(log: Log, model: Recommender) -> None:
    begins = [begin for begin, _ in windows(len(log), 0.5)]
    expected = moment_at(model, log, begins[0])[1]
    assert expected is not None
    slow = machine(learning_rate=1e-9, max_iter=1)
    V = unfitted(ranker=slow).fit(*visits()).ranking_.estimator.params_.V  # type: ignore[union-attr]
    np.testing.assert_allclose(V[: len(expected.V)], expected.V, atol=1e-5)


def test_a_list_of_many_choices_weighs_as_the_root_of_their_number() -> None:
    label = np.array([1, 1, 1, 1, 0, 0, 1, 0], float)
    query = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    stands = np.where(label > 0, 1.0, 3.0)
    examples = Examples(
        NO_ROWS, np.zeros(2, np.int64), query, query, label, stands, np.zeros((8, 7), np.float32)
    )
    weight = list_weight(examples)
    assert weight.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(weight / weight[6], np.where(query == 0, 0.5, 1.0) * stands)


def test_held_lists_are_judged_by_ndcg() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(5), [30, 2, 7, 25, 3])
    label = (rng.random(len(query)) < 0.3).astype(float)
    label[query == 1] = 0
    score, numbers = rng.normal(size=len(query)).astype("f"), rng.normal(size=(len(query), 7)).astype("f")
    found = judged(Examples(NO_ROWS, np.zeros(5), query, query, label, label + 1, numbers), score)  # type: ignore[arg-type]
    for name, by in (("recall", numbers[:, 0]), ("ranking", score)):
        each = []
        for one in set(query[label > 0].tolist()):
            mine = np.flatnonzero(query == one)
            ranked = mine[np.argsort(-by[mine])].tolist()
            each.append(ndcg_at_k(ranked, set(mine[label[mine] > 0].tolist()), 20))
        assert found[name] == pytest.approx(np.mean(each), abs=1e-6)
        assert found["lists"] == len(each)


# ---------------------------------------------------------------------------------------------- impressions


def shown(n: int = 600) -> pd.DataFrame:
    """Impressions of the latter half of ``visits``: chosen by kind, at 10, 40 and 70 %."""
    log, _, _ = visits()
    rng = np.random.default_rng(3)
    number = rng.integers(0, 18, n)
    rate = np.array([0.1, 0.4, 0.7])[number % 3]
    return pd.DataFrame(
        {
            "user_id": 100 + rng.integers(0, N_USERS, n),
            "item_id": [f"i{i}" for i in number],
            "part": rng.choice(["day", "night"], n),
            "when": log.when.to_numpy()[450] + 1.0 + rng.integers(0, 450, n) * 3600.0,
            "label": (rng.random(n) < rate).astype(int),
        }
    )


def test_chances_come_true() -> None:
    impressions = shown(4_000)
    ranker = machine(max_iter=5, l2_V=0.01)
    model = unfitted(context=[], history=0, ranker=ranker, columns=RECOMMENDER_COLUMNS[:4])
    engine = Engine(model.fit(*visits(), impressions=impressions))
    chance = [
        [each.probability for each in engine.rank(Ask(user=user), kind).items]
        for kind in ([f"i{i}" for i in range(at, 18, 3)] for at in range(3))
        for user in range(100, 100 + N_USERS)
    ]
    of_kind = np.array(chance).reshape(3, -1)
    np.testing.assert_allclose(of_kind.mean(axis=1), [0.1, 0.4, 0.7], atol=0.06)
    np.testing.assert_allclose(of_kind, np.array([[0.1], [0.4], [0.7]]) + 0 * of_kind, atol=0.3)


def test_an_impression_has_the_history_before_it_and_nothing_later(model: Recommender, log: Log) -> None:
    data, _, _ = visits()
    table = shown(200)
    read = Shown.of(model, log, pa.table(table.assign(label=table.label.astype(float))))
    begin, end = windows(len(log), 0.5)[1]
    moment, _ = moment_at(model, log, begin)
    part = read.in_window(model, log, moment, begin, end)
    assert part is not None
    rows = table.sort_values("when", kind="stable")
    low, high = data.when.iloc[begin], data.when.iloc[end]
    rows = rows[(rows.when >= low) & (rows.when < high)]
    assert sorted(part.label.tolist()) == sorted(rows.label.tolist())
    assert len(part.n_past) == len(rows[["user_id", "part", "when"]].drop_duplicates())
    field = model.field_names().index("history")
    start = model._n_own_features()
    for one in range(len(part.n_past)):
        query = part.queries.take(np.array([one]))
        mine = np.asarray(query.field_of_each()) == field
        known = set((query.indices[mine] - start).tolist())
        moments = _moments(part, rows, model, one)
        assert any(
            set(history_before(*_with_one(log, who, when), 3, len(log))) == known
            and part.n_past[one] == len(set(history_before(*_with_one(log, who, when), 10_000, len(log))))
            for who, when in moments
        )


def _with_one(log: Log, who: int, when: float) -> tuple[Any, Any, Any]:
    """The log with an interaction of ``who`` at ``when`` behind it, which comes before all others of its time."""
    return np.append(log.user, who), np.append(log.item, 0), np.append(log.seconds, when - 1e-3)  # type: ignore[arg-type]


def _moments(part: Examples, rows: pd.DataFrame, model: Recommender, one: int) -> list[tuple[int, float]]:
    """Users and times that show the items of list ``one``."""
    items = sorted(part.item[part.query == one].tolist())
    out = []
    for (user, _, when), each in rows.groupby(["user_id", "part", "when"]):
        positions = model.items_.ids.positions(pa.array(each.item_id), "item_id")
        if sorted(positions.tolist()) == items:
            at = int(model.users_.ids.positions(pa.array([user]), "user_id")[0])
            out.append((at, float(when)))
    return out


def test_impressions_of_one_moment_are_one_list(log: Log, model: Recommender) -> None:
    table = shown(40)
    table["when"], table["user_id"], table["part"] = visits()[0].when.iloc[600], 104, "day"
    read = Shown.of(model, log, pa.table(table))
    begin, end = next(w for w in windows(len(log), 0.5) if w[0] <= 600 < w[1])
    part = read.in_window(model, log, moment_at(model, log, begin)[0], begin, end)
    assert part is not None
    assert len(part.n_past) == 1
    assert len(part.item) == 40


@pytest.mark.parametrize("kind", [FMClassifier, FFMClassifier, FMRanker])
def test_classifiers_and_rankers_learn_from_impressions(kind: Any) -> None:
    table = shown()
    table["when"] = table.when - table.when % (24 * 3600) + 1800.0  # several items a moment
    model = unfitted(ranker=machine(kind)).fit(*visits(), impressions=table)
    assert model.ranking_ is not None
    assert model.ranking_.name == kind.__name__
    assert {"recall", "ranking"} <= set(model.ranking_.held)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda t: t.drop(columns="when"), ColumnError, "column of times"),
        (lambda t: t.drop(columns="label"), ColumnError, "'label'"),
        (lambda t: t.assign(label=2), LabelError, "row 0 .* label 2.0"),
        (lambda t: t.assign(label="yes"), LabelError, "labels are 0 and 1"),
        (lambda t: t.assign(item_id="nothing"), DataError, "no impression is of an item"),
        (lambda t: t.assign(when=1.0), DataError, "no impression is of the latest 50%"),
        (lambda t: t.assign(label=1), DataError, "one kind alone"),
    ],
)
def test_impressions_that_cannot_be_learnt_from_are_refused(change: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        unfitted().fit(*visits(), impressions=change(shown(100)))


# --------------------------------------------------------------------------------------------------- asking


def test_single_requests_have_the_scores_of_batches(model: Recommender) -> None:
    engine = Engine(model)
    for user in (100, 113, 121):
        for part in ("day", "night"):
            expected = model.recommend([user], 6, context={"part": part}).to_pydict()
            answer = engine.recommend(Ask(user=user, n=6, context={"part": part}))
            assert [each.item for each in answer.items] == expected["item_id"]
            np.testing.assert_allclose([each.score for each in answer.items], expected["score"], atol=1e-4)
            for each in answer.items:
                assert each.probability == pytest.approx(model.ranking_.probability(each.score))  # type: ignore[union-attr]


def test_a_score_does_not_depend_on_the_list_it_is_asked_in(model: Recommender) -> None:
    engine, ask = Engine(model), Ask(user=107, n=8, context={"part": "day"})
    whole = {each.item: each.score for each in engine.recommend(ask).items}
    some = list(whole)[1:4]
    for each in engine.rank(ask, some).items:
        assert each.score == pytest.approx(whole[each.item], abs=1e-4)
    for each in engine.recommend(dataclasses.replace(ask, allow=some)).items:
        assert each.score == pytest.approx(whole[each.item], abs=1e-4)
    assert engine.explain(ask, some[0]).ranked == pytest.approx(whole[some[0]], abs=1e-4)
    wider = {each.item: each.score for each in engine.recommend(dataclasses.replace(ask, n=14)).items}
    for item, score in whole.items():
        assert wider[item] == pytest.approx(score, abs=1e-4)


def test_a_click_is_part_of_the_past_that_nearness_looks_at(model: Recommender) -> None:
    engine, ask = Engine(model), Ask(user=101, n=5)
    clicked = engine.recommend(ask).items[0].item
    place = engine.queries.of(dataclasses.replace(ask, history=[clicked]), engine._catalogue).past
    assert model.items_.ids.positions(pa.array([clicked]), "item_id")[0] in place
    before, after = (engine.rank(dataclasses.replace(ask, history=h), ["i3", "i4"]) for h in ([], [clicked]))
    assert [each.score for each in before.items] != [each.score for each in after.items]


def test_saved_and_loaded_it_gives_the_same_lists(model: Recommender, tmp_path: Any) -> None:
    model.save(tmp_path / "both.crossfm")
    again = crossfm.load(tmp_path / "both.crossfm")
    users = list(range(100, 130))
    assert again.recommend(users, 5).equals(model.recommend(users, 5))
    assert again.ranking_.held == model.ranking_.held  # type: ignore[union-attr]
    assert again.ranking_.calibration == model.ranking_.calibration  # type: ignore[union-attr]
    assert evaluate(again, visits(50, seed=4)[0]).value("fm", "ndcg@10") == evaluate(
        model, visits(50, seed=4)[0]
    ).value("fm", "ndcg@10")


def test_two_fits_are_equal_bit_for_bit(model: Recommender) -> None:
    users = list(range(100, 130))
    assert unfitted().fit(*visits()).recommend(users, 5).equals(model.recommend(users, 5))


def test_items_that_came_after_training_are_ranked_too(model: Recommender) -> None:
    engine = Engine(model)
    engine.put_items([{"item_id": "fresh", "kind": "love", "tags": "cheap"}])
    assert "fresh" in [each.item for each in engine.rank(Ask(user=101), ["fresh", "i1"]).items]
    assert len(engine.recommend(Ask(user=101, n=19, exclude_seen=False)).items) == 19


def test_a_log_without_times_counts_by_its_order() -> None:
    timed, plain = (unfitted(time=time).fit(*visits()) for time in ("when", None))
    assert plain.recommend([100, 101], 5).equals(timed.recommend([100, 101], 5))


def test_it_finds_what_recall_cannot_know() -> None:
    log, users, items = trends()
    both = Recommender(
        time="when", retriever=retriever(), ranker=machine(max_iter=10), n_candidates=40, columns=[]
    ).fit(log.iloc[:3_200], users, items)
    alone = Recommender(retriever=retriever(), n_candidates=40, columns=[]).fit(
        log.iloc[:3_200], users, items
    )
    later = log.iloc[3_200:3_500]
    one, two = (evaluate(m, later).value("fm", "ndcg@10")["mean"] for m in (alone, both))
    assert two > one + 0.1


def trends(n: int = 3_500) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """In each stretch of 500 interactions another five of forty items are in fashion."""
    rng = np.random.default_rng(0)
    stretch = np.arange(n) // 500
    fashion = np.array([rng.permutation(40)[:5] for _ in range(n // 500 + 1)])
    item = np.where(rng.random(n) < 0.8, fashion[stretch, rng.integers(0, 5, n)], rng.integers(0, 40, n))
    log = pd.DataFrame({"user_id": rng.integers(0, 300, n), "item_id": item, "when": np.arange(n) * 60.0})
    return log, pd.DataFrame({"user_id": range(300)}), pd.DataFrame({"item_id": range(40)})


# --------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ranker": FMRegressor(K)}, "ranker is a FMRegressor, but a classifier or ranker"),
        ({"ranker": "fm"}, "ranker is a str"),
        ({"ranker": FMClassifier(K + 1)}, f"n_factors={K + 1}.*n_factors={K}"),
        ({"ranker_share": 0.0}, "ranker_share=0.0"),
        ({"ranker_share": 1.0}, "ranker_share=1.0"),
        ({"ranker_negatives": 0}, "ranker_negatives"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        unfitted(**options).fit(*visits(60))


def test_a_ranking_of_signals_alone_is_asked_in_any_order() -> None:
    signals = Signals.fit(np.array([0, 0, 1]), np.array([0, 1, 1]), n_users=2, n_items=3, n_log=3)
    items, recalled = np.array([2, 0, 1]), np.array([0.1, 0.2, 0.3], np.float32)
    order = np.array([1, 2, 0])
    past = Seen.of(np.array([0]), np.array([0]), 1).items
    np.testing.assert_array_equal(
        signals.of(past, items, recalled)[order], signals.of(past, items[order], recalled[order])
    )


@pytest.mark.parametrize("seed", range(5))
def test_one_query_beside_many_items_is_what_joining_each_of_them_gives(
    model: Recommender, seed: int
) -> None:
    rng, ranking = np.random.default_rng(seed), model.ranking_
    n = int(rng.integers(0, 20))
    query = model.queries([int(rng.integers(N_USERS))])
    items = model._catalogue.take(rng.integers(0, len(model.items_.ids), n))
    numbers = rng.standard_normal((n, len(NUMBERS))).astype(np.float32)
    expected = ranking.joined(query.take(np.zeros(n, np.int64)), items, numbers, np.full(n, 7))
    found = ranking.beside(query, items, numbers, 7)
    assert found.n_features == expected.n_features
    for name in ("offsets", "field_of_each", "value_of_each"):
        np.testing.assert_array_equal(getattr(found, name)(), getattr(expected, name)())
    np.testing.assert_array_equal(found.indices, expected.indices)
