"""The items of one moment: ids, attributes, features, vectors. A change makes a new catalogue, readers keep the old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.errors import DataError
from crossfm.recommender.ask import Id
from crossfm.recommender.channels.quotas import Quotas
from crossfm.recommender.filters import Filters
from crossfm.recommender.seen import Skip
from crossfm.recommender.shelf import Shelf, texts
from crossfm.recommender.side import separators_of
from crossfm.recommender.times import DAY, born_of
from crossfm.scoring.decompose import item_vectors

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
TITLES = ("title", "name")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items by position; positions never change, deleted items stay as dead ones.

    Attributes
    ----------
    shelf : Shelf
        Ids, features (behind those of the query) and attributes.
    filters : Filters
        Of the shelf's base.
    index : Index
        Item vectors of recall. Catalogues that come one from another share it: it knows the latest items.
    popularity : float64 (n_items,)
    alive : bool (n_items,)
    machine : Machine
        Of recall; see ``scoring.decompose``.
    channels : Quotas or None
        That bring candidates beside recall.
    """

    shelf: Shelf
    filters: Filters
    index: Any
    popularity: NDArray[np.float64]
    alive: Mask
    machine: Any
    item_time: str | None = None
    title: str | None = None
    channels: Quotas | None = None

    @classmethod
    def of(cls, model: Any) -> Catalogue:
        """Return the items of a fitted recommender."""
        side = model.items_
        title = model.title or next((n for n in TITLES if n in side.table.column_names), None)
        shelf = Shelf.of(side, model._catalogue, model.retriever_.n_query_features_)
        filters = Filters(side.table, separators_of(side))
        parts = (model.index_, model.popularity_, np.ones(len(side.ids), bool), model._machine)
        return cls(shelf, filters, *parts, item_time=model.item_time, title=title, channels=model.channels_)

    def __len__(self) -> int:
        return len(self.alive)

    @cached_property
    def n_alive(self) -> int:
        """Items that are not deleted."""
        return int(self.alive.sum())

    @cached_property
    def n_bare(self) -> int:
        """Items that are not deleted and have no value in any column but the id; 0 where there is no other column."""
        if self.shelf.side.table.column_names == [self.shelf.side.column]:
            return 0
        base = self._has_any(self.shelf.side.table)
        later = None if self.shelf.later is None else self._has_any(self.shelf.later)
        return int((self.alive & ~self.shelf.by_position(base, later)).sum())

    def _has_any(self, table: Any) -> Mask:
        has = np.zeros(table.num_rows, bool)
        for name in table.column_names:
            if name != self.shelf.side.column:
                has |= table[name].is_valid().to_numpy()
        return has

    # ------------------------------------------------------------------- ids

    def positions(self, ids: Sequence[Id]) -> Positions:
        """Return the position of each id (n,), -1 for unknown and deleted ones."""
        if not len(ids):
            return np.zeros(0, np.int64)
        found = self.shelf.places.find(texts(ids))
        return np.where((found >= 0) & self.alive[found], found, -1)

    def position(self, item: Id) -> int:
        """Return the position of one id. Raises ``DataError`` when it is not in the catalogue."""
        at = int(self.positions([item])[0])
        if at < 0:
            raise DataError(f"item {item!r} is not in the catalogue")
        return at

    def ids_at(self, positions: Any) -> list[Id]:
        """Return ids as they came: numbers or texts."""
        return self.shelf.ids(np.asarray(positions, np.int64))

    def attributes(self, positions: Any) -> list[dict[str, Any]]:
        """Return for each position the columns that have a value, the id first."""
        positions = np.asarray(positions, np.int64)
        name, rows = self.shelf.side.column, self.shelf.cells(positions).to_pylist()
        return [
            {name: own} | {n: v for n, v in row.items() if v is not None and n != name}
            for own, row in zip(self.ids_at(positions), rows, strict=True)
        ]

    def matching(self, search: str) -> Positions:
        """Return items whose id or title has ``search`` in it: the very id first, then popular ones."""
        mask = self.alive
        if search:
            later = None if self.shelf.later is None else self._has(self.shelf.later, search)
            mask = mask & self.shelf.by_position(self._has(self.shelf.side.table, search), later)
        found = np.flatnonzero(mask)
        found = found[np.argsort(-self.popularity[found], kind="stable")]
        exact = self.shelf.places.get(search)
        return np.concatenate([found[found == exact], found[found != exact]])

    def _has(self, table: Any, search: str) -> Mask:
        """Return which rows of a table have ``search`` in the id or the title."""
        has = np.zeros(table.num_rows, bool)
        for name in {self.shelf.side.column, self.title} - {None}:
            found = pc.match_substring(pc.cast(table[name], pa.large_string()), search, ignore_case=True)
            has |= pc.fill_null(found, False).to_numpy()
        return has

    # --------------------------------------------------------------- filters

    @cached_property
    def _later_filters(self) -> Filters:
        return Filters(self.shelf.later, self.filters.separators)

    def codes(self, name: str, positions: Positions) -> list[Positions]:
        """Return the codes of an attribute's values for items at ``positions``: equal values have equal codes.

        Raises ``ColumnError`` for a column that is not there.
        """
        values = self.filters.values(name)
        if self.shelf.source is None:
            return [values.of_item(int(at)) for at in positions]
        later, n = self._later_filters.values(name), len(self.shelf.side.ids)
        new = np.arange(len(values.names), len(values.names) + len(later.names))
        same = pc.index_in(later.names, value_set=values.names)
        code = np.where(same.is_null(), new, pc.fill_null(same, 0).to_numpy(zero_copy_only=False))
        rows = self.shelf.source[positions].tolist()
        return [values.of_item(at) if at < n else code[later.of_item(at - n)] for at in rows]

    def allowed(self, where: Mapping[str, Any] | None, only: Sequence[Id] | None) -> Mask | None:
        """Return which items may come (n_items,), None where all that are alive may."""
        mask: Mask | None = None
        if where:
            base = self.filters.mask(where)
            later = None if self.shelf.later is None else self._later_filters.mask(where)
            mask = self.shelf.by_position(base, later) & self.alive
        if only is not None:
            listed = np.zeros(len(self), bool)
            found = self.positions(only)
            listed[found[found >= 0]] = True
            mask = listed if mask is None else mask & listed
        return mask

    # ---------------------------------------------------------------- search

    def nearest(
        self, queries: Floats, n: int, skip: Skip | None, allowed: Mask | None
    ) -> tuple[Positions, Floats]:
        """Return positions and inner products of the best items for one query (1, dim), best first."""
        return self.there(*self.index.search(queries, n, skip=skip, allowed=allowed))

    def popular(self, n: int, skip: Skip, allowed: Mask | None) -> tuple[Positions, Floats]:
        """Return positions and popularity of the most popular items, ties by position."""
        mask = self.alive.copy() if allowed is None else self.alive & allowed
        mask[skip[1]] = False
        found = self._by_popularity[mask[self._by_popularity]][:n]
        return found, self.popularity[found].astype(np.float32)

    @cached_property
    def _by_popularity(self) -> Positions:
        return np.argsort(-self.popularity, kind="stable")

    def vectors(self, positions: Positions) -> Floats:
        """Return item vectors (n, dim)."""
        found: Floats = self.index.vectors(positions)
        return found

    def there(self, found: Positions, score: Floats) -> tuple[Positions, Floats]:
        """Return the first list without gaps, and without items that came after this catalogue."""
        kept = (found[0] >= 0) & (found[0] < len(self))
        return found[0][kept], score[0][kept]

    def index_report(self) -> dict[str, Any]:
        """Return kind, size and measured recall of the index."""
        report: dict[str, Any] = self.index.report()
        return report

    def age(self, positions: Positions, now: float) -> NDArray[np.float64] | None:
        """Return the age of items in days (n,), NaN where unknown; None without a column of times."""
        if self.item_time is None:
            return None
        return np.asarray((now - self._born[positions]) / DAY)

    @cached_property
    def _born(self) -> NDArray[np.float64]:
        assert self.item_time is not None
        base = born_of(self.shelf.side.table, self.item_time)
        later = None if self.shelf.later is None else born_of(self.shelf.later, self.item_time)
        return self.shelf.by_position(base, later)

    # --------------------------------------------------------------- changes

    def with_items(self, table: Any) -> tuple[Catalogue, Positions]:
        """Return a catalogue with the items of ``table`` added, or in the place of what they were, and their positions.

        All of them come alive. What it costs does not grow with the catalogue, but for some bytes an item.
        """
        before = len(self)
        shelf, where = self.shelf.with_items(table)
        channels = self.channels
        if channels is not None:
            channels = channels.changed(where, shelf.cells(where), self.item_time, len(shelf))
        self.index.upsert(where, item_vectors(shelf.take(where), self.machine))
        more = len(shelf) - before
        alive = np.concatenate([self.alive, np.ones(more, bool)])
        alive[where] = True
        popularity = np.concatenate([self.popularity, np.zeros(more)])
        filters = self.filters
        if shelf.side is not self.shelf.side:
            filters = Filters(shelf.side.table, separators_of(shelf.side))
        fresh = replace(
            self, shelf=shelf, filters=filters, alive=alive, popularity=popularity, channels=channels
        )
        return self._passed_on(fresh), where

    def without(self, ids: Sequence[Id]) -> tuple[Catalogue, int]:
        """Return a catalogue in which ``ids`` are dead, and how many were alive."""
        where = np.unique(self.positions(ids))
        where = where[where >= 0]
        alive = self.alive.copy()
        alive[where] = False
        self.index.delete(where)
        return self._passed_on(replace(self, alive=alive)), len(where)

    def _passed_on(self, other: Catalogue) -> Catalogue:
        """Give a later catalogue the order by popularity: new items have none, so they stand at the end."""
        if (order := self.__dict__.get("_by_popularity")) is not None:
            other.__dict__["_by_popularity"] = np.concatenate([order, np.arange(len(order), len(other))])
        return other
