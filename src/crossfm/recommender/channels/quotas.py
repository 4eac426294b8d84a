"""Channels beside recall: some of the candidates come from them, by quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfm.recommender.channels.kinds import Channel, make_channel
from crossfm.recommender.channels.near import Near
from crossfm.recommender.channels.orders import Latest
from crossfm.recommender.channels.postings import Mask
from crossfm.recommender.channels.tags import Tags
from crossfm.recommender.seen import Positions, Seen, Skip
from crossfm.recommender.times import born_of

RECALL = -1


@dataclass(frozen=True, eq=False)
class Merged:
    """Candidates of recall and of channels: those that recall has found first, in its order.

    Attributes
    ----------
    positions : int64 (n,)
    places : int64 (n,)
        Place in recall's list, from 0; -1 for items that it has not.
    brought : int64 (n,)
        Number of the channel that brought an item; -1, ``RECALL``, for those that recall's list has.
    """

    positions: Positions
    places: Positions
    brought: Positions


def merge(found: Positions, lists: Sequence[Positions], room: int, n: int) -> Merged:
    """Return ``n`` distinct candidates, or as many as there are.

    The first ``room`` of ``found``, then all of ``lists``, in turn; what they have in common leaves places, which the
    next of ``found`` take.

    Parameters
    ----------
    found : (n_found,)
        Recall's list, best first.
    lists : positions of each channel; ``room`` and their lengths are at most ``n`` together.
    """
    place = {item: at for at, item in enumerate(found.tolist())}
    kept = np.zeros(len(found), bool)
    kept[:room] = True
    brought: dict[int, int] = {}
    for number, listed in enumerate(lists):
        for item in listed.tolist():
            at = place.get(item)
            if at is None:
                brought.setdefault(item, number)
            else:
                kept[at] = True
    left = n - len(brought) - int(np.count_nonzero(kept))
    kept[np.flatnonzero(~kept)[: max(left, 0)]] = True
    places = np.concatenate([np.flatnonzero(kept), np.full(len(brought), -1)])
    own = np.array(list(brought), np.int64)
    source = np.full(len(places), RECALL)
    source[len(places) - len(own) :] = list(brought.values())
    return Merged(np.concatenate([found[kept], own]), places, source)


@dataclass(frozen=True, eq=False)
class Quotas:
    """Channels of a recommender, each with how many candidates it may bring.

    Attributes
    ----------
    quotas : dict of name to int
        In the order in which they are asked: an item that several find is the first one's.
    channels : dict of name to Channel
    n_candidates : int
        Of which the quotas are a part.
    """

    quotas: dict[str, int]
    channels: dict[str, Channel]
    n_candidates: int

    @classmethod
    def of(cls, model: Any, near: Near | None = None) -> Quotas | None:
        """Return the channels of a fitted recommender, None where it has none; ``near`` is as in ``make_channel``."""
        if not model.channels:
            return None
        made = {name: make_channel(name, model, near) for name in model.channels}
        return cls(dict(model.channels), made, model.n_candidates)

    def source(self, number: int) -> str:
        """Return the name of a channel by its number, "recall" for -1."""
        return "recall" if number == RECALL else [*self.quotas][number]

    def merged(self, found: Positions, n: int, past: Positions, recent: Positions, may: Mask) -> Merged:
        """Return ``n`` candidates of one request; see ``merge`` and ``Channel``.

        ``found`` is recall's list of ``n``. Where that is less than ``n_candidates``, quotas are less in proportion.
        """
        quotas = {
            name: quota * min(n, self.n_candidates) // self.n_candidates
            for name, quota in self.quotas.items()
        }
        lists = [self.channels[name].best(past, recent, may, quota) for name, quota in quotas.items()]
        return merge(found, lists, n - sum(quotas.values()), n)

    def merged_lists(
        self, found: Positions, skip: Skip, past: Seen, recent: Seen, n_items: int
    ) -> tuple[Positions, Positions, Positions]:
        """Return positions, places and who brought them (n_queries, n), -1 where there are no more; see ``Merged``.

        ``found`` (n_queries, n) are recall's lists, -1 for none.
        """
        out, places, brought = (np.full(found.shape, -1) for _ in range(3))
        may = np.ones(n_items, bool)
        for row, listed in enumerate(found):
            left_out = skip[1][skip[0][row] : skip[0][row + 1]]
            may[left_out] = False
            mine, late = (each.of_user(row).astype(np.int64) for each in (past, recent))
            one = self.merged(listed[listed >= 0], len(listed), mine, late, may)
            there = slice(len(one.positions))
            out[row, there], places[row, there], brought[row, there] = one.positions, one.places, one.brought
            may[left_out] = True
        return out, places, brought

    def changed(self, where: Positions, cells: Any, item_time: str | None, n_items: int) -> Quotas:
        """Return channels that know the items at ``where`` (n,) by ``cells``, a table of n rows; some may be new.

        ``n_items`` are positions there are.
        """
        fresh = dict(self.channels)
        for name, channel in self.channels.items():
            if isinstance(channel, Latest) and item_time is not None:
                fresh[name] = channel.changed(where, born_of(cells, item_time), n_items)
            elif isinstance(channel, Tags):
                fresh[name] = channel.changed(where, cells)
        return replace(self, channels=fresh)
