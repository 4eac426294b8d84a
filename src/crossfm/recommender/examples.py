"""What the ranking learns from: lists as recall would have given them at moments of the past, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import Rows
from crossfm.kernels.topk import top_items
from crossfm.recommender.seen import Positions, Seen, skip_of
from crossfm.recommender.side import stack_rows
from crossfm.recommender.signals import Signals, frame_of, framed
from crossfm.scoring.decompose import Machine, query_vectors

Floats = NDArray[np.float32]
QUERIES_AT_ONCE = 1_000


@dataclass(frozen=True, eq=False)
class Examples:
    """Queries with items that were chosen or not.

    Attributes
    ----------
    queries : Rows (n_queries, ...)
    n_past : int64 (n_queries,)
        How many items were known of the user.
    query : int64 (n,)
        The query of each example; those of one query are one list.
    item : int64 (n,)
        Position in the catalogue.
    label : float64 (n,)
        1 for chosen, 0 for not.
    stands : float64 (n,)
        How many candidates an example stands for: more than 1 where only some of those not chosen were drawn.
    numbers : float32 (n, ...)
        Framed; see ``signals``.
    """

    queries: Rows
    n_past: Positions
    query: Positions
    item: Positions
    label: NDArray[np.float64]
    stands: NDArray[np.float64]
    numbers: Floats

    def part(self, keep: NDArray[np.bool_]) -> Examples:
        """Return some examples (a mask); all queries stay."""
        each = (self.query, self.item, self.label, self.stands, self.numbers)
        return Examples(self.queries, self.n_past, *(array[keep] for array in each))  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Put examples behind each other."""
        queries = parts[0].queries
        for part in parts[1:]:
            queries = stack_rows(queries, part.queries)
        before = np.cumsum([0, *(len(part.n_past) for part in parts)])
        query = [part.query + start for part, start in zip(parts, before, strict=False)]
        names = ("item", "label", "stands", "numbers")
        rest = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        n_past = np.concatenate([part.n_past for part in parts])
        return cls(queries, n_past, np.concatenate(query), *rest)


@dataclass(frozen=True, eq=False)
class Moment:
    """Recall as it was at one moment: its machine, the item vectors (dim, n_items), and what was seen until then."""

    machine: Machine
    vectors: Floats
    signals: Signals
    seen: Seen
    n_candidates: int

    def lists(self, queries: Rows, past: Seen) -> Any:
        """Yield (query vector, past, positions, scores) of each query, best first, without the items of ``past``."""
        n_best = min(self.n_candidates, self.vectors.shape[1])
        row_of = np.repeat(np.arange(len(queries)), np.diff(past.indptr))
        skip = past.indptr, past.items[np.lexsort((past.items, row_of))]
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            rows = np.arange(start, min(start + QUERIES_AT_ONCE, len(queries)))
            vectors, _ = query_vectors(queries.take(rows), self.machine)
            out = skip_of(skip, slice(start, start + len(rows)))
            found, score = top_items(vectors, self.vectors, n_best, skip=out)
            for at, row in enumerate(rows):
                there = found[at] >= 0
                mine = past.of_user(row)
                yield vectors[at], mine, found[at][there], score[at][there]


def recalled_lists(
    moment: Moment,
    queries: Rows,
    user: Positions,
    chosen: Seen,
    ever: Seen,
    n_negatives: int,
    rng: np.random.Generator,
) -> Examples:
    """Return of each list that recall finds what was chosen, and up to ``n_negatives`` of what was not.

    Choices beyond the list are left out: the ranking will never see such. What the user chose before or after the
    window is no negative.

    Parameters
    ----------
    queries : Rows (n, ...)
    user : int64 (n,)
    chosen : Seen
        Of each query (n), in the window.
    ever : Seen
        Of each user (n_users), at any time.
    """
    past, wanted, others = moment.seen.of_users(user), chosen, ever.of_users(user)
    query, item, label, stands, numbers = [], [], [], [], []
    for row, (_, mine, found, score) in enumerate(moment.lists(queries, past)):
        good = np.isin(found, wanted.of_user(row))
        bad = np.flatnonzero(~good & ~np.isin(found, others.of_user(row)))
        drawn = rng.permutation(bad)[:n_negatives]
        keep = np.concatenate([np.flatnonzero(good), drawn])
        all_numbers = moment.signals.of(mine, found, score)
        query.append(np.full(len(keep), row))
        item.append(found[keep])
        label.append(good[keep].astype(np.float64))
        stands.append(np.where(good[keep], 1.0, len(bad) / max(len(drawn), 1)))
        numbers.append(framed(all_numbers[keep], frame_of(all_numbers)))
    each = (np.concatenate(parts) for parts in (query, item, label, stands, numbers))
    return Examples(queries, np.diff(past.indptr), *each)


def shown_lists(
    moment: Moment, queries: Rows, past: Seen, query: Positions, item: Positions, label: NDArray[np.float64]
) -> Examples:
    """Return items that were shown as examples; ``query`` (n,), rising, says in which of the ``queries`` each was.

    Their numbers are measured by the list that recall finds for the query, in which they need not be.
    """
    ends = np.searchsorted(query, np.arange(len(queries) + 1))
    numbers = np.empty((len(item), moment.signals.of_item.shape[0] + 2), np.float32)
    for row, (vector, mine, found, score) in enumerate(moment.lists(queries, past)):
        own = slice(ends[row], ends[row + 1])
        frame = frame_of(moment.signals.of(mine, found, score))
        recalled = vector @ moment.vectors[:, item[own]]
        numbers[own] = framed(moment.signals.of(mine, item[own], recalled), frame)
    return Examples(queries, np.diff(past.indptr), query, item, label, np.ones(len(item)), numbers)
