"""Files that commands read: the options that say how, the target, features for a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.errors import ColumnError, DataError, OptionError

_PANEL = "Reading"
FormatOption = Annotated[
    Optional[str],  # noqa: UP045  (typer reads annotations at run time, on Python 3.10 too)
    typer.Option(
        "--format",
        help="libsvm, libffm, csv, tsv, parquet or arrow; else recognised.",
        rich_help_panel=_PANEL,
    ),
]
SeparatorOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--separator", help="Between columns of text, such as '|' or '::'.", rich_help_panel=_PANEL),
]
HeaderOption = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option(
        "--header/--no-header", help="Whether the first line has the columns' names.", rich_help_panel=_PANEL
    ),
]
NamesOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--column-names", help="Names for a file without a header: user,item,...", rich_help_panel=_PANEL
    ),
]
EncodingOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--encoding", help="Of text, such as latin-1; else UTF-8.", rich_help_panel=_PANEL),
]
TARGETS = ("label", "target", "y", "rating", "click", "clicked")


LimitOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--memory-limit",
        help="Keep the whole process under this, such as 500MB or 2GiB: rows come from the disk.",
        rich_help_panel="Memory",
    ),
]
CacheOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--cache", help="Folder for the block cache; else beside the file.", rich_help_panel="Memory"
    ),
]


@dataclass(frozen=True)
class Reading:
    """How to read a file of rows; None recognises it, and 0 threads are all that there may be."""

    format: str | None = None
    separator: str | None = None
    header: bool | None = None
    column_names: str | None = None
    encoding: str | None = None
    n_threads: int = 0

    def read(self, path: Path, *, n_features: int | None = None) -> Any:
        """Return ``Rows`` (libsvm, libffm) or an Arrow table."""
        from crossfm.data.readers import read

        return read(path, n_features=n_features, n_threads=self.n_threads, **self.options())

    def pieces(self, path: Path, limit: int) -> Iterator[Any]:
        """Yield what ``read`` returns, as much at a time as ``limit`` bytes of memory allow."""
        from crossfm.data.pieces import Source

        source = Source.of(path, self.options())
        source.settle(source.piece_bytes(limit))
        yield from source.pieces(source.piece_bytes(limit))

    def options(self) -> dict[str, Any]:
        """Return these options as ``crossfm.read`` names them."""
        return {
            "format": self.format,
            "separator": None if self.separator is None else self.separator.replace("\\t", "\t"),
            "header": self.header,
            "column_names": names(self.column_names) or None,
            "encoding": self.encoding,
        }


def memory_limit(limit: str | None, cache: Path | None = None) -> int | None:
    """Return --memory-limit in bytes; ``OptionError`` for a --cache without it."""
    from crossfm.core.memory import parse_size

    if limit is None and cache is not None:
        raise OptionError("--cache is where --memory-limit keeps its block cache: give both, or leave it out")
    return None if limit is None else parse_size(limit)


def names(text: str | None) -> list[str]:
    """Split ``a,b,c``."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def is_rows(data: Any) -> bool:
    """Whether ``data`` has numbered features: a libsvm or libffm file, or a stream."""
    from crossfm.data.rows import Rows
    from crossfm.data.stream import RowStream

    return isinstance(data, (Rows, RowStream))  # a stream's tables are encoded already


def check_column(table: Any, name: str, option: str) -> str:
    """Return ``name`` when the table has it; ``ColumnError`` shows the nearest and the first ones."""
    import difflib

    known = table.column_names
    if name in known:
        return name
    folded = {column.casefold(): column for column in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    shown = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
    raise ColumnError(f"{option} names {name!r}, but the table has {shown}.{hint}")


def find_target(table: Any, asked: str | None) -> str:
    """Return the target's column: the one asked for, or one with a usual name."""
    if asked is not None:
        return check_column(table, asked, "--target")
    folded: dict[str, str] = {column.casefold(): column for column in reversed(table.column_names)}
    for name in TARGETS:
        if name in folded:
            return folded[name]
    shown = ", ".join(table.column_names[:10])
    raise OptionError(
        f"which column is the target? None is called {', '.join(TARGETS)}; pass --target (there are {shown})"
    )


def target_values(table: Any, name: str) -> Any:
    """Return a column as a NumPy array of numbers, booleans or text; no cell may be missing."""
    from crossfm.data import targets

    return targets.target_values(table, name)


def weight_values(table: Any, name: str) -> Any:
    """Return a column of sample weights (n_rows,)."""
    from crossfm.data import targets

    weight = targets.weight_values(table, check_column(table, name, "--weight"))
    if weight.sum() <= 0:
        raise DataError(f"column {name!r} has weights that are all 0")
    return weight


def features(model: Any, data: Any, path: Path) -> Any:
    """Return ``Rows`` for an estimator: a table's columns are picked by name, others are ignored."""
    if getattr(model, "encoder_", None) is None:
        if is_rows(data):
            data.check_ids(model.n_features_in_)
            return data
        raise DataError(
            f"{path} is a table, but the model was fitted on numbered features (libsvm or libffm): pass such a file"
        )
    if is_rows(data):
        raise DataError(
            f"{path} has numbered features, but the model was fitted on a table with columns "
            f"{', '.join(model.encoder_.fields)}: pass a table"
        )
    from crossfm.estimators.inputs import encoded

    return encoded(model, data)


def refuse_sides(model: Any, path: Path | str, what: str) -> None:
    """Raise ``OptionError`` for a model with side tables."""
    if model._sides:
        from crossfm.data.side import key_names

        keys = key_names(model._sides)
        raise OptionError(f"{path} has side tables (of {keys}), which {what}")


def read_table(path: Path, reading: Reading) -> Any:
    """Read a file that must be a table."""
    data = reading.read(path)
    if is_rows(data):
        raise DataError(f"{path} has numbered features, but a table with named columns is needed here")
    return data


def check_out(out: Path, sources: Sequence[Path | None] = ()) -> Path:
    """Refuse before any work what could not be written after it: folders, missing folders, the input itself."""
    if out.is_dir():
        raise OptionError(f"{out} is a directory, but a file is to be written; add a name")
    if out.exists() and not out.is_file():
        raise OptionError(f"{out} is a device or a pipe, but a file is to be written; choose another name")
    folder = out.resolve().parent
    if not folder.is_dir():
        raise OptionError(f"{out}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OptionError(f"{out}: the folder {folder} cannot be written to")
    for source in sources:
        if source is not None and out.exists() and source.exists() and out.samefile(source):
            raise OptionError(f"{out} is also what is read: writing would destroy it; choose another name")
    return out
