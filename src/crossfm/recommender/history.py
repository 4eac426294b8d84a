"""What users did before: the latest items of each, as features of the query side.

An item of the history has features of its own, apart from those it has as a candidate: FM's sum over pairs i < j would
otherwise lose the pair of an item with itself. Each of the n latest items has the value 1/sqrt(n), as in SVD++
(Y. Koren, KDD 2008). Nothing later than an interaction is in its history.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.recommender.seen import Positions, Seen, offsets

FIELD = "history"


def before(
    log: tuple[Positions, Positions, NDArray[np.float64]], user: Positions, seconds: Any, length: int
) -> Seen:
    """Return for each moment (``user`` (n,), -1 unknown, and ``seconds`` (n,)) the latest items before it.

    ``log`` is user, item and seconds of the interactions; those at the very moment are not before it.
    """
    users, item, when = log
    order = _by_time(users, when)
    moments, at = np.unique(np.concatenate([when, seconds]), return_inverse=True)
    key = users[order] * len(moments) + at[: len(when)][order]
    end = np.searchsorted(key, user * len(moments) + at[len(when) :], side="left")
    start = np.searchsorted(key, user * len(moments), side="left")
    reach = np.minimum(end - start, length)
    return _distinct(_ranges(end - reach, reach, item[order]))


def past(user: Positions, item: Positions, seconds: NDArray[np.float64] | None, length: int) -> Seen:
    """Return for each interaction (n,) the up to ``length`` items that its user had before, oldest first.

    ``seconds`` (n,) orders the interactions, ties and None by their order in the log. An item that comes twice in a
    history counts where it came last.
    """
    order = _by_time(user, seconds)
    users = user[order]
    start = np.searchsorted(users, users, side="left")
    at = np.arange(len(order))
    reach = np.minimum(at - start, length)
    back = np.empty_like(order)
    back[order] = at  # where each interaction of the log stands
    return _distinct(_ranges((at - reach)[back], reach[back], item[order]))


def latest(
    user: Positions, item: Positions, seconds: NDArray[np.float64] | None, n_users: int, length: int
) -> Seen:
    """Return the up to ``length`` latest items of each user, oldest first."""
    order = _by_time(user, seconds)
    end = np.searchsorted(user[order], np.arange(n_users), side="right")
    start = np.searchsorted(user[order], np.arange(n_users), side="left")
    reach = np.minimum(end - start, length)
    return _distinct(_ranges(end - reach, reach, item[order]))


def history_rows(histories: Seen, n_items: int) -> Rows:
    """Return histories as rows of one field, with an item's position as feature and the value 1/sqrt(n)."""
    length = np.diff(histories.indptr)
    value = 1.0 / np.sqrt(np.maximum(length, 1))
    return Rows(
        indices=histories.items,
        n_features=n_items,
        indptr=histories.indptr,
        values=np.repeat(value, length).astype(np.float32),
        fields=np.zeros(len(histories.items), np.uint32),
    )


def _by_time(user: Positions, seconds: NDArray[np.float64] | None) -> Positions:
    keys = (user,) if seconds is None else (seconds, user)
    return np.lexsort(keys)


def _ranges(start: Positions, length: Positions, items: Positions) -> Seen:
    indptr = offsets(length)
    where = np.repeat(start - indptr[:-1], length) + np.arange(indptr[-1])
    return Seen(indptr, items[where].astype(np.uint32))


def _distinct(histories: Seen) -> Seen:
    """Keep the last of equal items of one history."""
    length = np.diff(histories.indptr)
    row = np.repeat(np.arange(len(length)), length)
    order = np.lexsort((np.arange(len(row)), histories.items, row))
    r, i = row[order], histories.items[order]
    last = np.r_[(r[1:] != r[:-1]) | (i[1:] != i[:-1]), True][: len(r)]
    keep = np.zeros(len(row), bool)
    keep[order[last]] = True
    if keep.all():
        return histories
    return Seen(offsets(np.bincount(row[keep], minlength=len(length))), histories.items[keep])
