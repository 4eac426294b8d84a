"""libsvm and libffm files to ``Rows``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import thread_count
from crossfm.data.formats import Format
from crossfm.data.lines import whole_lines
from crossfm.data.rows import MAX_FEATURES, Rows, offsets_or_width
from crossfm.data.text_errors import parse_error
from crossfm.errors import DataError, FeatureIndexError, OptionError
from crossfm.kernels.text import ParsedText, TextTable

ZeroBased = Literal["auto"] | bool
FORMS = {"libsvm": "id:value", "libffm": "field:id:value"}
_SAME_AT_ONCE = 1 << 16  # fields compared at once: in cache
_BYTES_A_THREAD = 1 << 20  # of text at a time: less is not worth starting a thread for, more leaves the cache


@dataclass(frozen=True, eq=False)
class TextRows:
    """The rows of a file, and their query ids (int64, (n_rows,)) or None."""

    rows: Rows
    qid: NDArray[np.int64] | None


def read_text(
    path: str | os.PathLike[str],
    format: Format,
    *,
    n_features: int | None = None,
    zero_based: ZeroBased = "auto",
    n_threads: int = 0,
) -> TextRows:
    """Read a libsvm or libffm file, with the query ids that ``read`` leaves behind; else as ``read``."""
    check_text_options(n_features, zero_based)
    path = Path(path)
    n_threads = thread_count(n_threads)
    table = TextTable(libffm=format.name == "libffm", first_id=int(zero_based is False))
    to_come = 0 if format.compression else path.stat().st_size
    for lines in whole_lines(path, format, n_threads * _BYTES_A_THREAD):
        to_come = max(to_come - len(lines), 0)
        threads = min(n_threads, 1 + len(lines) // _BYTES_A_THREAD)
        fault, offset = table.add(lines, n_threads=threads, to_come=to_come)
        if fault:
            form = FORMS[format.name]
            raise parse_error(path, bytes(lines), fault, offset, form=form, lines_before=table.n_lines)
    found = table.take()
    if not len(found.label):
        raise DataError(f"{path} has no rows, only blank lines or comments")
    return TextRows(rows_of_text(path, found, n_features), found.qid)


def check_text_options(n_features: int | None = None, zero_based: ZeroBased = "auto") -> None:
    """Raise ``OptionError`` for values that mean nothing."""
    if zero_based not in ("auto", True, False):
        raise OptionError(f"zero_based={zero_based!r}, but it is True, False or 'auto'")
    if n_features is not None and not 0 < n_features <= MAX_FEATURES:
        raise OptionError(f"n_features={n_features}, but it is from 1 to {MAX_FEATURES}, or None")


def rows_of_text(path: object, found: ParsedText, n_features: int | None, *, first_row: int = 0) -> Rows:
    """Return what the parser found as ``Rows``; ``first_row`` is the number of its first row in the file."""
    largest = int(found.indices.max()) if len(found.indices) else -1
    if n_features is not None and largest >= n_features:
        at = int(np.argmax(found.indices >= n_features))
        row = int(np.searchsorted(found.indptr, at, side="right")) - 1
        raise FeatureIndexError(
            f"{path}: row {first_row + row} (from 0) has feature {found.indices[at]}, but n_features={n_features} "
            f"(ids 0 to {n_features - 1}). Pass n_features={largest + 1} or more, or zero_based=False for a file "
            "that counts from 1."
        )
    shape = offsets_or_width(found.indptr)
    return Rows(
        indices=found.indices,
        n_features=largest + 1 if n_features is None else n_features,
        values=found.values,
        fields=None if found.fields is None else _fields_of_a_row(found.fields, shape.get("width", 0)),
        target=found.label,
        **shape,
    )


def _fields_of_a_row(fields: NDArray[np.uint32], width: int) -> NDArray[np.uint32]:
    """Keep the fields once when they are the same in every row."""
    if not width:
        return fields
    first: NDArray[np.uint32] = fields[:width].copy()
    some_rows = np.tile(first, 1 + _SAME_AT_ONCE // width)
    for start in range(0, len(fields), len(some_rows)):
        part = fields[start : start + len(some_rows)]
        if not np.array_equal(part, some_rows[: len(part)]):
            return fields
    return first
