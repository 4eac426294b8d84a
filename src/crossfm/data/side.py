"""Side tables of a table: what is known of each user, item and the like, told once and found by a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.blocks import concat_rows
from crossfm.data.categories import category_codes
from crossfm.data.columns import Categorical, Column
from crossfm.data.encode import Encoder, pick
from crossfm.data.infer import infer_columns
from crossfm.data.relation import Relation
from crossfm.data.rows import Rows
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError, DataError, OptionError


@dataclass(frozen=True, eq=False)
class SideTable:
    """A table of entities, encoded.

    Attributes
    ----------
    key : str
        The column by which a main table names the entities.
    columns : list of str
        The encoder's columns that come from here, the key among them where it is one of the encoder's.
    finder : Encoder
        Of the key alone; it has one feature an entity.
    entity : uint32 (finder.n_features,)
        The row of each in ``rows``.
    rows : Rows (n_entities + 1,)
        The last is that of entities that the table does not have: every cell is missing.
    """

    key: str
    columns: list[str]
    finder: Encoder
    entity: NDArray[np.uint32]
    rows: Rows

    @classmethod
    def of(cls, key: str, table: pa.Table, encoder: Encoder) -> SideTable:
        """Encode ``table``, whose keys are there, once each."""
        finder = Encoder([Categorical(key)])
        found = finder.fit_transform(table).indices
        entity = np.full(finder.n_features, table.num_rows, np.uint32)
        entity[found] = np.arange(table.num_rows, dtype=np.uint32)
        columns = [name for name in encoder.fields if name in table.column_names]
        nothing = pa.table({name: pa.nulls(1, table.schema.field(name).type) for name in columns})
        known, unknown = (encoder.transform(part, columns=columns) for part in (table, nothing))
        return cls(key, columns, finder, entity, concat_rows([known, unknown]))

    def relation(self, table: pa.Table) -> Relation:
        """Return the entities of ``table``'s rows."""
        return Relation(self.rows, self.entity[self.finder.transform(table).indices])

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and a dict for JSON."""
        arrays, meta = self.finder.to_state()
        own = {f"finder.{name}": array for name, array in arrays.items()} | {"entity": self.entity}
        for name in ("indices", "indptr", "values", "fields"):
            array = getattr(self.rows, name)
            if array is not None:
                own[name] = array
        known = {"key": self.key, "columns": self.columns, "finder": meta, "width": self.rows.width}
        return own, known | {"n_features": self.rows.n_features}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> SideTable:
        """Make the side table that ``to_state`` described."""
        own = {name: array.copy() for name, array in arrays.items()}
        finder = {
            name.removeprefix("finder."): array for name, array in own.items() if name.startswith("finder.")
        }
        rows = Rows(
            own["indices"], meta["n_features"], own.get("indptr"), own.get("values"), own.get("fields"),
            width=meta["width"],
        )  # fmt: skip
        return cls(
            meta["key"], meta["columns"], Encoder.from_state(finder, meta["finder"]), own["entity"], rows
        )


def fit_tables(
    table: pa.Table, tables: Any, columns: Sequence[Column] | None
) -> tuple[Encoder, list[SideTable]]:
    """Return an encoder of all columns, fitted, and the side tables.

    ``tables`` is {key: table of entities}; those that only ``table`` has are added, with missing cells. ``columns``
    None infers those of each table. Raises ``OptionError``, ``ColumnError`` or ``DataError`` for what does not fit.
    """
    sides = _checked(table, tables)
    if columns is None:
        columns = list(infer_columns(table))
        for key, side in sides.items():
            columns += infer_columns(side, exclude=key)
    sides = {key: _completed(key, side, table) for key, side in sides.items()}
    encoder = Encoder(columns).fit(table, *sides.values())
    return encoder, [SideTable.of(key, side, encoder) for key, side in sides.items()]


def entity_keys(key: str, table: pa.Table) -> pa.Array:
    """Return the keys of a table of entities (n_entities,), as text.

    Raises ``ColumnError`` where it has no such column, ``DataError`` for an entity without a key, or that comes twice.
    """
    codes, values = category_codes(pick(table, key), key)
    times = np.bincount(codes + 1, minlength=len(values) + 1)
    if times[0]:
        raise DataError(
            f"the table of {key!r}: row {int(np.argmin(codes))} has no {key}; fill or drop such rows"
        )
    if (times > 1).any():
        name = values[int(np.argmax(times)) - 1]
        raise DataError(f"the table of {key!r} has {key}={name} in {times.max()} rows; keep one of each")
    return values.take(pa.array(codes))


def rows_of(key: str, table: pa.Table, keys: pa.Array) -> pa.Table:
    """Return the rows of ``keys`` (n,), as text, in a table of entities, with missing cells where it lacks one."""
    found = table.take(pc.index_in(keys, value_set=entity_keys(key, table)))
    return found.set_column(found.column_names.index(key), key, keys)


def _completed(key: str, side: pa.Table, table: pa.Table) -> pa.Table:
    """Return a table of entities with those that only the main table has: they have a feature of their own too."""
    known = entity_keys(key, side)
    _, values = category_codes(table[key], key)
    new = values.filter(pc.invert(pc.is_in(values, value_set=known)))
    return rows_of(key, side, pa.concat_arrays([known, new]))


def key_names(sides: Sequence[SideTable]) -> str:
    """Return the keys of side tables, for messages."""
    return ", ".join(side.key for side in sides)


def main_columns(encoder: Encoder, sides: Sequence[SideTable]) -> list[str]:
    """Return the encoder's columns that come from the main table."""
    theirs = {name for side in sides for name in side.columns}
    return [name for name in encoder.fields if name not in theirs]


def transform(encoder: Encoder, sides: Sequence[SideTable], table: Any) -> Rows:
    """Return the rows of a main table, with a relation to each side table."""
    table = as_table(table)
    own = main_columns(encoder, sides)
    if own:
        rows = encoder.transform(table, columns=own)
    else:
        nothing, offsets = np.zeros(0, np.uint32), np.zeros(table.num_rows + 1, np.int64)
        rows = Rows(nothing, encoder.n_features, indptr=offsets, fields=nothing)
    return replace(rows, relations=tuple(side.relation(table) for side in sides))


def _checked(table: pa.Table, tables: Any) -> dict[str, pa.Table]:
    """Return the side tables by key. Raises where a column could come from two of all tables."""
    if not isinstance(tables, Mapping) or not tables:
        raise OptionError(f"tables is {tables!r}, but a dict of key column to table is expected")
    sides = {key: as_table(side) for key, side in tables.items()}
    holders: dict[str, list[str]] = {name: ["X"] for name in table.column_names}
    for key, side in sides.items():
        for where, names in (("X", table.column_names), (f"tables[{key!r}]", side.column_names)):
            if key not in names:
                raise ColumnError(
                    f"{where} has no column {key!r}, by which tables[{key!r}] is to be found. It has "
                    f"{', '.join(names[:10])}."
                )
        if side.num_rows == 0:
            raise DataError(f"tables[{key!r}] has no rows")
        for name in side.column_names:
            if name != key:
                holders.setdefault(name, []).append(f"tables[{key!r}]")
    for name, found in holders.items():
        if len(found) > 1:
            raise ColumnError(f"column {name!r} is in {' and '.join(found)}; rename it in one of them")
    return sides
