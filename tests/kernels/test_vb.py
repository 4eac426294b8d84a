"""Moves of a mean field against the oracle's."""

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import VB
from crossfm.kernels.gibbs import Columns, Moves, Prior
from crossfm.kernels.table import Table
from crossfm.kernels.vb import MeanField, score_variances
from machines import ISAS, as_rows, random_params, random_rows, using_isa
from oracles import fm_score, mean_field_feature, score_moments

N = 6
ALPHA = 1.7


def random_variances(rng, n_features, k):
    V, w = rng.uniform(0.05, 0.6, (n_features, k)), rng.uniform(0.05, 0.6, n_features)
    return FMParams(0.3, w.astype(np.float32), V.astype(np.float32))


def problem(k, *, values=True, weighted=True, n_rows=30):
    """Lists of (feature, value), the same as a mean field, and a prior of two groups; the last feature is in no row."""
    rng = np.random.default_rng(k)
    rows = random_rows(rng, n_rows, N - 1, values=values, longest=4)
    target = rng.normal(size=n_rows)
    weight = np.round(rng.random(n_rows) * 2, 2).astype(np.float32) if weighted else np.ones(n_rows)
    built = as_rows(rows, N, values=values, target=target, weight=weight if weighted else None)
    table, variance = (
        Table.start(params, VB, Hyper(learning_rate=1.0))
        for params in (random_params(rng, N, k), random_variances(rng, N, k))
    )
    prior = Prior(
        rng.integers(0, 2, N).astype(np.uint32), rng.uniform(0.5, 3, (2, 1 + k)), rng.normal(size=(2, 1 + k))
    )
    return rows, target, weight, MeanField(Moves(built, Columns.of(built), table), variance), prior


def parts(table):
    return [float(table.bias[0]), table.w.astype(float), table.V.astype(float)]


@pytest.mark.parametrize(("values", "weighted"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("k", [0, 1, 4, 5, 16, 20])
def test_a_sweep_is_that_of_the_oracle(k, values, weighted):
    for isa in ISAS:
        rows, target, weight, field, prior = problem(k, values=values, weighted=weighted)
        mean, variance = parts(field.moves.table), parts(field.variance)
        for i in field.moves.columns.feature:
            g = prior.group[i]
            m, s = mean_field_feature(
                rows, target, weight, mean, variance, i, ALPHA, prior.precision[g], prior.mean[g]
            )
            mean[1][i], mean[2][i], variance[1][i], variance[2][i] = m[0], m[1:], s[0], s[1:]
        with using_isa(isa):
            field.sweep(ALPHA, prior)
        for table, expected in ((field.moves.table, mean), (field.variance, variance)):
            np.testing.assert_allclose(table.w, expected[1], rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(table.V, expected[2], rtol=1e-3, atol=3e-4)
            assert not table.data[:, k : table.padded].any()
        kept = [(field.moves, "e"), (field.moves, "q"), (field, "tu")]
        moved = [getattr(of, name).copy() for of, name in kept]
        field.settle()
        for (of, name), array in zip(kept, moved, strict=True):
            np.testing.assert_allclose(array, getattr(of, name), atol=3e-5)


def test_sums_of_a_row_are_those_of_their_definition():
    rows, _, _, field, _ = problem(5)
    s, m = field.variance.V, field.moves.table.V
    for r, row in enumerate(rows):
        t, u = np.split(field.tu[r], 2)
        np.testing.assert_allclose(t[:5], sum((x**2 * s[i] for i, x in row), np.zeros(5)), rtol=1e-5)
        np.testing.assert_allclose(
            u[:5], sum((x**3 * s[i] * m[i] for i, x in row), np.zeros(5)), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("n_rows", [63, 64, 65, 400])
def test_chunks_of_rows_add_up(n_rows):
    rows, target, weight, field, prior = problem(8, n_rows=n_rows)
    first = field.moves.columns.feature[0]
    g = prior.group[first]
    args = rows, target, weight, parts(field.moves.table), parts(field.variance)
    m, s = mean_field_feature(*args, first, ALPHA, prior.precision[g], prior.mean[g])
    field.sweep(ALPHA, prior)
    np.testing.assert_allclose(field.moves.table.V[first], m[1:], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(field.variance.V[first], s[1:], rtol=1e-4)


@pytest.mark.parametrize("k", [0, 1, 3, 8])
@pytest.mark.parametrize("values", [True, False])
def test_variances_of_scores_are_those_of_the_oracle(k, values):
    rows, _, _, field, _ = problem(k, values=values)
    mean, variance = field.moves.table.params(), field.variance.params()
    oracle = [score_moments(row, parts(field.moves.table), parts(field.variance)) for row in rows]
    np.testing.assert_allclose(
        [centre for centre, _ in oracle], [fm_score(r, mean.bias, mean.w, mean.V) for r in rows], atol=1e-5
    )
    expected = [spread for _, spread in oracle]
    for threads in (1, 3):
        np.testing.assert_allclose(
            score_variances(field.moves.rows, mean, variance, n_threads=threads), expected, rtol=1e-5
        )
    np.testing.assert_allclose(
        score_variances(field.moves.rows, mean.packed(), variance.packed()), expected, rtol=1e-5
    )


def test_variances_of_scores_are_those_of_draws():
    rng = np.random.default_rng(0)
    rows, _, _, field, _ = problem(2)
    (_, w, V), (_, s_w, S) = parts(field.moves.table), parts(field.variance)
    n = 200_000
    for row in rows[:6]:
        ids, x = [i for i, _ in row], np.array([x for _, x in row])
        linear = (w[ids] + np.sqrt(s_w[ids]) * rng.standard_normal((n, len(ids)))) @ x
        v = (V[ids] + np.sqrt(S[ids]) * rng.standard_normal((n, len(ids), 2))) * x[:, None]
        score = linear + ((v.sum(1) ** 2 - (v**2).sum(1)) / 2).sum(1)
        built = as_rows([row], N)
        spread = score_variances(built, field.moves.table, field.variance)[0] - 0.3  # the bias's
        assert spread == pytest.approx(score.var(), rel=0.03, abs=1e-6)


@pytest.mark.parametrize("k", [0, 8, 10])
def test_any_number_of_threads_gives_the_same_bits(k):
    rng = np.random.default_rng(2)
    sizes = (400, 30, 2)
    first = np.cumsum([0, *sizes[:-1]])
    ids = np.column_stack([rng.integers(0, size, 20_000) for size in sizes]) + first
    rows = [[(int(i), 1.0) for i in row] for row in ids]
    built = as_rows(rows, sum(sizes), values=False, target=rng.normal(size=len(rows)))
    columns = Columns.of(built)
    params, variances = random_params(rng, sum(sizes), k), random_variances(rng, sum(sizes), k)
    prior = Prior(np.zeros(sum(sizes), np.uint32), np.full((1, 1 + k), 2.0), np.zeros((1, 1 + k)))
    got = []
    for threads in (1, 2, 3):
        tables = [Table.start(one, VB, Hyper(learning_rate=1.0)) for one in (params, variances)]
        field = MeanField(Moves(built, columns, tables[0]), tables[1])
        for _ in range(3):
            field.sweep(1.0, prior, n_threads=threads)
        arrays = tables[0].data, tables[1].data, field.moves.e, field.moves.q, field.tu
        got.append([array.tobytes() for array in arrays])
    assert got[0] == got[1] == got[2]


@pytest.mark.parametrize("isa", ISAS)
def test_what_is_known_of_rows_stays_right_over_100_sweeps(isa):
    rng = np.random.default_rng(4)
    rows = random_rows(rng, 500, 40, values=True)
    built = as_rows(rows, 40, target=rng.normal(size=500))
    tables = [
        Table.start(one, VB, Hyper(learning_rate=1.0))
        for one in (random_params(rng, 40, 8), random_variances(rng, 40, 8))
    ]
    field = MeanField(Moves(built, Columns.of(built), tables[0]), tables[1])
    prior = Prior(np.zeros(40, np.uint32), np.full((1, 9), 5.0), np.zeros((1, 9)))
    with using_isa(isa):
        for number in range(100):
            prior.precision[:] = 3.0 + number % 5
            field.sweep(1.0, prior)
    moved = [array.copy() for array in (field.moves.e, field.moves.q, field.tu)]
    field.settle()
    for before, after in zip(moved, (field.moves.e, field.moves.q, field.tu), strict=True):
        assert np.abs(before - after).max() < 5e-5
