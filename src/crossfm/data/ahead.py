"""Work on one thing while the next is made ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield ``items``, each made by a second thread while the one before it is worked on.

    Two are alive at a time, if the caller lets go of one before it asks for the next. An exception of the maker comes
    out here, in its place.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="crossfm-ahead") as thread:
        future = thread.submit(next, source, _END)
        while (item := future.result()) is not _END:
            future = thread.submit(next, source, _END)
            yield item
            del item
