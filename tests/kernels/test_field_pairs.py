"""FwFM and FmFM against the sum over all pairs, numeric gradients, and the second-order machine."""

from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.field_params import FieldPairParams, pair_count
from crossfm.core.losses import find_loss
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.errors import DataError
from crossfm.kernels import fm
from crossfm.kernels.field_pairs import FMFM, FWFM, neutral
from crossfm.kernels.table import Table
from field_rows import as_rows, make_rows
from machines import HYPER, ISAS, random_targets, using_isa
from oracles import NumericLearner, field_pair_score, numeric_gradient

MACHINES = {"fwfm": FWFM, "fmfm": FMFM}
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def random_params(rng, n_features, n_fields, n_factors, *, matrices):
    pairs = neutral(n_fields, n_factors, matrices=matrices)
    pairs += rng.normal(size=pairs.shape).astype(np.float32) * 0.4
    V = rng.normal(size=(n_features, n_factors)) * 0.5 / np.sqrt(n_factors)
    w = rng.normal(size=n_features) * 0.3
    return FieldPairParams(0.25, w.astype(np.float32), V.astype(np.float32), n_fields, pairs)


def naive(lists, params):
    return [field_pair_score(row, params.bias, params.w, params.V, params.between) for row in lists]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("shape", ["full", "missing", "multi", "hashed"])
@pytest.mark.parametrize("n_factors", [1, 3, 4, 8, 11])
def test_scores_equal_the_sum_over_all_pairs(machine, shape, n_factors):
    rng = np.random.default_rng(n_factors)
    for n_fields, values in ((1, True), (2, False), (6, True)):
        lists = make_rows(rng, 9, n_fields, shape=shape, values=values)
        params = random_params(rng, 24, n_fields, n_factors, matrices=machine == "fmfm")
        rows = as_rows(lists, 24, values=values)
        table = MACHINES[machine].table(params, find_rule("sgd"), HYPER)
        for isa in ISAS:
            with using_isa(isa):
                one = MACHINES[machine].scores(rows, table)
                np.testing.assert_array_equal(MACHINES[machine].scores(rows, table, n_threads=3), one)
            np.testing.assert_allclose(one, naive(lists, params), **CLOSE)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("shape", "values", "k"),
    [("full", True, 3), ("missing", False, 3), ("multi", True, 3), ("multi", True, 1), ("multi", True, 5)],
)
def test_a_pass_moves_every_weight_as_the_gradient_says(machine, rule, shape, values, k):
    rng = np.random.default_rng(3)
    n_fields, n_features, loss = 4, 16, "logistic"
    lists = make_rows(rng, 8, n_fields, shape=shape, values=values)
    target, weight = random_targets(rng, 8, loss), np.float32(rng.uniform(0.5, 2.0, 8))
    rows = as_rows(lists, n_features, values=values, target=target, weight=weight)
    params = random_params(rng, n_features, n_fields, k, matrices=machine == "fmfm")
    groups = {"bias": (params.bias, 0.0, 0.0)}
    groups |= {("w", i): (w, HYPER.l1_w, HYPER.l2_w) for i, w in enumerate(params.w)}
    groups |= {("V", i): (v, HYPER.l1_V, HYPER.l2_V) for i, v in enumerate(params.V)}
    fields = list(zip(*np.triu_indices(n_fields, 1), strict=True))
    groups |= {("pair", a, b): (params.between(a, b), 0.0, 0.0) for a, b in fields}

    def score(row, values):
        V = np.stack([values["V", i] for i in range(n_features)])
        w = [values["w", i] for i in range(n_features)]

        def between(a, b):
            return values["pair", a, b] if a < b else values["pair", b, a].T

        return field_pair_score(row, values["bias"], w, V, between)

    def touched(row):
        present = sorted({f for f, _, _ in row})
        pairs = [("pair", a, b) for n, a in enumerate(present) for b in present[n + 1 :]]
        return ["bias", *(("w", i) for _, i, _ in row), *(("V", i) for _, i, _ in row), *pairs]

    learner = NumericLearner(rule, groups, score, touched, HYPER)
    expected = sum(learner.step(lists[i], target[i], weight[i], loss) for i in range(8))
    value = learner.values()
    for isa in ISAS:
        table = MACHINES[machine].table(params, find_rule(rule), HYPER)
        with using_isa(isa):
            total = MACHINES[machine].train_pass(rows, np.arange(8), table, find_loss(loss), HYPER)
        after = table.params()
        assert total == pytest.approx(expected, rel=1e-4)
        assert after.bias == pytest.approx(float(value["bias"]), rel=2e-4, abs=2e-5)
        np.testing.assert_allclose(
            after.w, [float(value["w", i]) for i in range(n_features)], rtol=3e-4, atol=3e-5
        )
        np.testing.assert_allclose(after.V, [value["V", i] for i in range(n_features)], rtol=3e-4, atol=3e-5)
        np.testing.assert_allclose(
            after.pairs, [value["pair", a, b] for a, b in fields], rtol=3e-4, atol=3e-5
        )


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_factors", [4, 5])
def test_mini_batches_give_the_same_bits_for_any_number_of_threads(machine, n_factors, rule):
    rng = np.random.default_rng(4)
    rows = as_rows(make_rows(rng, 40, 5, shape="multi"), 20, target=random_targets(rng, 40, "squared"))
    tables = []
    for threads in (1, 2, 5):
        start = np.random.default_rng(0)
        table = MACHINES[machine].start(rows, n_factors, start, find_rule(rule), HYPER, scale=0.2, bias=0.0)
        MACHINES[machine].train_pass(
            rows, np.arange(40), table, find_loss("squared"), HYPER, n_threads=threads, deterministic=True
        )
        tables.append(table)
    for other in tables[1:]:
        np.testing.assert_array_equal(other.data, tables[0].data)
        np.testing.assert_array_equal(other.pairs, tables[0].pairs)


@pytest.mark.parametrize("machine", MACHINES)
def test_with_neutral_pairs_it_is_the_second_order_machine(machine):
    rng = np.random.default_rng(1)
    lists = make_rows(rng, 20, 5, shape="multi")
    rows = as_rows(lists, 20, target=random_targets(rng, 20, "logistic"))
    table = MACHINES[machine].start(rows, 6, rng, find_rule("adagrad"), HYPER, scale=0.3, bias=0.1)
    params = table.params()
    plain = FMParams(params.bias, params.w, params.V)
    np.testing.assert_allclose(MACHINES[machine].scores(rows, table), fm.scores(rows, plain), **CLOSE)
    one = replace(
        rows, fields=np.zeros_like(rows.fields)
    )  # with one field there are no pairs: also in training
    single = MACHINES[machine].table(
        FieldPairParams(params.bias, params.w, params.V, 1, params.pairs[:0]), find_rule("adagrad"), HYPER
    )
    twin = Table.start(plain, find_rule("adagrad"), HYPER)
    MACHINES[machine].train_pass(one, np.arange(20), single, find_loss("logistic"), HYPER)
    fm.train_pass(one, np.arange(20), twin, find_loss("logistic"), HYPER)
    np.testing.assert_allclose(single.V, twin.V, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(single.w, twin.w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_matrix_of_a_multiple_of_the_identity_is_a_weight(machine):
    rng = np.random.default_rng(2)
    rows = as_rows(make_rows(rng, 10, 4, shape="missing"), 16)
    weighted = random_params(rng, 16, 4, 5, matrices=False)
    as_matrices = replace(weighted, pairs=weighted.pairs[:, None, None] * np.eye(5, dtype=np.float32))
    params = weighted if machine == "fwfm" else as_matrices
    got = MACHINES[machine].scores(rows, MACHINES[machine].table(params, find_rule("sgd"), HYPER))
    expected = FWFM.scores(rows, FWFM.table(weighted, find_rule("sgd"), HYPER))
    np.testing.assert_allclose(got, expected, **CLOSE)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rule", RULES)
def test_more_fields_keep_what_was_learnt(machine, rule):
    rng = np.random.default_rng(5)
    target = random_targets(rng, 15, "squared")
    old = as_rows(make_rows(rng, 15, 3, shape="full"), 12, target=target)
    new = as_rows(make_rows(rng, 15, 5, shape="full"), 20, target=target)
    m = MACHINES[machine]
    table = m.start(old, 4, rng, find_rule(rule), HYPER, scale=0.1, bias=0.0)
    m.train_pass(old, np.arange(15), table, find_loss("squared"), HYPER)
    before, params = m.scores(old, table), table.params()
    table.grow(20, HYPER)
    wider = m.wake(table, new, rng, HYPER, scale=0.1)
    np.testing.assert_array_equal(m.scores(replace(old, n_features=20), wider), before)
    for a in range(3):
        for b in range(3):
            np.testing.assert_array_equal(wider.params().between(a, b), params.between(a, b))
    state, bias = wider.state()
    again = m.table(wider.params(), find_rule(rule), HYPER)
    again.set_state(state, bias)
    for each in (wider, again):
        m.train_pass(new, np.arange(15), each, find_loss("squared"), HYPER)
    np.testing.assert_array_equal(again.data, wider.data)
    np.testing.assert_array_equal(again.pairs, wider.pairs)
    with pytest.raises(ValueError, match="does not fit"):
        again.set_state(state[1:], bias)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_fields", [1, 4])
def test_states_of_few_factors_with_padding_up_to_eight_are_still_read(machine, n_fields, rule):
    rng = np.random.default_rng(8)
    lists = make_rows(rng, 15, n_fields, shape="full")
    rows = as_rows(lists, 4 * n_fields, target=random_targets(rng, 15, "squared"))
    m = MACHINES[machine]
    table = m.start(rows, 3, rng, find_rule(rule), HYPER, scale=0.1, bias=0.0)
    m.train_pass(rows, np.arange(15), table, find_loss("squared"), HYPER)
    state, bias = table.state()
    if machine == "fmfm" and not find_rule(rule).row_wise:
        n_states, n_pairs = find_rule(rule).states, pair_count(n_fields)
        own = np.split(state, [len(state) - n_pairs * (16 * n_states + 8)])
        pairs = own[1].reshape(n_pairs, 16 * n_states + 8)
        padded = np.full((n_pairs, n_states, 8, 8), 0.5, np.float32)
        padded[:, :, :4, :4] = pairs[:, : 16 * n_states].reshape(n_pairs, n_states, 4, 4)
        padded = np.concatenate([padded.reshape(n_pairs, 64 * n_states), pairs[:, 16 * n_states :]], axis=1)
        state = np.concatenate([own[0], padded.ravel()])
    again = m.table(table.params(), find_rule(rule), HYPER)
    again.set_state(state, bias)
    np.testing.assert_array_equal(again.data, table.data)
    np.testing.assert_array_equal(again.pairs, table.pairs)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rule", RULES)
def test_the_memory_is_what_was_said_before(machine, rule):
    rng = np.random.default_rng(6)
    rows = as_rows(make_rows(rng, 9, 5, shape="full"), 20)
    table = MACHINES[machine].start(rows, 5, rng, find_rule(rule), HYPER, scale=0.1, bias=0.0)
    said = MACHINES[machine].table_bytes(rows, 5, find_rule(rule))
    assert table.data.nbytes + table.pairs.nbytes == said


@pytest.mark.parametrize("machine", MACHINES)
def test_what_does_not_fit_is_refused(machine):
    rng = np.random.default_rng(7)
    rows = as_rows(make_rows(rng, 5, 3, shape="full"), 12)
    table = MACHINES[machine].start(rows, 4, rng, find_rule("sgd"), HYPER, scale=0.1, bias=0.0)
    with pytest.raises(DataError, match="field 4, but the model knows fields 0 to 2"):
        MACHINES[machine].scores(as_rows([[(4, 0, 1.0)]], 12), table)
    arrays = table.params().to_arrays()
    assert arrays["pairs"].shape[0] == pair_count(3)
    for name, bad in (("pairs", arrays["pairs"][1:]), ("V", arrays["V"][1:]), ("n_fields", np.asarray(-1))):
        with pytest.raises(ValueError, match="shape"):
            FieldPairParams.from_arrays({**arrays, name: bad}, matrices=machine == "fmfm")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_feature_in_two_fields_of_a_row_moves_by_its_whole_gradient(machine):
    rng = np.random.default_rng(6)
    row = [(0, 1, 1.0), (1, 1, 1.0), (2, 1, 0.5), (3, 0, 1.0)]
    params = random_params(rng, 4, 4, 5, matrices=machine == "fmfm")
    hyper = replace(HYPER, learning_rate=0.01, l2_V=0.0, l2_w=0.0)
    before = field_pair_score(row, params.bias, params.w, params.V, params.between)

    def score(V):
        return field_pair_score(row, params.bias, params.w, V, params.between)

    expected = params.V - 0.01 * (before - 3.0) * numeric_gradient(score, params.V)
    for isa in ISAS:
        table = MACHINES[machine].table(params, find_rule("sgd"), hyper)
        with using_isa(isa):
            rows = as_rows([row], 4, target=[3.0])
            MACHINES[machine].train_pass(rows, np.arange(1), table, find_loss("squared"), hyper)
        np.testing.assert_allclose(table.params().V, expected, rtol=1e-4, atol=1e-5)
