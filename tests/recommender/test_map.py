"""What a dashboard asks of an engine: items on a plane, what lifts the shown ones, what values of a context are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from contracts import visits
from crossfm import Categorical, FMRanker, Numeric, Recommender
from crossfm.recommender.ask import Ask
from crossfm.recommender.contexts import MISSING, NEVER, OTHER
from crossfm.recommender.engine import Engine
from crossfm.recommender.plane import Plane

N_ITEMS = 18


@pytest.fixture(scope="module")
def model() -> Recommender:
    log, users, items = visits()
    log["hour"] = np.arange(len(log)) % 24
    items["title"] = [f"Film {at}" for at in range(N_ITEMS)]
    items["rare"] = [None if at % 3 else "yes" for at in range(N_ITEMS)]
    retriever = FMRanker(6, learning_rate=0.1, max_iter=25, l2_V=0.01, random_state=3)
    columns = [Categorical("kind"), Categorical("part"), Numeric("hour")]
    return Recommender(context=["part", "hour"], columns=columns, retriever=retriever).fit(log, users, items)


@pytest.fixture
def engine(model: Recommender) -> Engine:
    return Engine(model)


def test_the_plane_is_that_of_the_principal_components() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 7)).astype(np.float32) @ np.diag(
        [5, 3, 1, 1, 1, 1, 1]
    )
    plane, exact = Plane.of(vectors.astype(np.float32)), PCA(2).fit(vectors)
    np.testing.assert_allclose(plane.explained, exact.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(plane.axes.T), np.abs(exact.components_), atol=1e-4)
    np.testing.assert_allclose(np.abs(plane.places(vectors)), np.abs(exact.transform(vectors)), atol=1e-3)
    assert (plane.axes[np.abs(plane.axes).argmax(axis=0), [0, 1]] > 0).all()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 1)])
def test_there_is_a_plane_of_anything(shape: tuple[int, int]) -> None:
    vectors = np.ones(shape, np.float32) * np.arange(shape[0], dtype=np.float32)[:, None]
    plane = Plane.of(vectors)
    assert plane.places(vectors).shape == (shape[0], 2)
    assert np.isfinite(plane.axes).all()
    assert plane.direction(np.zeros(shape[1], np.float32))[1] == 0


def test_the_map_has_the_popular_items_first_with_codes_of_attributes(engine: Engine) -> None:
    told = engine.map()
    assert told["items"] == [row["item_id"] for row in engine.items(limit=N_ITEMS)]
    assert told["titles"] == [row["title"] for row in engine.items(limit=N_ITEMS)]
    assert max(map(abs, told["x"] + told["y"])) == 1
    assert 0 < sum(told["explained"]) <= 1
    kinds = next(column for column in told["columns"] if column["name"] == "kind")
    for row, codes in zip(engine.items(limit=N_ITEMS), kinds["codes"], strict=True):
        assert [kinds["values"][code] for code in codes] == [row["kind"]]
    assert [column["name"] for column in told["columns"]].count("title") == 0
    assert engine.map(4)["items"] == told["items"][:4]
    assert len(engine.map(4)["columns"][0]["codes"]) == 4


def test_the_map_is_made_once_and_again_when_items_change(engine: Engine) -> None:
    first = engine._laid_out()
    assert engine._laid_out() is first
    engine.put_items([{"item_id": "new", "title": "New", "kind": "unheard of"}])
    told = engine.map()
    assert "new" in told["items"]
    kinds = next(column for column in told["columns"] if column["name"] == "kind")
    assert kinds["codes"][told["items"].index("new")] == []
    engine.delete_items(["new"])
    assert "new" not in engine.map()["items"]


def test_a_query_points_where_the_pairs_with_it_grow(engine: Engine) -> None:
    x, y, share = engine.toward(Ask(user=100))
    query = engine.queries.of(Ask(user=100), engine._catalogue).vector[:-1]
    on = query @ engine._laid_out().plane.axes
    np.testing.assert_allclose([x, y], on / np.linalg.norm(on), rtol=1e-5)
    assert share == pytest.approx(np.linalg.norm(on) / np.linalg.norm(query), rel=1e-5)
    assert engine.toward(Ask()) is None


@pytest.mark.parametrize("popularity", [1.0, 0.25])
def test_lift_is_what_the_parts_of_the_shown_items_are_above_the_mean_item(
    engine: Engine, popularity: float
) -> None:
    ask = Ask(user=101, n=5, popularity=popularity, context={"part": "night"})
    answer, everything = (
        engine.recommend(ask),
        Ask(user=101, n=N_ITEMS, exclude_seen=False, context=ask.context),
    )
    full = {one.item: one.score for one in engine.recall(everything).items}
    taste = {
        one.item: one.score for one in engine.recall(Ask(**{**vars(everything), "popularity": 0.0})).items
    }
    own = {item: popularity * (full[item] - taste[item]) for item in full}
    shown = [one.item for one in answer.items]
    mean = lambda scores, some: np.mean([scores[item] for item in some])  # noqa: E731
    assert answer.lift is not None
    assert answer.lift[0] == pytest.approx(mean(own, shown) - mean(own, own), abs=1e-4)
    assert answer.lift[1] == pytest.approx(mean(taste, shown) - mean(taste, taste), abs=1e-4)


def test_nothing_lifts_an_answer_for_nobody(engine: Engine) -> None:
    assert engine.recommend(Ask()).lift is None


def test_values_of_a_context_have_names(engine: Engine) -> None:
    assert engine.context_names({"part": "night", "hour": 3}) == {"part": "=night", "hour": OTHER}
    assert engine.context_names({"part": "noon"}) == {"part": NEVER, "hour": MISSING}
    assert engine.context_names({}) == {"part": MISSING, "hour": MISSING}


def test_training_counts_are_those_of_the_log(engine: Engine) -> None:
    met = visits()[0].part.value_counts()
    told = engine.context_counts()
    assert set(told) == {"part"}
    assert {name[1:]: n for name, n in told["part"].items() if name.startswith("=")} == met.to_dict()
    assert told["part"][OTHER] == told["part"][NEVER] == told["part"][MISSING] == 0


def test_a_model_without_context_has_no_names() -> None:
    log, users, items = visits()
    engine = Engine(Recommender(retriever=FMRanker(4, max_iter=2, random_state=0)).fit(log, users, items))
    assert engine.context_names({}) == engine.context_counts() == {}


def test_items_without_any_attribute_are_counted(engine: Engine) -> None:
    assert engine.n_bare() == 0
    engine.put_items([{"item_id": "bare"}, {"item_id": "titled", "title": "Named"}])
    assert engine.n_bare() == 1
    engine.delete_items(["bare"])
    assert engine.n_bare() == 0


def test_known_users_and_items_are_told_from_strangers(engine: Engine) -> None:
    assert engine.knows(100)
    assert engine.knows("100")
    assert not engine.knows("nobody")
    some: list[Any] = ["i0", "i1", "nowhere"]
    assert engine.n_known(some) == 2
