"""The two parts of a model file's content, checked both ways: arrays (safetensors) and JSON metadata."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import ModelFileError

Arrays = dict[str, NDArray[Any]]

MAX_DEPTH = 100  # of nested JSON
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_METADATA_KEYS = {"format", "format_version", "sha256", "crossfm_version", "crossfm"}


def part(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    """Return the arrays whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def plain_arrays(arrays: Mapping[str, Any]) -> Arrays:
    """Return little-endian C-ordered arrays in file order: widest type first, then by name."""
    plain: Arrays = {}
    for name, value in arrays.items():
        _check_name(name)
        array = np.asarray(value, order="C")
        little = array.dtype.newbyteorder("<")
        if little not in _CODES:
            raise ModelFileError(
                f"array {name!r} has type {array.dtype}, but a model file holds {', '.join(_type_names())}. "
                "Store text as bytes (uint8) and offsets."
            )
        plain[name] = array.astype(little, copy=False)
    return dict(sorted(plain.items(), key=lambda item: (-item[1].itemsize, item[0])))


def tensor_table(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Return the safetensors header entry of each array, laid one after another."""
    table, begin = {}, 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        table[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
        begin = end
    return table


def parse_header(header: bytes, file: BinaryIO, size: int) -> tuple[Arrays, dict[str, Any]]:
    """Return arrays, read from ``file`` with ``size`` bytes left, and metadata; trusts neither.

    Raises ``ModelFileError``.
    """
    table = _load_json(header, "header")
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != _METADATA_KEYS:
        raise ModelFileError("its metadata have other keys than this format version")
    if not isinstance(metadata["crossfm"], str):
        raise ModelFileError("its metadata are not text")
    return _tensors(table, file, size), _load_json(metadata["crossfm"], "meta")


def check_json(value: Any, where: str, depth: int = 0) -> None:
    """Raise ``ModelFileError`` naming the first place in ``value`` that is no finite JSON."""
    if depth > MAX_DEPTH:
        raise ModelFileError(f"{where[:60]}... is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ModelFileError(f"{where} has the key {key!r}, but keys must be text")
            check_json(inner, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            check_json(inner, f"{where}[{place}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ModelFileError(f"{where} is {value}, but JSON has finite numbers only")
    elif isinstance(value, int):
        if value.bit_length() > 1024:
            raise ModelFileError(f"{where} is an integer of {value.bit_length()} bits; at most 1024 are kept")
    elif value is not None and not isinstance(value, str):
        raise ModelFileError(
            f"{where} is {reprlib.repr(value)}, a {type(value).__module__}.{type(value).__name__}, but a dict, "
            "list, text, number, boolean or None is expected"
        )


def _load_json(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        check_json(value, where)
    except RecursionError:
        raise ModelFileError(f"its {where} is JSON nested too deep") from None
    except ModelFileError:
        raise
    except ValueError as exc:
        raise ModelFileError(f"its {where} is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ModelFileError(f"its {where} is JSON, but no object")
    return value


def _tensors(table: dict[str, Any], file: BinaryIO, size: int) -> Arrays:
    arrays: Arrays = {}
    position = 0
    for name, entry in table.items():
        arrays[name] = _tensor(name, entry, file, position, size)
        position += arrays[name].nbytes
    if position != size:
        raise ModelFileError(f"its arrays take {position} bytes, but {size} are there")
    return arrays


def _tensor(name: str, entry: Any, file: BinaryIO, position: int, size: int) -> NDArray[Any]:
    """Read the array of one header entry, which must start at ``position`` of ``size`` bytes: where ``file`` is."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"array {name!r} lacks type, shape or place")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise ModelFileError(f"array {name!r} has type {entry['dtype']!r}; known are {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or not _are_sizes(offsets):
        raise ModelFileError(f"array {name!r} has a shape or place that is no list of sizes")
    dtype = _DTYPES[entry["dtype"]]
    end = position + math.prod(shape) * dtype.itemsize
    if offsets != [position, end] or end > size:
        raise ModelFileError(f"array {name!r} is not at bytes {position} to {end}, where its shape belongs")
    data = np.empty(end - position, np.uint8)
    if file.readinto(data.data) != len(data):  # type: ignore[attr-defined]
        raise ModelFileError(f"array {name!r} could not be read whole: the file has changed meanwhile")
    if dtype.kind == "b" and (data > 1).any():
        raise ModelFileError(f"array {name!r} holds a boolean that is neither 0 nor 1")
    try:
        array = data.view(dtype).reshape(shape)
    except ValueError as exc:
        raise ModelFileError(f"array {name!r} has a shape that NumPy cannot hold: {exc}") from exc
    return np.require(array, dtype.newbyteorder("="), "A")


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or name == "__metadata__":
        raise ModelFileError(f"an array is named {name!r}, but text other than '__metadata__' is expected")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ModelFileError(f"the array name {name!r} is not valid Unicode") from None


def _type_names() -> list[str]:
    return [dtype.name for dtype in _DTYPES.values()]


def part_of(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
