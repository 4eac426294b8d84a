"""What each user's list is like: how known its items are, and how unlike each other.

``recommended`` (n_users, N) holds item ids, best first, short lists padded with -1 at their end. The functions return
one value a user, (n_users,), NaN where a list has too few items to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError, OptionError
from crossfm.metrics.checks import Floats
from crossfm.metrics.lists import checked_counts, checked_lists

PAIRS_A_BLOCK = 500_000  # of items of one list: bounded memory


def self_information(recommended: ArrayLike, item_counts: ArrayLike) -> Floats:
    """Mean over a list's items of -log2(the item's share of interactions), in bits: novelty, user by user.

    ``item_counts`` (n_items,) are interactions in the training data; an item never seen counts as seen once. Zhou et
    al., PNAS 2010.
    """
    counts = checked_counts(item_counts)
    return _mean(recommended, -np.log2(np.maximum(counts, 1.0) / counts.sum()))


def share_in(recommended: ArrayLike, mask: ArrayLike) -> Floats:
    """Share of a list's items that are among those of ``mask`` (n_items,), like the head of the catalogue."""
    return _mean(recommended, np.asarray(mask, np.float64))


def head_items(item_counts: ArrayLike, share: float = 0.5) -> NDArray[np.bool_]:
    """Mark (n_items,) the fewest items that together have at least ``share`` of all interactions; ties by id.

    Raises ``OptionError`` for a share outside (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise OptionError(f"head is {share}, but a share between 0 and 1 is expected, like 0.5")
    counts = checked_counts(item_counts)
    order = np.argsort(-counts, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(counts[order])[:-1]])
    mask = np.zeros(len(counts), bool)
    mask[order[before < share * counts.sum()]] = True
    return mask


def vector_diversity(recommended: ArrayLike, vectors: ArrayLike) -> Floats:
    """Mean over pairs of items of one list of 1 - cosine of their ``vectors`` (n_items, dim), from 0 (all alike) to 2.

    Intra-list diversity: Ziegler et al., "Improving Recommendation Lists Through Topic Diversification", WWW 2005,
    with distances in place of similarities. An item whose vector is zero is at 1 from all others.
    """
    lists, table = checked_lists(recommended), np.asarray(vectors)
    _check_catalogue(lists, len(table))
    out = np.full(len(lists), np.nan)
    step = max(1, PAIRS_A_BLOCK // lists.shape[1])
    for start in range(0, len(lists), step):
        there = lists[start : start + step] >= 0
        own = table[np.where(there, lists[start : start + step], 0)] * there[:, :, None]
        length = np.linalg.norm(own, axis=2, keepdims=True)
        own /= np.where(length > 0, length, 1.0)
        n = there.sum(axis=1)
        total = own.sum(axis=1)
        alike = 0.5 * ((total**2).sum(axis=1) - (own**2).sum(axis=(1, 2)))  # over pairs, as in an FM
        pairs = 0.5 * n * (n - 1)
        out[start : start + step] = 1.0 - alike / np.where(pairs > 0, pairs, np.nan)
    return out


def set_diversity(recommended: ArrayLike, indptr: ArrayLike, values: ArrayLike) -> Floats:
    """Mean over pairs of items of one list of 1 - (values in common / values of either), from 0 to 1.

    ``indptr`` (n_items + 1,) and ``values`` say CSR-like which attribute values each item has. Items that both have
    none are at 1 from each other: nothing says that they are alike.
    """
    from scipy.sparse import csr_matrix

    lists, offsets = checked_lists(recommended), np.asarray(indptr, np.int64)
    _check_catalogue(lists, len(offsets) - 1)
    codes = np.asarray(values, np.int64)
    shape = (len(offsets) - 1, int(codes.max(initial=0)) + 1)
    has = csr_matrix((np.ones(len(codes)), codes, offsets), shape=shape)
    has.sum_duplicates()
    has.data[:] = 1.0
    first, second = np.triu_indices(lists.shape[1], 1)
    out = np.full(len(lists), np.nan)
    step = max(1, PAIRS_A_BLOCK // max(1, len(first)))
    for start in range(0, len(lists), step):
        block = lists[start : start + step]
        out[start : start + step] = _mean_distance(has, block[:, first], block[:, second])
    return out


def _mean_distance(has: Any, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
    """Return the mean Jaccard distance of the pairs in each row of ``a`` and ``b`` (n, n_pairs)."""
    there = (a >= 0) & (b >= 0)
    size = np.asarray(has.sum(axis=1)).ravel()
    i, j = a[there], b[there]
    common = np.asarray(has[i].multiply(has[j]).sum(axis=1)).ravel()
    either = size[i] + size[j] - common
    distance = 1.0 - common / np.maximum(either, 1.0)
    row = np.nonzero(there)[0]
    n = np.bincount(row, minlength=len(a))
    total = np.bincount(row, distance, len(a))
    return np.asarray(total / np.where(n > 0, n, np.nan))


def _mean(recommended: ArrayLike, value: Floats) -> Floats:
    lists = checked_lists(recommended)
    _check_catalogue(lists, len(value))
    n = (lists >= 0).sum(axis=1)
    total = np.append(value, 0.0)[lists].sum(axis=1)
    return np.asarray(total / np.where(n > 0, n, np.nan))


def _check_catalogue(lists: NDArray[np.int64], n_items: int) -> None:
    if lists.max() >= n_items:
        raise DataError(f"recommended holds item {lists.max()}, but the catalogue has {n_items} items")
