"""Pairs and negatives: who should stand above whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_choice
from crossfm.data.rows import Rows
from crossfm.errors import DataError
from crossfm.kernels.choices import Negatives, alias_table, chosen_bits

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
POPULARITY_POWER = 0.75  # as in word2vec's negative sampling: popular, but less than proportionally


@dataclass(frozen=True, eq=False)
class LabelPairs:
    """Pairs of rows of one group in which the first has the larger label.

    Attributes
    ----------
    better : int (n_pairs,)
        Rows that have a lower one in their group.
    low, high : int (n_pairs,)
        Those lower ones are ``rows[low:high]``.
    rows : int (n_rows,)
        All rows, sorted by group and label.
    """

    better: Positions
    low: Positions
    high: Positions
    rows: Positions

    @classmethod
    def of(cls, y: NDArray[np.float64], groups: NDArray[Any]) -> LabelPairs:
        """Prepare the pairs of labels ``y`` (n_rows,) inside ``groups`` (n_rows,)."""
        group = group_codes(groups)
        rows = np.lexsort((y, group))
        group, y = group[rows], y[rows]
        low = np.searchsorted(group, group, side="left")
        first_of_label = np.r_[True, (y[1:] != y[:-1]) | (group[1:] != group[:-1])]
        high = np.maximum.accumulate(np.where(first_of_label, np.arange(len(y)), 0))
        some = high > low
        return cls(rows[some], low[some], high[some], rows)

    def __len__(self) -> int:
        return len(self.better)

    def draw(self, which: Positions, rng: np.random.Generator) -> tuple[Positions, Positions]:
        """Return better and worse rows for the pairs ``which``."""
        low, high = self.low[which], self.high[which]
        return self.better[which], self.rows[low + (rng.random(len(which)) * (high - low)).astype(np.int64)]

    def looks(self) -> Floats:
        """Return how often a visit to every pair is expected to look at each row (n_rows,), on either side."""
        share, n = 1.0 / (self.high - self.low), len(self.rows)
        drawn = np.cumsum(np.bincount(self.low, share, n) - np.bincount(self.high, share, n + 1)[:n])
        looks = np.bincount(self.better, minlength=n).astype(np.float64)
        looks[self.rows] += drawn
        return looks


class CatalogueNegatives:
    """Negatives from the whole catalogue, without what the group (the user) has chosen.

    Parameters
    ----------
    positives : int (n,)
        Chosen catalogue positions.
    groups : (n,) or None
        Whose choice each is; None: only the row's own positive is left out.
    n_items : int
    kind : {"uniform", "popularity"}
        Equal chances, or proportional to (weight of its choices + 1)^0.75.
    weight : (n,) or None
        Of each choice.

    Attributes
    ----------
    negatives : Negatives
        The same for the kernel, which draws.
    count : float64 (n_items,)
        Weight of each item's choices.
    offset : float32 (n_items,) or None
        -log of the chance to be drawn (up to a constant) when chances differ. Added to the score in training,
        it keeps popular negatives from teaching that popular is bad: Bengio & Senecal 2008; Yi et al., RecSys
        2019, eq. (3).
    """

    def __init__(
        self, positives: Positions, groups: Any, n_items: int, kind: str, weight: Any = None
    ) -> None:
        check_choice("negatives", kind, ("uniform", "popularity"))
        self.n_items = n_items
        arrays: dict[str, Any] = {}
        if groups is not None:
            group = group_codes(groups)
            keys = np.unique(group * n_items + positives)
            starts = np.arange(group.max(initial=-1) + 2) * n_items
            arrays |= {"group": group, "indptr": np.searchsorted(keys, starts)}
            arrays["chosen"] = (keys % n_items).astype(np.uint32)
            arrays["bits"] = chosen_bits(arrays["indptr"], arrays["chosen"], n_items)
        self.count = np.bincount(positives, weight, n_items).astype(np.float64)
        self.offset = None
        chance = np.ones(n_items)
        if kind == "popularity":
            chance = (self.count + 1.0) ** POPULARITY_POWER
            arrays["keep"], arrays["alias"] = alias_table(chance)
            self.offset = -np.log(chance).astype(np.float32)
        self._chance = chance / chance.sum()
        self.negatives = Negatives(n_items, positives, **arrays)

    def any_negative(self) -> bool:
        """Whether some group leaves an item unchosen."""
        indptr, chosen = self.negatives.indptr, self.negatives.chosen
        if indptr is None or chosen is None:
            return self.n_items > 1
        return len(chosen) < (len(indptr) - 1) * self.n_items

    def looks(self, each: int) -> tuple[Floats, Floats]:
        """Return how often a visit to every choice is expected to look at its query (n,), and at each item (n_items,).

        The query is looked at beside the chosen item and ``each`` negatives, which come with their chances among what
        the group leaves; where it leaves nothing there is no visit.
        """
        known, positive = self.negatives, self.negatives.positive
        if known.indptr is None or known.chosen is None or known.group is None:
            group = owner = np.arange(len(positive))
            chosen, n_groups = positive, len(positive)
        else:
            group, chosen, n_groups = known.group, known.chosen.astype(np.int64), len(known.indptr) - 1
            owner = np.repeat(np.arange(n_groups), np.diff(known.indptr))
        leaves = np.bincount(owner, minlength=n_groups) < self.n_items
        left = 1.0 - np.bincount(owner, self._chance[chosen], n_groups)
        rate = np.bincount(group, minlength=n_groups) / np.where(leaves, left, 1.0)
        drawn = rate.sum() - np.bincount(chosen, rate[owner], self.n_items)
        visited = leaves[group].astype(np.float64)
        chose = np.bincount(positive, visited, self.n_items)
        return (1 + each) * visited, chose + each * self._chance * drawn


def group_codes(groups: Any) -> Positions:
    """Number the groups (n,) by value, from 0. Raises ``DataError`` where they cannot be compared."""
    values = np.asarray(groups)
    if values.ndim != 1:
        raise DataError(f"groups has shape {values.shape}, but one group a row, (n_rows,), is expected")
    try:
        order = np.argsort(values, kind="stable")
    except TypeError as exc:
        raise DataError(
            f"groups cannot be compared with each other: {exc}. Pass numbers or texts only."
        ) from exc
    ordered = values[order]
    new = np.r_[False, ordered[1:] != ordered[:-1]]
    codes = np.empty(len(values), np.int64)
    codes[order] = np.cumsum(new)
    return codes


def distinct_rows(rows: Rows) -> tuple[Positions, Positions]:
    """Return where each distinct row comes first (n_distinct,), and the number of each row's (n_rows,)."""
    offsets = rows.offsets()
    numbers: dict[tuple[bytes, bytes], int] = {}
    first: list[int] = []
    code = np.empty(rows.n_rows, np.int64)
    for row, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        values = b"" if rows.values is None else rows.values[start:stop].tobytes()
        code[row] = numbers.setdefault((rows.indices[start:stop].tobytes(), values), len(numbers))
        if code[row] == len(first):
            first.append(row)
    return np.array(first, np.int64), code


def popularity_start(items: Rows, count: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return start values of ``w`` (n_features,) under which items score log(1 + count).

    That is the best order without personalisation, as a classifier's bias starts at the log odds.
    """
    return own_features_start(items, np.log1p(count))


def own_features_start(items: Rows, scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return start values of ``w`` (n_features,) under which items have these scores (n_items,).

    They are put on the features that belong to one item alone (its id): the smallest weights that do it. Items without
    such a feature start at 0.
    """
    row = np.repeat(np.arange(items.n_rows), np.diff(items.offsets()))
    holders = np.bincount(items.indices, minlength=items.n_features)
    x = items.value_of_each().astype(np.float64)
    own = (holders[items.indices] == 1) & (x != 0)
    row, x, feature = row[own], x[own], items.indices[own]
    length = np.bincount(row, x**2, items.n_rows)
    start = np.zeros(items.n_features, np.float32)
    start[feature] = scores[row] * x / length[row]
    return start
