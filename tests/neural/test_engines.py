"""Engines: whatever looks rows up and moves them, the numbers are those of plain PyTorch."""

import importlib
import sys
from itertools import combinations

import numpy as np
import pytest
import torch

from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.kernels.embedding import RULES as NAMES
from crossfm.kernels.embedding import Penalties
from crossfm.kernels.table import Table
from crossfm.neural.engine.core import CoreEmbeddings
from crossfm.neural.engine.make import find_device, make_engine
from crossfm.neural.engine.reference import TorchEmbeddings
from embedding_rows import KINDS, N_FEATURES, N_FIELDS, OUTPUTS, as_triples, draw_gradients, draw_rows
from machines import HYPER, assert_same_machine, random_params
from oracles import EmbeddingLearner

FACTORS = (1, 3, 4, 8, 10, 16, 32, 40)
RATE_W = 0.11
PENALTIES = Penalties(l2_V=0.03, l2_w=0.02)
RARITY = np.linspace(0.5, 40.0, N_FEATURES).astype(np.float32)
CLIPPED = Penalties(l2_V=0.03, l2_w=0.02, rarity=RARITY, clip=0.3, clip_floor=1e-2)
USES = [names for n in range(len(OUTPUTS)) for names in combinations(OUTPUTS[1:], n)]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 sums of a dozen terms of size about 1

core, reference = CoreEmbeddings, TorchEmbeddings


def interpreted(table, n_fields):
    """Triton's kernels on a CPU, or the test is skipped."""
    pytest.importorskip("triton", reason="Triton is not installed")
    from crossfm.neural.engine.gpu import TritonEmbeddings

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TritonEmbeddings(table, n_fields, device=device)


def start(rule, k, n_features=N_FEATURES):
    """A table and the oracle that starts where it does."""
    params = random_params(np.random.default_rng(3), n_features, k)
    learner = EmbeddingLearner(rule, params.w, params.V, N_FIELDS, HYPER, RATE_W)
    return Table.start(FMParams(0.0, params.w, params.V), RULES[rule], HYPER), learner


def send_back(x, gradients):
    """Let ``gradients`` flow back through what was looked up; returns it as arrays."""
    names = [name for name in gradients if getattr(x, name) is not None]
    total = sum((getattr(x, name).cpu() * torch.from_numpy(gradients[name])).sum() for name in names)
    total.backward()
    return {name: getattr(x, name).detach().cpu().numpy().copy() for name in names}


def train(engine, rows, orders, penalties, uses=OUTPUTS[1:]):
    """Move an engine through batches; returns what it looked up in the last."""
    for seed, order in enumerate(orders):
        x = engine.features(rows, order, uses)
        found = send_back(x, draw_gradients(len(order), engine.table.n_factors, ("linear", *uses), seed=seed))
        engine.step(HYPER, penalties, learning_rate_w=RATE_W)
    engine.save()
    return found


def orders_of(rows, n=3):
    """Batches of the rows in any order, one row twice."""
    rng = np.random.default_rng(5)
    return [np.append(order, order[:1]) for order in (rng.permutation(rows.n_rows)[:7] for _ in range(n))]


def assert_engine_agrees(make, rule, k, rows, penalties, uses=OUTPUTS[1:]):
    """An engine ends where the oracle does, and sees the same on its way."""
    table, learner = start(rule, k)
    orders = orders_of(rows)
    found = train(make(table, N_FIELDS), rows, orders, penalties, uses)
    for seed, order in enumerate(orders):
        triples = as_triples(rows, order)
        expected = learner.look_up(triples)
        learner.embedding_step(
            triples, draw_gradients(len(order), k, ("linear", *uses), seed=seed), penalties
        )
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-4, atol=2e-5, err_msg=name)
    assert_same_machine(table, learner, context=f"k={k}")


@pytest.mark.parametrize("penalties", [PENALTIES, CLIPPED], ids=["l2", "cowclip"])
@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("make", [reference, core], ids=["reference", "core"])
def test_an_engine_moves_as_the_oracle_does(make, rule, kind, values, penalties):
    assert_engine_agrees(make, rule, 10, draw_rows(kind, 9, values=values), penalties)


@pytest.mark.parametrize("uses", USES, ids="-".join)
@pytest.mark.parametrize(("rule", "kind"), [*((rule, "csr") for rule in NAMES), ("adagrad-row", "columns")])
def test_the_core_is_plain_pytorch_to_rounding_whatever_is_used(rule, kind, uses):
    rows = draw_rows(kind, 40, values=True)
    for k in FACTORS[USES.index(uses) % 4 :: 4]:
        (one, _), (other, _) = start(rule, k), start(rule, k)
        found = train(core(one, N_FIELDS, n_threads=2), rows, orders_of(rows), CLIPPED, uses)
        expected = train(reference(other, N_FIELDS), rows, orders_of(rows), CLIPPED, uses)
        np.testing.assert_allclose(one.data, other.data, rtol=2e-4, atol=2e-5, err_msg=f"k={k}")
        assert found.keys() == expected.keys() == {"linear", *uses}
        for name in found:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=2e-4, atol=2e-5, err_msg=f"{name} k={k}"
            )


@pytest.mark.parametrize("rule", NAMES)
def test_any_number_of_threads_ends_in_the_same_bits(rule):
    rows = draw_rows("csr", 40, values=True)
    tables = [start(rule, 16)[0] for _ in range(2)]
    for n_threads, table in enumerate(tables, start=1):
        train(core(table, N_FIELDS, n_threads=n_threads), rows, orders_of(rows), CLIPPED)
    np.testing.assert_array_equal(tables[1].data, tables[0].data)


def test_gradients_of_the_reference_are_finite_differences():
    rows, (table, _) = draw_rows("csr", 6, values=True), start("sgd", 3)
    engine = reference(table, N_FIELDS, dtype=torch.float64)

    def look_up(V, w):
        engine.V, engine.w = V, w
        x = engine.features(rows, np.arange(6), OUTPUTS[1:])
        return tuple(getattr(x, name) for name in OUTPUTS)

    assert torch.autograd.gradcheck(look_up, (engine.V, engine.w))


@pytest.mark.parametrize("make", [reference, core], ids=["reference", "core"])
def test_a_step_without_gradients_moves_nothing(make):
    table, _ = start("adagrad", 8)
    before = table.data.copy()
    engine = make(table, N_FIELDS)
    engine.step(HYPER, PENALTIES, learning_rate_w=RATE_W)
    with torch.inference_mode():
        engine.features(draw_rows("csr", 9, values=True), np.arange(9), OUTPUTS[1:])
    engine.step(HYPER, PENALTIES, learning_rate_w=RATE_W)
    engine.save()
    np.testing.assert_array_equal(table.data, before)


@pytest.mark.parametrize("make", [reference, core], ids=["reference", "core"])
def test_a_step_moves_by_its_gradients_once(make):
    rows, (table, _) = draw_rows("csr", 9, values=True), start("sgd", 8)
    engine = make(table, N_FIELDS)
    train(engine, rows, [np.arange(9)], PENALTIES)
    before = table.data.copy()
    engine.step(HYPER, PENALTIES, learning_rate_w=RATE_W)
    engine.save()
    np.testing.assert_array_equal(table.data, before)


@pytest.mark.parametrize("make", [reference, core], ids=["reference", "core"])
def test_an_engine_takes_over_what_moved_in_the_table(make):
    rows, (table, learner) = draw_rows("csr", 9, values=True), start("sgd", 8)
    engine = make(table, N_FIELDS)
    table.grow(N_FEATURES + 4, HYPER)
    table.w[:] *= 2
    engine.load()
    x = engine.features(rows, np.arange(9), ())
    np.testing.assert_allclose(x.linear.detach(), 2 * learner.look_up(as_triples(rows))["linear"], **CLOSE)


# ---------------------------------------------------------------------------------------------- Triton


@pytest.mark.parametrize("penalties", [PENALTIES, CLIPPED], ids=["l2", "cowclip"])
@pytest.mark.parametrize("rule", NAMES)
def test_triton_moves_as_the_oracle_does(rule, penalties):
    assert_engine_agrees(interpreted, rule, 10, draw_rows("csr", 9, values=True), penalties)


@pytest.mark.parametrize("values", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("kind", KINDS)
def test_triton_takes_rows_of_every_kind(kind, values):
    assert_engine_agrees(interpreted, "adagrad-row", 3, draw_rows(kind, 9, values=values), CLIPPED)


@pytest.mark.parametrize("k", [0, 1, 4, 16, 40])
def test_triton_takes_any_number_of_factors(k):
    assert_engine_agrees(interpreted, "adagrad-row", k, draw_rows("csr", 9, values=True), CLIPPED)


@pytest.mark.parametrize("uses", USES, ids="-".join)
def test_triton_looks_up_and_moves_by_what_is_used(uses):
    assert_engine_agrees(interpreted, "adagrad", 3, draw_rows("csr", 9, values=True), PENALTIES, uses)


@pytest.mark.parametrize("n_rows", [64, 65, 300])
def test_triton_sums_features_of_many_rows_in_pieces(n_rows):
    # A feature of all rows, one of every second row, and one of a row: whole, in pieces, and alone.
    at = np.arange(n_rows)
    ids = np.stack([0 * at, 1 + at % 2, 3 + (at == 5)], axis=1).astype(np.uint32)
    rows = Rows(ids.ravel(), N_FEATURES, width=3, fields=np.arange(3, dtype=np.uint32))
    table, learner = start("adagrad", 3)
    engine = interpreted(table, N_FIELDS)
    engine.features(rows, at, ())
    x, gradients = engine.features(rows, at, ("pair",)), draw_gradients(n_rows, 3, ("linear", "pair"))
    send_back(x, gradients)
    engine.step(HYPER, PENALTIES, learning_rate_w=RATE_W)
    engine.save()
    learner.embedding_step(as_triples(rows), gradients, PENALTIES)
    assert_same_machine(table, learner)


def test_triton_leaves_the_factors_of_a_feature_alone_in_its_row():
    x = np.round(np.random.default_rng(0).normal(size=N_FEATURES), 2).astype(np.float32)
    rows = Rows(
        np.arange(N_FEATURES, dtype=np.uint32), N_FEATURES, width=1, values=x, fields=np.zeros(1, np.uint32)
    )
    table, _ = start("adam", 8)
    before = table.V.copy()
    train(interpreted(table, N_FIELDS), rows, [np.arange(N_FEATURES)], Penalties(), ("pair",))
    np.testing.assert_allclose(table.V, before, atol=1e-6, rtol=0)


def test_triton_leaves_alone_what_no_row_has():
    empty = Rows(
        np.zeros(0, np.uint32), N_FEATURES, indptr=np.zeros(4, np.int64), fields=np.zeros(0, np.uint32)
    )
    table, _ = start("adam", 3)
    before = table.data.copy()
    engine = interpreted(table, N_FIELDS)
    found = train(engine, empty, [np.arange(3)], PENALTIES)
    assert not any(array.any() for array in found.values())
    rows = draw_rows("csr", 30, values=True)
    train(engine, rows, [np.arange(3)], PENALTIES)
    touched = {i for row in as_triples(rows, range(3)) for i, _, _ in row}
    assert set(np.flatnonzero((table.data != before).any(axis=1))) == touched


# --------------------------------------------------------------------------------------------- devices


def test_a_cpu_gets_the_compiled_core():
    assert isinstance(make_engine("cpu", start("sgd", 4)[0], N_FIELDS), CoreEmbeddings)


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:x", ""])
def test_a_device_that_no_engine_knows_is_refused(name):
    with pytest.raises(OptionError, match="device="):
        find_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_pytorch_does_not_see_is_refused_with_the_reason():
    with pytest.raises(OptionError, match="device='cuda', but PyTorch sees no GPU"):
        make_engine("cuda", start("sgd", 4)[0], N_FIELDS)


def test_a_gpu_without_triton_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "crossfm.neural.engine.triton_kernels", raising=False)
    with pytest.raises(OptionError, match=r"needs Triton, which is not installed.*pip install triton"):
        importlib.import_module("crossfm.neural.engine.triton_kernels")
