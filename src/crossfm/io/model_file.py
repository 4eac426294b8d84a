"""The ``.crossfm`` model file: a safetensors file, sealed by a digest of every byte.

    8 bytes      length of the header, little-endian
    header       JSON, padded with spaces to a multiple of 8:
                 {"__metadata__": {"format": "crossfm", "format_version": "1", "sha256": ...,
                                   "crossfm_version": ..., "crossfm": meta as a JSON string},
                  name: {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ...}
    data         the arrays, little-endian, C order, widest type first so that each is aligned

``sha256`` is the digest of the whole file with the 64 digits of the digest itself read as zeros. It is checked
before any JSON is parsed: a changed, lost or added byte anywhere is found. It is no signature: who can write the
file can write the digest, so parsing trusts nothing either. Arrays and JSON only: reading runs no code.

Files start with the same keys in every version, so an older crossfm knows a newer file when it sees one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from crossfm import __version__
from crossfm.atomic import atomic_write
from crossfm.errors import ModelFileError
from crossfm.io.parts import Arrays, check_json, parse_header, plain_arrays, tensor_table

FORMAT_VERSION = 1
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors library
_OPENING = b'{"__metadata__":{"format":"crossfm","format_version":"'
_START = re.compile(re.escape(_OPENING) + rb'([1-9][0-9]{0,8})",')
_SEALED = re.compile(_START.pattern + rb'"sha256":"([0-9a-f]{64})",')
_UNSEALED = b"0" * 64

_KNOWN_STARTS = {
    b"PK\x03\x04": "a zip archive (as PyTorch and Keras write)",
    b"\x80": "a Python pickle, which crossfm never reads",
    b"\x1f\x8b": "a gzip file",
    b"\x93NUMPY": "a NumPy .npy file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
}


def write_model(path: str | os.PathLike[str], arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write arrays and metadata to ``path``, whole or not at all.

    Parameters
    ----------
    path : str or path
        An older file is replaced only when the new one is complete on the disk.
    arrays : dict of name to array
        Booleans, integers of 8 to 64 bits and floats of 16 to 64 bits, any shape. Contiguous little-endian
        arrays are written without a copy.
    meta : dict
        Finite JSON: dicts with text keys, lists (tuples become lists), text, numbers, booleans, None.

    Raises
    ------
    ModelFileError
        An array type or a metadata value that the file cannot hold (named), metadata above 100 MB.
    OSError
        The folder does not exist, the disk is full, ...; then nothing has changed.
    """
    check_json(meta := dict(meta), "meta")
    tensors = plain_arrays(arrays)
    metadata = {
        "format": "crossfm",
        "format_version": str(FORMAT_VERSION),
        "sha256": _UNSEALED.decode(),
        "crossfm_version": __version__,
        "crossfm": json.dumps(meta, allow_nan=False, separators=(",", ":")),
    }
    header = json.dumps({"__metadata__": metadata, **tensor_table(tensors)}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > MAX_HEADER:
        raise ModelFileError(
            f"the metadata of {path} take {len(header)} bytes, but a header holds {MAX_HEADER}. "
            "Put long lists, such as vocabularies, into arrays."
        )
    head = len(header).to_bytes(8, "little") + header
    data = [array.reshape(-1).view(np.uint8).data for array in tensors.values()]
    digest = hashlib.sha256(head)
    for part in data:
        digest.update(part)
    with atomic_write(path, "wb") as file:
        file.write(head.replace(_UNSEALED, digest.hexdigest().encode(), 1))
        for part in data:
            file.write(part)


def read_model(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Read what ``write_model`` wrote: arrays and metadata.

    Each array has memory of its own: what is not kept is freed. The bytes are hashed, then read array by array, so
    that never more than the arrays is in memory.

    Raises
    ------
    ModelFileError
        The file is missing, a directory, empty, cut short, changed in any byte, something else than a
        crossfm file, or of a newer format; the message says which, and what to do.
    """
    path = Path(path)
    with _opened(path) as (file, head, size):
        seal = _SEALED.match(head, 8)
        if seal is None or _digest(head, seal.span(2), file) != seal[2].decode():
            raise ModelFileError(
                f"{path} is damaged: its bytes are not the ones that were written (the SHA-256 digest differs). "
                "Copy it again from where it came, or fit and save the model again."
            )
        file.seek(len(head))
        try:
            return parse_header(head[8:], file, size)
        except ModelFileError as exc:
            raise ModelFileError(f"{path} is no valid crossfm model file: {exc}") from exc


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes, int]]:
    """Open a file; yield it, its length and header as bytes, and the number of bytes that follow these."""
    try:
        if path.is_dir():
            raise ModelFileError(
                f"{path} is a directory, but a .crossfm file is expected. Name the file in it."
            )
        if path.exists() and not path.is_file():
            raise ModelFileError(f"{path} is a device or pipe, but a .crossfm file is expected.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(8)
            length = int.from_bytes(head, "little")
            whole = length <= min(size - 8, MAX_HEADER)
            head += file.read(length if whole else 512)
            _check_start(path, head, size, whole)
            yield file, head, size - len(head)
    except FileNotFoundError as exc:
        raise ModelFileError(f"there is no file {path}. Check the name.") from exc
    except OSError as exc:
        raise ModelFileError(f"{path} cannot be read: {exc.strerror or exc}.") from exc


def _check_start(path: Path, head: bytes, size: int, whole: bool) -> None:
    """Raise ``ModelFileError`` unless ``head`` begins as a crossfm file of a known version and is ``whole``."""
    if size == 0:
        raise ModelFileError(
            f"{path} is empty, but a crossfm model file is expected. Was it written completely?"
        )
    start = _START.match(head, 8)
    if start and int(start[1]) > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {int(start[1])}, but crossfm {__version__} reads up to version "
            f"{FORMAT_VERSION}: it was written by a newer crossfm. Upgrade crossfm."
        )
    if not whole and (start or (size > 8 and _OPENING.startswith(head[8:]))):
        raise ModelFileError(
            f"{path} is cut short or damaged: its header says more than its {size} bytes. Copy it again."
        )
    if not start:
        raise ModelFileError(f"{path} is {_describe(head)}, not a crossfm model file.")


def _describe(head: bytes) -> str:
    """Guess what a foreign file is from its first bytes."""
    for start, name in _KNOWN_STARTS.items():
        if head.startswith(start):
            return name
    if head[8:9] == b"{":
        return "a safetensors file that crossfm did not write (or whose header was changed)"
    text = head[:512].decode("utf-8", errors="ignore")
    if text and len(text.encode()) >= len(head[:512]) - 3 and "\0" not in text:
        return "a text file"
    return "a file of unknown form"


def _digest(head: bytes, seal: tuple[int, int], file: BinaryIO) -> str:
    """Hash a file of which ``head`` has been read, the digits of its own digest (a place in the header) as zeros."""
    begin, end = seal
    digest = hashlib.sha256(head[:begin] + _UNSEALED + head[end:])
    block = memoryview(bytearray(1 << 20))
    while got := file.readinto(block):  # type: ignore[attr-defined]
        digest.update(block[:got])
    return digest.hexdigest()
