"""Items by position: ids, features, attributes. What came later stands beside what was there, so a change is cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.data.places import LATER_SHARE, LEAST_LATER, Places
from crossfm.data.rows import Rows, shift_ids
from crossfm.recommender.ids import Ids, common
from crossfm.recommender.side import Side, complete, need, one_row_each, stack_rows, stack_tables

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shelf:
    """Attributes: the base is never written to; other shelves share it.

    Attributes
    ----------
    side : Side
        Ids, table and encoder of the base.
    rows : Rows (n_base, ...)
        Features of the base, their ids raised by ``shift``.
    places : Places
        Positions of ids.
    kind : str
        What ids are given back as; see ``Ids``.
    source : uint32 (n_items,) or None
        Row of each position, first those of the base, then those of ``later``; None while there are no later ones.
    later, later_rows : pyarrow.Table and Rows, or None
        Rows that came later, of new items and of items that were changed.
    """

    side: Side
    rows: Rows
    places: Places
    kind: str
    shift: int
    source: NDArray[np.uint32] | None = None
    later: Any = None
    later_rows: Rows | None = None

    @classmethod
    def of(cls, side: Side, rows: Rows, shift: int) -> Shelf:
        """Return the shelf of a fitted side."""
        return cls(side, rows, side.ids.places, side.ids.kind, shift)

    def __len__(self) -> int:
        return len(self.side.ids) if self.source is None else len(self.source)

    # --------------------------------------------------------------- reading

    def take(self, positions: Positions) -> Rows:
        """Return the features at ``positions`` (n,)."""
        if self.source is None or self.later_rows is None:
            return self.rows.take(positions)
        at, n = self.source[positions].astype(np.int64), len(self.side.ids)
        old = at < n
        if old.all():
            return self.rows.take(at)
        both = stack_rows(self.rows.take(at[old]), self.later_rows.take(at[~old] - n))
        return both.take(_back(old))

    def cells(self, positions: Positions) -> Any:
        """Return the table of all columns at ``positions`` (n,); ids are texts."""
        if self.source is None or self.later is None:
            return self.side.table.take(pa.array(positions))
        at, n = self.source[positions].astype(np.int64), len(self.side.ids)
        old = at < n
        if old.all():
            return self.side.table.take(pa.array(at))
        parts = self.side.table.take(pa.array(at[old])), self.later.take(pa.array(at[~old] - n))
        return pa.concat_tables(parts).take(pa.array(_back(old)))

    def ids(self, positions: Positions) -> list[Any]:
        """Return the ids at ``positions`` (n,): numbers where all came as such."""
        column = self.side.column
        if self.source is None:
            keys = self.side.ids.keys.take(pa.array(positions))
        else:
            at = self.source[positions].astype(np.int64)
            if (at < len(self.side.ids)).all():
                keys = self.side.ids.keys.take(pa.array(at))
            else:
                keys = self.cells(positions)[column]
        texts: list[Any] = keys.to_pylist()
        return texts if self.kind == "text" else [int(text) for text in texts]

    def by_position(self, base: NDArray[Any], later: NDArray[Any] | None) -> NDArray[Any]:
        """Return what stands at each position, from one array of the base and one of the later rows."""
        return base if self.source is None or later is None else np.concatenate([base, later])[self.source]

    # -------------------------------------------------------------- changing

    def with_items(self, table: Any) -> tuple[Shelf, Positions]:
        """Return a shelf with the items of ``table`` added, or put in the place of what they were, and their positions.

        Columns that ``table`` lacks are missing. Raises ``DataError`` when an id has two rows, and for
        values that the encoder or the stored columns do not take.
        """
        column = self.side.column
        need(table, column, "the table of features")
        ids = one_row_each(table, column)
        keys = ids.keys.to_pylist()
        where = self.places.find(keys)
        new = np.flatnonzero(where < 0)
        where[new] = len(self) + np.arange(len(new))
        rows = shift_ids(self.side.encoder.transform(complete(table, self.side.encoder)), self.shift)
        empty = self.side.table.slice(0, 0)
        before = empty if self.later is None else self.later
        later = stack_tables(before, table, column, self.side.separators())
        source = np.arange(len(self), dtype=np.uint32) if self.source is None else self.source
        source = np.concatenate([source, np.zeros(len(new), np.uint32)])
        source[where] = len(self.side.ids) + before.num_rows + np.arange(len(where))
        more = replace(
            self,
            places=self.places.with_later([keys[at] for at in new]) if len(new) else self.places,
            kind=common(self.kind, ids.kind) if len(new) else self.kind,
            source=source,
            later=later,
            later_rows=rows if self.later_rows is None else stack_rows(self.later_rows, rows),
        )
        wider = len(later.column_names) > len(empty.column_names)
        many = later.num_rows > max(LEAST_LATER, len(self.side.ids) // LATER_SHARE)
        return (more.folded() if wider or many else more), where

    def folded(self) -> Shelf:
        """Return the same items with nothing beside the base: takes as long as there are items."""
        if self.source is None or self.later is None or self.later_rows is None:
            return self
        side, source = self.side, self.source.astype(np.int64)
        both = stack_tables(side.table, self.later, side.column, side.separators())
        table = both.take(pa.array(source)).combine_chunks()
        rows = stack_rows(self.rows, self.later_rows).take(source)
        ids = Ids(table[side.column].combine_chunks(), self.kind)
        fresh = Side(
            side.column, ids, side.encoder, rows, table
        )  # its rows are raised: nobody reads them here
        return replace(self, side=fresh, rows=rows, source=None, later=None, later_rows=None)


def _back(old: NDArray[np.bool_]) -> Positions:
    """Return where each row stands after those marked ``old`` have come first."""
    order = np.concatenate([np.flatnonzero(old), np.flatnonzero(~old)])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return back


def texts(ids: Sequence[Any]) -> list[str]:
    """Return the texts by which ids are known: 7, 7.0 and "7" are the same id."""
    return [one if type(one) is str else key_of(one) for one in ids]


def key_of(one: Any) -> str:
    """Return the text by which an id is known."""
    if type(one) is str:
        return one
    if type(one) is int:
        return str(one)
    whole = isinstance(one, float) and one.is_integer()
    return str(int(one)) if whole else str(one)
