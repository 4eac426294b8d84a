"""Small random machines and rows for the kernels' tests."""

from __future__ import annotations

import contextlib

import numpy as np

from crossfm import _kernels
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.kernels import fm

ISAS = [name for name in ("plain", "avx2", "avx512") if _kernels.isa_supported(name)]
SIZES = (0, 1, 3, 4, 8, 9, 16, 17, 24, 32, 64, 65, 70)  # n_factors: each block count, and beside each

# Every number differs from the others, so that one in the place of another shows.
HYPER = Hyper(
    learning_rate=0.07,
    l2_w=0.02,
    l2_V=0.03,
    l1_w=0.05,
    l1_V=0.01,
    initial_accumulator=0.5,
    ftrl_beta=1.3,
    ftrl_decay=0.9,
    adam_beta1=0.8,
    adam_beta2=0.95,
    adam_eps=1e-3,
)


# Learning rates that fit `skewed`.
RATES = {"sgd": 0.02, "adagrad": 0.05, "adagrad-row": 0.05, "adam": 0.002, "ftrl": 0.05}


@contextlib.contextmanager
def using_isa(name):
    """Run the block with one instruction set, then go back."""
    before = fm.isa()
    assert fm.set_isa(name)
    try:
        yield
    finally:
        fm.set_isa(before)


def as_rows(rows, n_features, *, values=True, target=None, weight=None):
    """Turn lists of (feature, value) into CSR ``Rows``; without ``values`` every value must be 1."""
    flat = [entry for row in rows for entry in row]
    built = Rows(
        indices=np.array([i for i, _ in flat], np.uint32),
        n_features=n_features,
        indptr=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        values=np.array([x for _, x in flat], np.float32) if values else None,
    )
    return built.with_target(target, weight)


def as_lists(rows):
    """Turn ``Rows`` into lists of (feature, value)."""
    offsets, values = rows.offsets(), rows.value_of_each()
    return [
        [(int(rows.indices[at]), float(values[at])) for at in range(offsets[n], offsets[n + 1])]
        for n in range(rows.n_rows)
    ]


def random_params(rng, n_features, n_factors):
    """Weights of a size that keeps scores within a few units for any ``n_factors``."""
    V = rng.normal(size=(n_features, n_factors)) * 0.6 / np.sqrt(max(n_factors, 1))
    w = rng.normal(size=n_features) * 0.3
    return FMParams(float(np.float32(rng.normal() * 0.2)), w.astype(np.float32), V.astype(np.float32))


def random_rows(rng, n_rows, n_features, *, values, longest=5):
    """Lists of (feature, value); the first row is empty, later ones have 2 to ``longest`` features."""
    rows = [[]]
    for _ in range(n_rows - 1):
        ids = rng.choice(n_features, size=rng.integers(2, longest + 1), replace=False)
        xs = rng.normal(size=len(ids)).astype(np.float32) if values else np.ones(len(ids))
        rows.append([(int(i), float(x)) for i, x in zip(ids, xs, strict=True)])
    return rows


def random_targets(rng, n_rows, loss):
    """Targets that the loss allows."""
    if loss == "logistic":
        return rng.integers(0, 2, n_rows).astype(float)
    if loss == "poisson":
        return rng.integers(0, 4, n_rows).astype(float)
    return rng.normal(size=n_rows)


def table_states(table):
    """Return the optimizer states of a ``Table`` by the names the oracle uses: (of bias, of w, of V)."""
    d, k, padded, at = table.data, table.n_factors, table.padded, table.w_at
    if table.rule.name == "adagrad":
        return {"G": table.bias[1]}, {"G": d[:, at + 1]}, {"G": d[:, padded : padded + k]}
    if table.rule.name == "adagrad-row":
        return {"G": table.bias[1]}, {"G": d[:, at + 1]}, {"G": d[:, at + 2]}
    names = {"adam": ("m", "v"), "ftrl": ("z", "n"), "sgd": ()}[table.rule.name]
    bias = {name: table.bias[1 + n] for n, name in enumerate(names)}
    w = {name: d[:, at + 1 + n] for n, name in enumerate(names)}
    V = {name: d[:, (1 + n) * padded : (1 + n) * padded + k] for n, name in enumerate(names)}
    return bias, w, V


def assert_same_machine(table, learner, *, rtol=2e-4, atol=2e-5, context=""):
    """Weights, states and counts of a ``Table`` equal the oracle's; padding is exactly zero."""
    bias, w, V = learner.params()

    def close(got, expected, what):
        np.testing.assert_allclose(
            got, np.reshape(expected, np.shape(got)), rtol=rtol, atol=atol, err_msg=f"{what} {context}"
        )

    close(table.bias[0], bias, "bias")
    close(table.w, w, "w")
    close(table.V, V, "V")
    of_bias, of_w, of_V = table_states(table)
    for name in of_bias:
        close(of_bias[name], getattr(learner.bias, name), f"bias {name}")
        close(of_w[name], [getattr(group, name) for group in learner.w], f"w {name}")
        if table.n_factors:
            close(of_V[name], [getattr(group, name) for group in learner.V], f"V {name}")
    if table.rule.counts:
        assert table.bias[3] == learner.bias_count
        np.testing.assert_array_equal(table.data[:, table.w_at + 3], learner.count)
    assert not table.data[:, table.n_factors : table.padded].any(), f"padding moved {context}"


def skewed(n_rows=30_000, n_fields=6, seed=0):
    """Rows of Zipf ids with logistic targets from hidden linear weights."""
    rng = np.random.default_rng(seed)
    n_features = 500 * n_fields
    ids = np.minimum(rng.zipf(1.3, (n_rows, n_fields)), 500) - 1 + 500 * np.arange(n_fields)
    score = rng.normal(size=n_features)[ids].sum(1) / 2
    target = (rng.random(n_rows) < 1 / (1 + np.exp(-score))).astype(np.float64)
    return Rows(ids.ravel().astype(np.uint32), n_features, width=n_fields, target=target)
