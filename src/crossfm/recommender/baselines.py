"""Recommenders that are simple and hard to beat: popularity, item-kNN, EASE. Each scores the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.core.options import check_number
from crossfm.errors import MemoryLimitError, OptionError
from crossfm.recommender.best import best_items
from crossfm.recommender.from_items import EASE, ItemKNN
from crossfm.recommender.seen import Positions, Seen, Skip
from crossfm.recommender.times import age_weight

Floats = NDArray[np.float32]
NAMES = ("popularity", "item-kNN", "EASE")


class Baseline(Protocol):
    """What evaluation puts beside a recommender.

    Attributes
    ----------
    name : str
    counts_ : float64 (n_items,)
        Popularity of each item: the order of equal scores, and of all items for users without interactions.
    """

    name: str
    counts_: NDArray[np.float64]

    def scores(self, seen: Seen) -> Floats:
        """Return scores (n_users, n_items) for users who have interacted with ``seen``."""


def lists(baseline: Baseline, seen: Seen, n: int, skip: Skip | None = None) -> Positions:
    """Return the best ``n`` items (n_users, n) of each user, without what was seen; -1 where none is left.

    ``skip`` takes the place of what was seen, as what to leave out. Equal scores come in the order of popularity.
    """
    return best_items(
        baseline.scores(seen),
        n,
        (seen.indptr, seen.items) if skip is None else skip,
        first=order_of(baseline),
    )


def order_of(baseline: Baseline) -> Positions:
    """Return the items by falling popularity, ties by position."""
    return np.argsort(-baseline.counts_, kind="stable")


class Popularity:
    """The same order for all: interactions of each item.

    Parameters
    ----------
    counts : (n_items,)
    name : str, default="popularity"
    """

    def __init__(self, counts: ArrayLike, name: str = "popularity") -> None:
        self.counts_ = np.asarray(counts, np.float64)
        self.name = name

    @classmethod
    def halved(
        cls, item: Positions, seconds: NDArray[np.float64], n_items: int, half_life: float
    ) -> Popularity:
        """Count each interaction half for every ``half_life`` days of its age before the latest one.

        ``item`` and ``seconds`` (n,) are the position and the time of each interaction.
        """
        check_number("half_life", half_life)
        counts = np.bincount(item, age_weight(seconds, half_life), n_items)
        return cls(counts, "recent popularity")

    def scores(self, seen: Seen) -> Floats:
        """Return scores (n_users, n_items)."""
        return np.tile(self.counts_.astype(np.float32), (len(seen.indptr) - 1, 1))


def fit_baselines(
    seen: Seen, counts: ArrayLike, names: Sequence[str] = NAMES, *, recent: ArrayLike | None = None
) -> tuple[list[Baseline], list[str]]:
    """Fit the baselines ``names`` and say which were left out, and why.

    ``counts`` (n_items,) are all interactions; ``recent``, halved by age, adds "recent popularity" to "popularity", and
    is what the others give users without interactions.
    Raises ``OptionError`` for an unknown name.
    """
    for name in names:
        if name not in NAMES:
            raise OptionError(f"baselines has {name!r}, but there are {', '.join(NAMES)}")
    n_items = len(np.asarray(counts))
    found: list[Baseline] = []
    notes: list[str] = []
    for name in dict.fromkeys(names):
        if name == "popularity":
            found.append(Popularity(counts))
            found += [] if recent is None else [Popularity(recent, "recent popularity")]
            continue
        machine: Any = ItemKNN() if name == "item-kNN" else EASE()
        try:
            found.append(machine.fit(seen, n_items, counts if recent is None else recent))
        except MemoryLimitError as exc:
            notes.append(f"{name} is left out: {exc}")
    return found, notes
