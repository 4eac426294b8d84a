"""The cache of fetched data sets: a folder each, and no file in it that failed its SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossfm.datasets.sources import NotInstalledError, Source, SourceError, announce
from crossfm.errors import DownloadError


def cache_dir() -> Path:
    """Return where data sets are kept: ``$CROSSFM_DATA``, else ``crossfm`` in the user's cache folder."""
    if chosen := os.environ.get("CROSSFM_DATA"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crossfm"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_cached(name: str, files: Mapping[str, str]) -> bool:
    """Say whether every file of a data set is in the cache with its expected SHA-256."""
    folder = cache_dir() / name
    return all(
        (folder / file).is_file() and sha256(folder / file) == digest for file, digest in files.items()
    )


def fetch_into_cache(name: str, files: Mapping[str, str], sources: Sequence[Source]) -> Path:
    """Return the folder of a data set, filled from the first source that yields the expected bytes.

    Files are made in a folder of their own, checked, and only then renamed to their places, so that an
    interrupted or wrong download leaves nothing behind. Raises ``DownloadError`` saying why each source failed.
    """
    folder = cache_dir() / name
    try:
        if is_cached(name, files):
            return folder
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_use(folder, error) from error
    failures = []
    for source in sources:
        failure = _fetch_from(source, files, folder)
        if failure is None:
            return folder
        failures.append(f"{source.describe()}: {failure}")
        if not isinstance(failure, NotInstalledError):
            announce(f"{name}: {failures[-1]}")
    raise DownloadError(
        f"{name} is not in the cache ({folder}) and could not be fetched. Tried, in this order:\n"
        + "".join(f"  {number}. {failure}\n" for number, failure in enumerate(failures, 1))
        + "Try again when one of them can be reached, or set CROSSFM_DATA to a cache that has it."
    )


def _fetch_from(source: Source, files: Mapping[str, str], folder: Path) -> SourceError | None:
    """Make, check and place the files of one source, or return why it could not be."""
    try:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as made:
            scratch = Path(made)
            for file, content in source.fetch(scratch).items():
                _write(scratch / file, content)
            _check(scratch, files)
            for file in files:
                os.replace(scratch / file, folder / file)
    except SourceError as error:
        return error
    except OSError as error:  # sources turn their own into SourceError: what is left is this disk
        raise _cannot_use(folder, error) from error
    return None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check(folder: Path, files: Mapping[str, str]) -> None:
    for file, expected in files.items():
        seen = sha256(folder / file) if (folder / file).is_file() else "no such file"
        if seen != expected:
            raise SourceError(f"{file} has SHA-256 {seen}, expected {expected}; the file was removed")


def _cannot_use(folder: Path, error: OSError) -> DownloadError:
    reason = error.strerror or str(error)
    return DownloadError(
        f"the cache folder {folder} cannot be used: {reason}. Set CROSSFM_DATA to another one."
    )
