"""Conditions on attributes of items, as masks over the catalogue.

    {"genre": "Comedy"}                       one value; a cell of several values needs to have it
    {"genre": ["Comedy", "Drama"]}            any of these
    {"genre": {"all": ["Comedy", "Drama"]}}   all of these
    {"genre": {"none": ["Horror"]}}           none of these; a missing cell has none
    {"year": {"min": 1990, "max": 1999}}      numbers, ends included; a missing cell is outside
    {"price": {"exists": True}}               the cell is there

Conditions on several columns, and several in one column, must all hold.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.categories import category_codes, is_list, multi_tokens
from crossfm.errors import ColumnError, OptionError
from crossfm.recommender.seen import Seen, offsets

Mask = NDArray[np.bool_]
KEYS = ("any", "all", "none", "min", "max", "exists")
KEPT = 64  # masks that are remembered: one byte an item each


class Filters:
    """Masks of conditions over the rows of one table of items, remembered while the table stays as it is.

    Parameters
    ----------
    table : pyarrow.Table (n_items, ...)
    separators : mapping of column to str
        What parts cells of several values; columns of lists need none.
    """

    def __init__(self, table: Any, separators: Mapping[str, str] | None = None) -> None:
        self.table = table
        self.separators = dict(separators or {})
        self._masks: OrderedDict[str, Mask] = OrderedDict()
        self._values: dict[str, Values] = {}
        self._lock = Lock()

    def mask(self, where: Mapping[str, Any]) -> Mask:
        """Return which items (n_items,) meet all conditions; not to be written to.

        Raises ``ColumnError`` for a column that is not there, ``OptionError`` for conditions that mean nothing.
        """
        key = _key(where)
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask = np.ones(self.table.num_rows, bool)
        for name, condition in where.items():
            mask &= self._of_column(name, condition)
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > KEPT:
                self._masks.popitem(last=False)
        return mask

    def values(self, name: str) -> Values:
        """Return the values of a column's cells, codes of which say who shares one."""
        if name not in self._values:
            if name not in self.table.column_names:
                there = ", ".join(self.table.column_names)
                raise ColumnError(f"items have no column {name!r}; there are {there}")
            self._values[name] = Values.of(self.table[name], name, self.separators.get(name))
        return self._values[name]

    def _of_column(self, name: str, condition: Any) -> Mask:
        if not isinstance(condition, Mapping):
            condition = {"any": condition}
        if unknown := sorted(set(condition) - set(KEYS)):
            raise OptionError(
                f"where: column {name!r} has {unknown[0]!r}, but conditions are {', '.join(KEYS)}"
            )
        values = self.values(name)
        mask = np.ones(len(values), bool)
        for kind in ("any", "none"):
            if kind in condition:
                has = values.having(_listed(condition[kind])).any(axis=1)
                mask &= has if kind == "any" else ~has
        if "all" in condition:
            mask &= values.having(_listed(condition["all"])).all(axis=1)
        if "exists" in condition:
            mask &= values.there() == bool(condition["exists"])
        if "min" in condition or "max" in condition:
            mask &= self._between(name, condition.get("min"), condition.get("max"))
        return mask

    def _between(self, name: str, low: Any, high: Any) -> Mask:
        for bound in (low, high):
            if bound is not None and (isinstance(bound, bool) or not isinstance(bound, (int, float))):
                raise OptionError(f"where: min and max of column {name!r} are numbers, not {bound!r}")
        try:
            x = np.asarray(pc.cast(self.table[name], pa.float64(), safe=False).to_numpy(), np.float64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
            raise OptionError(f"where: column {name!r} holds no numbers, so it has no min and max") from exc
        inside = np.isfinite(x)
        if low is not None:
            inside &= x >= low
        if high is not None:
            inside &= x <= high
        return inside


class Values:
    """The values of a column's cells (n,), none to several each.

    Attributes
    ----------
    indptr : int64 (n + 1,)
    codes : int64 (n_values,)
        Position of each value among ``names``.
    names : pyarrow strings
        Distinct values, compared as ``Categorical`` does.
    """

    def __init__(self, indptr: NDArray[np.int64], codes: NDArray[np.int64], names: Any) -> None:
        self.indptr, self.codes, self.names = indptr, codes, names

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of(cls, column: Any, name: str, separator: str | None) -> Values:
        """Read an Arrow column; text is parted at ``separator``, None takes it whole."""
        if separator is not None or is_list(column.type):
            return cls(*_several(multi_tokens(column, name, separator)))
        codes, names = category_codes(column, name)
        there = codes >= 0
        return cls(
            np.append(0, np.cumsum(there)), codes[there].astype(np.int64), names.cast(pa.large_string())
        )

    def of_item(self, position: int) -> NDArray[np.int64]:
        """Return the codes of one cell."""
        return self.codes[self.indptr[position] : self.indptr[position + 1]]

    def frequent(self, n: int) -> list[str]:
        """Return the ``n`` values that most cells have."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        listed: list[str] = self.names.take(pa.array(np.argsort(-counts, kind="stable")[:n])).to_pylist()
        return listed

    def there(self) -> Mask:
        """Return which cells have a value (n,)."""
        return np.asarray(np.diff(self.indptr) > 0)

    def having(self, wanted: Sequence[Any]) -> Mask:
        """Return which cells have each wanted value (n, n_wanted)."""
        _, keys = category_codes(pa.array(wanted), "where") if wanted else (None, pa.array([], pa.string()))
        code = pc.fill_null(pc.index_in(keys.cast(pa.large_string()), value_set=self.names), -1)
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        out = np.zeros((len(self), len(keys)), bool)
        for at, one in enumerate(code.to_numpy(zero_copy_only=False)):
            if one >= 0:
                out[row[self.codes == one], at] = True
        return out


def _several(tokens: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """Return offsets and codes of cells of several values, without missing ones, and the values."""
    cells = Seen(tokens.indptr, tokens.codes)
    if tokens.cell_of_row is not None:  # equal texts were split once
        cells = cells.of_users(tokens.cell_of_row)
    there = cells.items >= 0
    row = np.repeat(np.arange(len(cells.indptr) - 1), np.diff(cells.indptr))[there]
    indptr = offsets(np.bincount(row, minlength=len(cells.indptr) - 1))
    return indptr, cells.items[there].astype(np.int64), tokens.values.cast(pa.large_string())


def _listed(values: Any) -> list[Any]:
    listed = list(values) if isinstance(values, (list, tuple)) else [values]
    if any(isinstance(value, (Mapping, list, tuple)) or value is None for value in listed):
        raise OptionError(f"where: values are texts, numbers or truths, not {listed!r:.60}")
    return [str(value) if len({type(v) for v in listed}) > 1 else value for value in listed]


def _key(where: Mapping[str, Any]) -> str:
    try:
        return json.dumps(where, sort_keys=True)
    except (TypeError, ValueError) as exc:
        raise OptionError(f"where is not made of plain values: {exc}") from exc
