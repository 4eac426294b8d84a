"""Ids of users and items: from what people write to positions and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.categories import category_codes
from crossfm.data.places import Places
from crossfm.data.strings import pack_strings, unpack_strings
from crossfm.errors import DataError

Positions = NDArray[np.int64]
FEW = 16  # ids to look up are few when there are this many times as many
KINDS = ("text", "int64", "uint64")


class Ids:
    """Distinct ids in a fixed order; compared by value, so 7, 7.0 and "7" are the same id.

    Attributes
    ----------
    keys : pyarrow large_string (n,)
    kind : {"text", "int64", "uint64"}
        What ids are given back as.
    """

    def __init__(self, keys: Any, kind: str) -> None:
        self.keys = keys
        self.kind = kind
        self._places: Places | None = None

    @property
    def places(self) -> Places:
        """Positions of ids that are texts; made when first asked for."""
        if self._places is None:
            self._places = Places(self.keys)
        return self._places

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, column: Any, name: str) -> Ids:
        """Take the distinct ids of an Arrow column, in order of first appearance.

        Raises ``DataError`` when one is missing.
        """
        codes, keys = category_codes(column, name)
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            raise DataError(
                f"column {name!r} has no id in row {row} ({int((codes < 0).sum())} in all); drop such rows"
            )
        cell = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        kind = "uint64" if pa.types.is_uint64(cell) else "int64" if pa.types.is_integer(cell) else "text"
        return cls(keys.cast(pa.large_string()), kind)

    def extended(self, column: Any, name: str) -> Ids:
        """Return these ids with the new ones of ``column`` behind them."""
        more = Ids.of(column, name)
        new = more.keys.filter(pc.is_null(pc.index_in(more.keys, value_set=self.keys)))
        return Ids(
            pa.concat_arrays([self.keys, new]), self.kind if len(new) == 0 else common(self.kind, more.kind)
        )

    def positions(self, column: Any, name: str) -> Positions:
        """Return the position of each cell (n,), -1 for unknown and missing ids."""
        codes, distinct = category_codes(column, name)
        if len(distinct) * FEW <= len(self.keys):  # pyarrow hashes all keys each time
            return np.append(self.places.find(distinct.to_pylist()), -1)[codes]
        found = pc.index_in(distinct.cast(pa.large_string()), value_set=self.keys)
        known = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return np.append(known, -1)[codes]

    def take(self, positions: Any) -> Any:
        """Return the ids at ``positions`` as an Arrow array, integers again if they came as such."""
        keys = self.keys.take(pa.array(positions, pa.int64()))
        return keys if self.kind == "text" else keys.cast(pa.type_for_alias(self.kind))

    def to_state(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the ids as arrays."""
        data, offsets = pack_strings(self.keys)
        return {
            f"{prefix}.bytes": data,
            f"{prefix}.offsets": offsets,
            f"{prefix}.kind": np.array(KINDS.index(self.kind)),
        }

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> Ids:
        """Rebuild the ids that ``to_state`` described."""
        keys = unpack_strings(arrays[f"{prefix}.bytes"], arrays[f"{prefix}.offsets"])
        return cls(keys.cast(pa.large_string()), KINDS[int(arrays[f"{prefix}.kind"])])


def common(a: str, b: str) -> str:
    """Return the kind that holds ids of both kinds."""
    return a if a == b else "text"


def id_array(ids: Any, name: str) -> Any:
    """Return one id, or several of one type, as an Arrow array. Raises ``DataError`` for anything else."""
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        return ids
    listed = [ids] if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable) else list(ids)
    try:
        return pa.array(listed)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as exc:
        raise DataError(f"{name}: ids are numbers or texts, one kind in a call, not {listed[:3]!r}") from exc
