"""One side of the recommender, users or items: ids, and the encoded features of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.categories import is_list
from crossfm.data.columns import Categorical, Column, MultiCategorical
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.rows import Rows
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError, DataError, ModelFileError
from crossfm.io.parts import part_of
from crossfm.recommender.ids import Ids

MULTI_SAMPLE = 1_000  # cells of a text column that say whether it holds several values


class Side:
    """Users or items.

    Attributes
    ----------
    column : str
        Name of the id column.
    ids : Ids
    encoder : Encoder
        The id column and the feature columns.
    rows : Rows (len(ids), n_features)
    table : pyarrow.Table (len(ids), ...)
        The id and all columns that came with it, features or not: titles, attributes to filter by.
    """

    def __init__(self, column: str, ids: Ids, encoder: Encoder, rows: Rows, table: Any) -> None:
        self.column = column
        self.ids = ids
        self.encoder = encoder
        self.rows = rows
        self.table = table

    @classmethod
    def fit(cls, column: str, seen: Any, features: Any, columns: Sequence[Column] | None) -> Side:
        """Learn a side from the ids ``seen`` in the interactions and a table of ``features`` (or None).

        ``columns`` says how to encode the feature columns, and the ids if it has their column; None infers it. An id
        without features gets missing values. Raises ``DataError`` when an id has two rows of features.
        """
        table = pa.table({column: seen})
        ids = Ids.of(seen, column)
        if features is not None:
            table = as_table(features)
            need(table, column, "the table of features")
            ids = one_row_each(table, column).extended(seen, column)
        if columns is None:
            columns = [] if features is None else infer_columns(table, exclude=(column,))
        own = [c for c in columns if c.name == column] or [Categorical(column)]
        encoder = Encoder([*own, *(c for c in columns if c.name != column)])
        full = with_missing(table, column, ids)
        return cls(column, ids, encoder, encoder.fit_transform(full), full)

    def added(self, features: Any) -> Side:
        """Return this side with more ids; the encoder stays as it is, so they are known by their features.

        Ids that are there already keep their features. Raises ``DataError`` when an id has two rows.
        """
        table = as_table(features)
        need(table, self.column, "the table of features")
        one_row_each(table, self.column)
        ids = self.ids.extended(table[self.column], self.column)
        new = table.take(pa.array(np.flatnonzero(self.ids.positions(table[self.column], self.column) < 0)))
        rows = stack_rows(self.rows, self.encoder.transform(complete(new, self.encoder)))
        return Side(
            self.column,
            ids,
            self.encoder,
            rows,
            stack_tables(self.table, new, self.column, self.separators()),
        )

    def changed(self, features: Any) -> Side:
        """Return this side with the rows of ``features`` in place of those that known ids had; no others come.

        Columns that ``features`` lacks keep what is stored. Raises ``DataError`` when an id has two rows.
        """
        table = as_table(features)
        one_row_each(table, self.column)
        where = self.ids.positions(table[self.column], self.column)
        table, where = table.filter(pa.array(where >= 0)), where[where >= 0]
        source = np.arange(len(self.ids))
        source[where] = len(self.ids) + np.arange(len(where))
        kept = self.table.take(pa.array(where))
        for name in kept.column_names:
            if name not in table.column_names:
                table = table.append_column(name, kept[name])
        fresh = self.encoder.transform(complete(table, self.encoder))
        rows = stack_rows(self.rows, fresh).take(source)
        both = stack_tables(self.table, table, self.column, self.separators())
        return Side(self.column, self.ids, self.encoder, rows, both.take(pa.array(source)))

    def separators(self) -> dict[str, str]:
        """Return what parts the texts of each feature column of several values."""
        several = [c for c in self.encoder.columns if isinstance(c, MultiCategorical)]
        return {column.name: column.separator for column in several if column.separator is not None}

    def encode(self, table: Any) -> tuple[Rows, NDArray[np.int64]]:
        """Return the rows of ``table`` and their positions (-1: not known before).

        For columns that the table lacks, known ids take the stored features, other ids missing values.
        """
        need(table, self.column, "the query")
        where = self.ids.positions(table[self.column], self.column)
        lacking = np.array([name not in table.column_names for name in self.encoder.fields])
        if lacking[1:].all() and (where >= 0).all():
            return self.rows.take(where), where
        fresh = self.encoder.transform(complete(table, self.encoder))
        if not lacking.any() or not (where >= 0).any():
            return fresh, where
        stored = self.rows.take(np.maximum(where, 0))
        return mixed_rows(fresh, stored, (where >= 0)[:, None] & lacking), where

    def to_state(self, prefix: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON-able settings."""
        arrays, meta = self.encoder.to_state()
        arrays = {f"{prefix}.encoder.{name}": array for name, array in arrays.items()}
        arrays |= self.ids.to_state(f"{prefix}.ids") | rows_to_state(self.rows, f"{prefix}.rows")
        arrays[f"{prefix}.table"] = pack_table(self.table)
        return arrays, {"column": self.column, "encoder": meta}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any], prefix: str) -> Side:
        """Rebuild the side that ``to_state`` described."""
        encoder = Encoder.from_state(part_of(arrays, f"{prefix}.encoder."), meta["encoder"])
        rows = rows_from_state(arrays, f"{prefix}.rows", encoder.n_features)
        ids = Ids.from_state(arrays, f"{prefix}.ids")
        packed = arrays.get(f"{prefix}.table")  # files of before had none
        table = pa.table({meta["column"]: ids.keys}) if packed is None else unpack_table(packed, len(ids))
        return cls(meta["column"], ids, encoder, rows, table)


def separators_of(side: Side) -> dict[str, str]:
    """Return what parts the cells of columns of several values, features or not."""
    known = side.encoder.fields
    other = [name for name in side.table.column_names if name not in known]
    inferred = infer_columns(side.table.select(other).slice(0, MULTI_SAMPLE)) if other else []
    several = [c for c in inferred if isinstance(c, MultiCategorical)]
    return side.separators() | {c.name: c.separator for c in several if c.separator is not None}


def need(table: Any, column: str, what: str) -> None:
    """Raise ``ColumnError`` when ``table`` lacks ``column``."""
    if column not in table.column_names:
        raise ColumnError(f"{what} has columns {table.column_names}, but {column!r} is needed")


def one_row_each(table: Any, column: str) -> Ids:
    """Return the ids of a table of features. Raises ``DataError`` when one has two rows."""
    ids = Ids.of(table[column], column)
    if len(ids) != table.num_rows:
        twice = int(np.argmax(np.bincount(ids.positions(table[column], column)) > 1))
        raise DataError(
            f"{column} {ids.take([twice])[0].as_py()!r} has more than one row of features; keep one each"
        )
    return ids


def with_missing(table: Any, column: str, ids: Ids) -> Any:
    """Return ``table`` in the order of ``ids``, with missing values for ids it lacks."""
    where = Ids.of(table[column], column).positions(ids.keys, column)
    first = np.full(len(ids), -1)
    codes = ids.positions(table[column], column)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    index = pa.array(first, mask=(where < 0) | (first < 0))
    full = table.take(index)
    return full.set_column(full.column_names.index(column), column, ids.keys)


def complete(table: Any, encoder: Encoder) -> Any:
    """Add columns of missing values for those that the encoder needs and ``table`` lacks."""
    for name in encoder.fields:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def stack_tables(top: Any, bottom: Any, column: str, separators: Mapping[str, str]) -> Any:
    """Put ``bottom`` under ``top``: columns that one of them lacks are missing there, ids become text.

    A column of another type in ``bottom`` is cast to that of ``top``; lists for a column of texts are joined by its
    separator ("|" where there is none). Raises ``DataError`` where that cannot be.
    """
    bottom = bottom.set_column(
        bottom.column_names.index(column), column, pc.cast(bottom[column], pa.large_string())
    )
    names = [*top.column_names, *(name for name in bottom.column_names if name not in top.column_names)]
    parts = []
    for name in names:
        kind = top[name].type if name in top.column_names else bottom[name].type
        parted = separators.get(name, "|")
        parts.append([_column_of(table, name, kind, parted) for table in (top, bottom)])
    columns = [pa.chunked_array([*a.chunks, *b.chunks], a.type).combine_chunks() for a, b in parts]
    return pa.table(dict(zip(names, columns, strict=True)))


def _column_of(table: Any, name: str, kind: Any, separator: str) -> Any:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)], kind)
    cells = table[name].combine_chunks()
    try:
        if is_list(cells.type) and not is_list(kind):
            cells = pc.binary_join(cells.cast(pa.list_(pa.string())), separator)
        return pa.chunked_array([cells]).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise DataError(
            f"column {name!r} holds {kind}, but the new rows have {cells.type}, which is not turned into it: {exc}"
        ) from exc


def pack_table(table: Any) -> NDArray[np.uint8]:
    """Return a table as the bytes of an Arrow stream (n_bytes,), with nothing from outside its rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    packed: NDArray[np.uint8] = np.frombuffer(sink.getvalue(), np.uint8).copy()
    return packed


def unpack_table(packed: NDArray[Any], n_rows: int) -> Any:
    """Return the table that ``pack_table`` packed. Raises ``ModelFileError`` for broken bytes."""
    try:
        table = pa.ipc.open_stream(pa.py_buffer(packed.tobytes())).read_all()
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, TypeError, AttributeError) as exc:
        raise ModelFileError("the table of users or items is broken: train and save again") from exc
    if table.num_rows != n_rows:
        raise ModelFileError(f"a table has {table.num_rows} rows, but there are {n_rows} ids")
    return table


def stack_rows(top: Rows, bottom: Rows) -> Rows:
    """Put ``bottom`` under ``top``; both have the same features."""
    indptr = np.concatenate([top.offsets(), top.nnz + bottom.offsets()[1:]])
    unit = top.values is None and bottom.values is None
    a, b = top.field_of_each(), bottom.field_of_each()
    return Rows(
        indices=np.concatenate([top.indices, bottom.indices]),
        n_features=top.n_features,
        indptr=indptr,
        values=None if unit else np.concatenate([top.value_of_each(), bottom.value_of_each()]),
        fields=None if a is None or b is None else np.concatenate([a, b]),
    )


def mixed_rows(first: Rows, second: Rows, from_second: NDArray[np.bool_]) -> Rows:
    """Take each field of each row from ``first``, or from ``second`` where the mask (n_rows, n_fields) says so."""
    parts = []
    for rows, mask in ((first, ~from_second), (second, from_second)):
        field = rows.field_of_each()
        assert field is not None
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.offsets()))
        keep = mask[row, field]
        parts.append((row[keep], field[keep], rows.indices[keep], rows.value_of_each()[keep]))
    row, field, indices, values = (np.concatenate(pair) for pair in zip(*parts, strict=True))
    order = np.lexsort((indices, field, row))
    counts = np.bincount(row, minlength=first.n_rows)
    return Rows(
        indices=indices[order],
        n_features=first.n_features,
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        values=None if first.values is None and second.values is None else values[order],
        fields=field[order],
    )


def rows_to_state(rows: Rows, prefix: str) -> dict[str, NDArray[Any]]:
    """Return rows as arrays."""
    arrays: dict[str, NDArray[Any]] = {f"{prefix}.indptr": rows.offsets(), f"{prefix}.indices": rows.indices}
    fields = rows.field_of_each()
    if fields is not None:
        arrays[f"{prefix}.fields"] = fields
    if rows.values is not None:
        arrays[f"{prefix}.values"] = rows.values
    return arrays


def rows_from_state(arrays: dict[str, NDArray[Any]], prefix: str, n_features: int) -> Rows:
    """Rebuild rows."""
    return Rows(
        indices=arrays[f"{prefix}.indices"],
        n_features=n_features,
        indptr=arrays[f"{prefix}.indptr"],
        values=arrays.get(f"{prefix}.values"),
        fields=arrays.get(f"{prefix}.fields"),
    )
