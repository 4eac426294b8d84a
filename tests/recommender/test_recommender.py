"""The recommender keeps its contract, and more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from contracts import RECOMMENDER_COLUMNS, RecommenderContract, visits
from crossfm import Categorical, FMRanker, MultiCategorical, Recommender
from crossfm.errors import OptionError


def ranker(**options: Any) -> FMRanker:
    """A small ranker that learns ``visits`` well enough."""
    settings: dict[str, Any] = {"n_factors": 6, "learning_rate": 0.1, "max_iter": 25, "l2_V": 0.01}
    return FMRanker(**{**settings, "random_state": 3, **options})


class TestRecommender(RecommenderContract):
    def make(self, **options: Any) -> Recommender:
        time = "when" if "half_life" in options else None
        settings = {"context": ["part"], "time": time, "columns": RECOMMENDER_COLUMNS, "retriever": ranker()}
        return Recommender(**{**settings, **options})

    def test_few_candidates_are_enough(self, data: Any, model: Any) -> None:
        """Recall has the same order as ranking: what it leaves behind would not have been in the list."""
        few = self.make(n_candidates=1).fit(*data)
        assert few.recommend(data[1].user_id, 4).equals(model.recommend(data[1].user_id, 4))

    def test_blocks_of_users_give_the_same_lists(self, data: Any, model: Any, monkeypatch: Any) -> None:
        asked = pd.DataFrame(
            {"user_id": [100, 999, 101, 998, 102], "part": ["day", None, "day", "night", None]}
        )
        expected = model.recommend(asked, 8, exclude=["i2"])
        monkeypatch.setattr("crossfm.recommender.recommender.CANDIDATES_A_BLOCK", 37)
        assert model.recommend(asked, 8, exclude=["i2"]).equals(expected)

    @pytest.mark.parametrize("n_threads", [2, 0])
    def test_threads_give_the_same_lists(self, data: Any, model: Any, n_threads: int) -> None:
        users = data[1].user_id
        assert self.make(n_threads=n_threads).fit(*data).recommend(users, 9).equals(model.recommend(users, 9))

    def test_old_interactions_count_less_with_a_half_life(self, data: Any) -> None:
        model = self.make(half_life=2.0).fit(*data)
        age = (data[0].when.max() - data[0].when) / 86_400
        weight = 0.5 ** (age / 2.0)
        expected = (weight / weight.mean()).groupby(data[0].item_id).sum()
        popular = model.recommend(999, 100).to_pandas()
        assert set(popular.source) == {"popularity"}
        np.testing.assert_allclose(popular.score, expected[popular.item_id], rtol=1e-6)
        assert model.counts_.sum() == len(data[0])

    @pytest.mark.parametrize("kind", ["datetime64[ns]", "datetime64[s]", "datetime64[us, UTC]", "int64"])
    def test_times_of_all_types_say_the_same(self, data: Any, kind: str) -> None:
        expected = self.make(half_life=2.0).fit(*data).popularity_
        when = data[0].when.astype("int64")
        if "datetime" in kind:
            when = pd.to_datetime(when, unit="s", utc="UTC" in kind).astype(kind)
            when += pd.Timedelta(1, "ns") if "ns" in kind else pd.Timedelta(0)  # more digits than we keep
        model = self.make(half_life=2.0).fit(data[0].assign(when=when), *data[1:])
        np.testing.assert_allclose(model.popularity_, expected)

    def test_a_linear_ranker_gives_its_own_order_to_everyone(self, data: Any) -> None:
        model = self.make(retriever=ranker(n_factors=0)).fit(*data)
        table = model.recommend([100, 101], 18, exclude_seen=False).to_pandas()
        assert set(table.source) == {"fm"}
        assert table.item_id[:18].tolist() == table.item_id[18:].tolist()

    def test_ids_can_be_encoded_as_asked(self, data: Any) -> None:
        columns = [*RECOMMENDER_COLUMNS, Categorical("user_id", hash_buckets=5)]
        model = self.make(columns=columns).fit(*data)
        assert model.users_.encoder.columns[0] == columns[-1]
        assert model.field_names()[0] == "user_id"
        assert self.lists(model, 100, 3)

    def test_columns_are_inferred_when_none_are_given(self, data: Any) -> None:
        model = self.make(columns=None).fit(*data)
        assert set(model.field_names()) == {"user_id", "taste", "age", "part", "item_id", "kind", "tags"}
        assert self.lists(model, 100, 3)

    def test_without_features_and_context_it_is_matrix_factorization(self, data: Any) -> None:
        model = Recommender(retriever=ranker()).fit(data[0])
        assert model.field_names() == ["user_id", "item_id"]
        assert set(model.recommend([100, 999], 2).to_pandas().source) == {"fm", "popularity"}

    def test_the_ranker_given_is_not_touched(self, data: Any) -> None:
        mine = ranker()
        self.make(retriever=mine).fit(*data)
        assert not hasattr(mine, "params_")

    def test_users_without_interactions_are_known_by_features(self, data: Any) -> None:
        """An id that only stands in the table of users has no trained vector: it must not keep a random one."""
        log = data[0][data[0].user_id != 105]
        model = self.make().fit(log, *data[1:])
        same = data[1][data[1].user_id == 105].assign(user_id=777)
        ours, theirs = (model.recommend(u, 9, exclude_seen=False) for u in (105, same))
        assert ours["item_id"].equals(theirs["item_id"])
        assert ours["score"].equals(theirs["score"])

    def test_repeated_visits_and_their_order_do_not_change_what_was_seen(self) -> None:
        log, users, items = visits(120)
        model = self.make().fit(pd.concat([log, log.tail(30)]), users, items)
        for user, found in self.lists(model, users.user_id, 100).items():
            assert set(found) == set(items.item_id) - self.seen(log, user)

    def test_parts_keep_their_column_where_the_last_cells_are_empty(self, data: Any) -> None:
        """Empty cells have no feature whose field could be counted: the next side's columns moved into their place."""
        log, users, items = data
        likes = [["tea"] if user > 101 else [] for user in users.user_id]
        words = [["old"] if at % 2 else [] for at in range(len(log))]
        columns = [*RECOMMENDER_COLUMNS, MultiCategorical("likes"), MultiCategorical("words")]
        model = self.make(context=["part", "words"], columns=columns)
        model.fit(log.assign(words=words), users.assign(likes=likes), items)
        asked = pd.DataFrame({"user_id": [100], "part": ["day"], "words": [[]]})
        explained = model.explain(asked, ["i0", "i2"])
        assert explained.names == [
            "user_id",
            "taste",
            "age",
            "likes",
            "part",
            "words",
            "item_id",
            "kind",
            "tags",
        ]
        for name in ("likes", "words"):
            at = explained.names.index(name)
            assert not explained.columns[:, at].any()
            assert not explained.pairs[:, [p for p, pair in enumerate(explained.pair_of) if at in pair]].any()
        for pair in (("taste", "part"), ("part", "kind"), ("user_id", "item_id"), ("kind", "tags")):
            assert explained.pairs[:, explained.pair_names.index(pair)].all()


def test_roles_and_ranker_that_cannot_be_are_refused() -> None:
    log = {"user_id": ["a", "b", "a"], "item_id": ["x", "y", "y"]}
    with pytest.raises(OptionError, match="'user_id' cannot be two of user, item and context"):
        Recommender(item="user_id").fit(log)
    with pytest.raises(OptionError, match="'score' is also one of the answer's"):
        Recommender(item="score").fit({"user_id": ["a", "b"], "score": ["x", "y"]})
    with pytest.raises(OptionError, match="retriever is a str, but it must be an FMRanker"):
        Recommender(retriever="fm").fit(log)


def test_one_context_column_may_be_given_by_its_name() -> None:
    assert Recommender(context="device").context == ("device",)


@pytest.mark.parametrize(
    "options", [{"loss": "ensfm", "batch_size": 32}, {"hard_negatives": 0.5, "hard_ranks": (0, 3)}]
)
def test_any_way_of_training_makes_lists(options: dict[str, Any]) -> None:
    log, users, items = visits(250)
    model = Recommender(context=["part"], columns=RECOMMENDER_COLUMNS, retriever=ranker(**options))
    lists = model.fit(log, users, items).recommend(users.user_id, 3, context={"part": "day"})
    assert lists.num_rows == 3 * len(users)
    assert np.isfinite(lists["score"].to_numpy()).all()


def test_nothing_that_a_user_chose_in_another_context_is_a_hard_negative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owners: list[Any] = []
    fit = FMRanker.fit

    def listen(self: FMRanker, *args: Any, **more: Any) -> FMRanker:
        owners.append(more["owners"])
        return fit(self, *args, **more)

    monkeypatch.setattr(FMRanker, "fit", listen)
    log, users, items = visits(250)
    model = Recommender(context=["part"], columns=RECOMMENDER_COLUMNS, retriever=ranker()).fit(
        log, users, items
    )
    assert model.users_.ids.take(owners[0]).to_pylist() == log.user_id.tolist()
