"""Several threads on a field-aware machine: copies of its records, which differ in length, and what becomes of them."""

import numpy as np
import pytest

from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.rules import RULES, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels import ffm
from crossfm.kernels.half import narrow, widen
from field_rows import as_rows, make_rows, params_for
from machines import HYPER, ISAS, RATES, random_targets, skewed, using_isa

LOGISTIC = find_loss("logistic")
LATE = 10**9  # rows seen before: then rounds are as long as they get


def agreed(before, after, G_before=None, G_after=None):
    """What is made of numbers that threads moved: the mean of those that moved; under AdaGrad's G as far as steps under
    the sum of the gains would have gone."""
    total = sum(a - before for a in after)
    if G_before is None:
        return before + total / max(sum((a != before).any() for a in after), 1)
    together = np.sqrt(G_before + sum(G - G_before for G in G_after)) - np.sqrt(G_before)
    apart = sum(np.sqrt(G) - np.sqrt(G_before) for G in G_after)
    return before + total * np.divide(together, apart, out=np.ones_like(together), where=apart > 0)


def numbers(table, feature):
    """The vectors, their states and the head of a feature's record, double precision."""
    at, kind = (int(n) for n in table.where[feature])
    kind = table.kinds[kind]
    states = [] if table.rule.row_wise else [table.states_of(kind, s)[at] for s in range(table.rule.states)]
    parts = (table.V_of(kind)[at], *states, table.head_of(kind)[at])
    return [np.array(part, float) for part in parts]


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adagrad-row", "ftrl"])
@pytest.mark.parametrize(
    ("shape", "n_factors"), [("full", 4), ("full", 8), ("missing", 3), ("multi", 4), ("hashed", 4)]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_round_is_made_of_passes_over_the_parts(rule, shape, n_factors, precision):
    """Thread 0 alone sees features 0 to 23, thread 1 alone 24 to 47, and both those from 48 on."""
    rng = np.random.default_rng(1)
    n, hyper = 2000, Hyper(learning_rate=0.05, l2_V=0.01, initial_accumulator=0.5)
    lists = make_rows(rng, n, 6, shape=shape, values=True)
    halves = [
        [[(f, i + (48 if i % 3 == 0 else 24 * part), x) for f, i, x in row] for row in lists[part::2]]
        for part in (0, 1)
    ]
    rows = as_rows(halves[0] + halves[1], 72, target=random_targets(rng, n, "logistic"))
    half = len(halves[0])
    params = params_for(rows, 6, n_factors, rng)
    for isa in ISAS:
        with using_isa(isa):
            start, one, other, both = (
                ffm.FFMTable.start(params, find_rule(rule, precision), hyper) for _ in range(4)
            )
            both.visited = LATE
            ffm.train_pass(rows, np.arange(half), one, LOGISTIC, hyper)
            ffm.train_pass(rows, np.arange(half, n), other, LOGISTIC, hyper)
            ffm.train_pass(rows, np.arange(n), both, LOGISTIC, hyper, n_threads=2)
            assert (both.places[len(both.where) :] == ffm.NO_RECORD).all()
            close = {"rtol": 1e-4, "atol": 1e-5}
            np.testing.assert_allclose(both.bias[0], bias_of(rule, start, one, other, hyper), **close)
            counts = np.bincount(rows.indices, minlength=72)
            assert counts[counts > 0].min() > 100
            for feature in np.flatnonzero(counts):
                check_agreement(
                    rule, precision, *(numbers(table, feature) for table in (start, both, one, other)), hyper
                )


def bias_of(rule, start, one, other, hyper):
    before, after = (start.bias.astype(float), [t.bias.astype(float) for t in (one, other)])
    if rule == "ftrl":
        z, n = (before[s] + sum(a[s] - before[s] for a in after) for s in (1, 2))
        return ftrl(z, n, hyper, l2=0.0)
    if rule == "sgd":
        return agreed(before[0], [a[0] for a in after])
    return agreed(before[0], [a[0] for a in after], before[1], [a[1] for a in after])


def ftrl(z, n, hyper, l2):
    return -z / ((hyper.ftrl_beta + np.sqrt(n)) / hyper.learning_rate + l2)


def check_agreement(rule, precision, before, got, one, other, hyper):
    after = [one, other]
    V, w = 0, -1
    if rule == "sgd":
        moved = sum(any((a != b).any() for a, b in zip(part, before, strict=True)) for part in after)
        expected = [b + sum(part[i] - b for part in after) / max(moved, 1) for i, b in enumerate(before)]
    elif rule == "ftrl":
        expected = [b + sum(part[i] - b for part in after) for i, b in enumerate(before)]
        expected[V] = ftrl(expected[1], expected[2], hyper, hyper.l2_V)
        expected[w][0] = ftrl(expected[w][1], expected[w][2], hyper, 0.0)
    else:
        expected = [b + sum(part[i] - b for part in after) for i, b in enumerate(before)]
        G = w if rule == "adagrad-row" else 1
        pick = (lambda part: part[w][2]) if rule == "adagrad-row" else (lambda part: part[G])
        expected[V] = agreed(before[V], [p[V] for p in after], pick(before), [pick(p) for p in after])
        expected[w][0] = agreed(
            before[w][0], [p[w][0] for p in after], before[w][1], [p[w][1] for p in after]
        )
    for i, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        if i == V and precision == "bfloat16":
            np.testing.assert_allclose(mine, theirs, rtol=2**-7, atol=1e-5)  # merged, rounded once
            np.testing.assert_array_equal(widen(narrow(np.float32(mine))), np.float32(mine))
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_threads_learn_about_as_well_as_one(rule, precision):
    plain, hyper = skewed(), Hyper(learning_rate=RATES[rule])
    rows = Rows(
        plain.indices, plain.n_features, width=6, fields=np.arange(6, dtype=np.uint32), target=plain.target
    )
    losses = {}
    for n_threads in (1, 2, 3, 8):
        table = ffm.start(
            rows, 4, np.random.default_rng(0), find_rule(rule, precision), hyper, scale=0.02, bias=0.0
        )
        for _ in range(2):
            ffm.train_pass(rows, np.arange(rows.n_rows), table, LOGISTIC, hyper, n_threads=n_threads)
        scores = ffm.scores(rows, table).astype(float)
        losses[n_threads] = float(LOGISTIC.value(scores, rows.target).mean())
    one = losses[1]
    for n_threads, loss in losses.items():
        assert loss < one + (0.1 if n_threads < 8 else 0.15) * (np.log(2) - one), losses


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_fewer_rows_than_threads(n_rows):
    rng = np.random.default_rng(0)
    rows = as_rows(make_rows(rng, 5, 4, shape="full"), 16, target=np.ones(5))
    table = ffm.FFMTable.start(params_for(rows, 4, 4, rng), find_rule("adagrad"), HYPER)
    ffm.train_pass(rows, np.arange(n_rows), table, LOGISTIC, HYPER, n_threads=4)
    assert table.visited == n_rows
    assert all(np.isfinite(kind.data).all() for kind in table.kinds)


def test_ids_without_a_record_stay_without():
    """Frequent ids of a later pass that the table has no record for: nothing is moved, nothing added."""
    rng = np.random.default_rng(0)
    known = as_rows(make_rows(rng, 50, 4, shape="full"), 16, target=np.ones(50))
    table = ffm.FFMTable.start(params_for(known, 4, 4, rng), find_rule("adagrad"), HYPER)
    table.grow(40, HYPER)
    later = Rows(
        np.tile(np.arange(30, 34, dtype=np.uint32), 200), 40, width=4, fields=np.arange(4, dtype=np.uint32),
        target=np.ones(200),
    )  # fmt: skip
    before = [kind.data.copy() for kind in table.kinds]
    ffm.train_pass(later, np.arange(200), table, LOGISTIC, HYPER, n_threads=2)
    for kind, old in zip(table.kinds, before, strict=True):
        np.testing.assert_array_equal(kind.data, old)
    np.testing.assert_array_equal(ffm.scores(later, table), np.repeat(table.bias[0], 200))
