"""JSON in and out with orjson: strict on the way in, no NaN or Infinity on the way out."""

from __future__ import annotations

import re
from typing import Any

import orjson
from starlette.responses import Response

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
# A text that does not end matches up to the end, so that the search stays linear on any input.
_TEXTS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def dumps(value: Any) -> bytes:
    """Return the JSON text; numbers that are not finite become null, unknown objects their text."""
    return orjson.dumps(value, default=_plain, option=_OPTIONS)


def loads(text: bytes, max_depth: int) -> Any:
    """Read JSON; NaN, Infinity and broken Unicode are refused. Raises ``orjson.JSONDecodeError`` (a ``ValueError``)."""
    # Cheap for most: fewer brackets than the limit cannot nest deeper.
    if text.count(b"[") + text.count(b"{") > max_depth and depth(text) > max_depth:
        raise orjson.JSONDecodeError(f"it is nested deeper than {max_depth} levels", "", 0)
    return orjson.loads(text)


def depth(text: bytes) -> int:
    """Return how deep brackets outside texts are nested."""
    deepest = level = 0
    for match in _TEXTS_AND_BRACKETS.finditer(text):
        first = match[0][:1]
        if first in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif first in b"]}":
            level -= 1
    return deepest


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)  # NumPy's numbers
    if callable(item):
        return item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


class JSON(Response):
    """An answer that is JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return dumps(content)
