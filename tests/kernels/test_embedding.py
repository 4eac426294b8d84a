"""Embeddings of mini-batches: looked up, and moved once a touched feature."""

from itertools import combinations

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.kernels.embedding import RULES as NAMES
from crossfm.kernels.embedding import Layout, LookedUp, Memory, Penalties, look_up, sort, update
from crossfm.kernels.table import Table, aligned_zeros, record_floats
from embedding_rows import KINDS, N_FEATURES, N_FIELDS, OUTPUTS, as_triples, draw_gradients, draw_rows
from machines import HYPER, ISAS, assert_same_machine, random_params, using_isa
from oracles import EmbeddingLearner

FACTORS = (0, 1, 3, 4, 8, 10, 16, 32, 40)
RATE_W = 0.11
PENALTIES = Penalties(l2_V=0.03, l2_w=0.02)
RARITY = np.linspace(0.5, 40.0, N_FEATURES).astype(np.float32)
CLIPPED = Penalties(l2_V=0.03, l2_w=0.02, rarity=RARITY, clip=0.3, clip_floor=1e-2)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 sums of a dozen terms of size about 1


def machine(rule, k, *, hyper=HYPER, seed=3):
    params = random_params(np.random.default_rng(seed), N_FEATURES, k)
    learner = EmbeddingLearner(rule, params.w, params.V, N_FIELDS, hyper, RATE_W)
    return Table.start(FMParams(0.0, params.w, params.V), RULES[rule], hyper), learner


def step(
    rows, order, table, gradients, penalties, *, n_threads=1, hyper=HYPER, n_fields=N_FIELDS, layout=None
):
    """Look a batch up and move it by ``gradients``; returns what was found and the number of features moved."""
    memory, layout = Memory(), layout or Layout.of(rows, n_fields)
    found = look_up(rows, order, table, layout, OUTPUTS, memory, n_threads=n_threads)
    back = LookedUp(**gradients, sums=found.sums)
    batch = sort(rows, order, layout, memory, n_threads=n_threads)
    update(rows, batch, table, layout, back, hyper, penalties, learning_rate_w=RATE_W, n_threads=n_threads)
    return found, batch.n_ids


def drawn_order(rows, seed=7):
    """A batch of the rows in any order, one of them twice."""
    order = np.random.default_rng(seed).permutation(rows.n_rows)
    return np.append(order, order[:1])


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_looked_up_is_the_sum_over_features_and_over_all_pairs(kind, values):
    rows = draw_rows(kind, 9, values=values)
    order = drawn_order(rows)
    for k in FACTORS:
        table, learner = machine("sgd", k)
        expected = learner.look_up(as_triples(rows, order))
        for isa in ISAS:
            with using_isa(isa):
                memory = Memory()
                look_up(
                    rows, order, table, Layout.of(rows, N_FIELDS), OUTPUTS, memory
                )  # leaves its own behind
                found = look_up(rows, order, table, Layout.of(rows, N_FIELDS), OUTPUTS, memory, n_threads=2)
            for name in OUTPUTS:
                np.testing.assert_allclose(
                    getattr(found, name), expected[name], **CLOSE, err_msg=f"{name} {k} {isa}"
                )


@pytest.mark.parametrize(
    "names", [c for n in range(len(OUTPUTS) + 1) for c in combinations(OUTPUTS[1:], n)], ids="-".join
)
def test_only_what_is_used_is_looked_up(names):
    rows, (table, learner) = draw_rows("csr", 9, values=True), machine("sgd", 10)
    order = drawn_order(rows)
    expected = learner.look_up(as_triples(rows, order))
    found = look_up(rows, order, table, Layout.of(rows, N_FIELDS), names, Memory())
    for name in OUTPUTS:
        got = getattr(found, name)
        assert (got is not None) == (name == "linear" or name in names)
        if got is not None:
            np.testing.assert_allclose(got, expected[name], **CLOSE)
    assert (found.sums is not None) == bool({"pooled", "pair"} & set(names))


def test_gradients_of_the_oracle_are_finite_differences():
    rows, (_, learner) = draw_rows("csr", 6, values=True), machine("sgd", 3)
    triples, upstream = as_triples(rows), draw_gradients(6, 3)

    def loss():
        found = learner.look_up(triples)
        return sum((upstream[name] * found[name]).sum() for name in OUTPUTS)

    h = 1e-5
    for i, (d_w, d_V, _) in learner.gradients(triples, upstream).items():
        for weights, expected in ((learner.w[i], d_w), (learner.V[i], d_V)):
            start = weights.value.copy()
            for at in np.ndindex(start.shape):
                one = np.zeros_like(start)
                one[at] = h
                weights.value = start + one
                high = loss()
                weights.value = start - one
                assert (high - loss()) / (2 * h) == pytest.approx(np.asarray(expected)[at], abs=1e-8)
                weights.value = start


@pytest.mark.parametrize("penalties", [PENALTIES, CLIPPED], ids=["l2", "cowclip"])
@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", NAMES)
def test_each_touched_feature_moves_once_by_its_summed_gradient(rule, kind, values, penalties):
    rows = draw_rows(kind, 9, values=values)
    order = drawn_order(rows)
    triples = as_triples(rows, order)
    for k in FACTORS:
        start, learner = machine(rule, k)
        batches = [draw_gradients(len(order), k, seed=n) for n in range(3)]
        for gradients in batches:
            learner.embedding_step(triples, gradients, penalties)
        for isa in ISAS:
            table = start.copy()
            with using_isa(isa):
                for n, gradients in enumerate(batches):
                    _, moved = step(rows, order, table, gradients, penalties, n_threads=1 + n)
            assert moved == len({i for row in triples for i, _, _ in row})
            assert_same_machine(table, learner, context=f"k={k} {isa}")


@pytest.mark.parametrize("names", [c for n in range(6) for c in combinations(OUTPUTS, n)], ids="-".join)
@pytest.mark.parametrize("rule", ["sgd", "adagrad-row"])
def test_gradients_come_back_through_any_part(rule, names):
    rows = draw_rows("csr", 9, values=True)
    order = drawn_order(rows)
    start, learner = machine(rule, 10)
    gradients = draw_gradients(len(order), 10, names)
    learner.embedding_step(as_triples(rows, order), gradients, PENALTIES)
    for isa in ISAS:
        table = start.copy()
        with using_isa(isa):
            step(rows, order, table, gradients, PENALTIES)
        assert_same_machine(table, learner, context=isa)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", NAMES)
def test_any_number_of_threads_gives_the_same_bits(rule, kind):
    rows = draw_rows(kind, 40, values=True)
    order = drawn_order(rows)
    start, _ = machine(rule, 16)
    tables = [start.copy() for _ in range(4)]
    found = [
        step(rows, order, table, draw_gradients(len(order), 16), CLIPPED, n_threads=1 + n)[0]
        for n, table in enumerate(tables)
    ]
    for other, table in zip(found[1:], tables[1:], strict=True):
        np.testing.assert_array_equal(table.data, tables[0].data)
        for name in OUTPUTS:
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name))


@pytest.mark.parametrize("rule", NAMES)
def test_features_that_no_row_of_the_batch_has_stay_bit_for_bit(rule):
    rows = draw_rows("csr", 30, values=True)
    order = np.arange(4)
    table, _ = machine(rule, 8)
    before = table.data.copy()
    step(rows, order, table, draw_gradients(4, 8), PENALTIES)
    touched = {i for row in as_triples(rows, order) for i, _, _ in row}
    moved = (table.data != before).any(axis=1)
    assert 0 < len(touched) < N_FEATURES
    assert set(np.flatnonzero(moved)) == touched


@pytest.mark.parametrize("rule", NAMES)
def test_the_order_of_features_in_a_row_does_not_matter(rule):
    rows = draw_rows("csr", 30, values=True)
    offsets = rows.offsets()
    back = np.concatenate([np.arange(offsets[r], offsets[r + 1])[::-1] for r in range(30)])
    turned = Rows(
        rows.indices[back], N_FEATURES, indptr=rows.indptr, values=rows.values[back], fields=rows.fields[back]
    )
    (one, _), (other, _) = machine(rule, 8), machine(rule, 8)
    order, gradients = np.arange(30), draw_gradients(30, 8)
    found, _ = step(rows, order, one, gradients, PENALTIES)
    again, _ = step(turned, order, other, gradients, PENALTIES)
    np.testing.assert_allclose(other.data, one.data, rtol=2e-4, atol=2e-5)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), **CLOSE)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_penalties_pull_as_much_in_an_epoch_whatever_the_batch_size(batch_size):
    # Without a loss each occurrence shrinks a feature by the factor 1 - rate * l2, to first order.
    rows = draw_rows("columns", 64, values=False)
    hyper, penalties = Hyper(learning_rate=1e-4), Penalties(l2_V=0.3, l2_w=2e-4)
    table, _ = machine("sgd", 8, hyper=hyper)
    V, w = table.V.copy(), table.w.copy()
    for begin in range(0, 64, batch_size):
        order = np.arange(begin, min(begin + batch_size, 64))
        step(rows, order, table, {"linear": np.zeros(len(order), np.float32)}, penalties, hyper=hyper)
    count = np.bincount(rows.indices, minlength=N_FEATURES)
    close = {"rtol": 0.01, "atol": 2e-6}  # of shrinkages from 2e-5 to 2e-3, in float32 weights
    np.testing.assert_allclose((w - table.w) / w, RATE_W * 2e-4 * count, **close)
    np.testing.assert_allclose((V - table.V) / V, np.outer(1e-4 * 0.3 * count, np.ones(8)), **close)


def test_penalties_do_not_touch_features_of_other_batches():
    rows = draw_rows("csr", 30, values=True)
    table, _ = machine("sgd", 8)
    before = table.data.copy()
    step(rows, np.arange(3), table, {"linear": np.zeros(3, np.float32)}, PENALTIES)
    touched = np.unique([i for row in as_triples(rows, range(3)) for i, _, _ in row])
    others = np.setdiff1d(np.arange(N_FEATURES), touched)
    assert (table.V[touched] != before[touched, :8]).any(axis=1).all()
    np.testing.assert_array_equal(table.data[others], before[others])


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("names", [("pair",), ("pooled",)], ids=["pair", "pooled"])
def test_the_factors_of_a_feature_alone_in_its_row_stay(rule, names):
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=N_FEATURES), 2).astype(np.float32)
    rows = Rows(
        np.arange(N_FEATURES, dtype=np.uint32), N_FEATURES, width=1, values=x, fields=np.zeros(1, np.uint32)
    )
    for k in (3, 8, 40):
        for isa in ISAS:
            table, _ = machine(rule, k)
            before = table.V.copy()
            gradients = draw_gradients(N_FEATURES, k, names)
            with using_isa(isa):
                step(
                    rows, np.arange(N_FEATURES), table, gradients, Penalties(), hyper=Hyper(learning_rate=0.1)
                )
            np.testing.assert_allclose(table.V, before, atol=1e-6, rtol=0, err_msg=f"{k} {isa}")


def test_an_empty_batch_and_rows_without_features_move_nothing():
    empty = Rows(
        np.zeros(0, np.uint32), N_FEATURES, indptr=np.zeros(4, np.int64), fields=np.zeros(0, np.uint32)
    )
    for rows, order in ((empty, np.arange(3)), (draw_rows("columns", 5, values=True), np.arange(0))):
        table, _ = machine("adam", 8)
        before = table.data.copy()
        found, moved = step(rows, order, table, draw_gradients(len(order), 8), PENALTIES)
        assert moved == 0
        np.testing.assert_array_equal(table.data, before)
        assert not found.linear.any()
        assert not found.embedded.any()


# ------------------------------------------------------------------------------------------------ sorting


def wide_columns(spans, n_rows, first, seed=0):
    """Ids (n_rows, width): column c has ``spans[c]``, both ends among them; ranges from ``first`` on, in any order."""
    rng = np.random.default_rng(seed)
    low, at = np.zeros(len(spans), np.int64), first
    for c in rng.permutation(len(spans)):
        low[c], at = at, at + spans[c]
    ids = np.stack([rng.integers(0, span, n_rows) for span in spans], axis=1)
    ids[rng.integers(n_rows // 2)], ids[n_rows - 1] = 0, np.array(spans) - 1
    return (ids + low).astype(np.uint32), at


@pytest.mark.parametrize("first", [0, 2**24 + 5], ids=["low", "above-2**24"])
@pytest.mark.parametrize(
    "spans",
    [(1,), (2,), (4096,), (4097,), (2**24 + 1,), (1, 2, 4096, 4097, 3), (4097, 2**24 + 1, 1, 2, 2**12)],
    ids=str,
)
def test_ids_are_brought_together_whatever_their_range(spans, first):
    ids, n_features = wide_columns(spans, 300, first)
    n_rows, width = ids.shape
    rows = Rows(ids.ravel(), n_features, width=width, fields=np.arange(width, dtype=np.uint32))
    csr = Rows(ids.ravel(), n_features, indptr=rows.offsets(), fields=rows.field_of_each())
    assert Layout.of(rows, width).low is not None
    rng = np.random.default_rng(1)
    gradients = {"weights": (rng.normal(size=(n_rows, width)) / n_rows).astype(np.float32)}
    expected = np.zeros(n_features)
    np.add.at(expected, ids.ravel(), -RATE_W * n_rows * gradients["weights"].astype(float).ravel())
    touched = np.unique(ids)
    moved = {}
    for name, form in (("columns", rows), ("csr", csr)):
        for n_threads in (1, 2):
            data = aligned_zeros(n_features, record_floats(0, RULES["sgd"]))
            table = Table(RULES["sgd"], 0, data, np.zeros(4, np.float32))
            _, n = step(
                form, np.arange(n_rows), table, gradients, Penalties(), n_threads=n_threads, n_fields=width
            )
            assert n == len(touched)
            moved[name, n_threads] = table.w[touched].copy()
            assert np.count_nonzero(table.w) == np.count_nonzero(moved[name, n_threads])
    np.testing.assert_allclose(moved["columns", 1], expected[touched], rtol=1e-5, atol=1e-6)
    for got in moved.values():
        np.testing.assert_array_equal(got, moved["columns", 1])


def test_columns_that_share_ids_are_not_sorted_apart():
    ids = np.array([[0, 2], [1, 3], [2, 4]], np.uint32)
    assert Layout.of(Rows(ids.ravel(), 5, width=2, fields=np.arange(2, dtype=np.uint32)), 2).low is None


@pytest.mark.parametrize("width", [1, 2, 3, 63, 64, 65, 700])
def test_rows_of_any_width_find_their_values_again(width):
    rng = np.random.default_rng(width)
    n_features, n_rows = 50, 6
    x = rng.normal(size=n_rows * width).astype(np.float32)
    ids = rng.integers(0, n_features, n_rows * width).astype(np.uint32)
    rows = Rows(ids, n_features, width=width, values=x, fields=np.zeros(width, np.uint32))
    table = Table(RULES["sgd"], 0, aligned_zeros(n_features, 1), np.zeros(4, np.float32))
    l = (rng.normal(size=n_rows) / n_rows).astype(np.float32)  # noqa: E741
    step(rows, np.arange(n_rows), table, {"linear": l}, Penalties(), n_fields=1)
    expected = np.zeros(n_features)
    np.add.at(expected, ids, -RATE_W * n_rows * (np.repeat(l, width) * x).astype(float))
    np.testing.assert_allclose(table.w, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_whose_places_do_not_fit_in_32_bits_is_refused():
    layout = Layout(1, False, shift=20)
    layout.check_batch(2**12)
    with pytest.raises(OptionError, match="batch_size of at most 4096"):
        layout.check_batch(2**12 + 1)
