"""``Rows`` and tables to files, each written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from crossfm.atomic import atomic_write
from crossfm.data.rows import Rows
from crossfm.errors import DataError, OptionError

_BLOCK = 10_000  # rows made into text at a time
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def write_libsvm(path: str | os.PathLike[str], rows: Rows) -> None:
    """Write ``label id:value ...`` lines, packed when the name ends in .gz or .zst; fields are left out.

    Values come back as the same float32, labels as the same float64. Raises ``DataError`` for rows without a
    target, with weights, or with numbers that are not finite.
    """
    _write_text(path, rows, None)


def write_libffm(path: str | os.PathLike[str], rows: Rows) -> None:
    """Write ``label field:id:value ...`` lines: as ``write_libsvm``, and the rows must have fields."""
    fields = rows.field_of_each()
    if fields is None:
        raise DataError("the rows have no fields, which libffm needs; give them some, or use write_libsvm")
    _write_text(path, rows, fields)


def write_table(path: str | os.PathLike[str], table: Any) -> None:
    """Write a table as .csv, .tsv, .parquet or .arrow/.feather, after its name; .csv.gz and .zst are packed.

    ``table`` is a ``pyarrow.Table`` or anything that gives Arrow data (pandas, polars). Missing values are
    empty cells in CSV.
    """
    import pyarrow as pa

    write_tables(path, [table if isinstance(table, pa.Table) else pa.table(table)])


def write_tables(path: str | os.PathLike[str], tables: Iterable[Any]) -> None:
    """Write tables of the same columns one after another, as ``write_table`` writes one; there is at least one."""
    name = Path(path).name.lower().removesuffix(".gz").removesuffix(".zst")
    suffix = Path(name).suffix
    if suffix not in (".csv", ".tsv", ".parquet", ".arrow", ".feather"):
        raise OptionError(
            f"{path}: the name does not tell the format; end it in .csv, .tsv, .parquet or .arrow"
        )
    with _packed(path) as file, ExitStack() as stack:
        writer: Any = None
        for table in map(_plain_strings, tables):
            writer = writer or stack.enter_context(_table_writer(file, suffix, table.schema))
            writer.write_table(table)


def _table_writer(file: Any, suffix: str, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as parquet

    if suffix == ".parquet":
        return parquet.ParquetWriter(file, schema)
    if suffix in (".arrow", ".feather"):
        return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
    return pacsv.CSVWriter(
        file, schema, write_options=pacsv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",")
    )


def _plain_strings(table: Any) -> Any:
    """Turn the string views that polars gives into strings, which every format can hold."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if str(field.type) == "string_view":
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


@contextmanager
def _packed(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open ``path`` for writing, packed as its name says."""
    import pyarrow as pa

    compression = _COMPRESSIONS.get(Path(path).suffix.lower())
    with atomic_write(path) as file:
        if compression is None:
            yield file
        else:
            with pa.CompressedOutputStream(pa.PythonFile(_KeptOpen(file), "w"), compression) as stream:
                yield stream


class _KeptOpen:
    """A file that the compressor cannot close: it is still to be synced."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush

    def close(self) -> None:
        self.flush()


def _write_text(path: str | os.PathLike[str], rows: Rows, fields: NDArray[np.uint32] | None) -> None:
    if rows.target is None:
        raise DataError(
            "the rows have no target; write rows.with_target(np.zeros(len(rows))) if there is none"
        )
    if rows.weight is not None:
        raise DataError(
            "the text has no place for sample weights; write rows.with_target(rows.target) without them"
        )
    if not np.isfinite(rows.target).all() or not np.isfinite(rows.value_of_each()).all():
        raise DataError("a target or value is NaN or infinite, which the text cannot say; fill or drop it")
    offsets = rows.offsets()
    with _packed(path) as file:
        for start in range(0, rows.n_rows, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows.n_rows))
            file.write(_lines(rows, fields, block, offsets[start : block.stop + 1]).encode())


def _lines(rows: Rows, fields: NDArray[np.uint32] | None, block: slice, offsets: NDArray[np.int64]) -> str:
    assert rows.target is not None
    part = slice(int(offsets[0]), int(offsets[-1]))
    ids = map(str, rows.indices[part].tolist())
    values = ["1"] * (part.stop - part.start) if rows.values is None else _float32_texts(rows.values[part])
    tokens = [f"{i}:{x}" for i, x in zip(ids, values, strict=True)]
    if fields is not None:
        tokens = [f"{f}:{token}" for f, token in zip(fields[part].tolist(), tokens, strict=True)]
    cuts = (offsets - offsets[0]).tolist()
    labels = [_float64_text(y) for y in rows.target[block].tolist()]
    lines = [" ".join([y, *tokens[a:b]]) for y, a, b in zip(labels, cuts, cuts[1:], strict=False)]
    return "\n".join(lines) + "\n"


def _float32_texts(values: NDArray[np.float32]) -> list[str]:
    """Shortest decimals that give the same float32 back."""
    return [text.removesuffix(".0") for text in values.astype(str).tolist()]


def _float64_text(x: float) -> str:
    return repr(x).removesuffix(".0")
