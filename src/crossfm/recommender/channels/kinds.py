"""Which channels there are, what each needs, and how one is made for a recommender."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Protocol

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.recommender.channels.near import Near
from crossfm.recommender.channels.orders import Latest, Popular
from crossfm.recommender.channels.postings import Mask
from crossfm.recommender.channels.tags import Tags, shared_values
from crossfm.recommender.filters import Filters
from crossfm.recommender.seen import Positions
from crossfm.recommender.side import separators_of
from crossfm.recommender.times import born_of

NAMES = ("popular", "latest", "item-kNN", "tags")


class Channel(Protocol):
    """One way to find items for a user, without the recommender's machine."""

    def best(self, past: Positions, recent: Positions, may: Mask, n: int) -> Positions:
        """Return up to ``n`` positions, best first, the same for the same request; fewer where no more are found.

        Parameters
        ----------
        past : (n_past,)
            All items that are known of the user.
        recent : (n_recent,)
            What the user did of late, as far as the recommender keeps a history; else the same as ``past``.
        may : bool (n_items,)
            Items that may come: not deleted, allowed, not left out.
        """


def check_channels(channels: Mapping[str, Any] | None, n_candidates: int, item_time: str | None) -> None:
    """Refuse names that are no channels, and quotas that mean nothing."""
    if channels is None:
        return
    if not isinstance(channels, Mapping):
        raise OptionError(f'channels is {channels!r}, but names with quotas are expected: {{"popular": 50}}')
    for name, quota in channels.items():
        check_name(name)
        check_count(f"channels[{name!r}]", quota, low=1)
        if name == "latest" and item_time is None:
            raise OptionError(
                "the channel latest needs item_time, the column of the items with the time since when there is each"
            )
    if (total := sum(channels.values())) > n_candidates:
        raise OptionError(
            f"the quotas of channels add up to {total}, but n_candidates is {n_candidates}: recall hands so many to "
            "ranking in all. Take smaller quotas, or more candidates"
        )


def check_name(name: Any) -> None:
    """Refuse what is no channel's name."""
    if name in NAMES:
        return
    near = difflib.get_close_matches(str(name), NAMES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"there is no channel {name!r}, but {', '.join(NAMES)}{hint}")


def make_channel(name: str, model: Any, near: Near | None = None) -> Channel:
    """Return a channel of a fitted recommender; it learns from what the recommender has stored.

    ``near`` is the channel item-kNN, where it has been fitted already.

    Raises ``OptionError`` where the recommender has nothing to make it of, ``MemoryLimitError`` for too many items.
    """
    check_name(name)
    side = model.items_
    if name == "popular":
        return Popular.of(model.popularity_)
    if name == "item-kNN":
        return Near.fit(model.seen_, len(side.ids)) if near is None else near
    if name == "latest":
        if model.item_time is None:
            raise OptionError(
                "the channel latest needs item_time: name the column of the items with their time"
            )
        return Latest.of(born_of(side.table, model.item_time))
    separators = separators_of(side)
    values = shared_values(side, Filters(side.table, separators))
    if not values:
        raise OptionError(
            "the channel tags needs attributes of items: a categorical feature whose values items have in common"
        )
    return Tags.of(values, separators, len(side.ids))
