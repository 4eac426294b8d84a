"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

LEFT_OVER = 3600.0  # seconds without a change after which a temporary file is one that nobody writes


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under ``path`` only when the block ends without an exception.

    The bytes go to a hidden temporary name in the same folder, are flushed to the disk, then renamed over
    ``path``: a crash or a full disk leaves the old file, or none, and nothing half-written. A link is
    followed. ``mode`` "w" is UTF-8 text with ``\\n`` line ends.

    Raises ``OSError`` (``errno`` as the system gave it) with a message that says what to do when the folder
    is missing, the disk is full, or ``path`` is a device or a pipe. Temporary files of the same ``path`` that nobody
    has written to for an hour are removed: a killed process left them.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "is a directory, but a file is to be written; add a name", str(path)
        )
    if target.exists() and not target.is_file():  # a rename would put a file in the place of /dev/null
        raise OSError(
            errno.EINVAL, "is a device or a pipe, but a file is to be written; choose another name", str(path)
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "the folder to write to does not exist; make it first", str(path)
        )
    _sweep(target)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        with _create(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as exc:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(exc, OSError) and (message := _ADVICE.get(exc.errno or 0)):
            raise type(exc)(exc.errno, message, str(path)) from exc
        raise


_KEPT = "nothing was written, an older file is kept. Make room, or write elsewhere"
_ADVICE = {
    errno.ENOSPC: f"no space left on the disk: {_KEPT}",
    errno.EFBIG: f"larger than files may be here: {_KEPT}",
    errno.EDQUOT: f"disk quota used up: {_KEPT}",
}


def _sweep(target: Path) -> None:
    """Remove what a killed process has left of the same file; one that is being written is younger."""
    for left in target.parent.glob(f".{glob.escape(target.name[:200])}.{'[0-9a-f]' * 12}.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_OVER:
                left.unlink()


def _create(temporary: Path, mode: Literal["wb", "w"]) -> IO[Any]:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # less the process's umask, as open() would do
    if mode == "wb":
        return os.fdopen(descriptor, "wb")
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
