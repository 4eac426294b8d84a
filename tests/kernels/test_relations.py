"""Rows of relations stand together: moves are those of the expanded rows."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from crossfm.core.options import Hyper
from crossfm.core.rules import ALS
from crossfm.data.relation import expand, relate
from crossfm.errors import DataError
from crossfm.kernels.fm import scores
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from machines import ISAS, as_lists, random_params, using_isa
from moves import ALPHA, errors, swept
from oracles import fm_score


def problem(k, *, weighted=True, own=True, n_rows=80, seed=0):
    """Rows with two relations, of which the second has an entity that no row has; the same written out."""
    rng = np.random.default_rng(seed)
    sparse = {"density": 0.6, "format": "csr", "rng": rng}
    X = random(n_rows, 3, **sparse) if own else None
    users, items = random(9, 4, **sparse), random(5, 3, **sparse)
    user, item = rng.integers(0, 9, n_rows), rng.integers(0, 4, n_rows)
    weight = np.round(rng.random(n_rows) * 2, 2).astype(np.float32) if weighted else None
    rows = relate(X, (users, user), (items, item)).with_target(rng.normal(size=n_rows), weight)
    prior = Prior(
        rng.integers(0, 2, rows.n_features).astype(np.uint32),
        rng.uniform(0.5, 3, (2, 1 + k)),
        rng.normal(size=(2, 1 + k)),
    )
    params = random_params(rng, rows.n_features, k)
    return rows, expand(rows), params, prior


def moves_of(rows, params):
    return Moves(rows, Columns.of(rows), Table.start(params, ALS, Hyper(learning_rate=1.0)))


@pytest.mark.parametrize("own", [True, False], ids=["own features", "relations alone"])
@pytest.mark.parametrize("k", [0, 1, 5, 16])
def test_scores_are_those_of_the_rows_written_out(k, own):
    rows, plain, params, _ = problem(k, own=own)
    naive = [fm_score(row, params.bias, params.w, params.V) for row in as_lists(plain)]
    sums = np.empty((rows.n_rows, k), np.float32)
    np.testing.assert_allclose(scores(rows, params, sums=sums), naive, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores(rows, params), naive, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        sums, [sum((x * params.V[i] for i, x in row), np.zeros(k)) for row in as_lists(plain)], atol=1e-5
    )


@pytest.mark.parametrize("drawn", [False, True], ids=["mean", "draw"])
@pytest.mark.parametrize(("weighted", "own"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("k", [0, 1, 3, 5, 8, 16, 17, 40])
def test_a_sweep_is_that_of_the_oracle_over_the_rows_written_out(k, weighted, own, drawn):
    for isa in ISAS:
        rows, plain, params, prior = problem(k, weighted=weighted, own=own)
        moves = moves_of(rows, params)
        noise = None
        if drawn:
            noise = np.random.default_rng(5).standard_normal((len(moves.features), 1 + k), np.float32)
        weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight.astype(float)
        together = [one.columns.feature for one in moves.together]
        w, V = swept(as_lists(plain), rows.target, weight, moves, prior, noise, together)
        with using_isa(isa):
            moves.sweep(ALPHA, prior, noise)
        np.testing.assert_allclose(moves.table.w, w, rtol=2e-3, atol=3e-4)
        np.testing.assert_allclose(moves.table.V, V, rtol=2e-3, atol=5e-4)
        np.testing.assert_allclose(
            moves.e, errors(as_lists(plain), rows.target, moves.table.params()), atol=5e-5
        )
        found = moves.q.copy()
        moves.settle()
        np.testing.assert_allclose(moves.q, found, atol=2e-5)


def test_threads_do_not_change_a_bit():
    found = []
    for n_threads in (1, 2, 3, 7):
        rng = np.random.default_rng(0)
        users = random(400, 300, density=0.1, format="csr", rng=rng)
        rows = relate(None, (users, rng.integers(0, 400, 9001))).with_target(rng.normal(size=9001))
        moves = moves_of(rows, random_params(rng, rows.n_features, 8))
        prior = Prior(np.zeros(300, np.uint32), np.ones((1, 9)), np.zeros((1, 9)))
        noise = rng.standard_normal((len(moves.features), 9), np.float32)
        moves.sweep(ALPHA, prior, noise, n_threads=n_threads)
        found.append((moves.table.data.copy(), moves.e, moves.q))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert np.array_equal(one, two)


def test_errors_and_sums_drift_by_roundings_only():
    rows, _, params, prior = problem(8, n_rows=400)
    moves, rng = moves_of(rows, params), np.random.default_rng(1)
    for _ in range(200):
        moves.sweep(ALPHA, prior, rng.standard_normal((len(moves.features), 9), np.float32))
    e, q = moves.e.copy(), moves.q.copy()
    moves.settle()
    np.testing.assert_allclose(e, moves.e, atol=2e-4)
    np.testing.assert_allclose(q, moves.q, atol=2e-4)


def test_a_feature_of_two_parts_is_refused():
    side = relate(csr_matrix(np.eye(2)), (csr_matrix(np.eye(3)), [0, 1])).relations[0].rows
    rows = relate(csr_matrix(np.ones((4, 5))), (side, [0, 1, 2, 0])).with_target(np.zeros(4))
    with pytest.raises(
        DataError, match="feature 2 is in a relation and in another, or in the rows themselves"
    ):
        moves_of(rows, random_params(np.random.default_rng(0), 5, 2))
