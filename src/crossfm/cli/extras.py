"""Libraries of extras: a clear line where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crossfm.errors import MissingLibraryError


@contextmanager
def needs_serve() -> Iterator[None]:
    """Say how to install what serving needs. Raises ``MissingLibraryError``."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("crossfm"):
            raise
        raise MissingLibraryError(f"serving needs {exc.name}: pip install 'crossfm[serve]'") from exc
