"""Cells of any type as categories: codes into an array of distinct strings.

All work per cell is pyarrow's dictionary encoding; everything about meaning happens on the distinct values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.numbers import numbers
from crossfm.errors import ColumnError, DataError

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """The values of every cell, as codes into ``values``; -1 is a missing cell.

    ``indptr`` is None when each cell has one value, else the CSR offsets of the cells. ``cell_of_row`` is
    None when cells are rows, else the cell of each row: equal texts are split once. ``weights`` are the numbers
    that cells give their values, beside ``codes``; None where each is 1.
    """

    values: pa.Array
    codes: Codes
    indptr: Codes | None = None
    cell_of_row: Codes | None = None
    weights: NDArray[np.float64] | None = None

    def counts(self) -> Codes:
        """Return in how many rows each value occurs (n_values,)."""
        weights = None
        if self.indptr is not None and self.cell_of_row is not None:
            rows_of_cell = np.bincount(self.cell_of_row, minlength=len(self.indptr) - 1)
            weights = np.repeat(rows_of_cell, np.diff(self.indptr))
        counts = np.bincount(self.codes + 1, weights, minlength=len(self.values) + 1)[1:]
        return counts.astype(np.int64)


def is_list(kind: Any) -> bool:
    """Tell whether an Arrow type is a list of scalars."""
    types = pa.types
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists and not types.is_nested(kind.value_type))


def category_codes(array: Any, name: str, *, keep_empty: bool = False) -> tuple[Codes, pa.Array]:
    """Return codes (n,) with -1 for missing, and the distinct canonical strings they point into.

    Strings come in order of first appearance, except that a dictionary column brings its own order and may
    bring values that no cell has. ``keep_empty`` makes "" a value like others.
    """
    array, types = _plain(array), pa.types
    if types.is_nested(array.type) or types.is_duration(array.type) or types.is_interval(array.type):
        raise ColumnError(
            f"column {name!r} holds {array.type}, which cannot be a category; turn it into text, numbers or "
            "dates, or use MultiCategorical for lists"
        )
    if types.is_null(array.type) or len(array) == 0:
        return np.full(len(array), -1), pa.array([], pa.large_string())
    if not types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    outer = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    values = _canonical(_plain(array.dictionary), name)
    if not keep_empty:
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.large_string()), values)
    encoded = values.dictionary_encode()  # 0.0 and -0.0 are one value now
    inner = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.append(inner, -1)[outer], encoded.dictionary


def multi_tokens(array: Any, name: str, separator: str | None) -> Tokens:
    """Return the tokens of list cells, of maps from values to numbers, or of text cells parted at ``separator``."""
    if is_list(array.type) or pa.types.is_map(array.type):
        return _list_tokens(array, name)
    codes, texts = category_codes(array, name, keep_empty=True)  # raises for other nested types
    if separator is None and len(texts):
        raise ColumnError(
            f"column {name!r} holds {array.type}, but MultiCategorical({name!r}, separator=None) needs "
            "lists; give the separator of its texts, such as '|'"
        )
    parts = pc.split_pattern(texts, separator or "|")
    lengths = pc.list_value_length(parts).to_numpy(zero_copy_only=False)
    # one more cell at the end stands for all missing ones
    cells = _tokens(
        pc.utf8_trim_whitespace(pc.list_flatten(parts)), lengths, len(texts) + 1, [len(texts)], name
    )
    return Tokens(cells.values, cells.codes, cells.indptr, np.where(codes < 0, len(texts), codes))


def _list_tokens(array: Any, name: str) -> Tokens:
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.large_list(array.type.value_type))  # a null has no length of its own there
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_map(kind):
        array = array.cast(
            pa.list_(pa.struct([pa.field("key", kind.key_type, False), ("of", kind.item_type)]))
        )
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    missing = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    parts, weights = pc.list_flatten(array), None
    if pa.types.is_map(kind):
        parts, weights = pc.struct_field(parts, 0), numbers(pc.struct_field(parts, 1), name)
    return _tokens(parts, lengths, len(array), missing, name, weights)


def _tokens(
    parts: Any,
    lengths: Any,
    n_cells: int,
    missing: Any,
    name: str,
    weights: NDArray[np.float64] | None = None,
) -> Tokens:
    """Make tokens of flat ``parts``, ``lengths`` of them a cell; empty and missing parts are dropped."""
    codes, values = category_codes(parts, name)
    cells = np.repeat(np.arange(len(lengths)), lengths)
    if weights is not None:
        bad = np.isnan(weights) & (codes >= 0)
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"row {cells[at]}, column {name!r}: {values[int(codes[at])].as_py()!r} has no number; leave it out "
                "of the cell, or give it one"
            )
        weights = np.concatenate([weights[codes >= 0], np.ones(len(missing))])
    cells = np.concatenate([cells[codes >= 0], np.asarray(missing, np.int64)])
    codes = np.concatenate([codes[codes >= 0], np.full(len(missing), -1)])
    codes, indptr, weights = distinct_in_cells(cells, codes + 1, n_cells, len(values) + 1, weights)
    return Tokens(values, codes - 1, indptr, weights=weights)


def distinct_in_cells(
    cells: Codes, codes: Codes, n_cells: int, n_codes: int, weights: NDArray[np.float64] | None = None
) -> tuple[Codes, Codes, NDArray[np.float64] | None]:
    """Return codes sorted and once each within every cell, the cells' offsets (n_cells + 1,), and the weights.

    Weights of what is one code in a cell are added up.
    """
    keys = cells * n_codes + codes
    if weights is None:
        keys = np.sort(keys)  # many times faster here than np.unique, which hashes
    else:
        order = np.argsort(keys, kind="stable")
        keys, weights = keys[order], weights[order]
    first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    if weights is not None and not first.all():
        weights = np.add.reduceat(weights, np.flatnonzero(first))
    keys = keys[first]
    lengths = np.bincount(keys // n_codes, minlength=n_cells)
    return keys % n_codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), weights


def stable_hash(values: pa.Array) -> NDArray[np.uint64]:
    """Hash strings (n,) to 64 bits: FNV-1a over the UTF-8 bytes, finished with MurmurHash3's ``fmix64``.

    The finish matters for few buckets: the low bits of plain FNV-1a see only the low bits of each byte.
    """
    values = values.cast(pa.large_string())
    _, offset_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")  # longest first: those still being read are a prefix
    starts, falling = starts[order], -lengths[order]
    hashed = np.full(len(values), 0xCBF29CE484222325, np.uint64)
    for at in range(int(lengths.max(initial=0))):
        alive = int(np.searchsorted(falling, -at, side="left"))  # cells longer than ``at``
        hashed[:alive] ^= data[starts[:alive] + at]
        hashed[:alive] *= np.uint64(0x100000001B3)
    out = np.empty_like(hashed)
    out[order] = hashed
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        out ^= out >> np.uint64(33)
        out *= np.uint64(factor)
    out ^= out >> np.uint64(33)
    return out


def _plain(array: Any) -> Any:
    """Undo what only wraps: extension types and string views."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.cast(array.type.storage_type)
    if str(array.type) in ("string_view", "binary_view"):
        array = array.cast(pa.large_string() if str(array.type) == "string_view" else pa.large_binary())
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    return array


def _canonical(values: Any, name: str) -> Any:
    """Turn distinct values of any scalar type into large strings; null where missing."""
    kind, types = values.type, pa.types
    if types.is_floating(kind):
        return _canonical_floats(values)
    if types.is_decimal(kind):
        text = values.cast(pa.large_string())
        has_point = pc.match_substring(text, ".")
        return pc.if_else(has_point, pc.replace_substring_regex(text, r"\.?0+$", ""), text)
    if types.is_timestamp(kind) or types.is_time(kind) or types.is_date(kind):
        return _canonical_times(values)
    try:
        return values.cast(pa.large_string())
    except pa.ArrowInvalid as exc:
        raise DataError(
            f"column {name!r} has bytes that are not UTF-8; decode the column to text first"
        ) from exc


def _canonical_floats(values: Any) -> Any:
    """Write whole numbers without a point and others in the shortest form of their width; NaN is missing."""
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = (np.abs(numbers) < 2.0**63) & (numbers == np.trunc(numbers))
    integers = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.large_string())
    text = pc.if_else(pa.array(whole), integers, values.cast(pa.large_string()))
    return pc.if_else(pa.array(np.isnan(numbers)), pa.scalar(None, pa.large_string()), text)


def _canonical_times(values: Any) -> Any:
    """Write ISO forms, in UTC where there is a zone, whatever the unit: no zeros at the end, no midnight."""
    zoned = pa.types.is_timestamp(values.type) and values.type.tz is not None
    if zoned:
        values = values.cast(pa.timestamp(values.type.unit))
    text = pc.replace_substring_regex(values.cast(pa.large_string()), r"\.0+$|(\.\d*?[1-9])0+$", r"\1")
    if pa.types.is_time(values.type):
        return text
    if zoned:
        return pc.binary_replace_slice(text, 64, 64, "Z")  # appends; no text is that long
    return pc.replace_substring_regex(text, r" 00:00:00$", "")
