"""Lines of text to rows that a model can learn from; lines that it cannot are found one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.cli.judge import as_classes, numeric
from crossfm.cli.reading import check_column, find_target, target_values
from crossfm.data.rows import Rows, offsets_or_width
from crossfm.errors import DataError, ParseError

_SAMPLE = 10_000  # values of a vocabulary that are looked at
_UNIT = "\x1f"  # stands in for a separator of more than one character


@dataclass(frozen=True)
class Batch:
    """What lines became: ``X`` to learn from, ``rows`` to predict, targets and weights (n_rows,)."""

    X: Any
    rows: Rows
    y: NDArray[Any]
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be learned from: its place among the lines, and why."""

    number: int
    why: DataError


class LineReader:
    """Reads lines of one file for ``model``.

    ``format`` is libsvm, libffm, csv or tsv; ``names`` are the columns of delimited text, whose lines are records: a
    cell has no line end, also not in quotes.
    """

    def __init__(
        self,
        model: Any,
        path: Path,
        format: str,
        *,
        separator: str | None = None,
        target: str | None = None,
        weight: str | None = None,
    ) -> None:
        self.model, self.path, self.format = model, path, format
        self.separator = separator or ("\t" if format == "tsv" else ",")
        self.target, self.weight = target, weight
        self._texts = [] if model.encoder_ is None else _text_columns(model.encoder_)

    def split(self, header: bytes) -> list[str]:
        """Return the names in a header."""
        import csv

        text = header.decode(errors="replace")
        if len(self.separator) > 1:
            return text.split(self.separator)
        return next(csv.reader([text], delimiter=self.separator), [])

    def read(self, lines: Sequence[bytes], names: Sequence[str] | None) -> tuple[Batch | None, list[BadLine]]:
        """Return what the good lines became (None: there is none), and the bad lines.

        Raises what no line is to blame for, such as ``ColumnError`` for a column that is not there.
        """
        if not any(line.strip() for line in lines):
            return None, []
        try:
            return self._batch(lines, names), []
        except DataError:
            bad = self._bad_lines(lines, names, 0)
        dropped = {line.number for line in bad}
        good = [line for number, line in enumerate(lines) if number not in dropped]
        return (self._batch(good, names) if any(line.strip() for line in good) else None), bad

    def _bad_lines(self, lines: Sequence[bytes], names: Sequence[str] | None, first: int) -> list[BadLine]:
        """Halve the lines until each that cannot be read stands alone."""
        if not any(line.strip() for line in lines):
            return []
        try:
            self._batch(lines, names)
        except DataError as exc:
            if len(lines) == 1:
                return [BadLine(first, exc)]
            half = len(lines) // 2
            return self._bad_lines(lines[:half], names, first) + self._bad_lines(
                lines[half:], names, first + half
            )
        return []

    def _batch(self, lines: Sequence[bytes], names: Sequence[str] | None) -> Batch:
        if self.format in ("libsvm", "libffm"):
            rows = self._rows(lines)
            assert rows.target is not None
            return Batch(rows, _known(rows, self.model.n_features_in_), self._checked(rows.target))
        table = self._table(lines, names)
        y = self._checked(target_values(table, find_target(table, self.target)))
        X = table.select([check_column(table, name, "the model") for name in self.model.encoder_.fields])
        weight = None
        if self.weight is not None:
            weight = numeric(target_values(table, check_column(table, self.weight, "--weight")))
            if not np.isfinite(weight).all() or (weight < 0).any():
                raise DataError(f"column {self.weight!r} has a weight that is negative or infinite")
        return Batch(X, self.model.encoder_.transform(X), y, weight)

    def _rows(self, lines: Sequence[bytes]) -> Rows:
        from crossfm.data.text_errors import parse_error
        from crossfm.kernels.text import parse_text

        data = b"\n".join(lines) + b"\n"
        libffm = self.format == "libffm"
        found = parse_text(data, libffm=libffm)
        if found.fault:
            form = "field:id:value" if libffm else "id:value"
            raise parse_error(self.path, data, found.fault, found.offset, form=form)
        n_features = int(found.indices.max()) + 1 if len(found.indices) else 1
        return Rows(
            found.indices,
            n_features,
            values=found.values,
            fields=found.fields,
            target=found.label,
            **offsets_or_width(found.indptr),
        )

    def _table(self, lines: Sequence[bytes], names: Sequence[str] | None) -> Any:
        import pyarrow as pa
        import pyarrow.csv as csv

        from crossfm.data.table_files import NULL_VALUES

        lines = [line for line in lines if line.strip()]
        data, separator, quote = b"\n".join(lines) + b"\n", self.separator, True
        if len(separator.encode()) > 1:
            data, separator, quote = data.replace(separator.encode(), _UNIT.encode()), _UNIT, False
        read = csv.ReadOptions(use_threads=False, column_names=names, autogenerate_column_names=names is None)
        parse = csv.ParseOptions(delimiter=separator, quote_char='"' if quote else False)
        convert = csv.ConvertOptions(
            null_values=list(NULL_VALUES), strings_can_be_null=True,
            column_types=dict.fromkeys(self._texts, pa.string()),
        )  # fmt: skip
        try:
            table = csv.read_csv(pa.BufferReader(data), read, parse, convert)
        except pa.ArrowInvalid as exc:
            raise ParseError(f"{self.path}: {exc}") from exc
        if table.num_rows != len(lines) or any(pa.types.is_binary(kind) for kind in table.schema.types):
            raise ParseError(f"{self.path}: text that is not UTF-8, or a quoted cell without its end")
        return table

    def _checked(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return targets as the model takes them; ``LabelError`` for one that it cannot learn from."""
        if hasattr(self.model, "classes_"):
            return as_classes(self.model, y)
        target = numeric(y)
        self.model._loss().check(target)
        return target


def _known(rows: Rows, n_features: int) -> Rows:
    """Return the rows without features from ``n_features`` on, of which a model knows nothing yet."""
    keep = rows.indices < n_features
    if keep.all():
        return rows
    row = np.repeat(np.arange(rows.n_rows), np.diff(rows.offsets()))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=rows.n_rows))]).astype(np.int64)
    fields = rows.field_of_each()
    return Rows(
        rows.indices[keep],
        n_features,
        indptr=indptr,
        values=None if rows.values is None else rows.values[keep],
        fields=None if fields is None else fields[keep],
    )


def _text_columns(encoder: Any) -> list[str]:
    """Return the columns to be read as text: those that were text when the model was made.

    A few lines of such a column may all look like numbers: "007" would be read as 7 then, which is another category.
    """
    from crossfm.data.columns import Categorical, MultiCategorical

    texts = []
    for column, owner in zip(encoder.columns, encoder.owners, strict=True):
        if isinstance(column, MultiCategorical):
            texts.append(column.name)
        elif isinstance(column, Categorical) and encoder.columns[owner].hash_buckets is None:
            values = encoder.vocabulary(column.name)[:_SAMPLE]
            texts += [column.name] if len(values) and _is_text(values) else []
    return texts


def _is_text(values: Any) -> bool:
    """Whether categories come out otherwise when read as text than as any other type."""
    import pyarrow as pa

    from crossfm.data.categories import category_codes

    def same(kind: Any) -> bool:
        try:
            return bool(category_codes(values.cast(kind), "")[1].equals(values))
        except pa.ArrowInvalid:
            return False

    return not any(same(kind) for kind in (pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us")))
