"""Histories: what a user did before an interaction, and nothing later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossfm
from contracts import visits
from crossfm import FMRanker, Recommender
from crossfm.errors import OptionError
from crossfm.recommender.history import history_rows, latest, past
from oracles import history_before

LOGS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 4)), min_size=0, max_size=25
).map(lambda rows: np.array(rows, np.int64).reshape(-1, 3).T)


@given(LOGS, st.integers(1, 4), st.booleans())
def test_a_history_is_what_came_before_and_no_more_than_asked(log: Any, length: int, timed: bool) -> None:
    user, item, when = log
    seconds = when.astype(float) if timed else None
    found = past(user, item, seconds, length)
    for row in range(len(user)):
        expected = history_before(user, item, seconds, length, row)
        assert found.items[found.indptr[row] : found.indptr[row + 1]].tolist() == expected


@given(LOGS, st.integers(1, 4), st.booleans())
def test_the_latest_items_are_the_history_of_what_comes_next(log: Any, length: int, timed: bool) -> None:
    user, item, when = log
    seconds = when.astype(float) if timed else None
    found = latest(user, item, seconds, 5, length)
    for who in range(5):
        after = None if seconds is None else np.append(seconds, 9.0)
        expected = history_before(np.append(user, who), np.append(item, 0), after, length, len(user))
        assert found.items[found.indptr[who] : found.indptr[who + 1]].tolist() == expected


def test_items_of_a_history_share_one_unit_of_length() -> None:
    user, item = np.zeros(3, np.int64), np.array([4, 2, 1])
    rows = history_rows(past(user, item, None, 9), 5)
    assert np.diff(rows.offsets()).tolist() == [0, 1, 2]
    np.testing.assert_allclose(rows.values, [1.0, 2**-0.5, 2**-0.5])


class TestRecommenderWithHistory:
    @pytest.fixture
    def model(self) -> Recommender:
        retriever = FMRanker(6, learning_rate=0.1, max_iter=25, l2_V=0.01, random_state=3)
        model = Recommender(context=["part"], time="when", history=4, columns=None, retriever=retriever)
        return model.fit(*visits())

    def test_it_is_a_field_between_context_and_item(self, model: Recommender) -> None:
        names = model.field_names()
        assert names.index("part") + 1 == names.index("history") == names.index("item_id") - 1
        queries = model.queries([100, 999])
        assert queries.n_features == model.retriever_.n_query_features_
        in_history = np.asarray(queries.field_of_each()) == names.index("history")
        row = np.repeat([0, 1], np.diff(queries.offsets()))
        assert np.bincount(row[in_history], minlength=2).tolist() == [4, 0]

    def test_it_counts_for_what_is_recommended(self, model: Recommender) -> None:
        before = model.recommend([100], 8, exclude_seen=False).column("score").to_pylist()
        other = Recommender.from_state(*model.to_state())
        assert other.histories_ is not None
        other.histories_.items[:] = other.histories_.items[::-1]
        assert other.recommend([100], 8, exclude_seen=False).column("score").to_pylist() != before

    def test_it_is_saved(self, model: Recommender, tmp_path: Any) -> None:
        model.save(tmp_path / "model.crossfm")
        loaded = crossfm.load(tmp_path / "model.crossfm")
        assert loaded.history == 4
        assert loaded.recommend([100, 101, 999], 5).equals(model.recommend([100, 101, 999], 5))

    def test_items_that_came_later_leave_it_as_it_was(self, model: Recommender) -> None:
        other = Recommender.from_state(*model.to_state())
        other.add_items({"item_id": ["new"]})
        assert other.recommend([100], 3).equals(model.recommend([100], 3))
        again = Recommender.from_state(*other.to_state())
        assert again.recommend([100], 3).equals(model.recommend([100], 3))


def test_a_column_of_its_name_is_refused() -> None:
    log = {"user_id": ["a", "b"], "item_id": ["x", "y"], "history": ["p", "q"]}
    with pytest.raises(OptionError, match="column 'history' is the name"):
        Recommender(history=2, context=["history"]).fit(log)
