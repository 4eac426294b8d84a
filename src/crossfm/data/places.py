"""From texts to their positions in a long list, without a Python object for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Positions = NDArray[np.int64]
AT_ONCE = 1 << 16  # texts that are Python objects at the same time while the list is read
LEAST_LATER, LATER_SHARE = 1_024, 20  # what came later goes into the table when it is a 20th of it


class Places:
    """Positions of distinct texts: a sorted table of hashes, 12 bytes a text beside the texts themselves.

    A dict takes about 100. Each answer is compared with the text, so that equal hashes do no harm.

    Parameters
    ----------
    keys : pyarrow large_string (n,)
        Distinct; kept.
    hashed : callable, default=hash
        From a text to a 64-bit number; the same within the process.
    """

    def __init__(self, keys: Any, *, hashed: Callable[[str], int] = hash) -> None:
        n = len(keys)
        table = np.empty(n, np.int64)
        for at in range(0, n, AT_ONCE):
            part = keys[at : at + AT_ONCE].to_pylist()
            table[at : at + len(part)] = np.fromiter(map(hashed, part), np.int64, len(part))
        order = np.argsort(table, kind="stable")
        self.keys = keys
        self._hashed = hashed
        self._table = table[order]
        self._order = order.astype(np.uint32 if n < 2**32 else np.int64)
        self._later: dict[str, int] = {}  # never changed: other forms share it

    def __len__(self) -> int:
        return len(self.keys) + len(self._later)

    @property
    def nbytes(self) -> int:
        """Bytes beside the texts, without those that came later."""
        return int(self._table.nbytes + self._order.nbytes)

    def get(self, key: str) -> int:
        """Return the position of a text, -1 for one that is not there."""
        at = self._walk(key, int(self._table.searchsorted(self._hashed(key))))
        return at if at >= 0 else self._later.get(key, -1)

    def find(self, keys: Sequence[str]) -> Positions:
        """Return the position of each text (n,), -1 for those that are not there."""
        wanted = np.fromiter(map(self._hashed, keys), np.int64, len(keys))
        out = np.full(len(keys), -1, np.int64)
        if not len(keys):
            return out
        if len(self._table):
            start = self._table.searchsorted(wanted)
            near = np.minimum(start, len(self._table) - 1)
            hit = np.flatnonzero(self._table[near] == wanted)
            out[hit] = self._order[near[hit]]
            found = self.keys.take(pa.array(out[hit])).to_pylist()
            for at, text in zip(hit.tolist(), found, strict=True):
                if text != keys[at]:
                    out[at] = self._walk(keys[at], int(start[at]))
        if self._later:
            for at in np.flatnonzero(out < 0).tolist():
                out[at] = self._later.get(keys[at], -1)
        return out

    def _walk(self, key: str, start: int) -> int:
        """Return the position of ``key`` among the texts of its hash, which begin at ``start``."""
        wanted = self._hashed(key)
        while start < len(self._table) and self._table[start] == wanted:
            at = int(self._order[start])
            if self.keys[at].as_py() == key:
                return at
            start += 1
        return -1

    def with_later(self, keys: Iterable[str]) -> Places:
        """Return places that know new texts, behind all others, too; these stay as they are."""
        other = object.__new__(Places)
        other.__dict__ = self.__dict__ | {"_later": dict(self._later)}
        other._later.update(zip(keys, range(len(self), 2**62), strict=False))
        if len(other._later) <= max(LEAST_LATER, len(self.keys) // LATER_SHARE):
            return other
        later = pa.array(other._later, pa.large_string())
        return Places(pa.concat_arrays([self.keys, later]), hashed=self._hashed)
