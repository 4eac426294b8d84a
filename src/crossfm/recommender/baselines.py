"""Recommenders that are simple and hard to beat: popularity, item-kNN, EASE.

All learn from who interacted with what (X, users by items, 0 and 1) and score the whole catalogue. A user without
any interaction gets the order by popularity from each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.core.memory import show_size
from crossfm.core.options import check_count, check_number
from crossfm.errors import DataError, MemoryLimitError, OptionError
from crossfm.recommender.best import best_items
from crossfm.recommender.seen import Positions, Seen, Skip
from crossfm.recommender.times import age_weight

Floats = NDArray[np.float32]
ITEMS_A_BLOCK = 1_000  # items whose neighbours are found at a time: bounded memory
NAMES = ("popularity", "item-kNN", "EASE")


class Baseline(Protocol):
    """What evaluation puts beside a recommender.

    Attributes
    ----------
    name : str
    counts_ : float64 (n_items,)
        Interactions of each item: the order of equal scores, and of all items for users without any.
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


class _FromItems:
    """Scores X W, with weights W from items to items."""

    name = ""
    n_items_: int
    counts_: NDArray[np.float64]
    weights_: Any

    def scores(self, seen: Seen) -> Floats:
        """Return scores (n_users, n_items), the popularity for users without interactions."""
        X = matrix(seen, self.n_items_)
        product = X @ self.weights_
        out = np.ascontiguousarray(
            product if isinstance(product, np.ndarray) else product.toarray(), np.float32
        )
        out[np.diff(seen.indptr) == 0] = self.counts_
        return out

    def _start(self, seen: Seen, n_items: int) -> Any:
        if not len(seen.items):
            raise DataError(f"{self.name}: there are no interactions to learn from")
        self.n_items_ = n_items
        self.counts_ = np.bincount(seen.items, minlength=n_items).astype(np.float64)
        return matrix(seen, n_items)


class ItemKNN(_FromItems):
    """Items near to those that the user has: the sum of similarities to them, over each item's neighbours.

        s_ij = |U_i & U_j| / (sqrt(|U_i| |U_j|) + shrinkage),    score(u, j) = sum of s_ij over i in seen(u) & N(j)

    with U_i the users of item i, and N(j) the ``n_neighbours`` items most similar to j.

    Parameters
    ----------
    n_neighbours : int, default=100
    shrinkage : float, default=10.0
        Makes similarities that few users speak for smaller; 0 is the plain cosine.

    Attributes
    ----------
    weights_ : scipy CSC (n_items, n_items)
        s_ij in column j, for its neighbours i.

    References
    ----------
    M. Deshpande, G. Karypis. Item-Based Top-N Recommendation Algorithms. ACM TOIS 2004. The shrinkage in the
    denominator is that of M. Ferrari Dacrema et al., Are We Really Making Much Progress?, RecSys 2019, section 3.
    """

    name = "item-kNN"

    def __init__(self, n_neighbours: int = 100, shrinkage: float = 10.0) -> None:
        self.n_neighbours = n_neighbours
        self.shrinkage = shrinkage

    def fit(self, seen: Seen, n_items: int) -> ItemKNN:
        """Find the neighbours of each item from the items of each user."""
        from scipy.sparse import hstack

        check_count("n_neighbours", self.n_neighbours, low=1)
        check_number("shrinkage", self.shrinkage)
        X = self._start(seen, n_items)
        by_item, columns = X.T.tocsr(), X.tocsc()
        blocks = [
            self._neighbours((by_item @ columns[:, start : start + ITEMS_A_BLOCK]).tocsc(), start)
            for start in range(0, n_items, ITEMS_A_BLOCK)
        ]
        self.weights_ = hstack(blocks, format="csc")
        return self

    def _neighbours(self, together: Any, start: int) -> Any:
        """Return the similarities of a block's items, from how many users each pair has (n_items, n_block)."""
        from scipy.sparse import csc_matrix

        together.sort_indices()
        column = np.repeat(np.arange(together.shape[1]), np.diff(together.indptr))
        row, norm = together.indices, np.sqrt(self.counts_)
        value = together.data / (norm[row] * norm[start + column] + self.shrinkage)
        other = row != start + column
        row, column, value = row[other], column[other], value[other]
        order = np.lexsort((row, -value, column))  # ties by position
        at = np.arange(len(order)) - np.searchsorted(column[order], column[order], side="left")
        keep = order[at < self.n_neighbours]
        return csc_matrix((value[keep].astype(np.float32), (row[keep], column[keep])), shape=together.shape)


class EASE(_FromItems):
    """A linear autoencoder of items in closed form: B minimises |X - X B|^2 + l2 |B|^2 with a zero diagonal.

        P = (X^T X + l2 I)^-1,    B_ij = -P_ij / P_jj,  B_jj = 0,    scores X B

    Parameters
    ----------
    l2 : float, default=250.0
    max_items : int, default=20_000
        More are refused: the matrix takes 12 bytes a pair of items while learning, and n_items^3 steps.

    Attributes
    ----------
    weights_ : float32 (n_items, n_items)

    References
    ----------
    H. Steck. Embarrassingly Shallow Autoencoders for Sparse Data. WWW 2019, eq. (8).
    """

    name = "EASE"

    def __init__(self, l2: float = 250.0, max_items: int = 20_000) -> None:
        self.l2 = l2
        self.max_items = max_items

    def fit(self, seen: Seen, n_items: int) -> EASE:
        """Solve for the weights. Raises ``MemoryLimitError`` for more than ``max_items`` items."""
        check_number("l2", self.l2, above=True)
        if n_items > self.max_items:
            raise MemoryLimitError(
                f"EASE inverts a matrix of all pairs of items: {n_items:,} items would take "
                f"{show_size(12.0 * n_items**2)}, and the limit is {self.max_items:,} items. "
                "Leave EASE out, or raise max_items"
            )
        weights = inverse_in_place(_gram(self._start(seen, n_items), self.l2))
        weights /= -np.diag(weights).copy()
        np.fill_diagonal(weights, 0.0)
        self.weights_ = weights.astype(np.float32)
        return self


def fit_baselines(
    seen: Seen, counts: ArrayLike, names: Sequence[str] = NAMES, *, recent: ArrayLike | None = None
) -> tuple[list[Baseline], list[str]]:
    """Fit the baselines ``names`` and say which were left out, and why.

    ``counts`` (n_items,) are all interactions; ``recent``, halved by age, adds "recent popularity" to "popularity".
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
            found.append(machine.fit(seen, n_items))
        except MemoryLimitError as exc:
            notes.append(f"{name} is left out: {exc}")
    return found, notes


def matrix(seen: Seen, n_items: int) -> Any:
    """Return X, float32 CSR (n_users, n_items)."""
    from scipy.sparse import csr_matrix

    shape = (len(seen.indptr) - 1, n_items)
    return csr_matrix(
        (np.ones(len(seen.items), np.float32), seen.items.astype(np.int64), seen.indptr), shape=shape
    )


def _gram(X: Any, l2: float) -> NDArray[np.float64]:
    """Return X^T X + l2 I, dense."""
    n_items = X.shape[1]
    by_item, columns, out = X.T.tocsr(), X.tocsc(), np.empty((n_items, n_items))
    for start in range(0, n_items, ITEMS_A_BLOCK):
        block = slice(start, start + ITEMS_A_BLOCK)
        out[:, block] = (by_item @ columns[:, block]).toarray()
    out[np.diag_indices(n_items)] += l2
    return out


def inverse_in_place(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a symmetric positive definite matrix, in its own memory, by Cholesky.

    Raises ``DataError`` when it is not positive definite.
    """
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(matrix.T, overwrite_a=True)  # .T: columns together, as LAPACK has them
    if not failed:
        factor, failed = dpotri(factor, overwrite_c=True)
    if failed:
        raise DataError("the matrix to invert is not positive definite; take a larger l2")
    for row in range(len(factor)):  # the upper triangle has been computed
        factor[row + 1 :, row] = factor[row, row + 1 :]
    return np.asarray(factor)
