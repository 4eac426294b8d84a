"""Embeddings of mini-batches for networks: looked up in one pass, moved once a touched record. Callers check ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.kernels.fields import longest_row
from crossfm.kernels.fm import hyper_dict, single
from crossfm.kernels.table import Table

Floats = NDArray[np.float32]
RULES = ("adagrad-row", "adagrad", "adam", "sgd")  # FTRL's closed form takes the gradient of one row
PLACES = 32  # bits for a row of the batch and a place in it


@dataclass
class Memory:
    """Arrays that are used again from batch to batch: fresh memory costs as much as filling it."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def empty(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """Return an array of that shape, with whatever is in it."""
        size = int(np.prod(shape))
        held = self.arrays.get(name)
        if held is None or len(held) < size:
            held = self.arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


@dataclass(frozen=True)
class Layout:
    """What is the same for all batches of some rows.

    Attributes
    ----------
    n_fields : int
    single : bool
        Every row has exactly one non-zero of each field: outputs need not be cleared.
    shift : int
        Bits that a place in a row takes.
    low, span : uint32 (width,) or None
        Smallest id of each column and the number of ids from there on, where each row has one id of each column and
        no two columns share one: then each column is sorted by itself.
    plain : bool (width,) or None
        Columns of fixed width whose values are all 1.
    """

    n_fields: int
    single: bool
    shift: int
    low: NDArray[np.uint32] | None = None
    span: NDArray[np.uint32] | None = None
    plain: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, rows: Rows, n_fields: int, *, moves: bool = True) -> Layout:
        """Return the layout of ``rows`` for a network of ``n_fields``; without ``moves`` for ``look_up`` alone.

        What ``sort`` and ``update`` ask takes a look at every id and value.
        """
        fields = rows.fields
        same = rows.indptr is None and fields is not None and len(fields) == rows.width == n_fields
        once = same and fields is not None and len(np.unique(fields)) == n_fields
        shift = max(longest_row(rows) - 1, 1).bit_length()
        if rows.indptr is not None or rows.n_rows == 0 or not moves:
            return cls(n_fields, bool(once), shift)
        ids = rows.indices.reshape(-1, rows.width)
        low, high = ids.min(axis=0), ids.max(axis=0)
        by_low = np.argsort(low)
        apart = bool((low[by_low][1:] > high[by_low][:-1]).all())
        plain = None if rows.values is None else (rows.values.reshape(-1, rows.width) == 1).all(axis=0)
        if not apart:
            return cls(n_fields, bool(once), shift, plain=plain)
        return cls(n_fields, bool(once), shift, low, high - low + 1, plain)

    def check_batch(self, n_rows: int) -> None:
        """Raise ``OptionError`` for a batch of rows too many and too long to be numbered."""
        if max(n_rows - 1, 1).bit_length() + self.shift > PLACES:
            raise OptionError(
                f"batch_size={n_rows} and rows of up to {2**self.shift} features are too much at once; "
                f"take a batch_size of at most {2 ** (PLACES - self.shift)}"
            )


@dataclass(frozen=True)
class LookedUp:
    """What ``look_up`` found, or gradients of that, row i for ``order[i]``; None where there is none.

    Attributes
    ----------
    linear : (n,) or None
    embedded : (n, n_fields, n_factors) or None
    weights : (n, n_fields) or None
    pooled : (n, n_factors) or None
    pair : (n,) or None
    sums : (n, padded) or None
        Of the factors, for the way back.
    """

    linear: Floats | None = None
    embedded: Floats | None = None
    weights: Floats | None = None
    pooled: Floats | None = None
    pair: Floats | None = None
    sums: Floats | None = None


@dataclass(frozen=True)
class Penalties:
    """L2 on the features that a batch touches, and CowClip's bounds.

    A feature shrinks by ``l2`` times its ``rarity`` for each row of the batch that has it. Where rarity is the number
    of all rows over that of those with the feature, this is l2 / 2 |V|^2 on the whole table beside the mean loss,
    spread over the rows that touch it: rare features are held as firmly as frequent ones. Without, it is one a row.

    ``clip`` is r and ``clip_floor`` zeta of Zheng et al., "CowClip: Reducing CTR Prediction Model Training Time from 12
    Hours to 10 Minutes on 1 GPU", AAAI 2023, algorithm 1; ``clip`` 0 clips nothing. Ours bounds the gradient of the
    summed loss and not of the mean, as gradients are summed here: the same bound for batches of any size.
    """

    l2_V: float = 0.0
    l2_w: float = 0.0
    rarity: NDArray[np.float32] | None = None
    clip: float = 0.0
    clip_floor: float = 1e-5


def look_up(
    rows: Rows,
    order: NDArray[np.int64],
    table: Table,
    layout: Layout,
    uses: Iterable[str],
    memory: Memory,
    *,
    n_threads: int = 1,
) -> LookedUp:
    """Look the rows ``order`` up; ``uses`` names what is wanted beside ``linear``. Arrays are those of ``memory``."""
    n, k = len(order), table.n_factors
    shapes = {
        "linear": (n,),
        "embedded": (n, layout.n_fields, k),
        "weights": (n, layout.n_fields),
        "pooled": (n, k),
        "pair": (n,),
        "sums": (n, table.padded),
    }
    wanted = {"linear", *uses}
    if wanted & {"pooled", "pair"}:
        wanted.add("sums")
    out = LookedUp(**{name: memory.empty(name, shapes[name]) for name in shapes if name in wanted})
    _kernels.embedding_look_up(
        rows.indptr, rows.indices, rows.values, rows.width, rows.fields, order, table.data, table.padded, table.w_at,
        k, layout.n_fields, layout.single, out.linear, out.embedded, out.weights, out.sums, out.pooled, out.pair,
        n_threads,
    )  # fmt: skip
    return out


@dataclass(frozen=True)
class Sorted:
    """The non-zeros of a batch in the order of their ids; arrays are those of a ``Memory``.

    Attributes
    ----------
    order : int64 (n,)
        Which rows.
    places : uint64 (nnz,)
        id << 32 | row of the batch << shift | place in the row.
    starts : int64 (n_ids + 1,)
        Where each id begins in ``places``.
    n_ids : int
    xs : float32 (nnz,) or None
        Values, column by column, where each column was sorted by itself.
    """

    order: NDArray[np.int64]
    places: NDArray[np.uint64]
    starts: NDArray[np.int64]
    n_ids: int
    xs: Floats | None


def sort(
    rows: Rows, order: NDArray[np.int64], layout: Layout, memory: Memory, *, n_threads: int = 1
) -> Sorted:
    """Sort the non-zeros of the rows ``order``: best done right after ``look_up``, while they are in the cache."""
    offsets = rows.indptr
    nnz = len(order) * rows.width if offsets is None else int((offsets[order + 1] - offsets[order]).sum())
    places, starts = memory.empty("places", (nnz,), np.uint64), memory.empty("starts", (nnz + 1,), np.int64)
    spare = memory.empty("spare", (max(nnz, 2 * len(order) * n_threads),), np.uint64)
    by_column = layout.low is not None
    keys = memory.empty("keys", (nnz,), np.uint32) if by_column else None
    xs = memory.empty("xs", (nnz,)) if by_column and rows.values is not None else None
    n_ids = _kernels.embedding_sort(
        rows.indptr, rows.indices, rows.values, rows.width, order, rows.n_features, layout.shift, places, spare, starts,
        layout.low, layout.span, keys, xs, n_threads,
    )  # fmt: skip
    return Sorted(order, places, starts, int(n_ids), xs)


def update(
    rows: Rows,
    batch: Sorted,
    table: Table,
    layout: Layout,
    gradients: LookedUp,
    hyper: Hyper,
    penalties: Penalties,
    *,
    learning_rate_w: float,
    n_threads: int = 1,
) -> None:
    """Move each feature of ``batch``, which ``sort`` made of ``rows``, once.

    It moves by the gradient of the summed loss, so rates mean the same for batches of any size; then it shrinks by
    the penalties, implicitly: v / (1 + rate * l2) with the rule's rate for a gradient of 1. ``gradients`` are those of
    the mean loss by the outputs of ``look_up`` (None: none), but for ``sums``, which are what it gave.
    ``hyper.learning_rate`` is that of the factors. The result is the same for any number of threads.
    """
    bare = replace(hyper, l1_w=0.0, l1_V=0.0, l2_w=0.0, l2_V=0.0)
    _kernels.embedding_update(
        table.rule.code, rows.indptr, rows.indices, rows.values, rows.width, rows.fields, batch.order, table.data,
        table.padded, table.w_at, table.n_factors, layout.n_fields, layout.shift, batch.places, batch.starts,
        batch.n_ids, gradients.linear, gradients.embedded, gradients.weights, gradients.pooled, gradients.pair,
        gradients.sums,
        hyper_dict(bare, table.n_factors),
        hyper_dict(replace(bare, learning_rate=learning_rate_w), table.n_factors), single(penalties.l2_V),
        single(penalties.l2_w), penalties.rarity, single(penalties.clip), single(penalties.clip_floor), batch.xs,
        layout.plain, n_threads,
    )  # fmt: skip
