"""What may be stored: sizes and values, checked in the caller's thread before a write is queued."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from crossfm.errors import DataError

MAX_ID = 256  # characters
MAX_LABEL = 64  # characters of a type, a version, a name of an experiment
MAX_JSON = 16_384  # bytes
MAX_TIME = 1e11  # seconds: the year 5138; a time in milliseconds is above
MAX_BATCH = 10_000  # events, users or items of one call


def check_text(name: str, value: Any, limit: int = MAX_ID) -> str:
    """Return a text of 1 to ``limit`` characters that both databases can hold, or raise ``DataError``."""
    if not isinstance(value, str):
        raise DataError(f"{name} is {value!r} ({type(value).__name__}), but must be text; ids are text here")
    if not 0 < len(value) <= limit:
        raise DataError(f"{name} has {len(value)} characters, but must have 1 to {limit}")
    if "\0" in value:
        raise DataError(f"{name}={value!r} has a NUL character, which cannot be stored; remove it")
    _bytes(name, value)
    return value


def check_optional(name: str, value: Any, limit: int = MAX_ID) -> str | None:
    """Return None, or ``check_text``."""
    return None if value is None else check_text(name, value, limit)


def check_finite(name: str, value: Any) -> float:
    """Return a finite number as a float, or raise ``DataError``."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{name} is {value!r}, but must be a number") from None
    if isinstance(value, str) or not isfinite(number):
        raise DataError(f"{name} is {value!r}, but must be a finite number")
    return number


def check_time(name: str, value: Any) -> float:
    """Return a time in seconds since 1970 as a float, or raise ``DataError``."""
    time = check_finite(name, value)
    if not 0 <= time < MAX_TIME:
        raise DataError(
            f"{name} is {time:g}, but must be in seconds since 1970 (0 to {MAX_TIME:g}); milliseconds need dividing"
        )
    return time


def json_text(name: str, value: Any, limit: int | None = MAX_JSON) -> str:
    """Return an object as JSON of at most ``limit`` bytes, or raise ``DataError``."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise DataError(
            f"{name} cannot be written as JSON ({exc}); use texts, finite numbers, lists"
        ) from exc
    size = len(_bytes(name, text))
    if limit is not None and size > limit:
        raise DataError(f"{name} has {size} bytes as JSON, but may have {limit}; store less of it")
    return text


def json_object(name: str, value: Any) -> str:
    """Return a mapping as JSON, or raise ``DataError``."""
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is {value!r}, but must be an object: names and values")
    return json_text(name, dict(value))


def check_batch(name: str, rows: Sequence[Any]) -> None:
    """Raise ``DataError`` for more rows than one call may bring."""
    if len(rows) > MAX_BATCH:
        raise DataError(f"{len(rows)} {name} in one call, but at most {MAX_BATCH} are taken; send parts")


def _bytes(name: str, text: str) -> bytes:
    try:
        return text.encode("utf8")
    except UnicodeEncodeError:
        raise DataError(f"{name} has half a character (a lone surrogate); send well-formed Unicode") from None
