"""``Encoder``: from tables to ``Rows``, one field a column, one range of ids a field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.categories import category_codes
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric, column_from_json
from crossfm.data.fitted import UNSEEN, Cells, Fitted, Shared, Vocabulary, fit_column, read_cells, restore
from crossfm.data.rows import MAX_FEATURES, Rows
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError, DataError, ModelFileError, OptionError

NONE_JOINED = np.empty(0, np.uint32)


class Encoder:
    """Learn what the columns of a table hold, and turn tables into ``Rows``.

    Column j is field j. Its features are one range of ids: [missing, unseen, values by falling frequency]
    for a vocabulary, [missing, buckets] where values are hashed or numbers bucketed, [missing, value] for
    other numbers. So every row has exactly one feature a column, except for ``MultiCategorical``. A column that
    shares the vocabulary of another (``share``) has that one's features: a row may then have a feature twice, in two
    fields.

    ``grown`` lets values join the vocabularies later; their ids stand behind all others, so that no id moves.

    A value that training never met gets the column's unseen feature. That feature, like any other, learns
    only from rows that have it: values below ``min_count`` or beyond ``max_size``. Where there were none,
    as for a missing feature without missing cells, its parameters would stay at their random start:
    callers set the parameters of features outside ``seen_mask`` to zero, so such a value adds nothing.

    Parameters
    ----------
    columns : iterable of Categorical, Numeric and MultiCategorical
        In field order; each names another column of the table.

    Attributes
    ----------
    columns : tuple of columns
    fields : list of str
        Column names in field order.
    owners : list of int
        For each field the one whose features it has: its own, or that of the column it shares with.
    n_features : int
    starts : int64 (n_columns + 1,)
        Features of field j are ``starts[j]`` to ``starts[j + 1] - 1``; the first of them is the missing one.
        There are none where a column shares. Those from ``starts[-1]`` on joined later.
    feature_fields : uint32 (n_features,)
        The field of each feature: the owner's where columns share.
    feature_counts : int64 (n_features,)
        In how many fitted rows each feature occurred, added up over the columns that share it.
    seen_mask : bool (n_features,)
        ``feature_counts > 0``.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        for column in self.columns:
            if not isinstance(column, (Categorical, Numeric, MultiCategorical)):
                raise OptionError(
                    f"columns has {column!r}, but each is a Categorical, Numeric or MultiCategorical"
                )
        self.fields = [column.name for column in self.columns]
        if not self.columns:
            raise OptionError("the encoder has no columns, but needs at least one; try infer_columns(table)")
        twice = sorted({name for name in self.fields if self.fields.count(name) > 1})
        if twice:
            raise OptionError(f"column {twice[0]!r} is given twice; copy it in the table under another name")
        self.owners = [self._owner_of(j) for j in range(len(self.columns))]
        self._fitted: list[Fitted] | None = None

    def fit(self, table: Any, *more: Any) -> Encoder:
        """Learn vocabularies, scales and buckets from ``table`` (see ``as_table``); return self.

        ``more`` are tables of other lengths, which hold some of the columns: each is learnt from the last table that
        has it, and ``transform`` then takes those of one table (``columns``).
        """
        self._fit(table, *more)
        return self

    def fit_transform(self, table: Any) -> Rows:
        """Return what ``fit(table).transform(table)`` does, reading the table once."""
        cells, n_rows = self._fit(table)
        return self._assemble(list(enumerate(cells)), n_rows)

    def grown(self, table: Any) -> tuple[Encoder, Rows]:
        """Return an encoder with the new values of ``table`` in its vocabularies too, and the table's rows.

        Ids stay as they are; new values get the ids behind them, by column and falling frequency. A value joins
        when it is in ``min_count`` rows of ``table`` and the vocabulary is below ``max_size``; scales, edges and
        hashes stay. The rows are counted in ``feature_counts``. ``self`` does not change. Raises as ``transform``.
        """
        before, table = self._state_of_fit(), as_table(table)
        read = self._read(table)
        own = {
            j: one.grown(*self._shared(read, j)) if isinstance(one, Vocabulary) else one
            for j, one in self._own(before).items()
        }
        joined = [np.repeat(np.uint32(j), one.n_features - before[j].n_features) for j, one in own.items()]
        other = Encoder(self.columns)
        other.set_fitted(own, np.concatenate([self._joined, *joined]))
        rows = other._assemble(list(enumerate(other._encode(read))), table.num_rows)
        more = other.n_features - self.n_features
        other.feature_counts = np.concatenate([self.feature_counts, np.zeros(more, np.int64)])
        np.add.at(other.feature_counts, rows.indices, 1)
        return other, rows

    def transform(self, table: Any, *, columns: Sequence[str] | None = None) -> Rows:
        """Return ``table``'s rows as ``Rows``; other columns of the table are ignored.

        Without ``MultiCategorical`` columns the rows have a fixed width, one feature a column in field order,
        and ``fields`` has shape (width,); numbers that come out as 0 are kept. Otherwise they are CSR with
        ``fields`` (nnz,); fields rise within a row. ``values`` is None when all are 1.

        Parameters
        ----------
        table : table
            Anything that ``as_table`` takes; it may have no rows.
        columns : sequence of str or None, default=None
            Encode these columns only, as for a table of items that knows no users. Ids and fields stay the
            same. None takes all.

        Raises
        ------
        ColumnError
            A column that is not there, or cannot hold what its kind needs.
        DataError
            Not fitted; a text where a number should be; a number that is not finite.
        """
        fitted = self._state_of_fit()
        table = as_table(table)
        chosen = (
            range(len(self.columns)) if columns is None else sorted({self.field_of(name) for name in columns})
        )
        if not chosen:
            raise OptionError("no columns are chosen; name at least one, or pass columns=None for all")
        parts = [
            (j, fitted[j].encode(read_cells(self.columns[j], pick(table, self.fields[j])))) for j in chosen
        ]
        return self._assemble(parts, table.num_rows)

    def field_of(self, name: str) -> int:
        """Return the field of a column name; raises ``ColumnError`` with the nearest name."""
        if name not in self.fields:
            raise ColumnError(_no_column("the encoder", name, self.fields))
        return self.fields.index(name)

    def vocabulary(self, name: str) -> Any:
        """Return the values of a column's vocabulary, an Arrow array of strings, in the order of their ids.

        Raises ``OptionError`` for numbers and hashed values, which have none.
        """
        return self._vocabulary(name).values

    def features_of(self, name: str, values: Any) -> NDArray[np.int64]:
        """Return the feature of each of ``values`` (n,) in a column's vocabulary, -1 for those that are not in it.

        ``values`` are an array or list of single values, compared as ``Categorical`` does. Raises as ``vocabulary``.
        """
        known = self._vocabulary(name)
        codes, distinct = category_codes(as_table({name: values})[name], name)
        found = known.find(distinct)
        ids = np.where(found < 0, -1, self._place(self.field_of(name), np.maximum(found, 0) + UNSEEN + 1))
        return np.append(ids, -1)[codes]

    def _vocabulary(self, name: str) -> Vocabulary:
        owner = self.owners[self.field_of(name)]
        fitted = self._state_of_fit()[owner]
        if not isinstance(fitted, Vocabulary):
            raise OptionError(f"column {name!r} has no vocabulary: it is {self.columns[owner]}")
        return fitted

    def feature_names(self) -> list[str]:
        """Return a name for each feature: ``genre=Drama``, ``user=<unseen>``, ``age``, ``price=(10, 20]``."""
        columns = self._state_of_fit()
        names = [""] * self.n_features
        for j, fitted in enumerate(columns):
            own = fitted.names()
            for at, name in zip(self._place(j, np.arange(len(own))).tolist(), own, strict=True):
                names[at] = name
        return names

    @property
    def seen_mask(self) -> NDArray[np.bool_]:
        self._state_of_fit()
        mask: NDArray[np.bool_] = self.feature_counts > 0
        return mask

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays (vocabularies as bytes and offsets, scales, edges, counts) and a dict for JSON."""
        fitted_columns = self._state_of_fit()
        arrays: dict[str, NDArray[Any]] = {"feature_counts": self.feature_counts}
        if len(self._joined):
            arrays["joined"] = self._joined
        for j, fitted in enumerate(fitted_columns):
            arrays |= {f"column{j}.{key}": array for key, array in fitted.state().items()}
        return arrays, {"columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> Encoder:
        """Make the encoder that ``to_state`` described; raises ``ModelFileError`` for broken parts."""
        try:
            encoder = cls([column_from_json(column) for column in meta["columns"]])
        except (OptionError, KeyError, TypeError) as exc:
            raise ModelFileError(f"the description of the columns is broken: {exc}") from exc
        own = {}
        for j, column in encoder._own(encoder.columns).items():
            start = f"column{j}."
            own[j] = restore(
                column, {key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)}
            )
        encoder.set_fitted(own, arrays.get("joined", NONE_JOINED).copy())
        counts = arrays.get("feature_counts")
        if counts is None or counts.dtype != np.int64 or counts.shape != (encoder.n_features,):
            seen = "missing" if counts is None else f"{counts.dtype} of shape {counts.shape}"
            raise ModelFileError(
                f"feature_counts is {seen}, but the columns have {encoder.n_features} features"
            )
        encoder.feature_counts = counts.copy()
        return encoder

    def _state_of_fit(self) -> list[Fitted]:
        if self._fitted is None:
            raise DataError("the encoder is not fitted; call fit(table) first")
        return self._fitted

    def set_fitted(self, own: Mapping[int, Any], joined: NDArray[np.uint32] = NONE_JOINED) -> None:
        """Lay out the ids of fitted columns; nothing has been counted with them yet.

        ``own`` has the columns with features of their own, by field; ``joined`` the field of each feature that
        stands behind the columns' ranges.
        """
        fitted = [
            own[j] if owner == j else Shared(column, own[owner])
            for j, (column, owner) in enumerate(zip(self.columns, self.owners, strict=True))
        ]
        total = sum(one.n_features for one in fitted)
        if total > MAX_FEATURES:
            raise OptionError(
                f"the columns have {total} features, but ids are 32-bit: at most {MAX_FEATURES}. "
                "Lower hash_buckets or max_size."
            )
        later = [np.flatnonzero(joined == j) for j in range(len(fitted))]
        sizes = [one.n_features - len(places) for one, places in zip(fitted, later, strict=True)]
        fits = all(size >= 1 if j in own else size == 0 for j, size in enumerate(sizes))
        if joined.dtype != np.uint32 or joined.ndim != 1 or (joined >= len(fitted)).any() or not fits:
            raise ModelFileError("the fields of the features that joined later do not fit the columns")
        self._fitted = fitted
        self._joined = joined
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._later = [places + self.starts[-1] for places in later]
        self.n_features = int(self.starts[-1]) + len(joined)
        self.feature_fields = np.concatenate(
            [np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes), joined]
        )
        self.feature_counts = np.zeros(self.n_features, np.int64)

    def count(self, rows: Rows) -> None:
        """Add ``rows``, which this encoder made, to ``feature_counts``."""
        self.feature_counts += np.bincount(rows.indices, minlength=self.n_features)

    def _place(self, field: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn a column's own ids into those of the encoder."""
        field = self.owners[field]
        start, later = self.starts[field], self._later[field]
        if not len(later):
            return np.asarray(ids + start)
        beyond = ids - (self.starts[field + 1] - start)
        return np.asarray(np.where(beyond < 0, ids + start, later[np.maximum(beyond, 0)]))

    def _fit(self, table: Any, *more: Any) -> tuple[list[Cells], int]:
        table, *others = map(as_table, (table, *more))
        if table.num_rows == 0:
            raise DataError("the table has no rows, but the encoder learns from at least one")
        read = self._read(table, *others)
        own = self._own(self.columns)
        self.set_fitted({j: fit_column(column, *self._shared(read, j)) for j, column in own.items()})
        cells = self._encode(read)
        for owner, part in zip(self.owners, cells, strict=True):
            start, end = self.starts[owner : owner + 2]
            self.feature_counts[start:end] += np.bincount(part.ids, minlength=end - start)
        return cells, table.num_rows

    def _owner_of(self, field: int) -> int:
        """Return the field whose features a field has. Raises ``OptionError`` for one that cannot be shared."""
        column = self.columns[field]
        if isinstance(column, Numeric) or column.share is None:
            return field
        says = f"column {column.name!r} shares the vocabulary of {column.share!r}, but"
        if column.share not in self.fields:
            raise OptionError(f"{says} the encoder has no such column. It has {', '.join(self.fields[:10])}.")
        owner = self.fields.index(column.share)
        other = self.columns[owner]
        if isinstance(other, Numeric):
            raise OptionError(f"{says} that one is Numeric and has none")
        if other.share is not None:
            raise OptionError(f"{says} that one itself shares {other.share!r}: name that")
        return owner

    def _own(self, each: Sequence[Any]) -> dict[int, Any]:
        """Return, by field, what of ``each`` field belongs to columns with features of their own."""
        return {j: one for j, one in enumerate(each) if self.owners[j] == j}

    def _shared(self, each: Sequence[Any], owner: int) -> list[Any]:
        """Return what of ``each`` field belongs to a column and those that share its vocabulary."""
        return [one for one, field in zip(each, self.owners, strict=True) if field == owner]

    def _read(self, table: Any, *more: Any) -> list[Any]:
        holder = {name: one for one in (table, *more) for name in one.column_names}
        return [
            read_cells(column, pick(holder.get(column.name, table), column.name)) for column in self.columns
        ]

    def _encode(self, read: Sequence[Any]) -> list[Cells]:
        return [one.encode(part) for one, part in zip(self._state_of_fit(), read, strict=True)]

    def _assemble(self, parts: list[tuple[int, Cells]], n_rows: int) -> Rows:
        """Put the columns' features side by side."""
        all_ones = all(cells.values is None or bool((cells.values == 1).all()) for _, cells in parts)
        if all(cells.indptr is None for _, cells in parts):
            return self._fixed_width(parts, n_rows, all_ones)
        lengths = np.zeros(n_rows, np.int64)
        for _, cells in parts:
            lengths += 1 if cells.indptr is None else np.diff(cells.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        indices = np.empty(indptr[-1], np.uint32)
        fields = np.empty(indptr[-1], np.uint32)
        values = None if all_ones else np.ones(indptr[-1], np.float32)
        cursor = indptr[:-1].copy()  # where each row's next feature goes
        for j, cells in parts:
            where: NDArray[np.int64] = cursor
            if cells.indptr is not None:
                own = np.diff(cells.indptr)
                where = np.repeat(cursor - cells.indptr[:-1], own) + np.arange(len(cells.ids))
            indices[where] = self._place(j, cells.ids)
            fields[where] = j
            if values is not None and cells.values is not None:
                values[where] = cells.values
            cursor = cursor + (1 if cells.indptr is None else own)
        return Rows(indices, self.n_features, indptr=indptr, values=values, fields=fields)

    def _fixed_width(self, parts: list[tuple[int, Cells]], n_rows: int, all_ones: bool) -> Rows:
        indices = np.empty((n_rows, len(parts)), np.uint32)
        values = None if all_ones else np.ones((n_rows, len(parts)), np.float32)
        for at, (j, cells) in enumerate(parts):
            indices[:, at] = self._place(j, cells.ids)
            if values is not None and cells.values is not None:
                values[:, at] = cells.values
        return Rows(
            indices.ravel(),
            self.n_features,
            values=None if values is None else values.ravel(),
            fields=np.array([j for j, _ in parts], np.uint32),
            width=len(parts),
        )


def pick(table: Any, name: str) -> Any:
    """Return a column of a table; ``ColumnError`` shows the nearest name."""
    if name not in table.column_names:
        raise ColumnError(_no_column("the table", name, table.column_names))
    return table[name]


def _no_column(owner: str, name: str, names: Sequence[str]) -> str:
    """Say that a column is not there, which one may be meant, and which there are."""
    folded = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"{owner} has no column {name!r}{hint} It has {shown}."
