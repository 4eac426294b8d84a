"""Channels against their naive forms, and as candidates beside recall, in batches and in single requests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import oracles
from contracts import visits
from crossfm import Categorical, FMClassifier, FMRanker, MultiCategorical, Recommender, load
from crossfm.errors import MemoryLimitError, OptionError
from crossfm.recommender.ask import Ask
from crossfm.recommender.channels import near as near_module
from crossfm.recommender.channels import postings as postings_module
from crossfm.recommender.channels.kinds import NAMES, make_channel
from crossfm.recommender.channels.near import Near
from crossfm.recommender.channels.orders import Latest, Popular, first_of
from crossfm.recommender.channels.postings import Postings, best_of
from crossfm.recommender.channels.quotas import RECALL, merge
from crossfm.recommender.channels.tags import Tags
from crossfm.recommender.engine import Engine
from crossfm.recommender.filters import Values
from crossfm.recommender.seen import Seen

N_ITEMS = 18
QUOTAS = {"popular": 2, "item-kNN": 3, "tags": 2, "latest": 2}


def fitted(**options: Any) -> Recommender:
    log, users, items = visits(200)
    log = log.query("item_id != 'i5'")  # of the catalogue only
    rng = np.random.default_rng(7)
    items["born"] = 1e9 + 86_400.0 * rng.integers(0, 9, N_ITEMS)  # some at the same time
    items.loc[3, "born"] = None
    columns = [
        Categorical("taste"),
        Categorical("kind"),
        MultiCategorical("tags", combiner="sqrtn"),
        Categorical("part"),
    ]
    settings = {
        "context": ["part"],
        "time": "when",
        "half_life": 5.0,
        "columns": columns,
        "item_time": "born",
    }
    retriever = FMRanker(4, learning_rate=0.1, max_iter=8, random_state=3)
    settings |= {"retriever": retriever, "n_candidates": 11, "channels": QUOTAS}
    return Recommender(**{**settings, **options}).fit(log, users, items)


@pytest.fixture(scope="module")
def model() -> Recommender:
    return fitted()


@pytest.fixture(scope="module")
def both_stages() -> Recommender:
    ranker = FMClassifier(4, max_iter=1, learning_rate=0.05, random_state=0)
    return fitted(ranker=ranker, history=4)


@pytest.fixture
def engine(model: Recommender) -> Engine:
    return Engine(model)


def of_user(model: Recommender, user: int) -> list[int]:
    at = model.users_.ids.positions(pa.array([user]), "user_id")
    return [int(item) for item in model.seen_.of_users(at).items]


def sets_of_values(model: Recommender) -> list[set[str]]:
    table = model.items_.table
    return [
        {f"kind {kind}"} | {f"tag {tag}" for tag in (tags or "").split("|") if tag}
        for kind, tags in zip(table["kind"].to_pylist(), table["tags"].to_pylist(), strict=True)
    ]


class TestOrders:
    def test_the_first_that_may_come_are_found_however_far_they_are(self) -> None:
        rng = np.random.default_rng(0)
        order = rng.permutation(5_000)
        for share in (0.0, 0.001, 0.3, 1.0):
            may = rng.random(5_000) < share
            expected = [item for item in order if may[item]]
            for n in (0, 1, 7, 300, 9_000):
                assert first_of(order, may, n).tolist() == expected[:n]

    def test_popular_items_come_by_popularity_then_position_and_what_nobody_took_does_not(self) -> None:
        channel = Popular.of(np.array([0.5, 3.0, 0.0, 3.0, 0.7]))
        nobody = np.zeros(0, np.int64)
        assert channel.best(nobody, nobody, np.ones(5, bool), 9).tolist() == [1, 3, 4, 0]

    def test_a_half_life_makes_it_recent_popularity(self, model: Recommender) -> None:
        channel: Any = make_channel("popular", model)
        expected = oracles.best_unseen(
            model.popularity_, {int(np.argmin(model.popularity_))}, 20, model.popularity_
        )
        assert channel.order.tolist() == expected
        assert channel.order.tolist() != np.argsort(-model.counts_, kind="stable")[:-1].tolist()

    @pytest.mark.parametrize("seed", range(5))
    def test_changed_times_give_the_order_of_a_new_channel(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        born = rng.integers(0, 4, 30).astype(float)
        born[rng.integers(0, 30, 5)] = np.nan
        where = np.concatenate([rng.permutation(30)[:6], [30, 31]])
        times = rng.integers(0, 4, len(where)).astype(float)
        times[1] = np.nan
        found = Latest.of(born).changed(where, times, 32)
        expected = np.append(born, [np.nan, np.nan])
        expected[where] = times
        assert found.order.tolist() == Latest.of(expected).order.tolist()
        assert found.order.tolist() == sorted(
            np.flatnonzero(np.isfinite(expected)).tolist(), key=lambda item: (-expected[item], item)
        )


class TestSums:
    @pytest.mark.parametrize("many", [0, 10**9])
    def test_rows_are_added_up_the_same_in_both_ways(
        self, many: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postings_module, "SPARSE", many)
        rng = np.random.default_rng(1)
        dense = rng.random((6, 40)) * (rng.random((6, 40)) < 0.3)
        row, column = np.nonzero(dense)
        mixed = rng.permutation(len(row))
        matrix = Postings.of(row[mixed], column[mixed], dense[row, column][mixed], dense.shape)
        rows, weights = np.array([4, 0, 5]), np.array([0.5, 2.0, 1.0])
        found, total = matrix.sums(rows, weights)
        expected = weights @ dense[rows]
        assert found.tolist() == np.flatnonzero(expected).tolist()
        np.testing.assert_allclose(total, expected[found], rtol=1e-6)
        nothing, _ = matrix.sums(np.zeros(0, np.int64))
        assert nothing.tolist() == []

    @pytest.mark.parametrize("n", [0, 1, 4, 50])
    def test_the_best_are_those_of_a_full_sort_with_ties_by_position(self, n: int) -> None:
        rng = np.random.default_rng(n)
        found, score = np.flatnonzero(rng.random(60) < 0.7), rng.integers(1, 5, 60).astype(float)
        may = rng.random(60) < 0.6
        full = np.where(np.isin(np.arange(60), found), score, 0.0)
        assert best_of(found, score[found], may, n).tolist() == oracles.best_above_zero(full, may, n)


class TestNear:
    @pytest.mark.parametrize("n_neighbours", [3, 100])
    def test_scores_are_those_of_item_knn(self, n_neighbours: int) -> None:
        rng = np.random.default_rng(2)
        user, item = rng.integers(0, 25, 150), rng.zipf(1.4, 150) % 13
        X = np.zeros((25, 14))
        X[user, item] = 1.0
        channel = Near.fit(Seen.of(user, item, 25), 14, n_neighbours)
        expected = oracles.knn_scores(X, n_neighbours, 10.0)
        for one in range(25):
            may = X[one] == 0
            past = np.flatnonzero(X[one])
            found = channel.best(np.append(past, 99), past, may, 6)  # 99 came later
            assert found.tolist() == oracles.best_above_zero(expected[one], may, 6)

    def test_too_many_items_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(near_module, "available", lambda: 1_000)
        with pytest.raises(
            MemoryLimitError, match=r"item-kNN keeps 100 neighbours of each of 18 items.*Leave item-kNN"
        ):
            fitted()


class TestTags:
    def test_scores_are_mean_cosines_of_tf_idf(self, model: Recommender) -> None:
        channel = make_channel("tags", model)
        values = sets_of_values(model)
        assert {len(own) for own in values} == {1, 2, 3, 4}
        rng = np.random.default_rng(4)
        for size in (0, 1, 3, 9):
            history = rng.permutation(N_ITEMS)[:size]
            may = rng.random(N_ITEMS) < 0.7
            found = channel.best(np.arange(N_ITEMS), history, may, 8)
            assert found.tolist() == oracles.best_above_zero(oracles.tag_scores(values, history), may, 8)

    def test_changed_and_new_items_count_as_they_are_now(self) -> None:
        columns = {"a": [["x"], ["x", "y"], ["y"], [], ["z", "x"], ["x"]], "b": [[v] for v in "pqqppp"]}
        cells = {name: pa.array(own) for name, own in columns.items()}
        values = {name: Values.of(pa.chunked_array([own]), name, None) for name, own in cells.items()}
        old = Tags.of(values, {}, 6)
        first = pa.table({"a": [["y", "z"], ["new"]], "b": [["q"], ["q"]]})
        then = pa.table({"a": [["z"], ["x"]], "b": [["p"], ["new"]]})
        found = old.changed(np.array([1, 6]), first).changed(np.array([7, 1]), then)
        sets = [{("a", v) for v in a} | {("b", v) for v in b} for a, b in zip(*columns.values(), strict=True)]
        idf = {key: np.log(6 / sum(key in own for own in sets)) for own in sets for key in own}
        now = [sets[0], {("a", "x")}, *sets[2:], {("b", "q")}, {("a", "z"), ("b", "p")}]
        vectors = np.array([[idf[key] * (key in own) for key in sorted(idf)] for own in now])
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for history in ([1], [7], [6, 0, 2, 7], [0, 1, 7]):
            score = (unit[history].mean(axis=0) @ unit.T).round(6)  # equal but for rounding: ties
            best = found.best(np.zeros(0, np.int64), np.array(history), np.ones(8, bool), 8)
            assert best.tolist() == oracles.best_above_zero(np.where(score < 1e-9, 0, score), np.ones(8), 8)

    def test_items_need_something_in_common(self) -> None:
        with pytest.raises(OptionError, match="tags needs attributes of items"):
            fitted(channels={"tags": 3}, columns=[Categorical("taste"), Categorical("part")])


class TestMerge:
    @pytest.mark.parametrize("seed", range(20))
    def test_quotas_are_filled_and_duplicates_make_room(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(6, 15))
        found = rng.permutation(40)[:n] if seed % 3 else rng.permutation(40)[: n - 4]  # filters leave less
        quotas = [3, 2]
        lists = [rng.permutation(20)[: quota - seed % 2] for quota in quotas]
        one = merge(found, lists, n - sum(quotas), n)
        expected = oracles.with_quotas(found.tolist(), [own.tolist() for own in lists], quotas, n)
        assert sorted(one.positions.tolist()) == sorted(expected)
        assert len(one.positions) == min(n, len({*found.tolist(), *np.concatenate(lists).tolist()}))
        for item, place, brought in zip(one.positions, one.places, one.brought, strict=True):
            if item in found:
                assert (found[place], brought) == (item, RECALL)
            else:
                assert place == -1
                assert brought == next(at for at, own in enumerate(lists) if item in own)
        own = one.places[one.places >= 0]
        assert (np.diff(own) > 0).all()

    def test_no_places_for_recall_are_no_fault(self) -> None:
        one = merge(np.array([4, 5, 6]), [np.array([1, 5]), np.array([2])], 0, 3)
        assert one.positions.tolist() == [5, 1, 2]


def expected_candidates(model: Recommender, user: int, context: dict[str, Any]) -> tuple[set[int], list[int]]:
    """What is ranked for a user, and recall's list, by hand."""
    n_candidates = model.n_candidates
    seen = of_user(model, user)
    plain = model.with_channels(None)
    queries = plain.queries([user], context)
    found, _ = plain.recall(queries, n_candidates, skip=(np.array([0, len(seen)]), np.array(seen, np.uint32)))
    may = ~np.isin(np.arange(N_ITEMS), seen)
    at = model.users_.ids.positions(pa.array([user]), "user_id")
    recent = model.recent(at).items.astype(np.int64)
    assert model.channels is not None
    lists = [
        make_channel(name, model).best(np.array(seen), recent, may, quota).tolist()
        for name, quota in model.channels.items()
    ]
    listed = [int(item) for item in found[0] if item >= 0]
    chosen = oracles.with_quotas(listed, lists, list(model.channels.values()), n_candidates)
    return set(chosen), listed


class TestAsCandidates:
    @pytest.mark.parametrize("stages", ["model", "both_stages"])
    def test_batches_rank_the_merged_candidates_and_say_who_brought_them(
        self, stages: str, request: pytest.FixtureRequest
    ) -> None:
        model = request.getfixturevalue(stages)
        items = {item: at for at, item in enumerate(model.items_.ids.keys.to_pylist())}
        sources = set()
        for user in range(100, 124):
            rows = model.recommend([user], model.n_candidates, context={"part": "day"}).to_pylist()
            expected, recalled = expected_candidates(model, user, {"part": "day"})
            assert {items[row["item_id"]] for row in rows} == expected
            for row in rows:
                assert (row["source"] == "fm") == (items[row["item_id"]] in recalled)
                sources.add(row["source"])
            assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
        assert len(sources) > 2

    @pytest.mark.parametrize("stages", ["model", "both_stages"])
    def test_single_requests_have_the_lists_of_batches(
        self, stages: str, request: pytest.FixtureRequest
    ) -> None:
        model = request.getfixturevalue(stages)
        engine = Engine(model)
        for user in range(100, 124):
            expected = model.recommend([user], 11, context={"part": "night"}).to_pydict()
            answer = engine.recommend(Ask(user=user, n=11, context={"part": "night"}))
            assert [each.item for each in answer.items] == expected["item_id"]
            np.testing.assert_allclose([each.score for each in answer.items], expected["score"], atol=1e-4)
            named = ["fm" if each.source == "recall" else each.source for each in answer.items]
            assert named == expected["source"]
            assert answer.funnel.recalled == min(11, answer.funnel.allowed)
            by_channel = [each for each in answer.items if each.source != "recall"]
            assert all(each.recall_rank is None and each.recall_score is not None for each in by_channel)
            alone = engine.recall(Ask(user=user, n=11, context={"part": "night"})).items
            place = {each.item: each.rank for each in alone}
            for each in answer.items:
                assert each.recall_rank == place.get(each.item)
            assert [each.item for each in answer.recalled] == [each.item for each in alone]

    def test_an_item_is_scored_the_same_whoever_brought_it(self, both_stages: Recommender) -> None:
        plain, channels = (Engine(m) for m in (both_stages.with_channels(None), both_stages))
        for user in (101, 112):
            ask = Ask(user=user, n=11)
            own = {each.item: each.score for each in plain.recommend(ask).items}
            found = channels.recommend(ask).items
            both = [each for each in found if each.item in own]
            assert len(both) > 4
            np.testing.assert_allclose(
                [each.score for each in both], [own[each.item] for each in both], atol=1e-4
            )
            asked = {each.item: each.score for each in plain.rank(ask, [each.item for each in found]).items}
            for each in found:
                assert each.score == pytest.approx(asked[each.item], abs=1e-4)

    def test_a_drawn_list_tells_the_chances_of_what_channels_brought(self, both_stages: Recommender) -> None:
        engine, sources = Engine(both_stages), set()
        for user in range(100, 112):
            for extra in ({}, {"caps": {"kind": 1}, "n": 2}, {"deny": ["i2"]}):
                ask = Ask(**{"user": user, "n": 11, "temperature": 0.7, "seed": user, **extra})
                found = engine.recommend(ask).items
                told = [each.propensity for each in found if each.propensity is not None]
                chances = engine.propensities(ask, [each.item for each in found])
                np.testing.assert_allclose(chances[: len(told)], told, rtol=1e-4)
                sources |= {each.source for each in found}
        assert len(sources) > 1

    def test_filters_hold_for_what_channels_bring(self, engine: Engine) -> None:
        everything = {f"i{at}" for at in range(N_ITEMS)}
        log = visits(200)[0]
        for user in range(100, 112):
            seen = set(log.item_id[log.user_id == user]) - {"i5"}
            for ask, left in (
                (Ask(user=user, n=18), everything - seen),
                (Ask(user=user, n=18, exclude_seen=False), everything),
                (Ask(user=user, n=18, deny=["i5", "i8"]), everything - seen - {"i5", "i8"}),
                (Ask(user=user, n=18, allow=["i5", "i8", "i3"]), {"i5", "i8", "i3"} - seen),
                (
                    Ask(user=user, n=18, where={"tags": "old"}),
                    {f"i{i}" for i in range(18) if i % 6 in (0, 2, 5)} - seen,
                ),
                (Ask(user=user, n=18, seen=["i5"]), everything - seen - {"i5"}),
            ):
                found = engine.recommend(ask).items
                assert {each.item for each in found} == left
                few = engine.recommend(dataclasses.replace(ask, n=2, n_candidates=4)).items
                assert {each.item for each in few} <= left

    def test_fewer_candidates_have_smaller_quotas(self, engine: Engine) -> None:
        answer = engine.recommend(Ask(user=103, n=2, n_candidates=4))
        assert answer.funnel.recalled == 4
        assert len(answer.items) == 2

    def test_a_click_brings_what_is_near_to_it(self, model: Recommender) -> None:
        engine = Engine(model.with_channels({"tags": 3}))
        far = make_channel("tags", model)
        may = np.ones(N_ITEMS, bool)
        at = int(model.items_.ids.positions(pa.array(["i5"]), "item_id")[0])
        may[at] = False
        expected = far.best(np.array([at]), np.array([at]), may, 3)
        ask = Ask(history=["i5"], features={"taste": "a"}, n=4, n_candidates=11)
        found = {each.item for each in engine.recommend(dataclasses.replace(ask, n=11)).items}
        assert {model.items_.ids.keys[int(i)].as_py() for i in expected} <= found

    def test_who_is_unknown_gets_popular_items_as_before(self, engine: Engine, model: Recommender) -> None:
        answer = engine.recommend(Ask(n=5))
        assert {each.source for each in answer.items} == {"popularity"}
        assert set(model.recommend([999], 5).to_pydict()["source"]) == {"popularity"}

    def test_caps_look_further_than_the_candidates(self, engine: Engine) -> None:
        answer = engine.recommend(Ask(user=104, n=9, caps={"kind": 3}, exclude_seen=False))
        assert len(answer.items) == 9

    def test_popularity_weighs_for_channels_too(self, both_stages: Recommender) -> None:
        engine = Engine(both_stages)
        for popularity in (0.0, 3.0):
            found = engine.recommend(Ask(user=105, n=11, popularity=popularity)).items
            vectors = both_stages.item_vectors_
            place = {item: at for at, item in enumerate(both_stages.items_.ids.keys.to_pylist())}
            plain = {each.item: each.recall_score for each in engine.recommend(Ask(user=105, n=18)).items}
            for each in found:
                more = (popularity - 1.0) * vectors[-1, place[str(each.item)]]
                if each.item in plain:
                    assert each.recall_score == pytest.approx(plain[each.item] + more, abs=1e-4)


class TestChanges:
    @pytest.fixture
    def model(self) -> Recommender:
        return fitted()  # its index is changed

    def test_deleted_items_come_from_no_channel_and_may_come_back(self, model: Recommender) -> None:
        engine = Engine(model)
        ids = [f"i{at}" for at in range(12)]
        engine.delete_items(ids)
        for user in (100, 110):
            found = {each.item for each in engine.recommend(Ask(user=user, n=18, exclude_seen=False)).items}
            assert found == {f"i{at}" for at in range(12, 18)}
        engine.put_items([{"item_id": "i3"}])
        found = {each.item for each in engine.recommend(Ask(user=100, n=18, exclude_seen=False)).items}
        assert "i3" in found

    def test_new_items_come_by_their_time_and_their_tags(self, model: Recommender) -> None:
        log = visits(200)[0]
        for channel in ("latest", "tags"):
            engine = Engine(model.with_channels({channel: 1}))
            kind = model.items_.table["kind"][0].as_py()
            liked = log.item_id[log.user_id == 100].iloc[0]
            columns: dict[str, Any] = {"born": 3e9} if channel == "latest" else dict(engine.item(liked) or {})
            columns = {"kind": kind, **columns, "item_id": "new"}
            engine.put_items([columns])
            far = engine._catalogue
            one = engine.queries.of(Ask(user=100), far)
            assert far.channels is not None
            may = far.alive.copy()
            may[one.skip[1]] = False
            brought = far.channels.channels[channel].best(one.past, one.recent, may, 1)
            asked = engine.recommend(Ask(user=100, n=4, n_candidates=4, deny=[liked]))
            assert len(asked.items) == 4
            if channel == "latest":
                assert far.ids_at(brought) == ["new"]
            score = far.channels.channels[channel].best(one.past, one.recent, may, 30)
            assert far.position("new") in score

    def test_items_that_are_added_to_the_recommender_come_too(self) -> None:
        model = fitted(channels={"latest": 1})
        model.add_items(pd.DataFrame({"item_id": ["fresh"], "kind": ["love"], "born": [3e9]}))
        for user in (100, 117):
            assert "fresh" in model.recommend([user], 11).to_pydict()["item_id"]


def test_a_file_keeps_channels(both_stages: Recommender, tmp_path: Path) -> None:
    both_stages.save(tmp_path / "m.crossfm")
    again = load(tmp_path / "m.crossfm")
    assert again.channels == QUOTAS
    users = list(range(100, 124))
    assert again.recommend(users, 11).equals(both_stages.recommend(users, 11))
    near: Any = again.channels_.channels["item-kNN"]
    own: Any = both_stages.channels_.channels["item-kNN"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(near.postings.values, own.postings.values)


def test_a_bundle_and_its_server_keep_channels(model: Recommender, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="pip install 'crossfm[serve]'")
    from crossfm.serving.app import build_app
    from crossfm.serving.bundle import write_bundle
    from crossfm.serving.registry import Registry
    from crossfm.serving.settings import Settings
    from crossfm.serving.store import Store
    from serving.client import Client

    write_bundle(tmp_path / "models", model, golden=5)
    with Store(f"sqlite:///{tmp_path}/state.db") as store:
        app = build_app(Registry(tmp_path / "models"), store, Settings(log_level="error"))
        with Client(app) as client:
            sources = set()
            for user in range(100, 124):
                told = client.post("/v1/recommend", json={"user": user, "n": 11}).json()["items"]
                expected = model.recommend([user], 11).to_pydict()
                assert [each["item"] for each in told] == expected["item_id"]
                own = ["fm" if each["source"] == "recall" else each["source"] for each in told]
                assert own == expected["source"]
                assert all((each["source"] == "recall") == (each["recall_rank"] is not None) for each in told)
                sources |= set(own)
    assert len(sources) > 2


def test_channels_can_be_changed_without_training(model: Recommender) -> None:
    plain = model.with_channels(None)
    assert plain.channels_ is None
    assert model.channels == QUOTAS
    assert set(plain.recommend([100], 11).to_pydict()["source"]) == {"fm"}
    again = plain.with_channels(QUOTAS)
    assert again.recommend([100, 101], 11).equals(model.recommend([100, 101], 11))


def test_all_lists_are_the_same_each_time(model: Recommender) -> None:
    for name in NAMES:
        one, other = make_channel(name, model), make_channel(name, model)
        for user in (100, 108):
            past = np.array(of_user(model, user))
            lists = [each.best(past, past, np.ones(N_ITEMS, bool), 9).tolist() for each in (one, other)]
            assert lists[0] == lists[1]
            assert len(set(lists[0])) == len(lists[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": {"populer": 3}}, "no channel 'populer'.*did you mean 'popular'"),
        ({"channels": {"popular": 0}}, r"channels\['popular'\]"),
        ({"channels": {"popular": 2.5}}, r"channels\['popular'\]"),
        ({"channels": ["popular"]}, "names with quotas are expected"),
        ({"channels": {"popular": 8, "tags": 4}}, "add up to 12, but n_candidates is 11"),
        ({"channels": {"latest": 2}, "item_time": None}, "latest needs item_time"),
    ],
)
def test_channels_that_mean_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        fitted(**options)


def test_channels_are_told_of_only_where_there_are_some(engine: Engine, model: Recommender) -> None:
    assert engine.schema()["channels"] == QUOTAS
    assert "channels" not in Engine(model.with_channels(None)).schema()
