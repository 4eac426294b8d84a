"""Which format a file has, by its name and its first bytes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from crossfm.errors import DataError, MissingFileError, OptionError

NAMES = ("libsvm", "libffm", "csv", "tsv", "parquet", "arrow")
TEXT_ROWS = ("libsvm", "libffm")
DELIMITED = ("csv", "tsv")

_SUFFIXES = {
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".svmlight": "libsvm",
    ".libfm": "libsvm",
    ".libffm": "libffm",
    ".ffm": "libffm",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BINARY = {b"PAR1": "parquet", b"ARROW1": "arrow", b"FEA1": "arrow", b"\xff\xff\xff\xff": "arrow"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or an Excel file)",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
}
_HEAD = 1 << 16  # bytes looked at
_LIBSVM = re.compile(rb"(?:\d+|qid):[^\s:]+")
_LIBFFM = re.compile(rb"\d+:\d+:[^\s:]+")


@dataclass(frozen=True)
class Format:
    """``name`` is one of ``NAMES``; ``compression`` is "gzip", "zstd" or None."""

    name: str
    compression: str | None = None


def detect_format(
    path: str | os.PathLike[str], *, format: str | None = None, separator: str | None = None
) -> Format:
    """Recognise the format of a file, or of a directory of Parquet files.

    Magic bytes (gzip, zstd, Parquet, Arrow) win over the name; then the name's suffix counts
    (``.csv.gz`` is CSV); then the first lines (``a:b:c`` tokens are libffm, ``a:b`` libsvm, else tabs, else
    commas). ``format`` decides for you (compression is still recognised), and so does a ``separator``: the
    file is delimited text.

    Raises ``MissingFileError``, and ``DataError`` for a directory, an empty file and an unknown format.
    """
    path = Path(path)
    if format is not None and format not in NAMES:
        raise OptionError(f"format={format!r}, but it is one of {', '.join(NAMES)}, or None to recognise it")
    if not path.exists():
        raise MissingFileError(f"{path}: no such file. Check the path (now in {Path.cwd()})")
    if path.is_dir():
        if format in (None, "parquet") and next(path.rglob("*.parquet"), None):
            return Format("parquet")
        raise DataError(f"{path} is a directory, but a file was expected (or a directory of .parquet files)")
    head = _first_bytes(path, None)
    if not head:
        raise DataError(f"{path} is empty. Check how it was made or downloaded")
    compression = next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)
    if compression:
        head = _first_bytes(path, compression)
        if not head:
            raise DataError(f"{path} is empty once unpacked. Check how it was made or downloaded")
    return Format(format or _recognise(path, head, separator), compression)


def format_of_name(path: str | os.PathLike[str]) -> str | None:
    """Return the format that the name's suffix tells, behind that of a compression; None when it tells none."""
    packed = (".gz", ".gzip", ".zst", ".zstd")
    suffixes = [s.lower() for s in Path(path).suffixes if s.lower() not in packed]
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def load(path: str | os.PathLike[str], compression: str | None) -> bytes:
    """Return the whole file, unpacked; ``DataError`` when the packed bytes are broken or cut off."""
    path = Path(path)
    return path.read_bytes() if compression is None else _unpack(path, compression, None)


def _first_bytes(path: Path, compression: str | None) -> bytes:
    if compression:
        return _unpack(path, compression, _HEAD)
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unpack(path: Path, compression: str, n: int | None) -> bytes:
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, compression) as stream:
            return bytes(stream.read(n))
    except OSError as exc:
        raise DataError(
            f"{path}: broken or cut off {compression} data ({exc}). Fetch or write it again"
        ) from exc


def _recognise(path: Path, head: bytes, separator: str | None) -> str:
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            return name
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(
                f"{path} is {what}. Unpack or convert it; known are {', '.join(NAMES)}, .gz and .zst"
            )
    named = format_of_name(path)
    if named == "parquet":
        raise DataError(
            f"{path} is named like Parquet, but does not start as Parquet does. Fetch or write it again"
        )
    if named and named != "csv":
        return named
    if separator is not None:
        return "csv"
    lines = _sample(head)
    if named:  # many a .csv is separated by tabs
        return "tsv" if lines and b"\t" in lines[0] and b"," not in lines[0] else "csv"
    found = _sniff(lines)
    if found:
        return found
    raise DataError(f"{path}: unknown format{_hint(lines)}. Say which with format= ({', '.join(NAMES)})")


def _sample(head: bytes) -> list[bytes]:
    """Return the first whole lines that are not blank."""
    lines = head.removeprefix(b"\xef\xbb\xbf").splitlines()
    if len(head) == _HEAD and len(lines) > 1:
        lines.pop()  # cut off
    return [line for line in lines if line.strip()][:20]


def _sniff(lines: list[bytes]) -> str | None:
    if not lines or any(b"\0" in line for line in lines):
        return None
    tokens = [token for line in lines for token in line.split(b"#")[0].split()[1:]]
    for name, pattern in (("libffm", _LIBFFM), ("libsvm", _LIBSVM)):
        if tokens and all(pattern.fullmatch(token) for token in tokens):
            return name
    for name, separator in (("tsv", b"\t"), ("csv", b",")):
        if all(separator in line for line in lines):
            return name
    return None


def _hint(lines: list[bytes]) -> str:
    for separator in ("::", "|", ";"):
        if lines and all(separator.encode() in line for line in lines):
            return f" (its lines have {separator!r}: if that separates columns, pass separator={separator!r})"
    return " (neither name nor first lines tell)"
