"""Files read piece by piece: what ``read`` reads whole, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfm.core.memory import available, resident, show_size
from crossfm.core.options import thread_count
from crossfm.data.formats import DELIMITED, TEXT_ROWS, Format, detect_format
from crossfm.data.lines import whole_lines
from crossfm.data.rows import Rows
from crossfm.data.text import FORMS, check_text_options, rows_of_text
from crossfm.data.text_errors import parse_error
from crossfm.errors import DataError, OptionError
from crossfm.kernels.text import parse_text

PIECE = 8_000_000  # bytes of a source at a time, at most
LEAST = 250_000  # bytes at a time from which reading is worth while
_TEXT, _TABLE = 12, 24  # bytes taken a byte: what becomes of the text, and the piece after it
_ARROW = 56_000_000  # bytes of Arrow's own, code and buffers, that come with the first table
_BYTES_A_THREAD = 1 << 19


@dataclass(frozen=True)
class Source:
    """A file of rows and how to read it; ``options`` are those of ``read`` that were given.

    Attributes
    ----------
    path : Path
    format : Format
    options : dict
    """

    path: Path
    format: Format
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str | os.PathLike[str], options: Mapping[str, Any]) -> Source:
        """Recognise the format of ``path``; raises what ``read`` raises."""
        given = {name: value for name, value in options.items() if value is not None}
        found = detect_format(path, format=given.pop("format", None), separator=given.get("separator"))
        known = {"n_features", "zero_based"} if found.name in TEXT_ROWS else set()
        if found.name in DELIMITED:
            known = {"separator", "header", "column_names", "column_types", "encoding", "null_values"}
        unknown = sorted(set(given) - known)
        if unknown:
            raise OptionError(
                f"{', '.join(unknown)}: means nothing for {found.name} files. Leave it out, or say with format= "
                "what the file is."
            )
        if found.name in TEXT_ROWS:
            check_text_options(**given)
        return cls(Path(path), found, given)

    @property
    def is_text(self) -> bool:
        """Whether pieces are ``Rows`` (libsvm, libffm) and not tables."""
        return self.format.name in TEXT_ROWS

    def piece_bytes(self, memory_limit: int | None) -> int:
        """Return how much to read at a time; ``OptionError`` when the limit leaves too little for that."""
        times, own = (_TEXT, 0) if self.is_text else (_TABLE, _ARROW)
        if memory_limit is None:
            return min(PIECE, max(LEAST, (available() or 4_000_000_000) // (4 * times)))
        now = resident()
        if memory_limit - now < own + times * LEAST:
            raise OptionError(
                f"memory_limit={show_size(memory_limit)} is too small: the program has {show_size(now)} and reading "
                f"takes {show_size(own + times * LEAST)}, besides the model. Raise it."
            )
        return min(PIECE, (memory_limit - now - own) // times)

    def fingerprint(self) -> list[list[Any]]:
        """Return name, size and time of change (ns) of the file, or of each file of a directory."""
        files = sorted(self.path.rglob("*.parquet")) if self.path.is_dir() else [self.path]
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]

    def pieces(self, n_bytes: int, *, n_threads: int = 1) -> Iterator[Any]:
        """Yield ``Rows`` or tables of about ``n_bytes`` of the file each, none of them empty.

        Ids of text count as ``read`` counts them; ``n_features`` of a piece is that of its own ids where the options
        do not say. Raises what ``read`` raises, when it gets there.
        """
        if self.is_text:
            yield from self._text(n_bytes, thread_count(n_threads))
        else:
            from crossfm.data.table_pieces import table_pieces

            yield from table_pieces(self.path, self.format, self.options, n_bytes)

    def settle(self, n_bytes: int) -> None:
        """Read a CSV file once to learn the types of its columns, so that ``pieces`` will not raise ``Retyped``."""
        if self.format.name in DELIMITED:
            from crossfm.data.table_pieces import settled

            settled(self.options, lambda: deque(self.pieces(n_bytes), maxlen=0))

    def _text(self, n_bytes: int, n_threads: int) -> Iterator[Rows]:
        libffm = self.format.name == "libffm"
        n_features = self.options.get("n_features")
        first_id = int(self.options.get("zero_based") is False)
        lines, row, with_query = 0, 0, None
        for data in map(bytes, whole_lines(self.path, self.format, n_bytes)):
            threads = min(n_threads, 1 + len(data) // _BYTES_A_THREAD)
            found = parse_text(data, libffm=libffm, first_id=first_id, n_threads=threads)
            if found.fault:
                raise parse_error(
                    self.path,
                    data,
                    found.fault,
                    found.offset,
                    form=FORMS[self.format.name],
                    lines_before=lines,
                )
            lines += data.count(b"\n")
            if not len(found.label):
                continue
            if with_query is not None and with_query != (found.qid is not None):
                raise DataError(
                    f"{self.path}: some rows from row {row} (from 0) on have a query id, others none"
                )
            with_query = found.qid is not None
            yield rows_of_text(self.path, found, n_features, first_row=row)
            row += len(found.label)
        if not row:
            raise DataError(f"{self.path} has no rows, only blank lines or comments")
