"""The block cache: a file of packed blocks, written once, mapped into memory afterwards.

``magic``, the blocks one after another, an index (NumPy's npz: a row a block, arrays and settings of the writer) and
a footer: version, where the index is, CRC-32 of the index. The index has the CRC-32 of every block, which is compared
each time that a block is read. The file is there whole or not at all (``atomic_write``); whatever is wrong with it
raises ``CacheError``, and its owner writes it again from the source.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.atomic import atomic_write
from crossfm.data.blocks import Layout, decode_blocks, decode_targets, encode_block
from crossfm.data.rows import Rows
from crossfm.errors import DataError

VERSION = 2
MAGIC = b"crossfmB"
_FOOTER = struct.Struct("<8sIIQQ")  # magic, version, CRC-32 of the index, its offset and length
_BLOCK = np.dtype([("offset", "<u8"), ("size", "<u8"), ("crc", "<u4"), ("rows", "<u4"), ("nnz", "<u8")])


class CacheError(DataError):
    """A block cache that is missing, stale, of another version or broken: write it again."""


class CacheWriter:
    """Append blocks to an open file; ``finish`` makes it a cache."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._blocks: list[tuple[int, int, int, int, int]] = []
        self.layout = Layout()
        self._at = file.write(MAGIC)

    def add(self, rows: Rows) -> None:
        """Append a block; ``rows`` has a target."""
        data = encode_block(rows)
        self._file.write(data)
        self._blocks.append((self._at, len(data), zlib.crc32(data), rows.n_rows, rows.nnz))
        self._at += len(data)
        self.layout = self.layout.after(rows)

    def finish(
        self,
        key: Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
    ) -> None:
        """Write index and footer; ``key`` says what this is the cache of, ``meta`` (JSON) and ``arrays`` are kept."""
        index = io.BytesIO()
        head = json.dumps({"key": key, "layout": asdict(self.layout), "meta": meta or {}}).encode()
        own: dict[str, Any] = {f"array.{name}": array for name, array in (arrays or {}).items()}
        np.savez(index, head=np.frombuffer(head, np.uint8), blocks=np.array(self._blocks, _BLOCK), **own)
        data = index.getvalue()
        self._file.write(data)
        self._file.write(_FOOTER.pack(MAGIC, VERSION, zlib.crc32(data), self._at, len(data)))


def write_cache(path: str | os.PathLike[str], blocks: Iterable[Rows], key: Mapping[str, Any]) -> None:
    """Write a cache of ``blocks`` (Rows with a target); it appears under ``path`` when it is complete."""
    with atomic_write(path) as file:
        writer = CacheWriter(file)
        for rows in blocks:
            writer.add(rows)
        writer.finish(key)


class BlockCache:
    """A cache that was written: its index in memory, its blocks mapped.

    Attributes
    ----------
    layout : Layout
    meta : dict
    arrays : dict of arrays
    rows, nnz : int64 (n_blocks,)
        Rows and non-zeros of each block; rows are numbered through all blocks.
    """

    def __init__(self, path: str | os.PathLike[str], key: Mapping[str, Any] | None = None) -> None:
        """Open the cache at ``path``; raises ``CacheError`` unless it is whole and the cache of ``key``."""
        self.path = Path(path)
        index = self._map()
        try:
            with np.load(io.BytesIO(index), allow_pickle=False) as found:
                head = json.loads(found["head"].tobytes())
                self._blocks = found["blocks"]
                names = [name for name in found.files if name.startswith("array.")]
                self.arrays = {name.removeprefix("array."): found[name] for name in names}
            fields = head["layout"]["fields"]
            head["layout"]["fields"] = tuple(fields) if isinstance(fields, list) else fields
            self.layout, self.meta, own = Layout(**head["layout"]), head["meta"], head["key"]
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as exc:
            raise CacheError(f"{path}: the index cannot be read ({exc})") from exc
        if key is not None and own != json.loads(json.dumps(key)):
            raise CacheError(f"{path} is the cache of another file or of other settings")
        if self._blocks.dtype != _BLOCK:
            raise CacheError(f"{path}: the index has another form")
        self.rows = self._blocks["rows"].astype(np.int64)
        self.nnz = self._blocks["nnz"].astype(np.int64)
        self.first_row = np.concatenate([[0], np.cumsum(self.rows)])[:-1]

    def _map(self) -> bytes:
        """Map the file and return its index."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < len(MAGIC) + _FOOTER.size:
                    raise CacheError(f"{self.path} is cut off")
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as exc:
            raise CacheError(f"{self.path} cannot be opened: {exc.strerror}") from exc
        magic, version, crc, at, length = _FOOTER.unpack(self._bytes[size - _FOOTER.size :])
        if self._bytes[: len(MAGIC)] != MAGIC or magic != MAGIC or at + length + _FOOTER.size != size:
            raise CacheError(f"{self.path} is no block cache, or cut off")
        if version != VERSION:
            raise CacheError(f"{self.path} has version {version} of the format, not {VERSION}")
        index = self._bytes[at : at + length]
        if zlib.crc32(index) != crc:
            raise CacheError(f"{self.path}: the index does not fit its checksum")
        self._data = np.frombuffer(self._bytes, np.uint8)
        return index

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def checksum(self) -> int:
        """CRC-32 of all that is in the blocks: of their own checksums."""
        return zlib.crc32(np.ascontiguousarray(self._blocks["crc"]).view(np.uint8).data)

    def read(self, which: Sequence[int]) -> Rows:
        """Return the rows of blocks ``which``, one after another; ``CacheError`` for a broken block."""
        blocks = [self._block(at) for at in which]
        try:
            rows = decode_blocks(
                [
                    (data, int(self.rows[at]), int(self.nnz[at]))
                    for at, data in zip(which, blocks, strict=True)
                ],
                self.layout,
            )
        except ValueError as exc:
            raise CacheError(f"{self.path}: {exc}") from exc
        for at in which:
            self._forget(at)
        return rows

    def read_targets(self, at: int) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Return target and weight (n_rows,) of one block."""
        target = np.empty(self.rows[at])
        weight = np.empty(self.rows[at], np.float32) if self.layout.weighted else None
        try:
            decode_targets(self._block(at), target, weight)
        except ValueError as exc:
            raise CacheError(f"{self.path}: {exc}") from exc
        self._forget(at)
        return target, weight

    def _block(self, at: int) -> NDArray[np.uint8]:
        block = self._blocks[at]
        data = self._data[int(block["offset"]) : int(block["offset"]) + int(block["size"])]
        if len(data) != block["size"] or zlib.crc32(data.data) != block["crc"]:
            raise CacheError(f"{self.path}: block {at} does not fit its checksum")
        return data

    def _forget(self, at: int) -> None:
        """Let go of the pages of a block: mapped pages count as memory of the process."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = int(self._blocks["offset"][at]) // mmap.PAGESIZE * mmap.PAGESIZE
        stop = int(self._blocks["offset"][at]) + int(self._blocks["size"][at])
        self._bytes.madvise(mmap.MADV_DONTNEED, start, stop - start)
