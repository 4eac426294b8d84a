"""The parser of libsvm and libffm text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels

Bytes = bytes | memoryview


class ParsedText(NamedTuple):
    """What the parser found; the arrays mean nothing when ``fault`` is not 0."""

    fault: int  # 0, or a row of crossfm.data.text_errors.FAULTS
    offset: int  # of the first byte that cannot be used
    label: NDArray[np.float64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32] | None  # None when all are 1
    fields: NDArray[np.uint32] | None  # libffm only
    qid: NDArray[np.int64] | None  # None when the rows have no query ids


class TextTable:
    """The rows of a text that comes in pieces of whole lines.

    ``first_id`` (0 or 1) is subtracted from ids. ``exact`` reads every line with the parser that unusual lines fall
    back to: the same answer, slower.
    """

    def __init__(self, *, libffm: bool, first_id: int = 0, exact: bool = False) -> None:
        self._table = _kernels.TextTable(libffm, first_id, exact)

    def add(self, lines: Bytes, *, n_threads: int = 1, to_come: int = 0) -> tuple[int, int]:
        """Read ``lines`` with exactly ``n_threads`` threads; return fault and offset as ``ParsedText`` has them.

        ``to_come`` is how many bytes will follow, where that is known: room is made for all at once. After a fault the
        table is of no more use.
        """
        fault, offset = self._table.add(np.frombuffer(lines, np.uint8), n_threads, to_come)
        return fault, offset

    @property
    def n_lines(self) -> int:
        """Lines that were read."""
        return int(self._table.n_lines)

    def take(self) -> ParsedText:
        """Return the rows, and be left without."""
        return ParsedText(0, 0, *self._table.take())


def parse_text(
    data: Bytes, *, libffm: bool, first_id: int = 0, n_threads: int = 1, exact: bool = False
) -> ParsedText:
    """Parse a whole text with exactly ``n_threads`` threads; options as in ``TextTable``."""
    table = TextTable(libffm=libffm, first_id=first_id, exact=exact)
    fault, offset = table.add(data, n_threads=n_threads)
    return table.take()._replace(fault=fault, offset=offset)
