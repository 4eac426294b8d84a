"""Field-aware machines against the sum over all pairs, their own gradients, and the second-order machine."""

from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.field_params import FFMParams
from crossfm.core.losses import find_loss
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.errors import DataError
from crossfm.kernels import ffm, fm
from crossfm.kernels.table import Table
from field_rows import as_rows, make_rows, params_for
from machines import HYPER, ISAS, random_targets, using_isa
from oracles import FieldLearner, ffm_gradient, ffm_score

SIZES = (1, 3, 4, 5, 8, 10, 16, 20, 32)  # each way to hold a vector in registers, and padding in each
NO_L2 = replace(HYPER, l1_V=0.0, l2_V=0.0, ftrl_decay=1.0)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def table_for(params, rule="sgd", hyper=HYPER):
    return ffm.FFMTable.start(params, find_rule(rule), hyper)


def naive(rows, params):
    return np.array([ffm_score(row, params.bias, params.w, params.dense()) for row in rows])


@pytest.mark.parametrize("n_factors", SIZES)
@pytest.mark.parametrize("shape", ["full", "missing", "multi", "hashed", "split"])
@pytest.mark.parametrize("values", [True, False])
def test_scores_equal_the_sum_over_all_pairs(shape, n_factors, values):
    rng = np.random.default_rng(n_factors)
    for n_fields in (1, 2, 5, 8):
        lists = make_rows(rng, 9, n_fields, shape=shape, values=values)
        rows = as_rows(lists, 40, values=values)
        params = params_for(rows, n_fields, n_factors, rng)
        for isa in ISAS:
            with using_isa(isa):
                one = ffm.scores(rows, table_for(params))
                np.testing.assert_allclose(one, naive(lists, params), **CLOSE)
                for threads in (2, 20):
                    np.testing.assert_array_equal(ffm.scores(rows, table_for(params), n_threads=threads), one)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("shape", "n_factors", "values"),
    [("full", 4, True), ("full", 4, False), ("full", 3, True), ("full", 8, True), ("full", 8, False),
     ("full", 16, True), ("full", 12, False), ("missing", 4, True), ("missing", 8, False), ("multi", 4, True),
     ("multi", 5, False), ("hashed", 4, True), ("split", 4, True)],
)  # fmt: skip
@pytest.mark.parametrize("hyper", [HYPER, NO_L2], ids=["l2", "no l2"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_pass_moves_every_weight_as_the_gradient_says(rule, shape, n_factors, values, hyper, deterministic):
    rng = np.random.default_rng(3)
    n_fields, loss = 6, "logistic"
    lists = make_rows(rng, 12, n_fields, shape=shape, values=values)
    target, weight = random_targets(rng, 12, loss), np.float32(rng.uniform(0.5, 2.0, 12))
    rows = as_rows(lists, 24, values=values, target=target, weight=weight)
    params = params_for(rows, n_fields, n_factors, rng)
    order = rng.permutation(12)
    learner = FieldLearner(rule, params.bias, params.w, params.dense().astype(float), hyper)
    steps = [order] if deterministic else [[i] for i in order]
    expected = sum(
        learner.batch([lists[i] for i in step], target[step], weight[step], loss) for step in steps
    )
    bias, w, V = learner.params()
    met = np.zeros(V.shape[:2], bool)
    for block in params.blocks:
        met[np.ix_(block.ids, block.meets)] = True
    for isa in ISAS:
        table = table_for(params, rule, hyper)
        with using_isa(isa):
            total = ffm.train_pass(
                rows, order, table, find_loss(loss), hyper, n_threads=3 if deterministic else 1,
                deterministic=deterministic,
            )  # fmt: skip
        after = table.params()
        assert total == pytest.approx(expected, rel=1e-4)
        assert after.bias == pytest.approx(bias, rel=2e-4, abs=2e-5)
        np.testing.assert_allclose(after.w, w, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(after.dense(), V * met[:, :, None], rtol=2e-4, atol=2e-5)


def test_gradients_equal_finite_differences():
    rng = np.random.default_rng(0)
    (row,) = make_rows(rng, 1, 5, shape="multi")
    V, w, step = rng.normal(size=(20, 5, 3)), rng.normal(size=20), 1e-5
    for at, (_, i, _) in enumerate(row):
        for b in range(5):
            gradient = ffm_gradient(row, at, b, V)
            for f in range(3):
                up, down = V.copy(), V.copy()
                up[i, b, f] += step
                down[i, b, f] -= step
                slope = (ffm_score(row, 0.0, w, up) - ffm_score(row, 0.0, w, down)) / (2 * step)
                assert gradient[f] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam", "ftrl"])
def test_with_one_field_it_is_the_second_order_machine(rule):
    rng = np.random.default_rng(1)
    lists = [
        [(0, int(i), float(np.float32(rng.normal()))) for i in rng.choice(12, 4, replace=False)]
        for _ in range(30)
    ]
    rows = as_rows(lists, 12, target=random_targets(rng, 30, "logistic"))
    params = params_for(rows, 1, 6, rng)
    plain = FMParams(params.bias, params.w, params.dense()[:, 0])
    table, twin = table_for(params, rule), Table.start(plain, find_rule(rule), HYPER)
    order = rng.permutation(30)
    ffm.train_pass(rows, order, table, find_loss("logistic"), HYPER)
    fm.train_pass(rows, order, twin, find_loss("logistic"), HYPER)
    after = table.params()
    np.testing.assert_allclose(after.dense()[:, 0], twin.V, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.w, twin.w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ffm.scores(rows, table), fm.scores(rows, twin), rtol=1e-4, atol=1e-5)


def test_features_and_meetings_that_were_never_seen_add_nothing():
    rng = np.random.default_rng(2)
    rows = as_rows(make_rows(rng, 20, 6, shape="split"), 24)
    params = params_for(rows, 6, 4, rng)
    table = table_for(params)
    unknown = [i for i in range(24) if i not in rows.indices]
    across = [
        (0, int(rows.indices[rows.fields == 0][0]), 1.0),
        (5, int(rows.indices[rows.fields == 5][0]), 1.0),
    ]
    lists = [[(0, i, 1.0) for i in unknown[:1]], across, [(3, across[0][1], 1.0), across[1]]]
    expected = [params.bias + sum(float(params.w[i]) for _, i, _ in row) for row in lists]
    expected[2] -= float(params.w[across[0][1]])  # a feature in a field that it was never seen in
    np.testing.assert_allclose(ffm.scores(as_rows(lists, 24), table), expected, rtol=1e-6)


def test_an_unknown_field_is_refused():
    rng = np.random.default_rng(2)
    rows = as_rows(make_rows(rng, 5, 3, shape="full"), 12)
    table = table_for(params_for(rows, 3, 4, rng))
    with pytest.raises(DataError, match="field 3, but the model knows fields 0 to 2"):
        ffm.scores(as_rows([[(3, 0, 1.0)]], 12), table)


@pytest.mark.parametrize("shape", ["full", "missing", "split", "hashed"])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adagrad-row", "ftrl"])
def test_the_memory_is_what_was_said_before(shape, rule):
    rng = np.random.default_rng(4)
    rows = as_rows(make_rows(rng, 30, 6, shape=shape), 24)
    table = ffm.start(rows, 5, rng, find_rule(rule), HYPER, scale=0.1, bias=0.0)
    assert table.nbytes + 20 * rows.n_features == ffm.table_bytes(rows, 5, find_rule(rule))


def test_only_fields_that_meet_have_vectors():
    rng = np.random.default_rng(4)
    rows = as_rows(make_rows(rng, 40, 8, shape="split"), 32)
    params = params_for(rows, 8, 4, rng)
    assert sorted(int(f) for block in params.blocks for f in block.fields) == list(range(8))
    for block in params.blocks:
        half = range(4) if block.fields[0] < 4 else range(4, 8)
        assert block.meets.tolist() == [f for f in half if f not in block.fields]
    assert not table_for(params).uniform


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", ["full", "split", "hashed"])
def test_waking_for_new_features_keeps_all_that_was_learnt(rule, shape):
    rng = np.random.default_rng(5)
    old = as_rows(make_rows(rng, 15, 4, shape=shape), 16, target=random_targets(rng, 15, "squared"))
    new = as_rows(make_rows(rng, 15, 6, shape="full"), 24, target=random_targets(rng, 15, "squared"))
    table = ffm.start(old, 5, rng, find_rule(rule), HYPER, scale=0.1, bias=0.0)
    ffm.train_pass(old, np.arange(15), table, find_loss("squared"), HYPER)
    before = ffm.scores(old, table)
    table.grow(24, HYPER)
    np.testing.assert_array_equal(ffm.scores(replace(old, n_features=24), table), before)
    wider = ffm.wake(table, new, rng, HYPER, scale=0.1)
    assert wider.n_features == 24
    assert wider.n_fields == 6
    kept, known = table.params(), wider.params()
    np.testing.assert_array_equal(known.w[:16], kept.w[:16])
    for block in kept.blocks:
        for i in block.ids:
            for field in block.meets:
                np.testing.assert_array_equal(known.vector(i, field), kept.vector(i, field))
    for state in range(0 if find_rule(rule).row_wise else find_rule(rule).states):
        for kind in table.kinds:
            mine = table.states_of(kind, state)[:, table.places_of(kind)]
            there = wider.kinds[wider.where[kind.ids[0], 1]]
            rows = wider.where[kind.ids, 0].astype(np.int64)
            slots = wider._slots(there, kind.meets)
            np.testing.assert_array_equal(wider.states_of(there, state)[rows[:, None], slots[None]], mine)
    assert ffm.wake(wider, new, rng, HYPER, scale=0.1) is wider


def test_parameters_survive_their_arrays_and_refuse_others():
    rng = np.random.default_rng(6)
    params = params_for(as_rows(make_rows(rng, 20, 6, shape="split"), 24), 6, 3, rng)
    again = FFMParams.from_arrays(params.to_arrays())
    np.testing.assert_array_equal(again.dense(), params.dense())
    for name, bad in (
        ("block.0.ids", np.array([99])),
        ("block.0.meets", np.array([-1])),
        ("block.1.fields", params.blocks[0].fields),
        ("block.0.V", np.zeros((1, 1, 1), np.float32)),
    ):
        with pytest.raises(ValueError, match=r"stand|outside|shape|there twice|block"):
            FFMParams.from_arrays({**params.to_arrays(), name: bad})


@pytest.mark.parametrize("rule", ["adagrad", "ftrl"])
def test_frequent_features_come_first_in_memory_and_nothing_else_tells(rule):
    rng = np.random.default_rng(0)
    lists = make_rows(rng, 200, 5, shape="full", values=True, per_field=8)
    lists = [[(f, i if i % 3 else i - i % 8 + 7, x) for f, i, x in row] for row in lists]
    rows = as_rows(lists, 40, target=random_targets(rng, 200, "logistic"))
    table = ffm.start(rows, 4, np.random.default_rng(1), find_rule(rule), HYPER, scale=0.1, bias=0.0)
    counts = np.bincount(rows.indices, minlength=40)
    for kind in table.kinds:
        assert (np.diff(counts[kind.ids]) <= 0).all()
        np.testing.assert_array_equal(table.where[kind.ids, 0], np.arange(len(kind.ids)))
    by_id = ffm.table(table.params(), find_rule(rule), HYPER)
    for one in (table, by_id):
        ffm.train_pass(rows, np.arange(200), one, find_loss("logistic"), HYPER)
    for mine, theirs in zip(table.params().blocks, by_id.params().blocks, strict=True):
        assert (np.diff(mine.ids) > 0).all()
        np.testing.assert_array_equal(mine.V, theirs.V)
    np.testing.assert_array_equal(table.state()[0], by_id.state()[0])
    again = ffm.table(table.params(), find_rule(rule), HYPER)
    again.set_state(*table.state())
    for one in (table, again):
        ffm.train_pass(rows, np.arange(200), one, find_loss("logistic"), HYPER)
    np.testing.assert_array_equal(ffm.scores(rows, again), ffm.scores(rows, table))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("n_factors", "n_fields"), [(4, 2), (4, 5), (8, 3), (3, 3)])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_feature_in_two_fields_of_a_row_moves_twice(rule, n_factors, n_fields, deterministic):
    """Columns that share a vocabulary give such rows: an item, and the item before it."""
    rng = np.random.default_rng(4)
    lists = [[(f, int(rng.integers(2)), 1.0) for f in range(n_fields)] for _ in range(10)]
    target = random_targets(rng, 10, "logistic")
    rows = as_rows(lists, 2, values=False, target=target)
    start = params_for(rows, n_fields, n_factors, rng)
    table = ffm.start(rows, n_factors, rng, find_rule(rule), NO_L2, scale=0.1, bias=0.0)
    assert table.uniform
    learner = FieldLearner(rule, start.bias, start.w, start.dense().astype(float), NO_L2)
    table.take_over(table_for(start, rule, NO_L2))
    order = np.arange(10)
    steps = [order] if deterministic else [[i] for i in order]
    for step in steps:
        learner.batch([lists[i] for i in step], target[step], np.ones(len(step)), "logistic")
    bias, w, V = learner.params()
    for isa in ISAS:
        with using_isa(isa):
            moved = table.copy()
            ffm.train_pass(
                rows, order, moved, find_loss("logistic"), NO_L2, n_threads=1 + deterministic,
                deterministic=deterministic,
            )  # fmt: skip
        after = moved.params()
        assert after.bias == pytest.approx(bias, rel=2e-4, abs=2e-5)
        np.testing.assert_allclose(after.w, w, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(after.dense(), V, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("shape", "expected"), [("full", False), ("hashed", False), ("twice", True)])
def test_rows_that_often_have_a_feature_twice_are_noticed(shape, expected):
    rng = np.random.default_rng(5)
    lists = make_rows(rng, 300, 3, shape="full" if shape == "full" else "hashed", per_field=500)
    if shape == "twice":
        lists[7][0] = (0, 1, 1.0)
        for row in lists[:3]:
            row.append((2, row[0][1], 1.0))
    rows = as_rows(lists, 1500)
    table = ffm.start(rows, 4, rng, find_rule("sgd"), HYPER, scale=0.1, bias=0.0)
    assert table.repeats == expected
    assert table.copy().repeats == expected
    few = rows.take(np.arange(10, 300))
    later = ffm.start(few, 4, rng, find_rule("sgd"), HYPER, scale=0.1, bias=0.0)
    assert not later.repeats
    assert ffm.wake(later, rows, rng, HYPER, scale=0.1).repeats == expected
