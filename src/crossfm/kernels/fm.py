"""Second-order machine: passes and scores over ``Rows``. Callers check ids and options."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule
from crossfm.data.rows import Rows
from crossfm.kernels.fields import longest_row
from crossfm.kernels.machine import Data, windows
from crossfm.kernels.table import Table, record_floats

FIELDS = False  # it does not look at them
BATCH_ROWS = 256  # of a synchronous mini-batch
ROWS_AT_ONCE = 1 << 14  # of which relations are added: their sums stay in the cache

table = Table.start


def from_arrays(arrays: dict[str, NDArray[Any]]) -> FMParams:
    """Return stored parameters, packed for scoring."""
    return FMParams.from_arrays(arrays).packed()


def start(
    rows: Data,
    n_factors: int,
    rng: np.random.Generator,
    rule: Rule,
    hyper: Hyper,
    *,
    scale: float,
    bias: float,
) -> Table:
    """Return a table for a fresh start; see ``machine.Machine`` for this and the other verbs."""
    return Table.drawn(rows.n_features, n_factors, rng, rule, hyper, scale=scale, bias=bias)


def table_bytes(rows: Data, n_factors: int, rule: Rule) -> int:
    """Return the bytes that the table of ``start`` will take."""
    return 4 * rows.n_features * record_floats(n_factors, rule)


def forget_unseen(table: Table, rows: Data, hyper: Hyper) -> None:
    """Zero ``V`` of features that no row has: a vector that never trains would only add noise."""
    forget(table, np.flatnonzero(~occurring(table.n_features, rows)), hyper)


def forget(table: Table, ids: NDArray[np.int64], hyper: Hyper) -> None:
    """Zero ``V`` of the features ``ids``."""
    if len(ids):
        table.start_V(ids, np.broadcast_to(np.float32(0), (len(ids), table.n_factors)), hyper)


def wake(table: Table, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float) -> Table:
    """Give features of ``rows`` whose ``V`` is all zero new start values: from zero they never learn a pair."""
    if table.n_factors:
        wake_ids(table, np.flatnonzero(occurring(table.n_features, rows)), rng, hyper, scale=scale)
    return table


def wake_ids(
    table: Table, ids: NDArray[np.int64], rng: np.random.Generator, hyper: Hyper, *, scale: float
) -> None:
    """Do the same for those of the features ``ids``."""
    asleep = ids[table.asleep(ids)]
    V = rng.standard_normal((len(asleep), table.n_factors), dtype=np.float32) * np.float32(scale)
    table.start_V(asleep, V, hyper)


def occurring(n_features: int, rows: Data) -> NDArray[np.bool_]:
    """Mark (n_features,) the features that some row has."""
    seen = np.zeros(n_features, bool)
    for part in windows(rows):
        mark(part, seen)
        del part  # a stream reads the next one
    return seen


def mark(rows: Rows, seen: NDArray[np.bool_]) -> None:
    """Set ``seen`` (n_features,) for the features of ``rows``."""
    for part in (rows, *(relation.rows for relation in rows.relations)):
        _kernels.mark(part.indices, seen)


def scores(
    rows: Rows, params: FMParams | Table, *, n_threads: int = 1, sums: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return raw scores (n_rows,), float32.

    ``sums`` (n_rows, n_factors), if given, is filled with s_f = sum_i v_if x_i of each row. Relations are scored once,
    and what their rows share with the others is <s, s of the relation>.
    """
    bias = params.bias if isinstance(params, FMParams) else params.bias[0]
    if not rows.relations:
        return _scores(rows, params, bias, sums, n_threads)
    V = params.V if isinstance(params, FMParams) else params.stored_V
    if sums is None:
        sums = np.empty((rows.n_rows, V.shape[1]), np.float32)
    out = _scores(rows, params, bias, sums, n_threads)
    for relation in rows.relations:
        own = np.empty((relation.rows.n_rows, V.shape[1]), np.float32)
        score = _scores(relation.rows, params, 0.0, own, n_threads)
        for start in range(0, rows.n_rows, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            index = relation.index[part]
            more = own[index]
            out[part] += score[index] + np.einsum("ij,ij->i", sums[part], more)
            sums[part] += more
    return out


def _scores(
    rows: Rows, params: FMParams | Table, bias: Any, sums: NDArray[np.float32] | None, n_threads: int
) -> NDArray[np.float32]:
    out = np.empty(rows.n_rows, np.float32)
    V = params.V if isinstance(params, FMParams) else params.stored_V
    _kernels.fm_scores(
        rows.indptr, rows.indices, rows.values, rows.width, rows.n_rows, single(bias), params.w, packed(V), out, sums,
        n_threads,
    )  # fmt: skip
    return out


def packed(V: NDArray[Any]) -> NDArray[Any]:
    """Return ``V`` with the factors of a feature side by side, as kernels read them in one go."""
    return V if V.shape[1] < 2 or V.strides[1] == V.itemsize else np.ascontiguousarray(V)


def single(value: Any) -> float:
    """Round to float32: the binding refuses a number that float32 does not hold exactly."""
    return float(np.float32(value))


def train_pass(
    rows: Rows,
    order: NDArray[np.int64],
    table: Table,
    loss: Loss,
    hyper: Hyper,
    *,
    n_threads: int = 1,
    deterministic: bool = False,
) -> float:
    """Visit the rows in ``order``, moving ``table``; return the sum of the losses before each update.

    One thread updates row by row and is exact. Several work on private copies of the frequent features' records,
    reconciled every few thousand rows, and race on the others (Hogwild); or with ``deterministic`` on synchronous
    mini-batches of ``BATCH_ROWS`` rows, whose result does not depend on ``n_threads``.
    """
    copies = n_threads * _kernels.HOT_PLACES if n_threads > 1 and not deterministic else 0
    spare = table.spare(copies) if copies else None  # first: it may move the table
    common = (
        table.rule.code, rows.indptr, rows.indices, rows.values, rows.width, order, table.data, table.padded,
        table.w_at, table.rule.half, table.bias, rows.target, rows.weight, loss.code,
        hyper_dict(hyper, table.n_factors), n_threads,
    )  # fmt: skip
    if deterministic:
        return float(_kernels.fm_batches(*common, BATCH_ROWS))
    longest = longest_row(rows) if copies else 0
    total = float(_kernels.fm_pass(*common, spare, longest, table.visited))
    table.visited += len(order)
    return total


def hyper_dict(hyper: Hyper, n_factors: int) -> dict[str, Any]:
    """Return the kernel's form of the rule's numbers."""
    return {
        "learning_rate": hyper.learning_rate,
        "l1_w": hyper.l1_w,
        "l2_w": hyper.l2_w,
        "l1_V": hyper.l1_V,
        "l2_V": hyper.l2_V,
        "ftrl_beta": hyper.ftrl_beta,
        "ftrl_decay": hyper.ftrl_decay,
        "adam_beta1": hyper.adam_beta1,
        "adam_beta2": hyper.adam_beta2,
        "adam_eps": hyper.adam_eps,
        "adam_scale": adam_scale(hyper.adam_beta1, hyper.adam_beta2),
        "factor_share": 1.0 / max(n_factors, 1),
    }


@lru_cache(maxsize=8)
def adam_scale(beta1: float, beta2: float) -> NDArray[np.float32]:
    """Bias correction sqrt(1 - beta2^t) / (1 - beta1^t) for t = 1, 2, ... until it is 1 in float32."""
    slowest = max(beta1, beta2)
    steps = 1 if slowest <= 0 else int(min(np.ceil(np.log(1e-9) / np.log(slowest)), 1e6)) + 1
    t = np.arange(1, steps + 1, dtype=np.float64)
    return (np.sqrt(1.0 - beta2**t) / (1.0 - beta1**t)).astype(np.float32)


def isa() -> str:
    """Name of the instruction set in use: plain, avx2 or avx512."""
    return str(_kernels.isa())


def set_isa(name: str) -> bool:
    """Switch the instruction set; False when this processor or build lacks it."""
    return bool(_kernels.set_isa(name))
