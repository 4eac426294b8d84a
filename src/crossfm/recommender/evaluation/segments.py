"""Groups of users and of items that are looked at by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfm.metrics.diversity import head_items
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.recommender import Recommender

Mask = NDArray[np.bool_]
ITEM_SEGMENTS = ("head items", "tail items", "new items")


@dataclass(frozen=True, eq=False)
class Segments:
    """Who belongs where.

    Attributes
    ----------
    users : dict of str to bool (n_users,)
        "all", "warm" (has interactions in training), "new", and the warm ones with "few" and "many" of them.
    items : dict of str to bool (n_items,)
        "head items", "tail items", "new items". Users are judged by their relevant items among these alone.
    meaning : dict of str to str
    """

    users: dict[str, Mask]
    items: dict[str, Mask]
    meaning: dict[str, str]

    @classmethod
    def of(cls, model: Recommender, later: Later, head: float) -> Segments:
        """Divide the users of a test, and the catalogue; ``head`` is the share of interactions that head items have."""
        n_seen = model.seen_.counts(later.where)
        warm = n_seen > 0
        middle = float(np.median(n_seen[warm])) if warm.any() else 0.0
        users = {
            "all": np.ones(len(warm), bool),
            "warm": warm,
            "new": ~warm,
            "few": warm & (n_seen < middle),
            "many": warm & (n_seen >= middle),
        }
        popular, fresh = head_items(model.counts_, head), model.counts_ == 0
        items = dict(zip(ITEM_SEGMENTS, (popular, ~popular & ~fresh, fresh), strict=True))
        meaning = {
            "all": "all users of the test",
            "warm": "users with interactions in training",
            "new": "users without any",
            "few": f"warm users with fewer than {middle:g} items in training, the median",
            "many": f"warm users with {middle:g} or more",
            "head items": f"the {int(popular.sum()):,} most popular items, which have {head:.0%} of the interactions",
            "tail items": f"the {int(items['tail items'].sum()):,} others that training knows",
            "new items": f"{int(fresh.sum()):,} items of the catalogue without interactions in training",
        }
        return cls(users, items, meaning)

    def relevant(self, later: Later) -> dict[str, Mask]:
        """Return which relevant items (n_relevant,) are of each kind; "all" has those outside the catalogue too."""
        inside = later.relevant < later.n_items
        at = np.where(inside, later.relevant, 0)
        kinds = {name: inside & mask[at] for name, mask in self.items.items()}
        return {"all": np.ones(len(at), bool)} | kinds
