"""FMRanker: the common contract, order within groups, choices from a catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import crossfm
from contracts import COLUMNS, SEED, EstimatorContract, clicks
from crossfm import FMRanker
from crossfm.data.rows import Rows
from crossfm.errors import DataError, LabelError, OptionError
from crossfm.estimators.catalogue import item_weights
from crossfm.metrics import auc, gauc


class TestFMRanker(EstimatorContract):
    def make(self, **options: Any) -> FMRanker:
        return FMRanker(**{"n_factors": 4, "max_iter": 5, "random_state": SEED, **options})

    def target(self, score: np.ndarray) -> np.ndarray:
        return np.round(2 * score) / 2


def test_pairs_teach_an_order_that_a_linear_machine_cannot() -> None:
    table, score = clicks(2000)
    chosen = (score > np.median(score)).astype(float)
    hours = np.arange(2000) % 50
    train, test = np.arange(2000) < 1500, np.arange(2000) >= 1500
    result = {}
    for k in (0, 4):
        model = FMRanker(k, columns=COLUMNS, max_iter=30, l2_V=1e-3, random_state=0)
        model.fit(table[train], chosen[train], groups=hours[train])
        result[k] = gauc(chosen[test], model.predict(table[test]), hours[test])
    assert result[4] > 0.85 > result[0] + 0.05


def test_only_rows_of_one_group_are_compared() -> None:
    """Across groups the feature says the opposite of what it says inside them."""
    X = Rows(np.array([0, 1, 0, 1, 0, 1], np.uint32), 2, width=1)
    y, groups = np.array([1.0, 2.0, 11.0, 12.0, -9.0, -8.0]), ["a", "a", "b", "b", "c", "c"]
    model = FMRanker(0, max_iter=20, random_state=0).fit(X, y, groups=groups)
    low, high = model.predict(Rows(np.array([0, 1], np.uint32), 2, width=1))
    assert high > low
    flipped = FMRanker(0, max_iter=20, random_state=0).fit(
        X, np.array([2.0, 1, 12, 11, 0, -1]), groups=groups
    )
    assert flipped.params_.w[0] > flipped.params_.w[1]


def test_weights_decide_between_pairs_that_disagree() -> None:
    X = Rows(np.array([0, 1, 1, 0], np.uint32), 2, width=1)
    for weight, better in (([9.0, 9, 1, 1], 0), ([1.0, 1, 9, 9], 1)):
        model = FMRanker(0, max_iter=30, random_state=0)
        model.fit(X, [1.0, 0, 1, 0], groups=[0, 0, 1, 1], sample_weight=weight)
        assert np.argmax(model.params_.w) == better


def test_the_first_loss_is_that_of_a_coin_whatever_the_weights() -> None:
    X = Rows(np.arange(40, dtype=np.uint32) % 20, 20, width=1)
    for weight in (None, np.full(40, 7.0), np.linspace(0.1, 3.0, 40)):
        model = FMRanker(0, learning_rate=1e-6, max_iter=1, random_state=0)
        model.fit(X, np.arange(40) % 3, sample_weight=weight)
        assert model.history_[0]["train_loss"] == pytest.approx(np.log(2), rel=1e-3)


# ------------------------------------------------------------------------------------------- catalogue


def choices(n: int = 3000, seed: int = 0) -> tuple[Rows, np.ndarray, Rows, np.ndarray]:
    """Queries (user, hour), chosen positions, catalogue (id, kind) and users: user u likes items of kind u % 3."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 12, n)
    kind = np.where(rng.random(n) < 0.8, user % 3, rng.integers(0, 3, n))
    item = 3 * np.minimum(rng.geometric(0.3, n) - 1, 9) + kind
    queries = Rows(np.stack([user, 12 + rng.integers(0, 4, n)], 1).astype(np.uint32).ravel(), 18, width=2)
    number = np.arange(30)
    catalogue = Rows(np.stack([number, 30 + number % 3], 1).astype(np.uint32).ravel(), 34, width=2)
    return queries, item, catalogue, user


def order_auc(model: FMRanker, queries: Rows, item: np.ndarray, catalogue: Rows) -> float:
    """Mean AUC of each choice against the whole catalogue."""
    n = catalogue.n_rows
    total = 0.0
    for at in range(0, queries.n_rows, 50):
        scores = model.predict(queries.take(np.full(n, at)), items=catalogue)
        total += auc((np.arange(n) == item[at]).astype(float), scores)
    return total / len(range(0, queries.n_rows, 50))


@pytest.mark.parametrize("solver", ["adagrad", "adagrad-row", "sgd", "adam", "ftrl"])
@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_choices_teach_the_order_of_the_catalogue(solver: str, negatives: str) -> None:
    queries, item, catalogue, _ = choices()
    rates = {"sgd": 0.1, "adam": 0.02}
    options: dict[str, Any] = {"solver": solver, "learning_rate": rates.get(solver), "random_state": 0}
    area = {}
    for k in (0, 4):
        model = FMRanker(k, negatives=negatives, max_iter=15, **options)
        model.fit(queries, item, catalogue=catalogue)
        area[k] = order_auc(model, queries, item, catalogue)
    assert area[4] > area[0] + 0.05
    assert area[4] > 0.8


@pytest.mark.parametrize("solver", ["adagrad", "adagrad-row", "sgd", "adam", "ftrl"])
@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_every_loss_teaches_the_order_of_the_catalogue(loss: str, solver: str) -> None:
    queries, item, catalogue, _ = choices()
    options: dict[str, Any] = {"loss": loss, "solver": solver, "n_negatives": 5, "random_state": 0}
    rates = {"sgd": 0.02, "adam": 0.01}
    model = FMRanker(4, learning_rate=rates.get(solver), max_iter=10, **options)
    model.fit(queries, item, catalogue=catalogue)
    assert order_auc(model, queries, item, catalogue) > 0.8
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]


@pytest.mark.parametrize("solver", ["adagrad", "adagrad-row", "sgd", "adam"])
@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_the_loss_over_all_pairs_teaches_the_order_of_the_catalogue(solver: str, negatives: str) -> None:
    queries, item, catalogue, _ = choices()
    rates = {"sgd": 0.004, "adam": 0.02, "adagrad-row": 0.2}
    area = {}
    for k in (0, 4):
        model = FMRanker(
            k, loss="ensfm", negatives=negatives, negative_weight=0.3, solver=solver, batch_size=8, max_iter=40,
            learning_rate=rates.get(solver), random_state=0,
        ).fit(queries, item, catalogue=catalogue)  # fmt: skip
        area[k] = order_auc(model, queries, item, catalogue)
        assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
    assert area[4] > area[0] + 0.05
    assert area[4] > 0.8


def test_the_loss_over_all_pairs_starts_at_the_best_order_without_personalisation() -> None:
    _, item, catalogue, user = choices()
    model = FMRanker(
        4, loss="ensfm", negative_weight=0.5, learning_rate=1e-7, init_scale=0.0, max_iter=1, random_state=0
    ).fit(Rows(user.astype(np.uint32), 12, width=1), item, catalogue=catalogue)
    start = model.params_.w[12 : 12 + 30]
    times = np.bincount(item, minlength=30)
    fans = np.array([len(np.unique(user[item == v])) for v in range(30)])
    np.testing.assert_allclose(start, times / np.maximum(times + 0.5 * (12 - fans), 1e-9), rtol=1e-4)


def test_popular_items_weigh_more_where_they_were_not_chosen() -> None:
    weights = item_weights(np.array([0, 0, 0, 2]), 3, np.array([1.0, 1, 2, 1]), "popularity", 0.1)
    assert weights.mean() == pytest.approx(0.1)
    np.testing.assert_allclose(weights / weights[1], [5**0.75, 1, 2**0.75])
    assert item_weights(np.array([0]), 2, None, "uniform", 0.1).tolist() == [0.1, 0.1]


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_hard_negatives_come_after_the_first_epochs_and_never_from_what_the_owner_chose(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, item, catalogue, user = choices(400)
    seen: list[Any] = []
    real = FMRanker._choice_pass

    def look(
        self: FMRanker, rows: Rows, items: Rows, which: Any, negatives: Any, *args: Any, **more: Any
    ) -> Any:
        seen.append(negatives)
        return real(self, rows, items, which, negatives, *args, **more)

    monkeypatch.setattr(FMRanker, "_choice_pass", look)
    options: dict[str, Any] = {"loss": loss, "hard_negatives": 0.5, "hard_ranks": (2, 8), "hard_every": 2}
    models = []
    for _ in range(2):
        model = FMRanker(4, max_iter=5, learning_rate=0.2, random_state=0, **options)
        models.append(model.fit(queries, item, catalogue=catalogue, owners=user))
    assert models[0].params_.V.tobytes() == models[1].params_.V.tobytes()
    lists = [negatives.hard for negatives in seen[:5]]
    assert lists[0] is lists[1] is None
    assert lists[2] is lists[3]
    assert (lists[2] != lists[4]).any()
    for at in range(400):
        own = seen[4].hard[seen[4].hard_list[at]]
        assert not np.isin(own, item[user == user[at]]).any()
        assert len(own) == 6


def test_hard_negatives_teach_the_order_of_the_catalogue() -> None:
    queries, item, catalogue, user = choices()
    for loss in ("bpr", "softmax"):
        model = FMRanker(
            4, loss=loss, hard_negatives=0.3, hard_ranks=(0, 10), n_negatives=5, max_iter=10, random_state=0
        ).fit(queries, item, catalogue=catalogue, owners=user)
        assert order_auc(model, queries, item, catalogue) > 0.8


@pytest.mark.parametrize("loss", ["warp", "softmax", "ensfm"])
def test_losses_over_lists_need_a_catalogue(loss: str) -> None:
    X = Rows(np.array([0, 1, 0, 1], np.uint32), 2, width=1)
    with pytest.raises(OptionError, match="pass catalogue"):
        FMRanker(loss=loss).fit(X, [1.0, 0, 1, 0])


def test_warp_needs_even_draws() -> None:
    queries, item, catalogue, _ = choices(20)
    with pytest.raises(OptionError, match="negatives='uniform'"):
        FMRanker(loss="warp", negatives="popularity").fit(queries, item, catalogue=catalogue)


@pytest.mark.parametrize("solver", ["adagrad", "ftrl"])
def test_an_untrained_machine_is_the_order_by_popularity(solver: str) -> None:
    queries, item, catalogue, _ = choices()
    model = FMRanker(4, solver=solver, learning_rate=1e-7, init_scale=0.0, max_iter=1, random_state=0)
    model.fit(queries, item, catalogue=catalogue)
    scores = model.predict(queries.take(np.zeros(30, np.int64)), items=catalogue)
    np.testing.assert_allclose(scores, np.log1p(np.bincount(item, minlength=30)), rtol=1e-3)


def test_groups_spare_what_the_group_chose() -> None:
    """Users chose all items but one each: with groups only that one is ever a negative."""
    user, item = (a.ravel() for a in np.meshgrid(np.arange(4), np.arange(4)))
    keep = user != item
    user, item = user[keep], item[keep]
    queries = Rows(user.astype(np.uint32), 4, width=1)
    catalogue = Rows(np.arange(4, dtype=np.uint32), 4, width=1)
    model = FMRanker(4, max_iter=60, random_state=0).fit(queries, item, catalogue=catalogue, groups=user)
    for u in range(4):
        scores = model.predict(queries.take(np.full(4, np.argmax(user == u))), items=catalogue)
        assert np.argmin(scores) == u


def test_features_that_training_never_met_say_nothing() -> None:
    queries, item, catalogue, _ = choices()
    model = FMRanker(4, max_iter=2, random_state=0).fit(queries, item, catalogue=catalogue)
    V = model.params_.V
    assert model.n_query_features_ == 18
    assert V.shape == (18 + 34, 4)
    silent = [16, 17, 18 + 33]  # two of the queries, one of the catalogue
    assert not V[silent].any()
    assert not model.params_.w[silent].any()
    assert np.delete(V, silent, axis=0).any(axis=1).all()


def test_more_pairs_an_epoch_are_more_steps() -> None:
    queries, item, catalogue, _ = choices(300)
    heard: list[int] = []

    class Count(crossfm.solvers.callbacks.Callback):
        def on_start(self, n_rows: int, max_iter: int) -> None:
            heard.append(n_rows)

    for n_pairs in (1, 3):
        FMRanker(2, n_pairs=n_pairs, max_iter=1, callbacks=[Count()]).fit(queries, item, catalogue=catalogue)
    assert heard == [300, 900]


def test_choice_weights_count_in_popularity_and_in_pairs() -> None:
    queries, item, catalogue, _ = choices()
    weight = np.where(item % 3 == 1, 1.0, 0.0)
    model = FMRanker(0, learning_rate=1e-7, max_iter=1, random_state=0)
    model.fit(queries, item, catalogue=catalogue, sample_weight=weight)
    start = model.params_.w[18 : 18 + 30]
    np.testing.assert_allclose(start, np.log1p(np.bincount(item, weight, 30)), rtol=1e-3, atol=1e-5)
    assert model.history_[0]["train_loss"] > 0


@pytest.mark.parametrize("catalogued", [False, True])
def test_two_threads_learn_as_well(catalogued: bool) -> None:
    queries, item, catalogue, _ = choices()
    fits = []
    for n_threads in (1, 2):
        model = FMRanker(4, max_iter=8, n_threads=n_threads, random_state=0)
        if catalogued:
            model.fit(queries, item, catalogue=catalogue)
        else:
            model.fit(queries, item % 3, groups=item // 3)
        fits.append(model.history_[-1]["train_loss"])
    assert fits[1] == pytest.approx(fits[0], rel=0.2)


@pytest.mark.parametrize("loss", ["bpr", "warp", "softmax", "ensfm"])
def test_the_same_seed_gives_the_same_bits_with_a_catalogue(loss: str, tmp_path: Any) -> None:
    queries, item, catalogue, user = choices(500)
    negatives = "uniform" if loss == "warp" else "popularity"
    a, b = (
        FMRanker(3, loss=loss, negatives=negatives, max_iter=3, random_state=5).fit(
            queries, item, catalogue=catalogue, groups=user
        )
        for _ in range(2)
    )
    assert a.params_.V.tobytes() == b.params_.V.tobytes()
    crossfm.save(a, tmp_path / "m.crossfm")
    loaded = crossfm.load(tmp_path / "m.crossfm")
    rows = queries.take(np.arange(30))
    assert np.array_equal(loaded.predict(rows, items=catalogue), a.predict(rows, items=catalogue))
    with pytest.raises(DataError, match="pass items"):
        loaded.predict(rows)


# ---------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_compared_is_refused() -> None:
    X = Rows(np.array([0, 1, 0, 1], np.uint32), 2, width=1)
    with pytest.raises(DataError, match="no pair to learn from"):
        FMRanker().fit(X, [1.0, 1, 2, 2], groups=[0, 0, 1, 1])
    with pytest.raises(DataError, match="groups has 3"):
        FMRanker().fit(X, [1.0, 1, 2, 2], groups=[0, 0, 1])
    with pytest.raises(DataError, match="owners has 3"):
        FMRanker().fit(X, [1.0, 1, 2, 2], owners=[0, 0, 1])
    with pytest.raises(LabelError, match="row 2 has label nan"):
        FMRanker().fit(X, [1.0, 1, np.nan, 2])
    with pytest.raises(LabelError, match="numbers"):
        FMRanker().fit(X, ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    "y", [[0, 1, 2, 30], [0, 1, 2, -1], [0.0, 1, 2, 3], [[0], [1], [2], [3]], list("abcd")]
)
def test_choices_that_are_no_positions_are_refused(y: Any) -> None:
    queries, _, catalogue, _ = choices(4)
    with pytest.raises(LabelError, match="positions in it: whole numbers from 0 to 29"):
        FMRanker().fit(queries, y, catalogue=catalogue)


def test_catalogues_that_give_no_negative_are_refused() -> None:
    queries, item, catalogue, _ = choices(4)
    with pytest.raises(DataError, match="nothing to compare"):
        FMRanker().fit(queries, [0, 0, 0, 0], catalogue=catalogue.take([0]))
    with pytest.raises(DataError, match="nothing to compare"):
        FMRanker().fit(queries, [0, 1, 0, 1], catalogue=catalogue.take([0, 1]), groups=[0, 0, 1, 1])
    with pytest.raises(DataError, match="catalogue is a ndarray, but Rows"):
        FMRanker().fit(queries, item, catalogue=np.eye(30))  # type: ignore[arg-type]


def test_ids_beyond_the_declared_features_are_refused() -> None:
    queries, item, catalogue, _ = choices(4)
    with pytest.raises(IndexError, match="feature 30"):
        FMRanker().fit(queries, item, catalogue=replace(catalogue, n_features=3))
    with pytest.raises(IndexError):
        FMRanker().fit(replace(queries, n_features=3), item, catalogue=catalogue)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "hinge"},
        {"negatives": "hard"},
        {"n_negatives": 0},
        {"n_pairs": 0},
        {"n_pairs": 1.5},
        {"negative_weight": 0.0},
        {"batch_size": 0, "loss": "ensfm"},
        {"solver": "ftrl", "loss": "ensfm"},
        {"hard_negatives": 1.5},
        {"hard_negatives": 0.5, "loss": "warp"},
        {"hard_negatives": 0.5, "loss": "ensfm"},
        {"hard_ranks": (5, 5), "hard_negatives": 0.5},
        {"hard_ranks": (-1, 5), "hard_negatives": 0.5},
        {"hard_ranks": 20, "hard_negatives": 0.5},
        {"hard_ranks": (30, 50), "hard_negatives": 0.5},
        {"hard_every": 0, "hard_negatives": 0.5},
    ],
)
def test_options_of_pairs_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    queries, item, catalogue, _ = choices(4)
    with pytest.raises(OptionError, match=next(iter(options))):
        FMRanker(**options).fit(queries, item, catalogue=catalogue)
