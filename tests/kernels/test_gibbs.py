"""Exact moves against the conditionals of the oracle."""

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import ALS
from crossfm.errors import DataError
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from machines import ISAS, as_rows, random_params, random_rows, using_isa
from moves import ALPHA, errors, swept
from oracles import bias_conditional, coordinate_conditional, feature_conditional

N = 7


def problem(k, *, values=True, weighted=True, n_rows=30, n_features=N):
    """Lists of (feature, value), the same as moves, and a prior of two groups; the last feature is in no row."""
    rng = np.random.default_rng(k)
    rows = random_rows(rng, n_rows, n_features - 1, values=values)
    target = rng.normal(size=n_rows)
    weight = np.round(rng.random(n_rows) * 2, 2).astype(np.float32) if weighted else np.ones(n_rows)
    built = as_rows(rows, n_features, values=values, target=target, weight=weight if weighted else None)
    table = Table.start(random_params(rng, n_features, k), ALS, Hyper(learning_rate=1.0))
    prior = Prior(
        rng.integers(0, 2, n_features).astype(np.uint32),
        rng.uniform(0.5, 3, (2, 1 + k)),
        rng.normal(size=(2, 1 + k)),
    )
    return rows, target, weight, Moves(built, Columns.of(built), table), prior


@pytest.mark.parametrize("drawn", [False, True], ids=["mean", "draw"])
@pytest.mark.parametrize(("values", "weighted"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("k", [0, 1, 3, 4, 5, 8, 16, 17, 40])
def test_a_sweep_is_that_of_the_oracle(k, values, weighted, drawn):
    for isa in ISAS:
        rows, target, weight, moves, prior = problem(k, values=values, weighted=weighted)
        n = moves.columns.n_columns
        noise = np.random.default_rng(5).standard_normal((n, 1 + k), np.float32) if drawn else None
        w, V = swept(rows, target, weight, moves, prior, noise)
        with using_isa(isa):
            moves.sweep(ALPHA, prior, noise)
        np.testing.assert_allclose(moves.table.w, w, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(moves.table.V, V, rtol=1e-3, atol=3e-4)
        assert not moves.table.data[:, k : moves.table.padded].any()
        np.testing.assert_allclose(moves.e, errors(rows, target, moves.table.params()), atol=2e-5)
        sums = [sum((x * moves.table.V[i] for i, x in row), np.zeros(k)) for row in rows]
        np.testing.assert_allclose(moves.q[:, :k], sums, atol=1e-5)


@pytest.mark.parametrize("k", [0, 1, 6])
def test_the_joint_conditional_has_the_papers_conditional_of_each_coordinate(k):
    rows, target, weight, moves, prior = problem(k)
    params = moves.table.params()
    precision, mean = prior.precision[0], prior.mean[0]
    theta = np.array([params.w[2], *params.V[2]], float)
    joint = (rows, target, weight, params.bias, params.w.astype(float), params.V.astype(float), 2)
    centre, P = feature_conditional(*joint, ALPHA, precision, mean)
    for f in range(1 + k):
        others = np.arange(1 + k) != f
        given = centre[f] - P[f, others] @ (theta - centre)[others] / P[f, f]
        assert coordinate_conditional(*joint, f, ALPHA, precision, mean) == pytest.approx((given, P[f, f]))


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 500])
def test_chunks_of_rows_add_up(n_rows):
    rng = np.random.default_rng(n_rows)
    rows = [[(0, 1.0), (1 + int(rng.integers(0, 3)), 1.0)] for _ in range(n_rows)]
    target = rng.normal(size=n_rows)
    built = as_rows(rows, 4, values=False, target=target)
    table = Table.start(random_params(rng, 4, 8), ALS, Hyper(learning_rate=1.0))
    moves = Moves(built, Columns.of(built), table)
    prior = Prior(np.zeros(4, np.uint32), np.full((1, 9), 0.7), np.zeros((1, 9)))
    w, V = swept(rows, target, np.ones(n_rows), moves, prior, None)
    moves.sweep(ALPHA, prior, None)
    np.testing.assert_allclose(moves.table.w, w, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moves.table.V, V, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_bias_moves_to_its_mean(weighted):
    rows, target, weight, moves, _ = problem(3, weighted=weighted)
    params = moves.table.params()
    mean, _ = bias_conditional(rows, target, weight, params.bias, params.w, params.V, ALPHA)
    total, squares = moves.shift(0.0)
    before = errors(rows, target, params)
    assert total == pytest.approx((weight * before).sum(), abs=1e-4)
    assert squares == pytest.approx((weight * before**2).sum(), rel=1e-5)
    moves.shift(total / weight.sum())
    assert moves.table.bias[0] == pytest.approx(mean, rel=1e-4)
    np.testing.assert_allclose(moves.e, errors(rows, target, moves.table.params()), atol=1e-5)


def test_moments_are_sums_by_group():
    _, _, _, moves, prior = problem(5)
    count, sums, squares = moves.moments(prior)
    theta = np.column_stack([moves.table.w, moves.table.V])[moves.columns.feature].astype(float)
    for g in (0, 1):
        own = theta[prior.group[moves.columns.feature] == g]
        assert count[g] == len(own)
        np.testing.assert_allclose(sums[g], own.sum(0))
        np.testing.assert_allclose(squares[g], (own**2).sum(0))


def blocks(rng, sizes, n_rows):
    """Rows with one feature of each of some one-hot blocks."""
    first = np.cumsum([0, *sizes[:-1]])
    ids = np.column_stack([rng.integers(0, size, n_rows) for size in sizes]) + first
    return [[(int(i), 1.0) for i in row] for row in ids]


def test_colours_of_one_hot_blocks_are_the_blocks():
    sizes = (50, 30, 20)
    rows = blocks(np.random.default_rng(0), sizes, 2000)
    columns = Columns.of(as_rows(rows, 100, values=False))
    assert columns.colours.tolist() == [0, 50, 80, 100]
    assert columns.feature.tolist() == list(range(100))


@pytest.mark.parametrize("longest", [4, 90])
def test_columns_of_a_colour_share_no_row(longest):
    rows = random_rows(np.random.default_rng(1), 60, 120, values=True, longest=longest)
    columns = Columns.of(as_rows(rows, 120))
    of_row = {(r, i): x for r, row in enumerate(rows) for i, x in row}
    colour = columns.colour_of_each()
    met = set()
    for at, i in enumerate(columns.feature):
        for place in range(columns.start[at], columns.start[at + 1]):
            r = int(columns.row[place])
            assert columns.value[place] == np.float32(of_row.pop((r, int(i))))
            assert (r, colour[at]) not in met
            met.add((r, colour[at]))
    assert not of_row


@pytest.mark.parametrize("k", [0, 8, 10])
def test_any_number_of_threads_gives_the_same_bits(k):
    rng = np.random.default_rng(2)
    sizes = (400, 30, 2, 1)
    rows = blocks(rng, sizes, 30_000)
    built = as_rows(rows, sum(sizes), values=False, target=rng.normal(size=len(rows)))
    columns = Columns.of(built)
    params = random_params(rng, sum(sizes), k)
    prior = Prior(np.zeros(sum(sizes), np.uint32), np.full((1, 1 + k), 2.0), np.zeros((1, 1 + k)))
    got = []
    for threads in (1, 2, 3):
        moves = Moves(built, columns, Table.start(params, ALS, Hyper(learning_rate=1.0)))
        draws = np.random.default_rng(3)
        for _ in range(3):
            noise = draws.standard_normal((columns.n_columns, 1 + k), np.float32)
            moves.sweep(1.0, prior, noise, n_threads=threads)
        got.append((moves.table.data.tobytes(), moves.e.tobytes(), moves.q.tobytes()))
    assert got[0] == got[1] == got[2]


@pytest.mark.parametrize("isa", ISAS)
def test_errors_and_sums_stay_right_over_200_sweeps(isa):
    rng = np.random.default_rng(4)
    rows = blocks(rng, (40, 30, 20), 1000)
    built = as_rows(rows, 90, values=False, target=rng.normal(size=len(rows)))
    moves = Moves(
        built, Columns.of(built), Table.start(random_params(rng, 90, 8), ALS, Hyper(learning_rate=1.0))
    )
    prior = Prior(np.zeros(90, np.uint32), np.full((1, 9), 5.0), np.zeros((1, 9)))
    with using_isa(isa):
        for _ in range(200):
            moves.sweep(1.0, prior, rng.standard_normal((90, 9), np.float32))
            moves.shift(0.01)
    e, q = moves.e.copy(), moves.q.copy()
    moves.settle()
    assert np.abs(e - moves.e).max() < 5e-5
    assert np.abs(q - moves.q).max() < 2e-5


def test_a_direction_of_which_nothing_is_known_does_not_move():
    rows = [
        [(0, 1.0), (1, 1.0)],
        [(0, 1.0), (1, 1.0)],
    ]  # one direction of data for five numbers, and no prior
    built = as_rows(rows, 2, values=False, target=np.array([1.0, 2.0]))
    params = FMParams(0.0, np.zeros(2, np.float32), np.full((2, 4), 0.5, np.float32))
    moves = Moves(built, Columns.of(built), Table.start(params, ALS, Hyper(learning_rate=1.0)))
    prior = Prior(np.zeros(2, np.uint32), np.zeros((1, 5)), np.zeros((1, 5)))
    for _ in range(3):
        moves.sweep(1.0, prior, None)
    np.testing.assert_allclose(moves.e, [-0.5, 0.5], atol=1e-5)
    assert np.isfinite(moves.table.data).all()


def test_no_rows_and_empty_rows_move_nothing():
    for rows in ([], [[], []]):
        built = as_rows(rows, 3, target=np.ones(len(rows)))
        moves = Moves(
            built,
            Columns.of(built),
            Table.start(random_params(np.random.default_rng(0), 3, 2), ALS, Hyper(1.0)),
        )
        before = moves.table.data.copy()
        moves.sweep(1.0, Prior(np.zeros(3, np.uint32), np.ones((1, 3)), np.zeros((1, 3))), None)
        assert (moves.table.data == before).all()


def test_a_feature_twice_in_a_row_is_refused():
    with pytest.raises(DataError, match="row 1 has feature 2 twice"):
        Columns.of(as_rows([[(2, 1.0)], [(2, 1.0), (0, 1.0), (2, 1.0)]], 3))
