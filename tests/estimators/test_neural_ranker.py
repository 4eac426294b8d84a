"""Networks that learn an order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import crossfm
from crossfm import Categorical, NeuralFMRanker, Rows
from crossfm.errors import OptionError

N_USERS, N_ITEMS = 20, 15


def ids(values: np.ndarray, n: int, field: int | None = 0) -> Rows:
    fields = None if field is None else np.array([field], np.uint32)
    return Rows(values.astype(np.uint32), n, width=1, fields=fields)


def choices(n: int = 800) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Queries, chosen items and users: users of a kind choose items of their kind."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, N_USERS, n)
    item = (3 * rng.integers(0, N_ITEMS // 3, n) + user % 3) % N_ITEMS
    return ids(user, N_USERS), item, user


def scores(model: NeuralFMRanker, field: int | None = 0) -> np.ndarray:
    """Scores (n_users, n_items) of everything."""
    users, items = np.repeat(np.arange(N_USERS), N_ITEMS), np.tile(np.arange(N_ITEMS), N_USERS)
    return model.predict(ids(users, N_USERS), ids(items, N_ITEMS, field)).reshape(N_USERS, N_ITEMS)


def kind_share(found: np.ndarray) -> float:
    """How often a user's best five are of the user's kind."""
    best = np.argsort(-found, axis=1)[:, :5]
    return float((best % 3 == np.arange(N_USERS)[:, None] % 3).mean())


@pytest.mark.parametrize("model", ["fm", "nfm", "deepfm"])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_choices_from_a_catalogue_are_learnt(model: str, loss: str, negatives: str, tmp_path: Path) -> None:
    queries, chosen, user = choices()
    ranker = NeuralFMRanker(
        n_factors=4, model=model, loss=loss, negatives=negatives, max_iter=25, batch_size=64, random_state=0
    )
    ranker.fit(queries, chosen, catalogue=ids(np.arange(N_ITEMS), N_ITEMS), groups=user)
    assert ranker.history_[-1]["train_loss"] < 0.5 * ranker.history_[0]["train_loss"]
    assert kind_share(scores(ranker)) > 0.95
    crossfm.save(ranker, tmp_path / "ranker.crossfm")
    loaded: Any = crossfm.load(tmp_path / "ranker.crossfm")
    assert np.array_equal(scores(loaded), scores(ranker))
    again = clone(ranker).fit(queries, chosen, catalogue=ids(np.arange(N_ITEMS), N_ITEMS), groups=user)
    assert np.array_equal(scores(again), scores(ranker))


def sides(values: np.ndarray, n: int, shift: int = 0) -> Rows:
    """Rows of two fields, (n_rows, 2): the second field's features stand behind the n of the first."""
    ids = values.astype(np.uint32) + np.array([0, n], np.uint32)
    return Rows(ids.ravel() + np.uint32(shift), n + 6 + shift, width=2, fields=np.array([0, 1], np.uint32))


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
@pytest.mark.parametrize("model", ["fwfm", "nfm"])
def test_machines_without_layers_learn_from_a_catalogue_and_are_inner_products(model: str, loss: str) -> None:
    """What ``params_`` says is enough to split the score: FwFM by blocks r_fg v_f, NFM by h * S."""
    _, chosen, user = choices()
    query, item = (
        np.stack([user, np.arange(len(user)) % 4], 1),
        np.stack([np.arange(N_ITEMS), np.arange(N_ITEMS) % 3], 1),
    )
    options: dict[str, Any] = {"nfm": {"hidden": (), "batch_norm": False}}.get(model, {})
    ranker = NeuralFMRanker(
        4, model=model, loss=loss, max_iter=40, batch_size=32, learning_rate_V=0.1, random_state=0, **options
    )
    ranker.fit(sides(query, N_USERS), chosen, catalogue=sides(item, N_ITEMS), groups=user)
    params, left = ranker.params_, ranker.n_query_features_
    found, expected = [], []
    for u in range(6):
        rows = sides(np.tile(query[u], (N_ITEMS, 1)), N_USERS)
        found.append(ranker.predict(rows, sides(item, N_ITEMS)))
        q = params.V[rows.indices[:2]].astype(float)
        for v in range(N_ITEMS):
            i = sides(item[v : v + 1], N_ITEMS, left).indices
            t, own = params.V[i].astype(float), params.w[i].sum() + params.w[rows.indices[:2]].sum()
            if model == "nfm":
                h = params.layers["h"].astype(float)
                across = (h * q.sum(0)) @ t.sum(0)
                inside = h @ (q[0] * q[1]) + h @ (t[0] * t[1])
            else:
                r = dict(
                    zip(
                        [(a, b) for a in range(4) for b in range(a + 1, 4)],
                        params.layers["interaction.r"],
                        strict=True,
                    )
                )
                blocks = [sum(r[f, g] * q[f] for f in (0, 1)) for g in (2, 3)]
                across = np.concatenate(blocks) @ np.concatenate(t)
                inside = r[0, 1] * (q[0] @ q[1]) + r[2, 3] * (t[0] @ t[1])
            expected.append(float(params.layers["bias"]) + own + inside + across)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-4)
    assert kind_share_of(np.array(found), user) > 0.9


def kind_share_of(found: np.ndarray, user: np.ndarray) -> float:
    """How often the best five of the first rows are of their user's kind."""
    best = np.argsort(-found, axis=1)[:, :5]
    return float((best % 3 == user[: len(found), None] % 3).mean())


def test_a_catalogue_without_fields_has_those_of_its_features() -> None:
    queries, chosen, user = choices()
    ranker = NeuralFMRanker(n_factors=4, model="deepfm", max_iter=2, batch_size=64, random_state=0)
    ranker.fit(queries, chosen, catalogue=ids(np.arange(N_ITEMS), N_ITEMS, None), groups=user)
    assert np.isfinite(scores(ranker, None)).all()


def test_labels_in_groups_are_ordered() -> None:
    rng = np.random.default_rng(0)
    table = {"a": rng.integers(0, 5, 600), "b": rng.integers(0, 5, 600)}
    y = (table["a"] == table["b"]).astype(float)
    columns = [Categorical("a"), Categorical("b")]
    ranker = NeuralFMRanker(
        n_factors=8, model="nfm", max_iter=60, batch_size=32, columns=columns, random_state=0
    )
    ranker.fit(table, y, groups=np.arange(600) % 7)
    found = ranker.predict(table)
    assert found[y == 1].min() > found[y == 0].max()


def test_pairs_of_labels_count_by_their_weight() -> None:
    ranker = NeuralFMRanker(
        2, model="fm", solver="sgd", learning_rate_w=0.01, init_scale=0.0, max_iter=1, random_state=0
    )
    y, groups, weight = np.array([1.0, 0, 1, 0]), np.array([0, 0, 1, 1]), np.array([1.0, 1, 3, 3])
    ranker.fit(ids(np.arange(4), 4), y, groups=groups, sample_weight=weight)
    w = ranker.params_.w
    assert w[0] == pytest.approx(-w[1], rel=1e-5)
    assert w[2] == pytest.approx(-w[3], rel=1e-5)
    assert w[2] == pytest.approx(3 * w[0], rel=1e-5)


def test_sampled_softmax_is_what_its_formula_says() -> None:
    """One choice, one batch: the loss before the first step is log(1 + n_negatives) when all scores are equal."""
    ranker = NeuralFMRanker(
        n_factors=2, model="fm", loss="softmax", n_negatives=4, max_iter=1, init_scale=0.0, random_state=0
    )
    ranker.fit(
        ids(np.zeros(1), 1), np.array([0]), catalogue=ids(np.arange(6), 6), sample_weight=np.array([1.0])
    )
    score = np.log1p(1.0)  # popularity: the item that was chosen once starts there
    assert ranker.history_[0]["train_loss"] == pytest.approx(np.log(np.exp(score) + 4) - score, rel=1e-5)


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_popular_negatives_are_corrected_for_and_choices_count_by_their_weight(
    loss: str, negatives: str
) -> None:
    """Two users and items, each chosen by one of them: the negative is always the other."""
    still = {"learning_rate": 1e-12, "learning_rate_V": 1e-12, "learning_rate_w": 1e-12, "init_scale": 0.0}
    ranker = NeuralFMRanker(
        2, model="fm", loss=loss, negatives=negatives, n_negatives=1, max_iter=1, random_state=0, **still
    )
    chosen, weight = np.array([0, 0, 1]), np.array([1.0, 2.0, 0.5])
    ranker.fit(ids(chosen, 2), chosen, catalogue=ids(np.arange(2), 2), groups=chosen, sample_weight=weight)
    apart = np.log(4 / 1.5) * (0.25 if negatives == "popularity" else 1)  # 1 + weight of the choices, to 0.75
    losses = weight * np.log1p(np.exp([-apart, -apart, apart]))
    assert ranker.history_[0]["train_loss"] == pytest.approx(losses.sum() / weight.sum(), rel=1e-5)


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_a_penalty_is_as_strong_on_every_item_and_user(loss: str, negatives: str) -> None:
    """Choices of hardly any weight have no gradient: each vector shrinks by n rate l2 of its length, bit by bit.

    n is the number of rows that are looked at, a user with an item each, as it would be for rows with labels.
    """
    queries, chosen, user = choices()
    chosen = np.where(np.arange(len(chosen)) % 2, 0, chosen)  # one item of fifteen is in half of the choices
    rare = np.flatnonzero(user != 3)
    kept = np.r_[rare, np.flatnonzero(user == 3)[:2]]  # and one user has two
    queries, chosen, user = queries.take(kept), chosen[kept], user[kept]
    lengths = []
    for l2 in (0.0, 1e-5):
        ranker = NeuralFMRanker(
            4, model="fm", loss=loss, negatives=negatives, n_negatives=3, solver="sgd", learning_rate_V=0.01,
            l2_V=l2, max_iter=60, random_state=0,
        )  # fmt: skip
        ranker.fit(
            queries,
            chosen,
            catalogue=ids(np.arange(N_ITEMS), N_ITEMS),
            groups=user,
            sample_weight=np.full(len(user), 1e-20),
        )
        lengths.append(ranker.params_.lengths())
    n = 60 * len(user) * (2 if loss == "bpr" else 4)
    np.testing.assert_allclose(np.log(lengths[0] / lengths[1]), n * 0.01 * 1e-5, rtol=0.15)


def test_a_penalty_is_as_strong_on_every_row_of_labels() -> None:
    """As above, where rows are compared inside groups: the best are seen most, the middle ones as better and worse."""
    y = np.r_[2.0, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    groups = np.r_[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    lengths = []
    for l2 in (0.0, 1e-3):
        ranker = NeuralFMRanker(
            4, model="fm", solver="sgd", learning_rate_V=0.01, l2_V=l2, max_iter=300, random_state=0
        )
        ranker.fit(ids(np.arange(10), 10), y, groups=groups, sample_weight=np.full(10, 1e-20))
        lengths.append(ranker.params_.lengths())
    n = 300 * 2 * 4  # four rows have a lower one
    np.testing.assert_allclose(np.log(lengths[0] / lengths[1]), n * 0.01 * 1e-3, rtol=0.15)


@pytest.mark.parametrize(
    "options", [{"loss": "warp"}, {"loss": "softmax"}, {"batch_size": 0}, {"model": "nmf"}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        NeuralFMRanker(**options).fit({"a": [1, 2, 3]}, [0.0, 1.0, 2.0])
