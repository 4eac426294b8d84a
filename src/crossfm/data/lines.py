"""Files read some lines at a time, gzip and zstd unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossfm.data.formats import Format
from crossfm.errors import DataError


@contextmanager
def unpacked(path: Path, format: Format) -> Iterator[Any]:
    """Open a file to be read from its start, gzip and zstd unpacked; ``DataError`` for broken packing."""
    import pyarrow as pa

    if format.compression is None:
        with path.open("rb") as file:
            yield file
        return
    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, format.compression) as stream:
            yield stream
    except OSError as exc:
        raise DataError(
            f"{path}: broken or cut off {format.compression} data ({exc}). Fetch or write it again"
        ) from exc


def whole_lines(path: Path, format: Format, n_bytes: int) -> Iterator[memoryview]:
    """Yield whole lines, about ``n_bytes`` at a time, in memory that is used again for the next.

    A file in memory of its own would take longer to read: the system has to find and clear what was not used before.
    """
    with unpacked(path, format) as file:
        room, held = bytearray(n_bytes), 0  # held: bytes of a line whose end is to come
        while n_read := file.readinto(memoryview(room)[held:]):
            size = held + n_read
            end = room.rfind(b"\n", held, size) + 1
            if end:
                yield memoryview(room)[:end]
                room[: size - end] = room[end:size]
            held = size - end
            if held == len(room):  # another, as whoever got lines may still hold this one
                room = room + bytes(held)
        if held:
            yield memoryview(room)[:held]
