"""Changes of items against a model of plain dicts, and what they must not cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfm import FMRanker, Recommender
from crossfm.recommender.ask import Ask
from crossfm.recommender.engine import Engine

N = 12
GENRES = ["drama", "comedy", "horror"]


def fitted() -> Recommender:
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 9, 90), "item": [f"i{at}" for at in rng.integers(0, N, 90)]}
    items = {"item": [f"i{at}" for at in range(N)], "genre": [GENRES[at % 3] for at in range(N)]}
    items["year"] = [1990 + at for at in range(N)]
    model = Recommender(user="user", item="item", retriever=FMRanker(n_factors=3, max_iter=2, random_state=0))
    return model.fit(log, items=items)


STATE = fitted().to_state()


def new_engine() -> Engine:
    """An index changes in place, so each engine has its own."""
    return Engine(Recommender.from_state(*STATE))


KEYS = st.sampled_from([f"i{at}" for at in range(N + 5)])
ROWS = st.fixed_dictionaries(
    {"item": KEYS}, optional={"genre": st.sampled_from([*GENRES, "new"]), "year": st.integers(1980, 2020)}
)
STEPS = st.lists(
    st.one_of(
        st.lists(ROWS, min_size=1, max_size=3, unique_by=lambda row: row["item"]),
        st.lists(KEYS, min_size=1, max_size=2),
    ),
    max_size=8,
)


def oracle_put(there: dict[str, Any], dead: set[str], rows: list[dict[str, Any]]) -> None:
    """What a row lacks keeps what is stored; a deleted item comes back without what it had."""
    for row in rows:
        there[row["item"]] = row if row["item"] in dead else there.get(row["item"], {}) | row
        dead.discard(row["item"])


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_items_filters_and_searches_follow_any_changes(steps):
    engine = new_engine()
    there = {row["item"]: row for row in engine.items(limit=99)}
    dead: set[str] = set()
    for step in steps:
        if isinstance(step[0], dict):
            engine.put_items(step)
            oracle_put(there, dead, step)
        else:
            engine.delete_items(step)
            dead.update(step)
    alive = {key: row for key, row in there.items() if key not in dead}
    assert {row["item"]: row for row in engine.items(limit=99)} == alive
    assert engine.n_items == len(alive)
    for genre in [*GENRES, "new"]:
        wanted = {key for key, row in alive.items() if row.get("genre") == genre}
        ask = Ask(user=3, n=50, where={"genre": genre}, exclude_seen=False)
        assert {one.item for one in engine.recommend(ask).items} == wanted
    late = {key for key, row in alive.items() if row.get("year", 0) >= 2000}
    ask = Ask(user=3, n=50, where={"year": {"min": 2000}}, exclude_seen=False)
    assert {one.item for one in engine.recommend(ask).items} == late
    assert {row["item"] for row in engine.items("i1", limit=99)} == {key for key in alive if "i1" in key}
    one_each = engine.recommend(Ask(user=3, n=50, caps={"genre": 1}, exclude_seen=False)).items
    genres = [alive[one.item].get("genre") for one in one_each]
    assert len([g for g in genres if g]) == len({row["genre"] for row in alive.values() if "genre" in row})


def test_scores_of_changed_items_are_those_of_their_features():
    engine, other = new_engine(), new_engine()
    engine.put_items(
        [{"item": "twin", "genre": "drama", "year": 1990}, {"item": "i1", "genre": "horror", "year": 1991}]
    )
    score = {one.item: one.score for one in engine.recall(Ask(user=3, n=50, exclude_seen=False)).items}
    for item in ("twin", "i1", "i2"):
        assert engine.explain(Ask(user=3), item).score == pytest.approx(score[item], abs=1e-5)
    before = {one.item: one.score for one in other.recall(Ask(user=3, n=50, exclude_seen=False)).items}
    assert score["i2"] == before["i2"]
    assert score["i1"] != before["i1"]


def test_folding_changes_nothing_that_can_be_seen():
    engine = new_engine()
    engine.put_items([{"item": "n1", "genre": "new"}, {"item": "i3", "year": 2019}])
    shelf = engine._catalogue.shelf
    folded, where = shelf.folded(), np.arange(len(shelf))
    assert folded.source is None
    assert folded.ids(where) == shelf.ids(where)
    assert folded.cells(where).to_pylist() == shelf.cells(where).to_pylist()
    for name in ("indices", "fields"):
        assert np.array_equal(getattr(folded.take(where), name), getattr(shelf.take(where), name))


def test_a_new_column_can_be_filtered_by_at_once():
    engine = new_engine()
    engine.put_items([{"item": "n1", "colour": "red"}])
    assert engine.item("n1") == {"item": "n1", "colour": "red"}
    found = engine.recommend(Ask(user=3, n=5, where={"colour": "red"})).items
    assert [one.item for one in found] == ["n1"]


def test_a_reader_keeps_the_catalogue_that_it_took():
    engine = new_engine()
    before = engine._catalogue
    engine.put_items([{"item": "n1", "genre": "new"}, {"item": "i0", "genre": "new"}])
    assert len(before) == N
    assert before.attributes([0])[0]["genre"] == "drama"
    assert before.shelf.places.get("n1") == -1
