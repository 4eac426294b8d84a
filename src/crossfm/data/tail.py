"""``Tail``: the complete lines of a file that grows, from a position that outlives the process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from crossfm.errors import DataError, MissingFileError

HEAD = 4096  # bytes at the start by which a file is known again
CHUNK = 1 << 20  # bytes read at a time
MAX_LINE = 1 << 26
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Position:
    """A place between two lines: ``offset`` bytes into the file whose first bytes have the digest ``head``."""

    offset: int
    head: str


class Tail:
    """Reads complete lines, as ``tail -F`` does; a last line without its end waits until it has one.

    When the file is replaced (rotated), the old one is read to its end, its last line too, and then the new one from
    its beginning. When it is truncated or written anew, it is read from its beginning. Each is told to ``tell``.

    Parameters
    ----------
    path : path
    position : Position, "end" or None, default=None
        Where to go on; None is the beginning, "end" the place behind the last complete line. A position in a file
        that begins with other bytes, or is shorter, is not used.
    header : bool, default=False
        The first line of each file is not among the lines, but in ``header``.
    tell : function of a text
        Hears what happens to the file.

    Raises
    ------
    MissingFileError
        There is no such file at the start; one that goes away later is waited for.
    DataError
        A line of more than 64 MB, from ``read``.
    """

    offset: int  # behind the last line returned
    lines_at: int  # where the lines of the last read begin
    header: bytes | None
    _held: bytes  # read from the file, but not yet returned
    _start: bytes  # the first bytes of what has been returned

    def __init__(
        self,
        path: str | os.PathLike[str],
        position: Position | str | None = None,
        *,
        header: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path, self._tell, self._with_header = Path(path), tell, header
        self._file = self._open()
        self._restart()
        if isinstance(position, Position):
            start = self._first(min(HEAD, position.offset))
            if self._size() >= position.offset and _digest(start) == position.head:
                self.offset, self._start = position.offset, start
            else:
                tell(
                    f"{path} is not the file it was (shorter, or it begins otherwise): reading from its beginning"
                )
        elif position == "end":
            self.offset = self._last_line_end()
            self._start = self._first(min(HEAD, self.offset))

    @property
    def position(self) -> Position:
        """The place behind the last line that ``read`` returned."""
        return Position(self.offset, _digest(self._start))

    def read(self, n_lines: int) -> list[bytes]:
        """Return the next complete lines, ``n_lines`` at most, without their ends; none when there are none yet."""
        if self._size() < self.offset or self._first(len(self._start)) != self._start:
            self._tell(f"{self.path} was truncated or written anew: reading it from its beginning")
            self._restart()
        if self._with_header and self.header is None and not self._read_header():
            return self._next_file(n_lines)
        while self._held.count(b"\n") < n_lines and self._fetch():
            pass
        *lines, self._held = self._held.split(b"\n", n_lines)
        if not lines:
            return self._next_file(n_lines)
        self.lines_at = self.offset
        if self.offset == 0:
            self.offset, lines[0] = len(_BOM) * lines[0].startswith(_BOM), lines[0].removeprefix(_BOM)
        self._advance(sum(map(len, lines)) + len(lines))
        return [line.removesuffix(b"\r") for line in lines]

    def line_number(self, offset: int) -> int:
        """Return the number, from 1, of the line that starts at byte ``offset``."""
        self._file.seek(0)
        return 1 + sum(
            self._file.read(min(CHUNK, offset - at)).count(b"\n") for at in range(0, offset, CHUNK)
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        try:
            return self.path.open("rb", buffering=0)  # a buffer would hide what is written anew
        except FileNotFoundError as exc:
            raise MissingFileError(f"there is no file {self.path} to follow. Check the name.") from exc

    def _restart(self) -> None:
        self.offset, self.lines_at, self.header = 0, 0, None
        self._held, self._start = b"", b""

    def _advance(self, n_bytes: int) -> None:
        self.offset += n_bytes
        if len(self._start) < HEAD:
            self._start = self._first(min(HEAD, self.offset))

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _first(self, n_bytes: int) -> bytes:
        self._file.seek(0)
        return self._file.read(n_bytes)

    def _read_header(self) -> bool:
        self._file.seek(0)
        line = self._file.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            return False
        self.header = line.rstrip(b"\r\n").removeprefix(_BOM)
        if self.offset < len(line):
            self._advance(len(line) - self.offset)
        return True

    def _fetch(self) -> bool:
        """Read a chunk behind what is held; False when there is none."""
        if len(self._held) > MAX_LINE and b"\n" not in self._held:
            raise DataError(
                f"{self.path}: more than {MAX_LINE} bytes without a line end, at byte {self.offset}"
            )
        self._file.seek(self.offset + len(self._held))
        more = self._file.read(CHUNK)
        self._held += more
        return bool(more)

    def _next_file(self, n_lines: int) -> list[bytes]:
        """Go on in the file that has taken this one's place, if one has; this one's last line comes first."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return []
        mine = os.fstat(self._file.fileno())
        if (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino):
            return []
        if self._held.strip():
            last, self._held = self._held, b""
            self.lines_at = self.offset
            self._advance(len(last))
            return [last.removesuffix(b"\r")]
        self._tell(f"{self.path} was replaced by another file: reading that one from its beginning")
        self._file.close()
        self._file = self._open()
        self._restart()
        return self.read(n_lines)

    def _last_line_end(self) -> int:
        """Return the byte behind the last line end."""
        end = self._size()
        while end > 0:
            start = max(0, end - CHUNK)
            self._file.seek(start)
            at = self._file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0


def _digest(start: bytes) -> str:
    return hashlib.sha256(start).hexdigest()
