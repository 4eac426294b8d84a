"""What the ranking knows of an item for a query that recall cannot know: numbers of both together.

A machine of recall is an inner product of the query's features and the item's. Where an item stands in recall's list,
how near it is to those that the user has, how often it was taken lately and how new it is are numbers behind these
features. They are told in deviations from their mean over the list that recall finds for the query: on ML-100K and
ML-1M this was better than the plain numbers, whose level differs from user to user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.recommender.from_items import ItemKNN
from crossfm.recommender.seen import Positions, Seen, offsets

Floats = NDArray[np.float32]
Frame = tuple[Floats, Floats]
NEIGHBOURS = 50  # of each item: 400 bytes
HALF_LIVES = (
    1 / 64,
    1 / 16,
    1 / 4,
)  # of popularity, in shares of the whole log: the same for slow and fast ones
KNOWN = (0, 1, 5, 20, 100)  # steps of how many items of the user's are known: how far to trust nearness
NUMBERS = ("recall", "near", *(f"popular {share:g}" for share in HALF_LIVES), "popular", "age")
FARTHEST = 5.0  # deviations: of a short list they may be tiny
N_FIELDS = len(NUMBERS) + 1  # the last is the step
N_FEATURES = len(NUMBERS) + len(KNOWN)


@dataclass(frozen=True, eq=False)
class Signals:
    """What a part of the log tells of its items.

    Attributes
    ----------
    of_item : float32 (len(NUMBERS) - 2, n_items)
        log(1 + popularity) for each half-life and for none, and log(1 + age): since an item came first.
    indptr, neighbours, nearness : int64 (n_items + 1,), int32 and float32 (nnz,)
        The items nearest to each item; see ``ItemKNN``.
    """

    of_item: Floats
    indptr: Positions
    neighbours: NDArray[np.int32]
    nearness: Floats

    @classmethod
    def fit(cls, user: Positions, item: Positions, *, n_users: int, n_items: int, n_log: int) -> Signals:
        """Learn from interactions (n,) in the order of time, the earlier part of a log of ``n_log``.

        Age is told in interactions, as a share of that log.
        """
        age = np.arange(len(item))[::-1] / n_log
        rows = [np.log1p(np.bincount(item, 0.5 ** (age / share), n_items)) for share in HALF_LIVES]
        rows.append(np.log1p(np.bincount(item, minlength=n_items)))
        first = np.zeros(n_items)
        first[item[::-1]] = age[::-1]
        rows.append(np.log1p(first / HALF_LIVES[0]))
        near = ItemKNN(NEIGHBOURS).fit(Seen.of(user, item, n_users), n_items).weights_
        ids, value = near.indices.astype(np.int32), near.data.astype(np.float32)
        return cls(np.array(rows, np.float32), near.indptr.astype(np.int64), ids, value)

    def of(self, past: Any, items: Positions, recalled: Floats) -> Floats:
        """Return the numbers (n, len(NUMBERS)) of ``items`` (n,) for one query.

        ``past`` (n_past,) are the items of its user, ``recalled`` (n,) recall's scores. Items that came after ``fit``
        are as items that nobody took.
        """
        known = items < len(self.indptr) - 1
        at = np.where(known, items, 0)
        out = np.zeros((len(items), len(NUMBERS)), np.float32)
        out[:, 0] = recalled
        out[:, 1] = self._near(past, at, known)
        out[:, 2:] = (self.of_item[:, at] * known).T
        return out

    def _near(self, past: Any, at: Positions, known: NDArray[np.bool_]) -> Floats:
        """Return for each item the sum of its nearness to those of ``past`` that are its neighbours."""
        n_items = len(self.indptr) - 1
        mine = np.zeros(n_items, bool)
        mine[past[past < n_items]] = True
        start = self.indptr[at]
        ends = offsets(np.where(known, self.indptr[at + 1] - start, 0))
        where = np.repeat(start - ends[:-1], np.diff(ends)) + np.arange(ends[-1])
        hit = np.flatnonzero(mine[self.neighbours[where]])  # few of many
        row = np.searchsorted(ends, hit, side="right") - 1
        return np.bincount(row, self.nearness[where[hit]], len(at)).astype(np.float32)

    def to_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays."""
        return {name: getattr(self, name) for name in ("of_item", "indptr", "neighbours", "nearness")}


def frame_of(numbers: Floats) -> Frame:
    """Return mean and deviation of each number over a list (n, len(NUMBERS)); 1 for those that are all equal."""
    if not len(numbers):
        return np.zeros(len(NUMBERS), np.float32), np.ones(len(NUMBERS), np.float32)
    mean = numbers.mean(axis=0, dtype=np.float64)
    spread = numbers.std(axis=0, dtype=np.float64)
    spread[spread < 1e-6 * (1 + np.abs(mean))] = 1.0
    return mean.astype(np.float32), spread.astype(np.float32)


def framed(numbers: Floats, frame: Frame) -> Floats:
    """Return numbers (n, len(NUMBERS)) in deviations from the mean, which are no more than ``FARTHEST``."""
    return np.asarray(np.clip((numbers - frame[0]) / frame[1], -FARTHEST, FARTHEST), np.float32)


def signal_rows(numbers: Floats, n_past: Any) -> Rows:
    """Return numbers (n, len(NUMBERS)), and how many items are known of each user (n,), as rows of ``N_FEATURES``."""
    indices = np.empty((len(numbers), N_FIELDS), np.uint32)
    indices[:, :-1] = np.arange(len(NUMBERS))
    indices[:, -1] = len(NUMBERS) + np.searchsorted(KNOWN, n_past, side="right") - 1
    values = np.ones((len(numbers), N_FIELDS), np.float32)
    values[:, :-1] = numbers
    fields = np.arange(N_FIELDS, dtype=np.uint32)
    return Rows(indices.ravel(), N_FEATURES, values=values.ravel(), fields=fields, width=N_FIELDS)
