"""What every estimator and every recommender promises; test classes inherit these and say how to make one."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

import crossfm
from crossfm import Categorical, MultiCategorical, Numeric
from crossfm.errors import ColumnError, CrossFMError, DataError, DivergenceError, LabelError, OptionError
from crossfm.io import read_model

SEED = 7


def clicks(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of users, items, an hour and a price, and a target in which the pair of ids matters."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 12, n), rng.integers(0, 9, n)
    taste, kind = np.random.default_rng(99).standard_normal((2, 12, 2)), rng.integers(0, 3, n)
    price = rng.gamma(2.0, 3.0, n)
    score = (taste[0][user] * taste[1][item]).sum(1) + 0.3 * kind - 0.1 * price + 0.1 * rng.standard_normal(n)
    table = pd.DataFrame(
        {"user": user, "item": [f"i{i}" for i in item], "kind": np.array(list("abc"))[kind], "price": price}
    )
    return table, score


COLUMNS = [Categorical("user"), Categorical("item"), Categorical("kind"), Numeric("price")]


def assert_lets_go_of_the_file(model: Any, path: Any) -> None:
    """A loaded model has arrays of its own: one view of the file's buffer would keep all of it."""
    crossfm.save(model, path)
    arrays, meta = read_model(path)
    buffer = next(iter(arrays.values()))
    while isinstance(buffer.base, np.ndarray):
        buffer = buffer.base
    alive = weakref.ref(buffer)
    loaded = type(model).from_state(arrays, meta)
    del arrays, buffer
    gc.collect()
    assert alive() is None
    assert loaded is not None


class EstimatorContract:
    """Subclasses give ``make(**options)`` and ``target(score)``, the target made of a real-valued score."""

    explains: ClassVar[bool] = True  # where not, a test of the subclass says how it is told

    def make(self, **options: Any) -> Any:
        raise NotImplementedError

    def target(self, score: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def outputs(self, model: Any, X: Any) -> np.ndarray:
        """Everything numeric that the model says about X."""
        proba = getattr(model, "predict_proba", None)
        return np.asarray(proba(X) if proba else model.predict(X))

    def vectors(self, model: Any) -> np.ndarray:
        """All factors of the model, feature by feature."""
        return np.asarray(model.params_.V)

    @pytest.fixture
    def data(self) -> tuple[pd.DataFrame, np.ndarray]:
        table, score = clicks()
        return table, self.target(score)

    @pytest.fixture
    def model(self, data: Any) -> Any:
        return self.make(columns=COLUMNS).fit(*data)

    def test_the_same_seed_gives_the_same_bits(self, data: Any, model: Any) -> None:
        again = self.make(columns=COLUMNS).fit(*data)
        assert again.params_.w.tobytes() == model.params_.w.tobytes()
        assert self.vectors(again).tobytes() == self.vectors(model).tobytes()
        other = self.make(columns=COLUMNS, random_state=SEED + 1).fit(*data)
        assert not np.array_equal(self.vectors(other), self.vectors(model))

    def test_parameters_have_the_promised_shapes(self, model: Any) -> None:
        n = model.encoder_.n_features
        assert isinstance(model.params_.bias, float)
        assert model.params_.w.shape == (n,)
        assert self.vectors(model).shape[0] == n
        assert self.vectors(model).shape[-1] == model.n_factors
        assert model.n_iter_ == len(model.history_) == model.max_iter
        assert all(np.isfinite(epoch["train_loss"]) for epoch in model.history_)

    def test_training_lowers_the_loss(self, model: Any) -> None:
        assert model.history_[-1]["train_loss"] < 0.9 * model.history_[0]["train_loss"]

    @pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
    def test_tables_of_all_libraries_are_the_same_rows(self, data: Any, model: Any, kind: str) -> None:
        import polars

        table, y = data
        X = {
            "pandas": table,
            "polars": polars.from_pandas(table),
            "arrow": pa.Table.from_pandas(table, preserve_index=False),
            "dict": {name: table[name].to_numpy() for name in table},
        }[kind]
        fitted = self.make(columns=COLUMNS).fit(X, y)
        assert np.array_equal(self.outputs(fitted, X), self.outputs(model, table))

    def test_columns_are_inferred_when_none_are_given(self, data: Any) -> None:
        table, y = data
        model = self.make().fit(table, y)
        assert set(model.encoder_.fields) == {"user", "item", "kind", "price"}
        assert np.isfinite(self.outputs(model, table)).all()

    def test_dense_sparse_and_rows_are_the_same(self, data: Any) -> None:
        rng = np.random.default_rng(0)
        dense = (rng.random((200, 6)) < 0.4) * rng.standard_normal((200, 6))
        y = self.target(dense[:, 0] - dense[:, 1] * dense[:, 2])
        a = self.make().fit(dense, y)
        b = self.make().fit(csr_matrix(dense), y)
        c = self.make().fit(crossfm.data.rows.rows_from_csr(csr_matrix(dense)), y)
        assert np.array_equal(self.outputs(a, dense), self.outputs(b, csr_matrix(dense)))
        assert np.array_equal(self.vectors(a), self.vectors(c))

    def test_values_never_seen_and_missing_ones_are_defined(self, data: Any, model: Any) -> None:
        table, _ = data
        odd = table.head(3).copy()
        odd["item"] = ["never", None, "i1"]
        odd.loc[odd.index[1], "price"] = np.nan
        out = self.outputs(model, odd)
        assert np.isfinite(out).all()
        if not self.explains:
            return
        explained = model.explain(odd)
        at = explained.names.index("item")
        assert explained.columns[0, at] == 0  # a value without training adds nothing
        assert all(explained.pairs[0, p] == 0 for p, pair in enumerate(explained.pair_of) if at in pair)

    def test_explanations_add_up_to_the_score(self, data: Any, model: Any) -> None:
        table, _ = data
        explained = model.explain(table)
        np.testing.assert_allclose(explained.score(), self.raw(model, table), rtol=1e-5, atol=1e-5)
        names = [name for name, _ in explained.importance()]
        assert sorted(names) == sorted([*explained.names, *(f"{a} x {b}" for a, b in explained.pair_names)])
        values = dict(explained.row(0))
        assert sum(values.values()) == pytest.approx(explained.score()[0])

    def raw(self, model: Any, X: Any) -> np.ndarray:
        """Raw scores of the model."""
        return np.asarray(model.predict(X))

    def test_a_saved_model_predicts_the_same_bits(self, data: Any, model: Any, tmp_path: Any) -> None:
        table, _ = data
        path = tmp_path / "model.crossfm"
        crossfm.save(model, path)
        loaded = crossfm.load(path)
        assert type(loaded) is type(model)
        assert np.array_equal(self.outputs(loaded, table), self.outputs(model, table))
        if self.explains:
            assert np.array_equal(loaded.explain(table).pairs, model.explain(table).pairs)
        assert loaded.history_ == model.history_
        assert [p.name for p in tmp_path.iterdir()] == ["model.crossfm"]

    def test_a_loaded_model_does_not_keep_the_bytes_of_its_file(self, model: Any, tmp_path: Any) -> None:
        assert_lets_go_of_the_file(model, tmp_path / "model.crossfm")

    def test_a_model_can_be_cloned_and_pickled(self, data: Any, model: Any) -> None:
        assert clone(model).get_params().keys() == model.get_params().keys()
        back = pickle.loads(pickle.dumps(model))
        assert np.array_equal(self.outputs(back, data[0]), self.outputs(model, data[0]))

    def test_sample_weights_matter(self, data: Any) -> None:
        table, y = data
        weight = np.where(np.arange(len(y)) < 300, 1.0, 0.0)
        half = self.make(columns=COLUMNS).fit(table, y, sample_weight=weight)
        full = self.make(columns=COLUMNS).fit(table, y)
        assert not np.array_equal(self.vectors(half), self.vectors(full))

    @pytest.mark.parametrize("weight", [[-1.0], [0.0], [np.nan]])
    def test_weights_that_mean_nothing_are_refused(self, data: Any, weight: list[float]) -> None:
        table, y = data
        with pytest.raises(ValueError, match=r"[Ww]eight"):
            self.make(columns=COLUMNS).fit(table, y, sample_weight=weight * len(y))

    def test_epochs_report_to_callbacks_which_can_stop(self, data: Any) -> None:
        heard: list[int] = []

        def callback(epoch: Any, model: Any) -> bool:
            heard.append(epoch.epoch)
            assert np.isfinite(self.outputs(model, data[0])).all()  # ready to predict
            return epoch.epoch == 3

        model = self.make(columns=COLUMNS, callbacks=[callback]).fit(*data)
        assert heard == [1, 2, 3]
        assert model.n_iter_ == 3

    def test_verbose_prints_a_line_an_epoch(self, data: Any, capsys: Any) -> None:
        self.make(columns=COLUMNS, verbose=1, max_iter=2).fit(*data)
        memory, *lines = capsys.readouterr().err.splitlines()
        assert "MB for weights and the optimizer's state" in memory
        assert [line.split("  ")[0] for line in lines] == ["training: epoch 1", "training: epoch 2"]

    # ------------------------------------------------------------------ errors

    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": -1},
            {"n_factors": 2000},
            {"n_factors": 2.5},
            {"solver": "newton"},
            {"learning_rate": 0.0},
            {"learning_rate": float("nan")},
            {"l2_V": -1.0},
            {"l1_w": 0.1, "solver": "adagrad"},
            {"schedule": "cosine", "solver": "ftrl"},
            {"schedule": "never"},
            {"max_iter": 0},
            {"n_threads": -5},
            {"init_scale": -0.1},
            {"random_state": -1},
            {"columns": []},
        ],
    )
    def test_options_that_mean_nothing_are_refused(self, data: Any, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            self.make(**{"columns": COLUMNS, **options}).fit(*data)
        assert any(name in str(caught.value) for name in options)

    def test_columns_for_a_matrix_are_refused(self) -> None:
        with pytest.raises(OptionError, match="without named columns"):
            self.make(columns=COLUMNS).fit(np.eye(4), self.target(np.arange(4.0)))

    def test_a_matrix_for_a_table_model_is_refused(self, model: Any) -> None:
        with pytest.raises(DataError, match="fitted on a table"):
            model.predict(np.eye(4))

    def test_a_missing_column_is_named(self, data: Any, model: Any) -> None:
        with pytest.raises((ColumnError, ValueError), match="price"):
            model.predict(data[0].drop(columns="price"))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_not_finite_are_refused(self, bad: float) -> None:
        X = np.ones((4, 2))
        X[2, 1] = bad
        for matrix in (X, csr_matrix(X)):
            with pytest.raises(ValueError, match=r"NaN|inf"):
                self.make().fit(matrix, self.target(np.arange(4.0)))

    def test_a_feature_beyond_the_model_is_named(self) -> None:
        rows = crossfm.Rows(np.array([0, 1, 2, 1], np.uint32), 3, width=1)
        model = self.make().fit(rows, self.target(np.arange(4.0)))
        wide = crossfm.Rows(np.array([0, 5], np.uint32), 6, width=1)
        with pytest.raises(IndexError, match="row 1 has feature 5, but the model was fitted with 3 features"):
            model.predict(wide)

    def test_a_missing_target_is_refused(self, data: Any) -> None:
        with pytest.raises(LabelError, match="y"):
            self.make(columns=COLUMNS).fit(data[0])

    def test_an_unfitted_model_says_so(self, data: Any) -> None:
        with pytest.raises(ValueError, match="not fitted"):
            self.make(columns=COLUMNS).predict(data[0])

    def test_errors_are_of_one_family(self) -> None:
        for kind in (DataError, LabelError, ColumnError, OptionError, DivergenceError):
            assert issubclass(kind, CrossFMError)


# ---------------------------------------------------------------------------------------------- recommenders

N_USERS, N_ITEMS = 24, 18
ITEM_KINDS = np.array(["war", "love", "space"])


def visits(n: int = 900, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Log, users and items: each user's group likes one kind of item, at night all like love; texts name the items."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, N_USERS, n)
    night = rng.random(n) < 0.4
    kind = np.where(rng.random(n) < 0.85, np.where(night, 1, user % 3), rng.integers(0, 3, n))
    item = 3 * rng.integers(0, N_ITEMS // 3, n) + kind
    log = pd.DataFrame(
        {
            "user_id": user + 100,
            "item_id": [f"i{i}" for i in item],
            "when": 1_000_000.0 + np.arange(n) * 3600.0,
            "part": np.where(night, "night", "day"),
        }
    )
    number = np.arange(N_USERS)
    users = pd.DataFrame(
        {"user_id": number + 100, "taste": np.array(list("abc"))[number % 3], "age": 20.0 + number}
    )
    tags = ["cheap|old", "", "old", None, "cheap", "new|old|odd"]
    items = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "kind": ITEM_KINDS[np.arange(N_ITEMS) % 3],
            "tags": [tags[i % 6] for i in range(N_ITEMS)],
        }
    )
    return log, users, items


RECOMMENDER_COLUMNS = [
    Categorical("taste"),
    Numeric("age"),
    Categorical("kind"),
    MultiCategorical("tags", combiner="sqrtn"),
    Categorical("part"),
]


class RecommenderContract:
    """Subclasses give ``make(**options)``, a recommender for ``visits()`` with the context column "part"."""

    def make(self, **options: Any) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def data(self) -> Any:
        return visits()

    @pytest.fixture
    def model(self, data: Any) -> Any:
        return self.make().fit(*data)

    def seen(self, log: pd.DataFrame, user: int) -> set[str]:
        """Items of a user's log."""
        return set(log.item_id[log.user_id == user])

    def lists(self, model: Any, *args: Any, **kwargs: Any) -> dict[Any, list[Any]]:
        """Lists of items by user."""
        table = model.recommend(*args, **kwargs).to_pandas()
        return {user: group.item_id.tolist() for user, group in table.groupby(table.columns[0], sort=False)}

    # ------------------------------------------------------------------- lists

    def test_lists_have_what_was_asked_for_and_nothing_seen(self, data: Any, model: Any) -> None:
        log, users, _ = data
        for n in (1, 5, N_ITEMS, 10 * N_ITEMS):
            lists = self.lists(model, users.user_id, n)
            for user in users.user_id:
                seen = self.seen(log, user)
                assert len(lists.get(user, [])) == min(n, N_ITEMS - len(seen))
                assert len(set(lists.get(user, []))) == len(lists.get(user, []))
                assert not seen & set(lists.get(user, []))

    def test_seen_items_come_back_when_they_may(self, data: Any, model: Any) -> None:
        for found in self.lists(model, data[1].user_id, N_ITEMS, exclude_seen=False).values():
            assert sorted(found) == sorted(data[2].item_id)

    def test_excluded_items_stay_out_and_unknown_ones_do_no_harm(self, data: Any, model: Any) -> None:
        first = self.lists(model, 100, 3, exclude_seen=False)[100]
        rest = self.lists(model, 100, N_ITEMS, exclude_seen=False)[100]
        again = self.lists(model, 100, N_ITEMS, exclude_seen=False, exclude=[*first, "never", first[0]])[100]
        assert again == rest[3:]
        assert self.lists(model, 100, 1, exclude_seen=False, exclude=first[0])[100] == first[1:2]
        both = self.lists(model, [100, 101], N_ITEMS, exclude=first)
        for user, found in both.items():
            assert set(found) == set(data[2].item_id) - self.seen(data[0], user) - set(first)

    def test_a_user_who_may_see_nothing_gets_nothing(self, data: Any, model: Any) -> None:
        table = model.recommend([100, 101], 5, exclude=data[2].item_id)
        assert table.num_rows == 0
        assert table.column_names == ["user_id", "rank", "item_id", "score", "source"]
        assert model.recommend([], 5).num_rows == 0

    def test_ranks_count_from_one_and_scores_fall(self, data: Any, model: Any) -> None:
        table = model.recommend(data[1].user_id, 6, exclude_seen=False).to_pandas()
        for _, group in table.groupby("user_id"):
            assert group["rank"].tolist() == [1, 2, 3, 4, 5, 6]
            assert group.score.is_monotonic_decreasing
        assert set(table.source) == {"fm"}

    def test_a_list_does_not_depend_on_who_else_asks(self, data: Any, model: Any) -> None:
        together = model.recommend(data[1].user_id, 7).to_pylist()
        alone = [row for user in data[1].user_id for row in model.recommend(int(user), 7).to_pylist()]
        assert together == alone

    def test_it_learns_what_users_like(self, data: Any, model: Any) -> None:
        kind = dict(zip(data[2].item_id, data[2].kind, strict=True))
        hits = [
            kind[item] == ITEM_KINDS[(user - 100) % 3]
            for user, found in self.lists(
                model, data[1].user_id, 3, context={"part": "day"}, exclude_seen=False
            ).items()
            for item in found
        ]
        assert np.mean(hits) > 0.8

    def test_the_context_changes_the_list(self, data: Any, model: Any) -> None:
        kind = dict(zip(data[2].item_id, data[2].kind, strict=True))
        night = self.lists(model, data[1].user_id, 3, context={"part": "night"}, exclude_seen=False)
        assert np.mean([kind[item] == "love" for found in night.values() for item in found]) > 0.8
        asked = pd.DataFrame({"user_id": [100, 100], "part": ["night", "day"]})
        table = model.recommend(asked, 3, exclude_seen=False).to_pandas()
        day = self.lists(model, 100, 3, context={"part": "day"}, exclude_seen=False)[100]
        assert table.item_id.tolist() == [*night[100], *day]

    def test_ties_go_to_the_item_that_came_first(self, data: Any) -> None:
        items = data[2].assign(kind="same", tags=None)
        log = pd.concat(
            [
                data[0].head(40),
                pd.DataFrame({"user_id": [100], "item_id": ["i0"], "when": [2e6], "part": ["day"]}),
            ]
        )
        new = pd.DataFrame({"item_id": ["z3", "z1", "z2"], "kind": "same", "tags": None})
        model = self.make().fit(log, data[1], items).add_items(new)
        found = self.lists(model, 100, 100)[100]
        assert [item for item in found if item.startswith("z")] == ["z3", "z1", "z2"]

    # --------------------------------------------------------------- strangers

    def test_an_unknown_user_is_known_by_features(self, model: Any) -> None:
        stranger = pd.DataFrame({"user_id": [999, 998], "taste": ["a", "b"], "age": [25.0, 25.0]})
        table = model.recommend(stranger, 3, context={"part": "day"}).to_pandas()
        assert table.source.tolist() == ["fm"] * 6
        kinds = [ITEM_KINDS[int(item[1:]) % 3] for item in table.item_id]
        assert kinds.count("war") >= 2
        assert kinds[3:].count("love") >= 2

    def test_an_unknown_user_without_features_gets_what_is_popular_and_is_told(
        self, data: Any, model: Any
    ) -> None:
        table = model.recommend([999, 100, None], 4).to_pandas()
        counts = data[0].item_id.value_counts()
        for user in (table.user_id == 999, table.user_id.isna()):
            assert table.source[user].tolist() == ["popularity"] * 4
            assert table.score[user].tolist() == counts[table.item_id[user]].tolist()
            assert table.score[user].tolist() == sorted(counts, reverse=True)[:4]
        assert set(table.source[table.user_id == 100]) == {"fm"}

    def test_a_context_alone_is_something_known(self, model: Any) -> None:
        table = model.recommend(999, 3, context={"part": "night"}).to_pandas()
        assert set(table.source) == {"fm"}

    def test_a_known_user_keeps_the_features_that_a_table_lacks(self, data: Any, model: Any) -> None:
        known = data[1].iloc[[4]]
        plain = model.recommend(int(known.user_id.iloc[0]), 5).to_pylist()
        for columns in (["user_id"], ["user_id", "taste"], ["age", "user_id"], ["user_id", "taste", "age"]):
            assert model.recommend(known[columns], 5).to_pylist() == plain
        other = model.recommend(known[["user_id"]].assign(taste="c"), 5)
        assert other["score"].to_pylist() != [row["score"] for row in plain]

    def test_new_items_are_recommended_by_their_features(self, data: Any) -> None:
        model = self.make().fit(*data)
        before = model.recommend(data[1].user_id, N_ITEMS, exclude_seen=False).to_pandas()
        new = pd.DataFrame(
            {"item_id": ["new-war", "new-love"], "kind": ["war", "love"], "tags": ["old", "old"]}
        )
        model.add_items(pd.concat([new, data[2].head(2)[["item_id"]]]))  # known ones keep what they have
        after = model.recommend(data[1].user_id, 2 * N_ITEMS, context=None, exclude_seen=False).to_pandas()
        old = after[~after.item_id.isin(new.item_id)]
        assert old.item_id.tolist() == before.item_id.tolist()
        assert old.score.tolist() == before.score.tolist()
        score = after.pivot(index="user_id", columns="item_id", values="score")
        margin = score["new-war"] - score["new-love"]
        assert margin[margin.index % 3 == 100 % 3].min() > margin[margin.index % 3 == 101 % 3].max()

    # ------------------------------------------------------------- same bits

    def test_the_same_seed_gives_the_same_bits(self, data: Any, model: Any) -> None:
        users = data[1].user_id
        assert self.make().fit(*data).recommend(users, 9).equals(model.recommend(users, 9))

    def test_a_loaded_recommender_does_not_keep_the_bytes_of_its_file(
        self, model: Any, tmp_path: Any
    ) -> None:
        assert_lets_go_of_the_file(model, tmp_path / "model.crossfm")

    def test_a_saved_recommender_gives_the_same_lists(self, data: Any, model: Any, tmp_path: Any) -> None:
        path = tmp_path / "shop.crossfm"
        crossfm.save(model, path)
        loaded = crossfm.load(path)
        asked = pd.DataFrame({"user_id": [100, 999, 103], "part": ["day", "night", None]})
        assert loaded.recommend(asked, 9, exclude=["i3"]).equals(model.recommend(asked, 9, exclude=["i3"]))
        assert loaded.recommend(998, 9).equals(model.recommend(998, 9))
        ours, theirs = (m.explain(101, ["i1", "i2"], context={"part": "day"}) for m in (model, loaded))
        assert np.array_equal(ours.pairs, theirs.pairs)
        assert ours.names == theirs.names
        more = pd.DataFrame({"item_id": ["x"], "kind": ["war"], "tags": ["old"]})
        assert "x" in self.lists(loaded.add_items(more), 100, 100)[100]
        assert [p.name for p in tmp_path.iterdir()] == ["shop.crossfm"]

    @pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
    def test_tables_of_all_libraries_give_the_same_lists(self, data: Any, model: Any, kind: str) -> None:
        import polars

        convert = {
            "pandas": lambda t: t,
            "polars": polars.from_pandas,
            "arrow": lambda t: pa.Table.from_pandas(t, preserve_index=False),
            "dict": lambda t: {name: t[name].tolist() for name in t},
        }[kind]
        fitted = self.make().fit(*(convert(table) for table in data))
        asked = convert(data[1][["user_id"]])
        assert fitted.recommend(asked, 5).to_pylist() == model.recommend(data[1][["user_id"]], 5).to_pylist()

    @pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.uint64(), pa.string(), pa.large_string()])
    def test_ids_come_back_in_their_own_type(self, data: Any, kind: Any) -> None:
        log = pa.table(data[0][["user_id", "part"]])
        numbers = [int(item[1:]) + 10 for item in data[0].item_id]
        log = log.append_column("item_id", pa.array(numbers).cast(kind))
        log = log.set_column(0, "user_id", log["user_id"].cast(kind))
        model = self.make(columns=None, time=None).fit(log)
        users = log["user_id"].slice(0, 3)
        table = model.recommend(pa.table({"user_id": users}), 2)
        assert table.schema.field("user_id").type == kind
        items = table.schema.field("item_id").type
        assert items == (kind if pa.types.is_int64(kind) or pa.types.is_uint64(kind) else items)
        assert pa.types.is_integer(items) == pa.types.is_integer(kind)
        assert set(table["item_id"].cast(pa.int64()).to_pylist()) <= set(numbers)

    def test_one_user_many_users_and_tables_are_asked_alike(self, model: Any) -> None:
        expected = model.recommend([100], 4).to_pylist()
        for users in (
            100,
            np.int32(100),
            np.array([100]),
            "100",
            pa.array([100]),
            {"user_id": [100]},
            (100,),
        ):
            got = model.recommend(users, 4).to_pylist()
            assert [row["item_id"] for row in got] == [row["item_id"] for row in expected]

    # ------------------------------------------------------------- explaining

    def test_explanations_add_up_to_the_score(self, data: Any, model: Any) -> None:
        for user in (100, 101, 999):
            table = model.recommend(user, N_ITEMS, context={"part": "night"}, exclude_seen=False).to_pandas()
            explained = model.explain(user, table.item_id, context={"part": "night"})
            np.testing.assert_allclose(explained.score(), table.score, rtol=1e-5, atol=1e-6)
            assert explained.names == ["user_id", "taste", "age", "part", "item_id", "kind", "tags"]

    def test_parts_stand_under_the_name_of_their_column(self, model: Any) -> None:
        """Also where a cell is empty: then no feature of that column is there to be counted."""
        for item, empty in (("i0", False), ("i1", True)):
            explained = model.explain(100, item, context={"part": "day"})
            tags = explained.names.index("tags")
            with_tags = [p for p, pair in enumerate(explained.pair_of) if tags in pair]
            assert (explained.pairs[0, with_tags] == 0).all() == empty
            at = explained.pair_names.index(("part", "kind"))
            assert explained.pairs[0, at] != 0

    # ------------------------------------------------------------------ errors

    @pytest.mark.parametrize("column", ["user_id", "item_id", "when", "part"])
    def test_a_missing_column_is_named(self, data: Any, column: str) -> None:
        with pytest.raises(ColumnError, match=column):
            self.make(half_life=5.0).fit(data[0].drop(columns=column), data[1], data[2])

    @pytest.mark.parametrize("side", [1, 2])
    def test_features_without_ids_are_refused(self, data: Any, side: int) -> None:
        tables = list(data)
        name = tables[side].columns[0]
        tables[side] = tables[side].drop(columns=name)
        with pytest.raises(ColumnError, match=name):
            self.make().fit(*tables)

    @pytest.mark.parametrize("column", ["user_id", "item_id"])
    def test_a_missing_id_is_named(self, data: Any, column: str) -> None:
        log = data[0].astype({column: object})
        log.loc[5, column] = None
        with pytest.raises(DataError, match=f"{column}.* row 5"):
            self.make().fit(log, *data[1:])

    @pytest.mark.parametrize("side", [1, 2])
    def test_two_rows_of_features_are_refused(self, data: Any, side: int) -> None:
        tables = list(data)
        tables[side] = pd.concat([tables[side], tables[side].tail(1)])
        with pytest.raises(DataError, match="more than one row of features"):
            self.make().fit(*tables)

    def test_two_rows_of_a_new_item_are_refused(self, data: Any) -> None:
        model = self.make().fit(*data)
        with pytest.raises(DataError, match="'new' has more than one row"):
            model.add_items({"item_id": ["new", "new"], "kind": ["war", "love"]})
        with pytest.raises(ColumnError, match="item_id"):
            model.add_items({"kind": ["war"]})

    def test_an_empty_log_is_refused(self, data: Any) -> None:
        with pytest.raises(DataError, match="no rows"):
            self.make().fit(data[0].head(0), *data[1:])

    def test_a_catalogue_of_one_item_is_refused(self, data: Any) -> None:
        with pytest.raises(DataError, match="nothing to compare"):
            self.make(columns=None).fit(data[0].assign(item_id="i1"), data[1])

    def test_an_unfitted_recommender_says_so(self, data: Any, tmp_path: Any) -> None:
        for ask in (
            lambda model: model.recommend(1),
            lambda model: model.explain(1, ["i1"]),
            lambda model: model.add_items(data[2]),
            lambda model: model.save(tmp_path / "x.crossfm"),
        ):
            with pytest.raises(CrossFMError, match="not fitted"):
                ask(self.make())
        assert not list(tmp_path.iterdir())

    def test_an_unknown_context_is_refused(self, model: Any) -> None:
        with pytest.raises(ColumnError, match=r"weather.*part"):
            model.recommend(100, context={"weather": "rain"})

    @pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
    def test_times_that_are_not_there_are_refused(self, data: Any, bad: Any) -> None:
        log = data[0].copy()
        log.loc[7, "when"] = bad
        with pytest.raises(DataError, match="'when' has no finite time in row 7"):
            self.make(half_life=5.0).fit(log, *data[1:])

    def test_times_that_are_texts_are_refused(self, data: Any) -> None:
        with pytest.raises(DataError, match=r"'when' holds .*string"):
            self.make(half_life=5.0).fit(data[0].assign(when="monday"), *data[1:])

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"half_life": 3.0, "time": None}, OptionError, "half_life needs time"),
            ({"time": "when"}, OptionError, "time='when' is there for half_life"),
            ({"half_life": 0.0}, OptionError, "half_life"),
            ({"half_life": float("nan")}, OptionError, "half_life"),
            ({"n_candidates": 0}, OptionError, "n_candidates"),
            ({"n_threads": -3}, OptionError, "n_threads"),
            ({"columns": [*RECOMMENDER_COLUMNS, Categorical("colour")]}, ColumnError, "colour"),
            ({"columns": RECOMMENDER_COLUMNS[:-1]}, OptionError, "part"),
        ],
    )
    def test_settings_that_mean_nothing_are_refused(
        self, data: Any, options: dict[str, Any], error: type, words: str
    ) -> None:
        with pytest.raises(error, match=words):
            self.make(**options).fit(*data)

    @pytest.mark.parametrize("n", [0, -1, 2.5, True, "ten"])
    def test_a_length_that_means_nothing_is_refused(self, model: Any, n: Any) -> None:
        with pytest.raises(OptionError, match="n="):
            model.recommend(100, n)

    @pytest.mark.parametrize("users", [[1, "a"], [[1, 2], 3], [object()]])
    def test_ids_of_no_type_are_refused(self, model: Any, users: Any) -> None:
        with pytest.raises(DataError, match="user_id"):
            model.recommend(users)

    def test_what_cannot_be_explained_is_named(self, model: Any) -> None:
        with pytest.raises(DataError, match="'i99' is not in the catalogue"):
            model.explain(100, ["i1", "i99"])
        with pytest.raises(DataError, match="2 users"):
            model.explain([100, 101], ["i1"])
