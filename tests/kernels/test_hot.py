"""Several threads with private copies of frequent records: what they agree on, and what they leave behind."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from crossfm import _kernels
from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels.fm import scores, train_pass
from crossfm.kernels.table import Table
from machines import (
    HYPER,
    ISAS,
    RATES,
    as_rows,
    assert_same_machine,
    random_params,
    skewed,
    table_states,
    using_isa,
)
from oracles import Learner, agree

ADAGRAD = ("adagrad", "adagrad-row")


def loss_after(rows, rule, n_threads, passes=2):
    hyper = Hyper(learning_rate=RATES[rule])
    start = FMParams.start(rows.n_features, 4, np.random.default_rng(0), scale=0.05)
    table = Table.start(start, find_rule(rule), hyper)
    loss = find_loss("logistic")
    for _ in range(passes):
        train_pass(rows, np.arange(rows.n_rows), table, loss, hyper, n_threads=n_threads)
    return float(loss.value(scores(rows, table).astype(float), rows.target).mean()), table


@pytest.mark.parametrize("rule", RULES)
def test_threads_learn_about_as_well_as_one(rule):
    rows = skewed()
    one, _ = loss_after(rows, rule, 1)
    constant = np.log(2)
    for n_threads in (2, 3, 8):
        several, table = loss_after(rows, rule, n_threads)
        assert np.isfinite(table.data).all()
        assert several < one + 0.1 * (constant - one), (one, several)


@pytest.mark.parametrize("rule", ["adagrad", "adagrad-row", "ftrl"])
@pytest.mark.parametrize("n_factors", [0, 3, 7])
@pytest.mark.parametrize("n_threads", [2, 5])
def test_what_a_frequent_feature_has_gathered_adds_up(rule, n_factors, n_threads):
    """At a tiny rate gradients do not change: accumulators are sums (z nearly), and steps those of one thread."""
    n = 4_000
    rng = np.random.default_rng(1)
    rows = Rows(
        np.zeros(n, np.uint32), 2, width=1, values=rng.random(n).astype(np.float32), target=np.ones(n)
    )
    hyper = Hyper(learning_rate=1e-6, initial_accumulator=0.5)
    tables = []
    for threads in (1, n_threads):
        start = FMParams(0.0, np.zeros(2, np.float32), np.zeros((2, n_factors), np.float32))
        table = Table.start(start, find_rule(rule), hyper)
        train_pass(rows, np.arange(n), table, find_loss("squared"), hyper, n_threads=threads)
        tables.append(table)
    one, several = tables
    for single, shared in zip(table_states(one)[:2], table_states(several)[:2], strict=True):
        for name in single:
            np.testing.assert_allclose(
                shared[name], single[name], rtol=0.03 if name == "z" else 1e-3, err_msg=name
            )
    np.testing.assert_allclose(several.w, one.w, rtol=0.02)
    np.testing.assert_allclose(several.bias[0], one.bias[0], rtol=0.02)


def test_records_behind_the_table_are_left_empty():
    rows = skewed(n_rows=3_000)
    _, table = loss_after(rows, "adagrad", 3, passes=1)
    assert not table.spare(3 * 4096).any()
    before = table.data.copy()
    table.grow(rows.n_features + 5, Hyper(learning_rate=0.1))
    np.testing.assert_array_equal(table.data[: rows.n_features], before)
    assert not table.w[rows.n_features :].any()


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_fewer_rows_than_threads(n_rows):
    rows = skewed(n_rows=3)
    table = Table.start(
        FMParams.start(rows.n_features, 2, np.random.default_rng(0)),
        find_rule("sgd"),
        Hyper(learning_rate=0.1),
    )
    before = table.data.copy()
    total = train_pass(
        rows, np.arange(n_rows), table, find_loss("logistic"), Hyper(learning_rate=0.1), n_threads=8
    )
    assert (total > 0) == (n_rows > 0)
    assert np.array_equal(before, table.data) == (n_rows == 0)


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("n_factors", [4, 8])
@pytest.mark.parametrize("isa", ISAS)
def test_rows_of_any_length_find_their_records(isa, n_factors, values):
    """Each thread has features of its own, some frequent and some rare: together they do the work of one."""
    rng = np.random.default_rng(2)
    n_threads, own, n_rows, n_features = 2, 400, 240, 50_000
    names = rng.choice(n_features, own * n_threads, replace=False).astype(np.uint32)  # some share a bucket
    weights = 1.0 / np.arange(1, own + 1)
    lengths = rng.integers(0, 41, n_rows)
    ids = [
        own * (row * n_threads // n_rows) + rng.choice(own, n, replace=False, p=weights / weights.sum())
        for row, n in enumerate(lengths)
    ]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    x = rng.normal(size=indptr[-1]).astype(np.float32) if values else None
    indices, target = names[np.concatenate(ids)], rng.normal(size=n_rows)
    rows = Rows(indices, n_features, indptr=indptr, values=x, target=target)
    hyper = Hyper(learning_rate=0.01)
    tables = []
    with using_isa(isa):
        for threads in (1, n_threads):
            start = FMParams.start(rows.n_features, n_factors, np.random.default_rng(3), scale=0.1)
            table = Table.start(start, find_rule("adagrad"), hyper)
            table.bias[1] = 1e30  # common to all rows: kept where it is
            train_pass(rows, np.arange(n_rows), table, find_loss("squared"), hyper, n_threads=threads)
            tables.append(table)
    np.testing.assert_allclose(tables[1].data, tables[0].data, rtol=1e-4, atol=1e-5)
    assert (tables[0].V != start.V)[names].any(axis=1).mean() > 0.5


def bucket(ids):
    """Return the bucket that an id shares with others, of which one may have copies."""
    return ids * 0x9E3779B1 % 2**32 * _kernels.HOT_PLACES >> 32


def rows_of_threads(n_threads, rng):
    """Rows of each thread, 21 each: at first two rounds of 8 and one of 5. Their weights are the same for all.

    Feature 0 is moved by all threads; 1 by thread 0, while the others meet it in rows of weight 0; 2 is met in such
    rows only; 3 and 4 are moved by one thread each. Of 5, ..., which are rare, each thread has its own; 5 is the first
    to be seen of all, the fourth from the end the last.
    """
    rows = [[] for _ in range(n_threads)]
    for thread, number in np.ndindex(n_threads, 21):
        idle = number % 2 == 1
        ids = [0] + [1] * (idle == (thread > 0)) + [2] * idle + [3 + thread] * (thread < 2)
        ids.insert(0 if number < 10 else len(ids), 5 + 8 * thread + number % 8)
        rows[thread].append([(i, float(x)) for i, x in zip(ids, rng.normal(size=len(ids)), strict=True)])
    weight = np.where(np.arange(21) % 2, 0.0, 1.0 + np.arange(21) / 21)
    return rows, weight


@pytest.mark.parametrize(("n_threads", "visited", "round_rows"), [(2, 0, 8), (3, 0, 8), (2, 10**7, 21)])
@pytest.mark.parametrize("n_factors", [0, 1, 4, 8, 20])
@pytest.mark.parametrize(
    ("rule", "hyper"),
    [
        *((rule, HYPER) for rule in RULES),
        ("ftrl", replace(HYPER, ftrl_decay=1.0)),
        *((rule, replace(HYPER, learning_rate=700.0, initial_accumulator=1e8)) for rule in ADAGRAD),
    ],
    ids=[*RULES, "ftrl that forgets nothing", *(f"{rule} that gathers nothing" for rule in ADAGRAD)],
)
def test_threads_agree_on_their_copies_as_the_oracle_does(
    rule, hyper, n_factors, n_threads, visited, round_rows
):
    """A squared gradient is lost beside an accumulator of 1e8 in float32; the steps are not."""
    rng = np.random.default_rng(4)
    rows, weight = rows_of_threads(n_threads, rng)
    n_rows, n = 21 * n_threads, 5 + 8 * n_threads
    target = rng.normal(size=(n_threads, 21))
    params = random_params(rng, n, n_factors)
    params.w[1:3], params.V[1:3] = 0.0, 0.0  # a row of weight 0 leaves them where they are

    agreed = Learner(rule, params.bias, params.w, params.V, hyper)
    for begin in range(0, 21, round_rows):
        copies = [copy.deepcopy(agreed) for _ in range(n_threads)]
        for one, own, y in zip(copies, rows, target, strict=True):
            for at in range(begin, min(begin + round_rows, 21)):
                one.step(own[at], y[at], weight[at], "squared")
        agreed = agree(agreed, copies)

    names = np.arange(n) * 3 + 7
    names[[5, -4]] = [i for i in range(1000, 20_000) if bucket(i) == bucket(names[0])][:2]
    assert len(set(bucket(names))) == n - 2  # the first, the most frequent and the last id share a bucket
    named = [[(int(names[i]), x) for i, x in row] for own in rows for row in own]
    built = as_rows(named, names.max() + 1, target=target.ravel(), weight=np.tile(weight, n_threads))
    everywhere = FMParams.start(built.n_features, n_factors, rng, bias=params.bias)
    everywhere.w[names], everywhere.V[names] = params.w, params.V
    for isa in ISAS:
        fresh = Table.start(everywhere, RULES[rule], hyper)
        for table in (fresh, fresh.copy()):  # the copy has no room for records of threads, and moves
            table.visited = visited
            with using_isa(isa):
                train_pass(built, np.arange(n_rows), table, find_loss("squared"), hyper, n_threads=n_threads)
            assert table.visited == visited + n_rows
            assert_same_machine(replace(table, data=table.data[names]), agreed, context=isa)
