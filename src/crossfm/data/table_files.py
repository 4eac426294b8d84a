"""CSV, TSV, Parquet and Arrow files to ``pyarrow.Table``."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from crossfm.data.formats import Format, load
from crossfm.errors import ColumnError, DataError, OptionError, ParseError

NULL_VALUES = ("", "NA", "NaN", "nan", "null", "NULL")
Header = Literal["auto"] | bool | None
_UNIT = "\x1f"  # stands in for a separator that is not one ASCII character
_BOM = b"\xef\xbb\xbf"


def read_delimited(
    path: str | os.PathLike[str],
    format: Format,
    *,
    separator: str | None = None,
    header: Header = None,
    column_names: Sequence[str] | None = None,
    column_types: Mapping[str, Any] | None = None,
    encoding: str = "utf8",
    null_values: Sequence[str] = NULL_VALUES,
    n_threads: int = 0,
) -> Any:
    """Read a CSV or TSV file; the options are those of ``read``."""
    import pyarrow.csv as pacsv

    data = _as_utf8(path, load(path, format.compression), encoding)
    separator = separator if separator is not None else "\t" if format.name == "tsv" else ","
    data, separator, quote = _one_character(path, data, separator)
    first = first_row(path, data, separator, quote)
    with_header = has_header(path, first, header, column_names)
    read = pacsv.ReadOptions(
        use_threads=n_threads != 1,
        column_names=None if column_names is None else list(column_names),
        autogenerate_column_names=not with_header and column_names is None,
    )
    parse = pacsv.ParseOptions(
        delimiter=separator, quote_char=quote, newlines_in_values=quote and b'"' in data
    )
    convert = pacsv.ConvertOptions(
        null_values=list(null_values), strings_can_be_null=True, column_types=as_types(column_types)
    )
    try:
        table = pacsv.read_csv(pa.BufferReader(data), read, parse, convert)
    except pa.ArrowInvalid as exc:
        if "Empty CSV" in str(exc):  # a header and no newline
            raise no_rows(path, first) from exc
        raise _csv_error(path, data, read, parse, exc) from exc
    if any(pa.types.is_binary(column_type) for column_type in table.schema.types):
        _check_utf8(path, data)  # pyarrow makes such a column binary, in silence
    unknown = set(column_types or ()) - set(table.column_names)
    if unknown:
        raise ColumnError(
            f"{path}: column_types names {sorted(unknown)}, but the columns are {table.column_names}"
        )
    return _with_rows(path, table)


def read_binary(path: str | os.PathLike[str], format: Format, *, n_threads: int = 0) -> Any:
    """Read a Parquet file (or a directory of them) or an Arrow IPC or Feather file."""
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    threads = n_threads != 1
    whole = None if Path(path).is_dir() else load(path, format.compression)
    try:
        if format.name == "parquet":
            source = str(path) if whole is None else pa.BufferReader(whole)
            table = parquet.read_table(source, use_threads=threads)
        elif whole is not None and whole.startswith((b"ARROW1", b"FEA1")):
            table = feather.read_table(pa.BufferReader(whole), use_threads=threads)
        else:
            table = pa.ipc.open_stream(whole).read_all()
    except (pa.ArrowException, OSError) as exc:
        raise DataError(f"{path}: broken {format.name} data ({exc}). Fetch or write it again") from exc
    return _with_rows(path, table)


def _with_rows(path: object, table: Any) -> Any:
    if table.num_rows == 0:
        raise no_rows(path, table.column_names)
    return table


def no_rows(path: object, names: list[str]) -> DataError:
    """Make the error for a table without rows."""
    return DataError(f"{path} has columns ({', '.join(names[:8])}) but no rows. Check how it was made")


def _as_utf8(path: object, data: bytes, encoding: str) -> bytes:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise OptionError(
            f"encoding={encoding!r} is not known; try 'utf8', 'latin-1', 'cp1252' or 'utf-16'"
        ) from None
    if name not in ("utf-8", "utf-8-sig"):
        try:
            data = data.decode(name).encode()
        except UnicodeDecodeError as exc:
            raise ParseError(f"{path}: byte {exc.start} is not {encoding}; pass another encoding=") from exc
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ParseError(f"{path}: starts as UTF-16 does, expected UTF-8; pass encoding='utf-16'")
    return data.removeprefix(_BOM)


def _one_character(path: object, data: bytes, separator: str) -> tuple[bytes, str, Any]:
    """Make the separator one that pyarrow takes: a single ASCII character; others know no quotes."""
    if not separator or separator in ('"', "\n", "\r"):
        raise OptionError(
            f"separator={separator!r} cannot separate columns; use ',', '\\t', '|', '::' or the like"
        )
    if len(separator.encode()) == 1:
        return data, separator, '"'
    if _UNIT.encode() in data:
        raise DataError(f"{path}: has the character 0x1f, which cannot be read with separator={separator!r}")
    return data.replace(separator.encode(), _UNIT.encode()), _UNIT, False


def first_row(path: object, data: bytes, separator: str, quote: Any) -> list[str]:
    """Return the cells of the first line that is not blank."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="replace", newline="")
    quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    try:
        first = next((row for row in csv.reader(text, delimiter=separator, quoting=quoting) if row), None)
    except csv.Error as exc:
        raise ParseError(f"{path}:1:1: not delimited text ({exc}); check the format") from exc
    if first is None:
        raise DataError(f"{path} has only blank lines")
    if any("\ufffd" in cell for cell in first):
        _check_utf8(path, data)
    return first


def has_header(path: object, first: list[str], header: Header, column_names: Sequence[str] | None) -> bool:
    """Tell whether the ``first`` line has the names, under the options of ``read``."""
    if header not in (True, False, "auto", None):
        raise OptionError(f"header={header!r}, but it is True, False, 'auto' or None")
    if column_names is not None:
        if header in (True, "auto"):
            raise OptionError(
                "column_names is for a file without a header; to rename, use table.rename_columns"
            )
        names: Sequence[str] = column_names
    else:
        names = first
    twice = [name for name, n in Counter(names).items() if n > 1]
    number = next((name for name in names if _is_number(name)), None)
    if column_names is not None or header is False:
        if column_names is not None and twice:
            raise OptionError(f"column_names has {twice[0]!r} more than once")
        return False
    if header == "auto":
        return not twice and number is None and all(names)
    if twice:
        raise ParseError(
            f"{path}:1:1: the header has {twice[0]!r} more than once, expected unique names; "
            "pass header=False or column_names=[...] if this is a row"
        )
    if header is None and number is not None:
        raise ParseError(
            f"{path}:1:1: saw {number!r} in the first line, expected column names; pass header=False or "
            "column_names=[...] if the file has no header, header=True if that is a name"
        )
    return True


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def as_types(column_types: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return pyarrow types for types or their names."""
    if column_types is None:
        return None
    try:
        return {n: pa.type_for_alias(t) if isinstance(t, str) else t for n, t in column_types.items()}
    except ValueError as exc:
        raise OptionError(
            f"column_types: {exc}; use pyarrow's names, such as 'string', 'int64', 'float64'"
        ) from exc


def _csv_error(path: object, data: bytes, read: Any, parse: Any, exc: Exception) -> DataError:
    """Say where pyarrow stumbled."""
    if "UTF8" in str(exc):
        _check_utf8(path, data)
    if re.search(r"Expected \d+ columns, got \d+", str(exc)):
        return _column_count_error(path, data, read, parse)
    return ParseError(f"{path}: {exc}; check separator=, header= and column_types=")


def _column_count_error(path: object, data: bytes, read: Any, parse: Any) -> ParseError:
    """Parse again on one thread, to see the first row with the wrong number of columns."""
    import pyarrow.csv as pacsv

    bad: list[Any] = []

    def keep(row: Any) -> str:
        bad.append(row)
        return "error"

    read.use_threads = False
    parse.invalid_row_handler = keep
    try:
        pacsv.read_csv(pa.BufferReader(data), read, parse)
    except pa.ArrowInvalid as exc:
        if not bad:
            return ParseError(f"{path}: {exc}")
    text = bad[0].text
    # The whole line: the same text inside a longer line is not it.
    match = re.search(rb"(?:\A|\n)" + re.escape(text.encode()) + rb"\r?(?:\n|\Z)", data)
    line = data.count(b"\n", 0, match.start() + 1) + 1 if match and match.start() else 1
    shown = text if len(text) <= 60 else text[:57] + "..."
    return ParseError(
        f"{path}:{line}:1: saw {bad[0].actual_columns} columns in {shown!r}, "
        f"expected {bad[0].expected_columns}; correct the line, or check separator= and quotes"
    )


def _check_utf8(path: object, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        column = exc.start - data.rfind(b"\n", 0, exc.start)
        raise ParseError(
            f"{path}:{line}:{column}: saw byte 0x{data[exc.start]:02x}, expected text in UTF-8; "
            "pass encoding='latin-1' (or what the file is written in)"
        ) from None
