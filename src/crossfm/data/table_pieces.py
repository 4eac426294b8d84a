"""CSV, TSV, Parquet and Arrow files as tables of bounded size, one after another.

A column of a CSV file has the type that all of its cells allow, as when the file is read whole. That is not known
before the end: a piece with a cell that the type so far does not allow raises ``Retyped``, and reading starts again
from the first row with the next type (``settled`` does that).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from crossfm.data.formats import Format
from crossfm.data.lines import unpacked
from crossfm.data.table_files import NULL_VALUES, as_types, first_row, has_header, no_rows
from crossfm.errors import ColumnError, DataError, OptionError, ParseError

ROWS = 1 << 14  # of Parquet and Arrow at a time
_AHEAD = 16  # parts of a piece: pyarrow reads 32 of them ahead
HEAD = 1 << 16  # bytes of CSV that are looked at before
_BLOCK = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (.+?): (.*)")
# The types that pyarrow tries for a column of text, in its order.
_LADDER = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)
T = TypeVar("T")


class Retyped(Exception):  # noqa: N818  (no error of the user: reading starts again)
    """A cell does not fit the type that its ``column`` had so far; ``kind`` is the next one to try."""

    def __init__(self, message: str, column: str, kind: Any) -> None:
        super().__init__(message)
        self.column, self.kind = column, kind


def settled(options: dict[str, Any], work: Callable[[], T]) -> T:
    """Return ``work()``, started again whenever it finds a column of ``options["column_types"]`` retyped."""
    asked = set(options.get("column_types") or ())
    done, result = False, None
    while not done:
        with _retyping(options, asked):
            result, done = work(), True
    return result  # type: ignore[return-value]


@contextmanager
def _retyping(options: dict[str, Any], asked: set[str]) -> Iterator[None]:
    try:
        yield
    except Retyped as found:
        if found.column in asked:
            raise ParseError(f"{found}; check column_types=") from None
        options["column_types"] = dict(options.get("column_types") or {}) | {found.column: found.kind}


def table_pieces(path: Path, format: Format, options: Mapping[str, Any], n_bytes: int) -> Iterator[pa.Table]:
    """Yield tables, none of them empty; see ``Source.pieces``."""
    if format.name in ("csv", "tsv"):
        pieces = _csv_pieces(path, format, n_bytes, **options)
    elif format.compression is not None:
        raise OptionError(
            f"{path}: packed {format.name} files can only be read whole; unpack it, or leave memory_limit out"
        )
    else:
        pieces = _parquet_pieces(path) if format.name == "parquet" else _arrow_pieces(path)
    empty = True
    try:
        for table in pieces:
            if table.num_rows:
                empty = False
                yield table
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, DataError):
            raise
        raise DataError(f"{path}: broken {format.name} data ({exc}). Fetch or write it again") from exc
    if empty:
        raise no_rows(path, [])


def _csv_pieces(
    path: Path,
    format: Format,
    n_bytes: int,
    *,
    separator: str | None = None,
    header: Any = None,
    column_names: Any = None,
    column_types: Any = None,
    encoding: str = "utf8",
    null_values: Any = NULL_VALUES,
) -> Iterator[pa.Table]:
    import pyarrow.csv as pacsv

    separator = separator if separator is not None else "\t" if format.name == "tsv" else ","
    if len(separator.encode()) != 1 or separator in ('"', "\n", "\r"):
        raise OptionError(
            f"separator={separator!r}: in pieces only one ASCII character can separate columns; leave memory_limit "
            "out, or write the file with another separator"
        )
    with unpacked(path, format) as file:
        head = _as_text(path, file.read(HEAD), encoding)
    first = first_row(path, head, separator, '"')
    with_header = has_header(path, first, header, column_names)
    types = as_types(column_types) or {}
    read = pacsv.ReadOptions(
        use_threads=False,
        block_size=max(n_bytes // _AHEAD, 1 << 10),
        column_names=None if column_names is None else list(column_names),
        autogenerate_column_names=not with_header and column_names is None,
        encoding=encoding,
    )
    parse = pacsv.ParseOptions(delimiter=separator, newlines_in_values=True)
    convert = pacsv.ConvertOptions(
        null_values=list(null_values), strings_can_be_null=True, column_types=types
    )
    names = column_names or (first if with_header else [f"f{at}" for at in range(len(first))])
    seen = {name: types.get(name) for name in names}
    with unpacked(path, format) as file:
        try:
            reader = pacsv.open_csv(file, read, parse, convert)
            seen = dict(zip(reader.schema.names, reader.schema.types, strict=True))
            unknown = sorted(set(types) - set(reader.schema.names))
            if unknown:
                raise ColumnError(
                    f"{path}: column_types names {unknown}, but the columns are {reader.schema.names}"
                )
            if any(pa.types.is_binary(kind) for kind in reader.schema.types):
                raise _not_utf8(path)
            batches: list[Any] = []
            for batch in reader:
                batches.append(batch)
                if sum(one.nbytes for one in batches) >= n_bytes:
                    yield pa.Table.from_batches(batches)
                    batches = []
            if batches:
                yield pa.Table.from_batches(batches)
        except pa.ArrowInvalid as exc:
            raise _csv_error(path, exc, first, seen) from exc


def _as_text(path: Path, head: bytes, encoding: str) -> bytes:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise OptionError(
            f"encoding={encoding!r} is not known; try 'utf8', 'latin-1', 'cp1252' or 'utf-16'"
        ) from None
    if name in ("utf-8", "utf-8-sig"):
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ParseError(f"{path}: starts as UTF-16 does, expected UTF-8; pass encoding='utf-16'")
        return head.removeprefix(codecs.BOM_UTF8)
    return codecs.getincrementaldecoder(name)("replace").decode(head).encode()


def _csv_error(path: Path, exc: Exception, first: list[str], types: Mapping[str, Any]) -> Exception:
    """Say what is wrong, or that a column needs another type than ``types`` says."""
    text = str(exc)
    if "Empty CSV" in text:
        return no_rows(path, first)
    if "UTF8" in text:
        return _not_utf8(path)
    found = _BLOCK.search(text)
    if found:
        name = list(types)[int(found[1])]
        if types[name] in _LADDER[:-1]:
            return Retyped(f"{path}: {text}", name, _LADDER[_LADDER.index(types[name]) + 1])
    if "straddling" in text:
        return DataError(f"{path}: a row is longer than what is read at a time; raise memory_limit")
    return ParseError(f"{path}: {text}; check separator=, header= and column_types=")


def _not_utf8(path: Path) -> ParseError:
    return ParseError(
        f"{path} has bytes that are not UTF-8; pass encoding='latin-1' (or what the file is written in)"
    )


def _parquet_pieces(path: Path) -> Iterator[pa.Table]:
    import pyarrow.parquet as parquet

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    folders = next((file for file in files if "=" in str(file.relative_to(path).parent)), None)
    if folders is not None:
        raise OptionError(
            f"{folders}: folders that hold columns can only be read whole; leave memory_limit out, or write one file"
        )
    schema = None
    for name in files:
        with parquet.ParquetFile(name, buffer_size=1 << 16, pre_buffer=False) as file:
            for batch in file.iter_batches(ROWS, use_threads=False):
                table = pa.Table.from_batches([batch])
                schema = schema or table.schema
                if table.schema != schema:
                    raise DataError(f"{name} has other columns or types than {files[0]}; write them alike")
                yield table


def _arrow_pieces(path: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(path)) as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"FEA1"):
            raise OptionError(
                f"{path} is Feather of version 1, which can only be read whole; write it as version 2"
            )
        if magic == b"ARROW1":
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
        else:
            batches = iter(pa.ipc.open_stream(file))
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS):
                yield pa.Table.from_batches([batch.slice(start, ROWS)])
