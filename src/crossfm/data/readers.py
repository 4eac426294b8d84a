"""``read``: one function for every file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from crossfm.data.formats import DELIMITED, TEXT_ROWS, detect_format
from crossfm.data.rows import Rows
from crossfm.errors import OptionError


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    n_threads: int = 0,
    n_features: int | None = None,
    zero_based: bool | str | None = None,
    separator: str | None = None,
    header: bool | str | None = None,
    column_names: Sequence[str] | None = None,
    column_types: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    null_values: Sequence[str] | None = None,
) -> Rows | Any:
    """Read a file of any known format; gzip and zstd are unpacked on the way.

    Parameters
    ----------
    path : path
        A file, or a directory of Parquet files.
    format : {"libsvm", "libffm", "csv", "tsv", "parquet", "arrow"} or None, default=None
        None recognises it: see ``detect_format``.
    n_threads : int, default=0
        0 means all that the process may use. The answer does not depend on it.
    n_features : int or None, default=None
        libsvm, libffm: number of features; None takes the largest id plus 1.
    zero_based : {"auto", True, False}, default="auto"
        libsvm, libffm: False says that ids start at 1, and 1 is subtracted; else they stay as they are.
    separator : str or None, default=None
        CSV: what stands between columns, such as ``"|"`` or ``"::"`` (longer ones know no quotes); None is a
        comma, or a tab.
    header : bool, "auto" or None, default=None
        CSV: whether the first line has the names. "auto" says yes when they are all different and none is
        empty or a number. None is True, but refuses a first line with a number in it, rather than lose a row.
    column_names : sequence of str or None, default=None
        CSV: names for a file without a header; else they are f0, f1, ...
    column_types : dict or None, default=None
        CSV: pyarrow types, or their names, by column; others are inferred.
    encoding : str, default="utf8"
        CSV: how text is written.
    null_values : sequence of str, default=("", "NA", "NaN", "nan", "null", "NULL")
        CSV: spellings of a missing value.

    Returns
    -------
    Rows or pyarrow.Table
        ``Rows`` with the labels as ``target`` for libsvm and libffm, else a table.

    Raises
    ------
    MissingFileError, DataError
        No file, a directory, an empty or broken one, an unknown format, no rows.
    ParseError
        Text that does not follow its format: names file, line and column.
    FeatureIndexError
        An id that is not below ``n_features``.
    OptionError
        An option that means nothing, or nothing for this format.
    """
    found = detect_format(path, format=format, separator=separator)
    text_options = _given(n_features=n_features, zero_based=zero_based)
    csv_options = _given(
        separator=separator,
        header=header,
        column_names=column_names,
        column_types=column_types,
        encoding=encoding,
        null_values=null_values,
    )
    if found.name in TEXT_ROWS:
        from crossfm.data.text import read_text

        _refuse(csv_options, found.name)
        return read_text(path, found, n_threads=n_threads, **text_options).rows
    from crossfm.data.table_files import read_binary, read_delimited

    _refuse(text_options, found.name)
    if found.name in DELIMITED:
        return read_delimited(path, found, n_threads=n_threads, **csv_options)
    _refuse(csv_options, found.name)
    return read_binary(path, found, n_threads=n_threads)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _refuse(options: dict[str, Any], format: str) -> None:
    if options:
        raise OptionError(
            f"{', '.join(options)}: means nothing for {format} files. Leave it out, or say with format= what the file "
            "is."
        )
