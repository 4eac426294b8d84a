"""Two baselines that score items by the items that a user has: item-kNN and EASE.

They learn from who interacted with what (X, users by items, 0 and 1). A user without any interaction gets the order by
popularity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.core.memory import show_size
from crossfm.core.options import check_count, check_number
from crossfm.errors import DataError, MemoryLimitError
from crossfm.recommender.seen import Seen

Floats = NDArray[np.float32]
ITEMS_A_BLOCK = 1_000  # columns of items by items that are made at a time: bounded memory


class FromItems:
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

    def _start(self, seen: Seen, n_items: int, popularity: ArrayLike | None) -> Any:
        if not len(seen.items):
            raise DataError(f"{self.name}: there are no interactions to learn from")
        self.n_items_ = n_items
        counts = np.bincount(seen.items, minlength=n_items) if popularity is None else popularity
        self.counts_ = np.asarray(counts, np.float64)
        return matrix(seen, n_items)


class ItemKNN(FromItems):
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

    def fit(self, seen: Seen, n_items: int, popularity: ArrayLike | None = None) -> ItemKNN:
        """Find the neighbours of each item from the items of each user.

        ``popularity`` (n_items,) orders equal scores, and all for users without interactions; None counts users.
        """
        from scipy.sparse import hstack

        check_count("n_neighbours", self.n_neighbours, low=1)
        check_number("shrinkage", self.shrinkage)
        X = self._start(seen, n_items, popularity)
        by_item, columns = X.T.tocsr(), X.tocsc()
        norm = np.sqrt(np.diff(by_item.indptr))
        blocks = [
            self._neighbours((by_item @ columns[:, start : start + ITEMS_A_BLOCK]).tocsc(), norm, start)
            for start in range(0, n_items, ITEMS_A_BLOCK)
        ]
        self.weights_ = hstack(blocks, format="csc")
        return self

    def _neighbours(self, together: Any, norm: NDArray[np.float64], start: int) -> Any:
        """Return the similarities of a block's items, from how many users each pair has (n_items, n_block)."""
        from scipy.sparse import csc_matrix

        together.sort_indices()
        column = np.repeat(np.arange(together.shape[1]), np.diff(together.indptr))
        row = together.indices
        value = together.data / (norm[row] * norm[start + column] + self.shrinkage)
        other = row != start + column
        row, column, value = row[other], column[other], value[other]
        order = np.lexsort((row, -value, column))  # ties by position
        at = np.arange(len(order)) - np.searchsorted(column[order], column[order], side="left")
        keep = order[at < self.n_neighbours]
        return csc_matrix((value[keep].astype(np.float32), (row[keep], column[keep])), shape=together.shape)


class EASE(FromItems):
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

    def fit(self, seen: Seen, n_items: int, popularity: ArrayLike | None = None) -> EASE:
        """Solve for the weights; ``popularity`` as for ``ItemKNN``.

        Raises ``MemoryLimitError`` for more than ``max_items`` items.
        """
        check_number("l2", self.l2, above=True)
        if n_items > self.max_items:
            raise MemoryLimitError(
                f"EASE inverts a matrix of all pairs of items: {n_items:,} items would take "
                f"{show_size(12.0 * n_items**2)}, and the limit is {self.max_items:,} items. "
                "Leave EASE out, or raise max_items"
            )
        weights = inverse_in_place(_gram(self._start(seen, n_items, popularity), self.l2))
        weights /= -np.diag(weights).copy()
        np.fill_diagonal(weights, 0.0)
        self.weights_ = weights.astype(np.float32)
        return self


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
