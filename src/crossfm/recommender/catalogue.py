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

from crossfm.data.columns import MultiCategorical
from crossfm.data.rows import Rows, shift_ids
from crossfm.errors import DataError
from crossfm.recommender.ask import Id
from crossfm.recommender.filters import Filters
from crossfm.recommender.ids import id_array
from crossfm.recommender.seen import Skip
from crossfm.recommender.side import Side
from crossfm.recommender.times import DAY, seconds_of
from crossfm.scoring.decompose import item_vectors

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
TITLES = ("title", "name")
MULTI_SAMPLE = 1_000  # cells of a text column that say whether it holds several values


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items by position; positions never change, deleted items stay as dead ones.

    Attributes
    ----------
    side : Side
    place : dict of str to int
        Position of each id.
    rows : Rows (n_items, ...)
        Features, behind those of the query.
    index : Index
        Item vectors of recall. Catalogues that come one from another share it: it knows the latest items.
    popularity : float64 (n_items,)
    alive : bool (n_items,)
    machine : Machine
        Of recall; see ``scoring.decompose``.
    """

    side: Side
    place: dict[str, int]
    rows: Rows
    index: Any
    popularity: NDArray[np.float64]
    alive: Mask
    machine: Any
    n_query_features: int
    item_time: str | None = None
    title: str | None = None

    @classmethod
    def of(cls, model: Any) -> Catalogue:
        """Return the items of a fitted recommender."""
        side = model.items_
        place = {key: at for at, key in enumerate(side.ids.keys.to_pylist())}
        alive = np.ones(len(side.ids), bool)
        n_query = model.retriever_.n_query_features_
        title = model.title or next((n for n in TITLES if n in side.table.column_names), None)
        parts = (model._catalogue, model.index_, model.popularity_, alive, model._machine, n_query)
        return cls(side, place, *parts, item_time=model.item_time, title=title)

    def __len__(self) -> int:
        return len(self.alive)

    @cached_property
    def n_alive(self) -> int:
        """Items that are not deleted."""
        return int(self.alive.sum())

    # ------------------------------------------------------------------- ids

    def positions(self, ids: Sequence[Id]) -> Positions:
        """Return the position of each id (n,), -1 for unknown and deleted ones."""
        found = np.array([self.place.get(key_of(one), -1) for one in ids], np.int64)
        return np.where((found >= 0) & self.alive[found], found, -1) if len(found) else found

    def position(self, item: Id) -> int:
        """Return the position of one id. Raises ``DataError`` when it is not in the catalogue."""
        at = int(self.positions([item])[0])
        if at < 0:
            raise DataError(f"item {item!r} is not in the catalogue")
        return at

    def id_at(self, position: Any) -> Id:
        """Return an id as it came: a number or a text."""
        key: str = self.side.ids.keys[int(position)].as_py()
        return key if self.side.ids.kind == "text" else int(key)

    def attributes(self, position: int) -> dict[str, Any]:
        """Return the columns of one item that have a value, the id first."""
        row = {name: self.side.table[name][position].as_py() for name in self.side.table.column_names}
        own = {self.side.column: self.id_at(position)}
        return own | {n: v for n, v in row.items() if v is not None and n != self.side.column}

    def matching(self, search: str) -> Positions:
        """Return items whose id or title has ``search`` in it: the very id first, then popular ones."""
        mask = self.alive
        if search:
            has = pc.match_substring(self.side.ids.keys, search, ignore_case=True)
            if self.title is not None:
                text = pc.cast(self.side.table[self.title], pa.large_string()).combine_chunks()
                has = pc.or_(has, pc.fill_null(pc.match_substring(text, search, ignore_case=True), False))
            mask = mask & has.to_numpy(zero_copy_only=False)
        found = np.flatnonzero(mask)
        found = found[np.argsort(-self.popularity[found], kind="stable")]
        exact = self.place.get(search, -1)
        return np.concatenate([found[found == exact], found[found != exact]])

    # --------------------------------------------------------------- filters

    @cached_property
    def filters(self) -> Filters:
        """Conditions on attributes, and their values."""
        return Filters(self.side.table, self._separators())

    def _separators(self) -> dict[str, str]:
        from crossfm.data.infer import infer_columns

        known = self.side.encoder.fields
        other = [name for name in self.side.table.column_names if name not in known]
        inferred = infer_columns(self.side.table.select(other).slice(0, MULTI_SAMPLE)) if other else []
        several = [c for c in inferred if isinstance(c, MultiCategorical)]
        return self.side.separators() | {c.name: c.separator for c in several if c.separator is not None}

    def allowed(self, where: Mapping[str, Any] | None, only: Sequence[Id] | None) -> Mask | None:
        """Return which items may come (n_items,), None where all that are alive may."""
        mask: Mask | None = None
        if where:
            mask = self.filters.mask(where) & self.alive
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
        column = self.side.table[self.item_time]
        out = np.full(len(self), np.nan)
        there = column.is_valid().to_numpy()
        assert self.item_time is not None
        out[there] = seconds_of(column.drop_null(), self.item_time)
        return out

    # --------------------------------------------------------------- changes

    def with_items(self, table: Any) -> Catalogue:
        """Return a catalogue with the items of ``table`` added, or changed where they are known; all come alive."""
        before = len(self)
        side = self.side.added(table).changed(table)
        keys = [key_of(one) for one in table[side.column].to_pylist()]
        place = self.place
        if len(side.ids) > before:
            more = side.ids.keys.slice(before).to_pylist()
            place = place | {key: before + at for at, key in enumerate(more)}
        where = np.array([place[key] for key in keys], np.int64)
        n = len(side.ids)
        rows = shift_ids(side.rows, self.n_query_features)
        self.index.upsert(where, item_vectors(rows.take(where), self.machine))
        alive = np.concatenate([self.alive, np.ones(n - before, bool)])
        alive[where] = True
        popularity = np.concatenate([self.popularity, np.zeros(n - before)])
        return replace(self, side=side, place=place, rows=rows, alive=alive, popularity=popularity)

    def without(self, ids: Sequence[Id]) -> tuple[Catalogue, int]:
        """Return a catalogue in which ``ids`` are dead, and how many were alive."""
        where = np.unique(self.positions(ids))
        where = where[where >= 0]
        alive = self.alive.copy()
        alive[where] = False
        self.index.delete(where)
        return replace(self, alive=alive), len(where)


def key_of(one: Id) -> str:
    """Return the text by which an id is known: 7, 7.0 and "7" are the same id."""
    if type(one) is str:
        return one
    if type(one) is int:
        return str(one)
    key = id_array([one], "id").cast(pa.float64()) if isinstance(one, float) else None
    return str(int(one)) if key is not None and float(one).is_integer() else str(one)
