"""A pass fetches rows ahead and moves records in groups: nobody may notice."""

import numpy as np
import pytest

from crossfm.core.losses import find_loss
from crossfm.core.params import FMParams
from crossfm.core.rules import find_rule
from crossfm.data.rows import Rows
from crossfm.kernels.fm import train_pass
from crossfm.kernels.table import Table
from machines import HYPER

N_FEATURES = 300
LONG = 10_000  # non-zeros


def rows_of(kind, rng, n_rows):
    sizes = np.full(n_rows, 5) if kind == "fixed width" else rng.integers(0, 9, n_rows)
    if kind == "a long row":
        sizes[n_rows // 2] = LONG
    nnz = int(sizes.sum())
    return Rows(
        rng.integers(0, N_FEATURES, nnz).astype(np.uint32),
        N_FEATURES,
        indptr=None if kind == "fixed width" else np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        values=None if kind == "fixed width" else (rng.random(nnz) / 1000).astype(np.float32),
        target=(rng.random(n_rows) < 0.5).astype(np.float64),
        weight=None if kind == "fixed width" else rng.random(n_rows).astype(np.float32),
        width=5 if kind == "fixed width" else 0,
    )


@pytest.mark.parametrize("kind", ["fixed width", "ragged", "a long row"])
def test_one_pass_over_many_rows_equals_one_pass_a_row(kind):
    rng = np.random.default_rng(3)
    rows = rows_of(kind, rng, 9000)
    order = rng.permutation(rows.n_rows)
    whole, single = (
        Table.start(FMParams.start(N_FEATURES, 8, np.random.default_rng(0)), find_rule("adagrad"), HYPER)
        for _ in range(2)
    )
    loss = find_loss("logistic")
    total = train_pass(rows, order, whole, loss, HYPER)
    totals = [train_pass(rows, order[i : i + 1], single, loss, HYPER) for i in range(rows.n_rows)]
    np.testing.assert_array_equal(whole.data, single.data)
    np.testing.assert_array_equal(whole.bias, single.bias)
    assert total == pytest.approx(sum(totals), rel=1e-12)


def test_nothing_in_the_order_changes_nothing():
    rows = rows_of("ragged", np.random.default_rng(0), 10)
    table = Table.start(FMParams.start(N_FEATURES, 8, np.random.default_rng(0)), find_rule("adagrad"), HYPER)
    before = table.data.copy()
    assert train_pass(rows, np.empty(0, np.int64), table, find_loss("logistic"), HYPER) == 0.0
    np.testing.assert_array_equal(table.data, before)
