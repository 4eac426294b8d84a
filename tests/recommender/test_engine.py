"""Single requests: the same lists as in batch, exact under every filter, and clicks that count at once."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contracts import visits
from crossfm import Categorical, FMRanker, MultiCategorical, Recommender
from crossfm.errors import ColumnError, DataError, OptionError
from crossfm.estimators.neural_ranker import NeuralFMRanker
from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine

N_ITEMS = 18
OF_ITEM = ("item_id", "kind", "tags")


def fitted(**options: Any) -> Recommender:
    retriever = FMRanker(6, learning_rate=0.1, max_iter=25, l2_V=0.01, random_state=3)
    settings = {"context": ["part"], "time": "when", "history": 4, "retriever": retriever}
    log, users, items = visits()
    items["year"] = [1990 + at for at in range(N_ITEMS)]
    items["born"] = 2_000_000_000.0 - 86_400.0 * np.arange(N_ITEMS)
    items["title"] = [f"The <b>{kind}</b> of {at}" for at, kind in enumerate(items.kind)]
    columns = [
        Categorical("taste"),
        Categorical("kind"),
        MultiCategorical("tags", combiner="sqrtn"),
        Categorical("part"),
    ]
    return Recommender(**{**settings, "columns": columns, **options}).fit(log, users, items)


@pytest.fixture(scope="module")
def model() -> Recommender:
    return fitted()


@pytest.fixture
def engine(model: Recommender) -> Engine:
    return Engine(model, version="v7")


def ids(found: Any) -> list[Any]:
    return [each.item for each in found]


def test_an_answer_is_the_list_that_batches_give(engine: Engine, model: Recommender) -> None:
    for user in (100, 111, 123):
        for context in ({}, {"part": "night"}, {"part": "day"}):
            answer = engine.recommend(Ask(user=user, n=7, context=context))
            expected = model.recommend([user], 7, context=context).to_pydict()
            assert ids(answer.items) == expected["item_id"]
            np.testing.assert_allclose([each.score for each in answer.items], expected["score"], atol=1e-5)
            assert [each.rank for each in answer.items] == expected["rank"]
            assert answer.version == "v7"
            assert answer.known


def test_the_first_list_is_that_of_recall_and_places_are_told(engine: Engine) -> None:
    answer = engine.recommend(Ask(user=101, n=5, diversity=0.9))
    alone = engine.recall(Ask(user=101, n=5))
    assert ids(answer.recalled) == ids(alone.items)
    assert ids(answer.items) != ids(answer.recalled)
    place = {each.item: each.rank for each in engine.recall(Ask(user=101, n=N_ITEMS)).items}
    for each in answer.items:
        assert each.recall_rank == place[each.item]


def test_what_the_user_has_seen_never_comes_unless_it_may(engine: Engine, model: Recommender) -> None:
    log = visits()[0]
    for user in (100, 101):
        seen = set(log.item_id[log.user_id == user])
        answer = engine.recommend(Ask(user=user, n=N_ITEMS))
        assert set(ids(answer.items)) == {f"i{i}" for i in range(N_ITEMS)} - seen
        assert answer.funnel.allowed == N_ITEMS - len(seen)
        assert answer.note is not None
        assert answer.note.startswith(f"{N_ITEMS - len(seen)} of {N_ITEMS}")
        assert len(engine.recommend(Ask(user=user, n=N_ITEMS, exclude_seen=False)).items) == N_ITEMS


@pytest.mark.parametrize(
    ("where", "meets"),
    [
        ({"kind": "war"}, lambda i: i % 3 == 0),
        ({"kind": ["war", "love"]}, lambda i: i % 3 < 2),
        ({"kind": {"none": ["war"]}}, lambda i: i % 3 > 0),
        ({"tags": "old"}, lambda i: i % 6 in (0, 2, 5)),
        ({"tags": {"all": ["old", "odd"]}}, lambda i: i % 6 == 5),
        ({"tags": {"exists": False}}, lambda i: i % 6 in (1, 3)),
        ({"year": {"min": 1995, "max": 1999.5}}, lambda i: 5 <= i <= 9),
        ({"year": 1993}, lambda i: i == 3),
        ({"kind": "war", "tags": {"any": ["cheap"], "none": ["old"]}}, lambda i: i % 3 == 0 and i % 6 == 4),
        ({"kind": "peace"}, lambda i: False),
    ],
)
def test_filters_leave_exactly_what_meets_them(engine: Engine, where: Any, meets: Any) -> None:
    expected = {f"i{i}" for i in range(N_ITEMS) if meets(i)}
    for user in (100, "nobody"):
        answer = engine.recommend(Ask(user=user, n=N_ITEMS, exclude_seen=False, where=where))
        assert set(ids(answer.items)) == expected
        assert answer.funnel.allowed == len(expected)
    everything = ids(engine.recommend(Ask(user=100, n=N_ITEMS, exclude_seen=False)).items)
    filtered = engine.recommend(Ask(user=100, n=N_ITEMS, exclude_seen=False, where=where))
    assert ids(filtered.items) == [item for item in everything if item in expected]


def test_allow_and_deny_lists_hold_together(engine: Engine) -> None:
    ask = Ask(user=100, n=9, exclude_seen=False, allow=["i1", "i2", "i3", "never"], deny=["i2", "no"])
    assert set(ids(engine.recommend(ask).items)) == {"i1", "i3"}


@pytest.mark.parametrize(
    "where",
    [
        {"kind": {"some": 1}},
        {"kind": {"min": 1}},
        {"kind": [["war"]]},
        {"year": {"min": "x"}},
        {"kind": None},
    ],
)
def test_conditions_that_mean_nothing_are_refused(engine: Engine, where: Any) -> None:
    with pytest.raises(OptionError, match="where"):
        engine.recommend(Ask(user=100, where=where))


def test_unknown_columns_are_refused(engine: Engine) -> None:
    for ask in (Ask(where={"colour": "red"}), Ask(context={"hour": 3}), Ask(features={"item_id": "i1"})):
        with pytest.raises(ColumnError):
            engine.recommend(ask)
    with pytest.raises(ColumnError, match="colour"):
        engine.recommend(Ask(user=100, caps={"colour": 1}))


def test_a_click_changes_the_very_next_answer_and_a_session_needs_no_user(engine: Engine) -> None:
    before = engine.recommend(Ask(user=100, n=5, exclude_seen=False))
    after = engine.recommend(Ask(user=100, n=5, exclude_seen=False, history=["i1", "i4", "i7"]))
    assert [each.score for each in before.items] != [each.score for each in after.items]
    session = engine.recommend(Ask(n=5, history=["i1", "i4"]))
    assert session.known
    assert not {"i1", "i4"} & set(ids(session.items))
    stranger = engine.recommend(Ask(user="who", n=5, history=["i1", "i4"]))
    assert ids(stranger.items) == ids(session.items)


def test_the_history_of_a_request_goes_behind_the_stored_one(engine: Engine, model: Recommender) -> None:
    assert model.histories_ is not None
    own = model.histories_.of_users(np.array([0])).items.tolist()
    again = [f"i{i}" for i in own]
    one = engine.recommend(Ask(user=100, n=9, history=again))
    assert [each.score for each in one.items] == [
        each.score for each in engine.recommend(Ask(user=100, n=9)).items
    ]


def test_nothing_known_gives_the_popular_ones(engine: Engine, model: Recommender) -> None:
    answer = engine.recommend(Ask(user="who", n=4, context={"part": "dawn"}))
    assert not answer.known
    order = np.lexsort((np.arange(N_ITEMS), -model.popularity_))[:4]
    assert ids(answer.items) == [f"i{i}" for i in order]
    assert {each.source for each in answer.items} == {"popularity"}


def test_features_stand_in_for_an_unknown_user(engine: Engine) -> None:
    a = ids(engine.recommend(Ask(n=5, features={"taste": "a"}, context={"part": "day"})).items)
    b = ids(engine.recommend(Ask(n=5, features={"taste": "b"}, context={"part": "day"})).items)
    assert a != b


def test_popularity_weighs_what_an_item_scores_without_any_user(engine: Engine, model: Recommender) -> None:
    own = dict(zip([f"i{i}" for i in range(N_ITEMS)], model.item_vectors_[-1], strict=True))
    hits = engine.recommend(Ask(user=100, n=6, exclude_seen=False, popularity=1000.0))
    assert ids(hits.items) == sorted(own, key=lambda item: -own[item])[:6]
    for item, each in zip(ids(hits.items), hits.items, strict=True):
        base = engine.rank(Ask(user=100), [item]).items[0].score
        assert each.score == pytest.approx(base + 999.0 * own[item], rel=1e-4)


def test_caps_hold_and_fill_up_from_deeper_in_the_list(model: Recommender) -> None:
    engine = Engine(model)
    ask = Ask(user=100, n=6, exclude_seen=False, caps={"kind": 2}, n_candidates=6)
    found = ids(engine.recommend(ask).items)
    kinds = [int(item[1:]) % 3 for item in found]
    assert len(found) == 6
    assert sorted(kinds) == [0, 0, 1, 1, 2, 2]
    more = engine.recommend(Ask(user=100, n=9, exclude_seen=False, caps={"kind": 2}))
    assert len(more.items) == 6
    assert more.note == "6 of 9: caps allow no more"


def test_what_was_denied_is_not_taken_off_twice_when_the_reason_is_told(engine: Engine) -> None:
    denied = [f"i{at}" for at in range(12, N_ITEMS)]
    answer = engine.recommend(Ask(n=9, features={"taste": "a"}, deny=denied, caps={"kind": 2}))
    assert len(answer.items) == 6
    assert answer.note == "6 of 9: caps allow no more"


def test_diversity_puts_unlike_items_next_to_each_other(engine: Engine, model: Recommender) -> None:
    def likeness(found: list[Any]) -> float:
        at = [int(item[1:]) for item in found]
        V = model.item_vectors_[:-1, at].T
        V = V / np.linalg.norm(V, axis=1, keepdims=True)
        return float((V @ V.T)[np.triu_indices(len(at), 1)].mean())

    lists = [
        ids(engine.recommend(Ask(user=100, n=6, exclude_seen=False, diversity=d)).items)
        for d in (0.0, 0.5, 0.95)
    ]
    assert likeness(lists[2]) < likeness(lists[0])
    assert lists[0][0] == lists[1][0] == lists[2][0]


def test_exploration_turns_the_query_as_far_as_asked_and_by_the_seed(
    engine: Engine, model: Recommender
) -> None:
    def scores(**more: Any) -> dict[Any, float]:
        answer = engine.recommend(Ask(user=100, n=N_ITEMS, exclude_seen=False, **more))
        return {each.item: each.score for each in answer.items}

    plain, turned = scores(), scores(exploration=0.5, seed=1)
    assert turned == scores(exploration=0.5, seed=1) != scores(exploration=0.5, seed=2)
    assert scores(exploration=0.5) != scores(exploration=0.5)
    query = engine.queries.of(Ask(user=100), engine._catalogue).vector[:-1]
    items = model.item_vectors_[:-1].T
    change = np.array([turned[f"i{at}"] - plain[f"i{at}"] for at in range(N_ITEMS)])
    away = np.linalg.lstsq(items, change, rcond=None)[0]
    assert np.linalg.norm(away) == pytest.approx(0.5 * np.linalg.norm(query), rel=1e-3)


WARM = [
    {},
    {"diversity": 0.4},
    {"caps": {"kind": 2, "tags": 3}},
    {"where": {"kind": ["war", "love"]}, "popularity": 0.3},
    {"user": "who"},
]


@pytest.mark.parametrize("more", WARM)
def test_a_drawn_list_has_the_chances_that_it_had(engine: Engine, more: Any) -> None:
    ask = {"user": 100, "n": 5, "exclude_seen": False, "temperature": 0.5, **more}
    lists = [engine.recommend(Ask(**ask, seed=seed)).items for seed in range(6)]
    assert len({tuple(ids(found)) for found in lists}) > 1
    assert ids(engine.recommend(Ask(**ask, seed=3)).items) == ids(lists[3])
    for found in lists:
        told = [each.propensity for each in found]
        np.testing.assert_allclose(engine.propensities(Ask(**ask), ids(found)), told, rtol=1e-5)
        assert all(0 < chance < 1 for chance in told)


def test_items_are_drawn_as_often_as_told(engine: Engine) -> None:
    ask = Ask(user=100, n=1, temperature=0.7)
    every = [each.item for each in engine.recommend(Ask(user=100, n=N_ITEMS)).items]
    chance = {item: engine.propensities(ask, [item])[0] for item in every}
    assert sum(chance.values()) == pytest.approx(1.0)
    drawn = [ids(engine.recommend(replace(ask, seed=seed)).items)[0] for seed in range(400)]
    top = max(chance, key=lambda item: chance[item])
    assert drawn.count(top) / 400 == pytest.approx(chance[top], abs=0.08)


def test_without_temperature_the_list_is_certain(engine: Engine) -> None:
    ask = Ask(user=100, n=4, exclude_seen=False)
    found = engine.recommend(ask).items
    assert [each.propensity for each in found] == [1.0] * 4
    assert engine.propensities(ask, ids(found)) == [1.0] * 4
    a, b, *rest = ids(found)
    assert engine.propensities(ask, [b, a, *rest]) == [0.0] * 4
    assert engine.propensities(ask, [a, "never", b]) == [1.0, 0.0, 0.0]
    assert {each.propensity for each in engine.recall(ask).items} == {None}


def test_what_has_no_propensity_says_none(engine: Engine) -> None:
    explored = Ask(user=100, n=4, temperature=0.5, exploration=0.3)
    assert {each.propensity for each in engine.recommend(explored).items} == {None}
    with pytest.raises(OptionError, match="exploration has no propensities"):
        engine.propensities(explored, ["i1"])
    wider = Ask(user=100, n=6, exclude_seen=False, caps={"kind": 2}, n_candidates=6, temperature=0.5, seed=0)
    found = engine.recommend(wider).items
    assert len(found) == 6
    assert {each.propensity for each in found} == {None}


def test_freshness_is_that_of_the_moment_of_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(fitted(item_time="born", freshness_half_life=2.0))
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    ask = Ask(user=100, n=5, temperature=0.5, freshness=2.0, seed=1)
    found = engine.recommend(ask).items
    told = [each.propensity for each in found]
    monkeypatch.setattr("time.time", lambda: 2_000_900_000.0)
    np.testing.assert_allclose(engine.propensities(ask, ids(found), now=2_000_000_000.0), told, rtol=1e-5)
    assert not np.allclose(engine.propensities(ask, ids(found)), told, rtol=1e-2)


@pytest.mark.parametrize(
    "knob", [{"diversity": 0.5}, {"caps": {"kind": 1}}, {"popularity": 0.0}, {"temperature": 0.5}]
)
def test_an_empty_list_may_be_asked_for_in_any_way(engine: Engine, knob: Any) -> None:
    answer = engine.recommend(Ask(user=100, n=3, where={"kind": "peace"}, **knob))
    assert answer.items == []
    assert answer.note is not None


def test_freshness_lifts_new_items(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(fitted(item_time="born", freshness_half_life=2.0))
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    found = ids(engine.recommend(Ask(user=100, n=N_ITEMS, exclude_seen=False, freshness=100.0)).items)
    assert found[:6] == [f"i{i}" for i in range(6)]
    with pytest.raises(OptionError, match="item_time"):
        Engine(fitted()).recommend(Ask(user=100, freshness=1.0))


def test_rank_orders_what_is_asked_and_names_strangers(engine: Engine) -> None:
    everything = ids(engine.recommend(Ask(user=100, n=N_ITEMS, exclude_seen=False)).items)
    wanted = ["i3", "i9", "nothing", "i1", "i3"]
    answer = engine.rank(Ask(user=100), wanted)
    assert ids(answer.items) == [item for item in everything if item in wanted]
    assert answer.note == "not in the catalogue: nothing"
    assert {each.source for each in answer.items} == {"asked"}


def test_parts_add_up_to_the_score_and_the_history_says_because(engine: Engine) -> None:
    ask = Ask(user=100, context={"part": "day"}, history=["i1"])
    why = engine.explain(ask, "i5")
    score = engine.rank(ask, ["i5"]).items[0].score
    assert why.score == pytest.approx(score, abs=1e-5)
    assert why.bias + sum(part.value for part in why.parts) == pytest.approx(why.score, abs=1e-6)
    pairs = [p.value for p in why.parts if p.columns[0] == "history" and len(p.columns) == 2]
    of_item = [
        p.value
        for p in why.parts
        if p.columns[0] == "history" and p.columns[-1] in ("item_id", "kind", "tags")
    ]
    assert len(pairs) >= len(of_item) > 0
    assert sum(value for _, value in why.because) == pytest.approx(sum(of_item), abs=1e-5)
    assert "i1" in [item for item, _ in why.because]
    with pytest.raises(DataError, match="'never' is not in the catalogue"):
        engine.explain(ask, "never")


def test_similar_items_are_of_one_kind(engine: Engine) -> None:
    found = engine.similar("i0", 5)
    assert "i0" not in ids(found)
    assert {int(item[1:]) % 3 for item in ids(found)[:3]} == {0}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert set(ids(engine.similar("i0", 20, {"kind": "love"}))) == {f"i{i}" for i in range(1, N_ITEMS, 3)}


@pytest.mark.parametrize(
    ("network", "more"), [("fm", {}), ("fwfm", {}), ("nfm", {"hidden": (), "batch_norm": False})]
)
def test_networks_whose_score_is_an_inner_product_can_recall(network: str, more: Any) -> None:
    retriever = NeuralFMRanker(4, model=network, learning_rate=0.02, max_iter=3, random_state=0, **more)
    model = fitted(retriever=retriever)
    engine = Engine(Recommender.from_state(*model.to_state()))
    for ask in (
        Ask(user=100, n=N_ITEMS, exclude_seen=False, context={"part": "day"}),
        Ask(n=5, history=["i1", "i2"]),
    ):
        answer = engine.recommend(ask)
        queries = engine.queries.of(ask, engine._catalogue).rows
        at = [int(item[1:]) for item in ids(answer.items)]
        expected = model.retriever_.predict(queries.take(np.zeros(len(at), int)), model.items_.rows.take(at))
        np.testing.assert_allclose([each.score for each in answer.items], expected, atol=1e-5)
        why = engine.explain(ask, ids(answer.items)[0])
        assert why.score == pytest.approx(expected[0], abs=1e-5)
        assert why.bias + sum(part.value for part in why.parts) == pytest.approx(why.score, abs=1e-5)
        beside = [
            p.value
            for p in why.parts
            if p.columns[0] == "history" and p.columns[-1] in ("item_id", "kind", "tags")
        ]
        assert sum(value for _, value in why.because) == pytest.approx(sum(beside), abs=1e-5)
    batch = model.recommend([100], 6, context={"part": "day"}).to_pydict()
    assert ids(engine.recommend(Ask(user=100, n=6, context={"part": "day"})).items) == batch["item_id"]


@pytest.mark.parametrize("more", [{"model": "deepfm"}, {"model": "nfm"}, {"model": "nfm", "hidden": [8]}])
def test_networks_with_layers_are_refused_for_recall_before_training(more: Any) -> None:
    with pytest.raises(OptionError, match=r"network.*no index can search it"):
        fitted(retriever=NeuralFMRanker(4, **more))


class TestItemsThatChange:
    def test_a_new_item_is_recommended_by_its_features_at_once(self, engine: Engine) -> None:
        engine.put_items([{"item_id": "new", "kind": "space", "tags": ["old", "odd"], "title": "New"}])
        assert engine.n_items == N_ITEMS + 1
        assert engine.item("new") == {"item_id": "new", "kind": "space", "tags": "old|odd", "title": "New"}
        answer = engine.recommend(Ask(user=100, n=N_ITEMS + 1, exclude_seen=False))
        assert "new" in ids(answer.items)
        assert ids(
            engine.recommend(
                Ask(user=100, where={"tags": "odd", "kind": "space"}, n=9, exclude_seen=False)
            ).items
        )
        twin = engine.rank(Ask(user=100), ["new"]).items[0].score
        model = engine.recommender
        side = model.items_.added(pa.table({"item_id": ["new"], "kind": ["space"], "tags": ["old|odd"]}))
        rows = side.rows.take([N_ITEMS])
        expected = model.retriever_.predict(model.queries([100]), rows)[0]
        assert twin == pytest.approx(expected, abs=1e-5)

    def test_a_changed_item_keeps_what_was_not_said(self, engine: Engine) -> None:
        before = engine.rank(Ask(user=100), ["i0"]).items[0].score
        engine.put_items([{"item_id": "i0", "kind": "love"}])
        assert engine.item("i0")["title"] == "The <b>war</b> of 0"
        assert engine.item("i0")["kind"] == "love"
        assert engine.rank(Ask(user=100), ["i0"]).items[0].score != before
        engine.put_items([{"item_id": "i0", "kind": "war"}])
        assert engine.rank(Ask(user=100), ["i0"]).items[0].score == pytest.approx(before, abs=1e-6)

    def test_a_deleted_item_is_nowhere_and_may_come_back(self, engine: Engine) -> None:
        everything = ids(engine.recommend(Ask(user=100, n=99, exclude_seen=False)).items)
        assert engine.delete_items(["i2", "never"]) == 1
        assert engine.item("i2") is None
        assert engine.n_items == N_ITEMS - 1
        assert ids(engine.recommend(Ask(user=100, n=99, exclude_seen=False)).items) == [
            item for item in everything if item != "i2"
        ]
        assert "i2" not in ids(engine.similar("i5", 99))
        assert engine.rank(Ask(user=100), ["i2"]).items == []
        engine.put_items([{"item_id": "i2"}])
        assert ids(engine.recommend(Ask(user=100, n=99, exclude_seen=False)).items) == everything

    def test_requests_go_on_while_items_change(self, engine: Engine) -> None:
        wrong: list[Any] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = engine.recommend(Ask(user=100, n=5, exclude_seen=False, where={"kind": "war"}))
                if len(answer.items) != 5:
                    wrong.append(answer)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for at in range(30):
            engine.put_items([{"item_id": f"n{at}", "kind": "war"}])
            engine.delete_items([f"n{at - 1}"])
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_items_that_cannot_be_are_refused_and_change_nothing(self, engine: Engine) -> None:
        for listed, match in (
            ([{"kind": "war"}], "no 'item_id'"),
            ([{"item_id": "x"}, {"item_id": "x"}], "more than one row"),
            ([{"item_id": "x", "year": "soon"}], "year"),
        ):
            with pytest.raises(DataError, match=match):
                engine.put_items(listed)
        assert engine.n_items == N_ITEMS


def test_people_are_shown_titles_and_columns(engine: Engine) -> None:
    schema = engine.schema()
    assert schema["title"] == "title"
    assert schema["context"] == [{"name": "part", "kind": "categorical", "values": ["day", "night"]}]
    kinds = {column["name"]: column["values"] for column in schema["item_columns"]}
    assert sorted(kinds["kind"]) == ["love", "space", "war"]
    assert set(kinds["tags"]) == {"cheap", "old", "new", "odd"}
    assert engine.items("OF 1")[0]["item_id"] in {f"i{i}" for i in (1, *range(10, 18))}
    assert len(engine.items("of 1", limit=100)) == 9
    assert len(engine.items("of 1", limit=5, offset=6)) == 3
    assert engine.user(103) == {"user_id": 103, "taste": "a", "age": 23.0}
    assert engine.user("nobody") is None
    assert [user["user_id"] for user in engine.users("11")] == [110 + at for at in range(10)]
    assert [user["user_id"] for user in engine.users("1")][:3] == [100, 101, 102]
    assert [user["user_id"] for user in engine.users("20", limit=3)] == [120]
    assert [user["user_id"] for user in engine.users("0")][:2] == [100, 101]
    assert engine.items("i1", limit=1)[0]["item_id"] == "i1"
    assert len(engine.history(100, 3)) == 3
