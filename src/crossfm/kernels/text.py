"""The parser of libsvm and libffm text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels


class ParsedText(NamedTuple):
    """What the parser found; the arrays are empty when ``fault`` is not 0."""

    fault: int  # 0, or a row of crossfm.data.text_errors.FAULTS
    offset: int  # of the first byte that cannot be used
    label: NDArray[np.float64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32] | None  # None when all are 1
    fields: NDArray[np.uint32] | None  # libffm only
    qid: NDArray[np.int64] | None  # None when the rows have no query ids


def parse_text(
    data: bytes, *, libffm: bool, first_id: int = 0, n_threads: int = 1, exact: bool = False
) -> ParsedText:
    """Parse ``data`` with exactly ``n_threads`` threads; ``first_id`` (0 or 1) is subtracted from ids.

    ``exact`` reads every line with the parser that unusual lines fall back to: the same answer, slower.
    """
    return ParsedText(*_kernels.parse_text(np.frombuffer(data, np.uint8), libffm, first_id, n_threads, exact))
