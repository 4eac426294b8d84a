"""Third-order machines against the sum over all pairs and triples, numeric gradients, and the second-order machine."""

import numpy as np
import pytest

from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams, HOFMParams
from crossfm.core.rules import RULES, find_rule
from crossfm.kernels import fm, hofm
from machines import HYPER, ISAS, as_rows, random_rows, random_targets, using_isa
from oracles import NumericLearner, hofm_score, numeric_gradient

CLOSE = {"rtol": 3e-5, "atol": 3e-5}


def random_params(rng, n_features, n_factors):
    V, V3 = (rng.normal(size=(n_features, n_factors)).astype(np.float32) * 0.5 for _ in range(2))
    return HOFMParams(0.25, (rng.normal(size=n_features) * 0.3).astype(np.float32), V, V3)


@pytest.mark.parametrize("n_factors", [0, 1, 2, 3, 4, 8, 11])
@pytest.mark.parametrize("values", [True, False])
def test_scores_equal_the_sum_over_all_pairs_and_triples(n_factors, values):
    rng = np.random.default_rng(n_factors)
    lists = random_rows(rng, 12, 10, values=values, longest=6)
    params = random_params(rng, 10, n_factors)
    table = hofm.table(params, find_rule("sgd"), HYPER)
    expected = [hofm_score(row, params.bias, params.w, params.V, params.V3) for row in lists]
    for isa in ISAS:
        with using_isa(isa):
            got = hofm.scores(as_rows(lists, 10, values=values), table)
            np.testing.assert_array_equal(
                hofm.scores(as_rows(lists, 10, values=values), table, n_threads=3), got
            )
        np.testing.assert_allclose(got, expected, **CLOSE)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_factors", [1, 2, 3, 8])
def test_a_pass_moves_every_weight_as_the_gradient_says(rule, n_factors):
    rng = np.random.default_rng(3)
    lists = random_rows(rng, 8, 6, values=True)
    target, weight = random_targets(rng, 8, "logistic"), np.float32(rng.uniform(0.5, 2.0, 8))
    rows = as_rows(lists, 6, target=target, weight=weight)
    params = random_params(rng, 6, n_factors)
    both = np.concatenate([params.V, params.V3], axis=1)
    groups = {"bias": (params.bias, 0.0, 0.0)}
    groups |= {("w", i): (w, HYPER.l1_w, HYPER.l2_w) for i, w in enumerate(params.w)}
    groups |= {("V", i): (v, HYPER.l1_V, HYPER.l2_V) for i, v in enumerate(both)}

    def score(row, values):
        V = np.stack([values["V", i] for i in range(6)])
        w = [values["w", i] for i in range(6)]
        return hofm_score(row, values["bias"], w, V[:, :n_factors], V[:, n_factors:])

    learner = NumericLearner(
        rule,
        groups,
        score,
        lambda row: ["bias", *(("w", i) for i, _ in row), *(("V", i) for i, _ in row)],
        HYPER,
    )
    expected = sum(learner.step(lists[i], target[i], weight[i], "logistic") for i in range(8))
    value = learner.values()
    for isa in ISAS:
        table = hofm.table(params, find_rule(rule), HYPER)
        with using_isa(isa):
            total = hofm.train_pass(rows, np.arange(8), table, find_loss("logistic"), HYPER)
        assert total == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(table.V, [value["V", i] for i in range(6)], rtol=3e-4, atol=3e-5)
        np.testing.assert_allclose(table.w, [float(value["w", i]) for i in range(6)], rtol=3e-4, atol=3e-5)
        assert table.bias[0] == pytest.approx(float(value["bias"]), rel=3e-4)


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "ftrl"])
def test_without_a_third_degree_it_is_the_second_order_machine(rule):
    rng = np.random.default_rng(1)
    rows = as_rows(random_rows(rng, 30, 8, values=True), 8, target=random_targets(rng, 30, "logistic"))
    params = random_params(rng, 8, 5)
    params.V3[:] = 0  # from zero a triple's gradient is zero
    table = hofm.table(params, find_rule(rule), HYPER)
    twin = fm.table(FMParams(params.bias, params.w, params.V), find_rule(rule), HYPER)
    hofm.train_pass(rows, np.arange(30), table, find_loss("logistic"), HYPER)
    fm.train_pass(rows, np.arange(30), twin, find_loss("logistic"), HYPER)
    np.testing.assert_allclose(table.V[:, :5], twin.V, rtol=1e-4, atol=1e-5)
    assert not table.V[:, 5:].any()
    np.testing.assert_allclose(hofm.scores(rows, table), fm.scores(rows, twin), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_mini_batches_give_the_same_bits_for_any_number_of_threads(rule):
    rng = np.random.default_rng(4)
    rows = as_rows(random_rows(rng, 40, 9, values=True), 9, target=random_targets(rng, 40, "squared"))
    tables = []
    for threads in (1, 3):
        table = hofm.start(rows, 5, np.random.default_rng(0), find_rule(rule), HYPER, scale=0.2, bias=0.0)
        assert table.data.nbytes == hofm.table_bytes(rows, 5, find_rule(rule))
        hofm.train_pass(
            rows, np.arange(40), table, find_loss("squared"), HYPER, n_threads=threads, deterministic=True
        )
        tables.append(table)
    np.testing.assert_array_equal(tables[1].data, tables[0].data)


def test_arrays_that_do_not_fit_are_refused():
    arrays = random_params(np.random.default_rng(0), 4, 3).to_arrays()
    assert HOFMParams.from_arrays(arrays).n_factors == 3
    with pytest.raises(ValueError, match="V3"):
        HOFMParams.from_arrays({**arrays, "V3": arrays["V3"][1:]})


def test_a_feature_twice_in_a_row_moves_by_its_whole_gradient():
    """But for its own part, which is the one that its first move left."""
    params, rate = random_params(np.random.default_rng(6), 4, 5), 1e-3
    row, hyper = [(1, 1.0), (3, 0.5), (1, 0.5), (0, 1.0)], Hyper(learning_rate=rate)
    both = np.concatenate([params.V, params.V3], axis=1)

    def score(both):
        return hofm_score(row, params.bias, params.w, both[:, :5], both[:, 5:])

    expected = -rate * (score(both) - 3.0) * numeric_gradient(score, both)
    for isa in ISAS:
        table = hofm.table(params, find_rule("sgd"), hyper)
        with using_isa(isa):
            hofm.train_pass(as_rows([row], 4, target=[3.0]), np.arange(1), table, find_loss("squared"), hyper)
        after = table.params()
        moved = np.concatenate([after.V, after.V3], axis=1) - both
        np.testing.assert_allclose(moved, expected, rtol=0.02, atol=2e-6)
