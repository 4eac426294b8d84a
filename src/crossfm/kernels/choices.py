"""Learning from choices out of a catalogue, with negatives drawn inside the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.fm import hyper_dict
from crossfm.kernels.table import Table

Positions = NDArray[np.int64]
LOSSES = ("bpr", "warp", "softmax")
NO_ITEM = 2**32 - 1
BITS_OVER_LIST = 4  # memory for looking a choice up in one step instead of by binary search


@dataclass(frozen=True, eq=False)
class Negatives:
    """From where negatives are drawn, as arrays.

    Attributes
    ----------
    n_items : int
    positive : int64 (n_choices,)
        The chosen item.
    keep, alias : float32, uint32 (n_items,) or None
        An alias table; None: all items alike.
    group : int64 (n_choices,) or None
        Whose choice it is; None: only the own positive is left out.
    indptr, chosen : int64 (n_groups + 1,), uint32 (n_chosen,) or None
        What each group has chosen, sorted; never drawn for it.
    bits : uint32 (n_groups, ceil(n_items / 32)) or None
        The same, a bit for each item: asked instead of ``chosen``.
    hard : uint32 (n_lists, hard_width) or None
        Lists of items that make hard negatives; ``NO_ITEM`` stands where a list has no more.
    hard_list : int64 (n_choices,) or None
        Which list is the choice's; -1: none.
    hard_share : float
        Chance that a negative is drawn from the list, where there is one; what the list cannot give, or what is of
        ``chosen``, is drawn as the others are.
    """

    n_items: int
    positive: Positions
    keep: NDArray[np.float32] | None = None
    alias: NDArray[np.uint32] | None = None
    group: Positions | None = None
    indptr: Positions | None = None
    chosen: NDArray[np.uint32] | None = None
    bits: NDArray[np.uint32] | None = None
    hard: NDArray[np.uint32] | None = None
    hard_list: Positions | None = None
    hard_share: float = 0.0

    def to_kernel(self) -> dict[str, Any]:
        """Return the arrays as the kernel takes them."""
        return vars(self) | {"hard_width": 0 if self.hard is None else self.hard.shape[1]}

    def draw(self, which: Positions, each: int, seed: int, *, chosen_too: bool = False) -> Positions:
        """Return what a pass over ``which`` with this seed draws: (n, each), -1 where nothing was found.

        With ``chosen_too`` what WARP draws, which leaves out the group's choices only afterwards.
        """
        out = np.empty((len(which), each), np.int64)
        _kernels.draw_negatives(self.to_kernel(), seed, chosen_too, which, out)
        return out


def chosen_bits(indptr: Positions, chosen: NDArray[np.uint32], n_items: int) -> NDArray[np.uint32] | None:
    """Return ``Negatives.bits``, or None where they would take more than ``BITS_OVER_LIST`` times the lists' bytes."""
    n_groups, words = len(indptr) - 1, -(-n_items // 32)
    if n_groups * words > BITS_OVER_LIST * len(chosen):
        return None
    bits = np.zeros((n_groups, words), np.uint32)
    group = np.repeat(np.arange(n_groups), np.diff(indptr))
    np.bitwise_or.at(bits, (group, chosen // 32), np.uint32(1) << chosen % 32)
    return bits


def alias_table(chance: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return ``keep`` and ``alias`` for chances (n_items,) up to a constant.

    M. D. Vose, "A linear algorithm for generating random numbers with a given distribution", 1991.
    """
    n = len(chance)
    mass = (chance * (n / chance.sum())).tolist()
    keep, alias = np.ones(n, np.float32), np.arange(n, dtype=np.uint32)
    small = [i for i in range(n) if mass[i] < 1.0]
    large = [i for i in range(n) if mass[i] >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        keep[low], alias[low] = mass[low], high
        mass[high] -= 1.0 - mass[low]
        if mass[high] < 1.0:
            small.append(large.pop())
    return keep, alias


def rank_weights(n_items: int, max_sampled: int) -> NDArray[np.float32]:
    """Return WARP's weight of a violation found at draw N = 1 .. max_sampled, (max_sampled,).

    L(rank) = 1 + 1/2 + ... + 1/rank, about log(rank), at the estimate rank = floor((n_items - 1) / N), at least 1.
    Weston, Bengio, Usunier, "WSABIE: Scaling up to large vocabulary image annotation", IJCAI 2011, algorithm 1.
    """
    harmonic = np.cumsum(1.0 / np.arange(1, max(n_items, 2)))
    rank = np.maximum((n_items - 1) // np.arange(1, max_sampled + 1), 1)
    return np.asarray(harmonic[rank - 1], np.float32)


def choice_pass(
    loss: str,
    queries: Rows,
    items: Rows,
    which: Positions,
    negatives: Negatives,
    table: Table,
    hyper: Hyper,
    *,
    seed: int,
    n_negatives: int = 1,
    weight: NDArray[np.float32] | None = None,
    offset: NDArray[np.float32] | None = None,
    n_threads: int = 1,
) -> tuple[float, int]:
    """Visit the choices ``which`` (n,) in order: row c of ``queries`` chose ``negatives.positive[c]`` of ``items``.

    ``loss`` is "bpr" (one negative), "warp" (``n_negatives`` draws at most) or "softmax" (``n_negatives``).
    ``weight`` (n_choices,) weighs choices, ``offset`` (n_items,) is added to scores while training (not WARP).
    WARP's draws include the group's choices, which count but move nothing. Returns the sum of the losses before each
    update, and how many choices had a negative (WARP: all).
    """
    ranks = rank_weights(negatives.n_items, n_negatives) if loss == "warp" else None
    pool = negatives.to_kernel()
    total, used = _kernels.fm_choices(
        loss, table.rule.code, queries.indptr, queries.indices, queries.values, queries.width, items.indptr,
        items.indices, items.values, items.width, which, weight, offset, pool, seed, n_negatives, ranks,
        table.data, table.padded, table.w_at, hyper_dict(hyper, table.n_factors), n_threads,
    )  # fmt: skip
    return float(total), int(used)
