"""Items that are taken together with those the user has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.memory import available, show_size
from crossfm.errors import MemoryLimitError
from crossfm.recommender.channels.postings import Mask, Postings, best_of
from crossfm.recommender.from_items import ItemKNN
from crossfm.recommender.seen import Positions, Seen

NEIGHBOURS = 100  # of each item
BYTES = 8 + 8  # of a neighbour: as it is kept, and as it is found


@dataclass(frozen=True, eq=False)
class Near:
    """Items near to all that the user has: scores of ``ItemKNN`` above 0.

    Attributes
    ----------
    postings : Postings (n_items, n_items)
        In row i the similarity of i to each item j of whose neighbours it is one.
    """

    postings: Postings

    @classmethod
    def fit(cls, seen: Seen, n_items: int, n_neighbours: int = NEIGHBOURS) -> Near:
        """Find the neighbours of each item from what each user has seen.

        Raises ``MemoryLimitError`` where they might not fit into the memory that is free.
        """
        needed, free = float(BYTES) * n_items * min(n_neighbours, n_items), available()
        if free is not None and needed > free:
            raise MemoryLimitError(
                f"the channel item-kNN keeps {n_neighbours} neighbours of each of {n_items:,} items, which may take "
                f"{show_size(needed)}, but {show_size(free)} of memory are free. Leave item-kNN out of channels"
            )
        return cls.of(ItemKNN(n_neighbours).fit(seen, n_items))

    @classmethod
    def of(cls, machine: ItemKNN) -> Near:
        """Take what a fitted machine knows."""
        rows = machine.weights_.tocsr()
        rows.sort_indices()
        indptr, columns, values = (
            part.astype(kind)
            for part, kind in ((rows.indptr, np.int64), (rows.indices, np.int32), (rows.data, np.float32))
        )
        return cls(Postings(indptr, columns, values, machine.n_items_))

    def best(self, past: Positions, recent: Positions, may: Mask, n: int) -> Positions:
        """Return up to ``n`` positions; see ``Channel``. Items that came after the training have no neighbours."""
        found, score = self.postings.sums(past[past < self.postings.n_rows])
        return best_of(found, score, may, n)

    def to_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays."""
        return {name: getattr(self.postings, name) for name in ("indptr", "columns", "values")}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]]) -> Near:
        """Rebuild what ``to_state`` described."""
        own = {name: array.copy() for name, array in arrays.items()}
        return cls(Postings(**own, n_columns=len(own["indptr"]) - 1))
