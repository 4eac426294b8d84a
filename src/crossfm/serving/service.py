"""What all routes of one app share: the model in use, the store, the keys, limits and counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from crossfm.errors import CrossFMError, StoreError
from crossfm.serving.auth import KeyRing
from crossfm.serving.course import Course
from crossfm.serving.limits import Buckets, Slots
from crossfm.serving.logs import make_log
from crossfm.serving.memory import resident_bytes
from crossfm.serving.metrics import Metrics
from crossfm.serving.past import Past
from crossfm.serving.registry import Loaded, Refusal, Registry
from crossfm.serving.settings import Settings
from crossfm.serving.window import Window
from crossfm.serving.workers import leave_note, notes_of_others, shared_folder

T = TypeVar("T")
STRANGERS = (5.0, 20)  # wrong keys a second of one address, and how many at once


class Service:
    """One for an app; routes find it at ``request.app.state.service``."""

    def __init__(self, registry: Registry, store: Any, settings: Settings) -> None:
        self.registry = registry
        self.store = store
        self.settings = settings
        self.log = make_log(settings.log_level)
        self.keys = KeyRing(settings.keys)
        self.metrics = Metrics()
        self.window = Window()
        self.course = Course(self.window.concentration)
        self.shared = shared_folder()
        self.past = Past(store, settings)
        self.buckets = Buckets(settings.rate, settings.burst)
        self.strangers = Buckets(*STRANGERS)
        self.slots = Slots(settings.max_in_flight)
        self.draining = False
        self._limiters: dict[str, anyio.CapacityLimiter] = {}
        registry.replay = self.replay
        registry.on_swap = self._swapped
        registry.on_refusal = self._refused
        for loaded in registry.in_memory():
            self.replay(loaded)
        self.metrics.serves(registry.current.version)

    # ------------------------------------------------------------- threads

    async def score(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one of the few threads that score."""
        return await self._run("score", self.settings.threads, work)

    async def ask_store(self, work: Callable[[], T]) -> T:
        """Run ``work`` that waits for the store; many may wait together, so that they share a commit."""
        return await self._run("store", self.settings.store_threads, work)

    async def load(self, work: Callable[[], T]) -> T:
        """Run ``work`` that loads a model: one at a time, and it may take longer than a request."""
        return await self._run("load", 1, work, seconds=None)

    async def _run(self, pool: str, threads: int, work: Callable[[], T], seconds: float | None = 0) -> T:
        limiter = self._limiters.get(pool)
        if limiter is None:  # made here, as it belongs to the running event loop
            limiter = self._limiters[pool] = anyio.CapacityLimiter(threads)
        with anyio.fail_after(self.settings.timeout if seconds == 0 else seconds):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)

    # --------------------------------------------------------------- items

    def replay(self, loaded: Loaded) -> int:
        """Put the store's item changes since the last time into a version; return how many.

        One that this version does not take (its columns may differ) is left out and logged. Raises ``StoreError``.
        """
        return loaded.catch_up(self.store, partial(self._left_out, loaded.version))

    def _left_out(self, version: str, item: Any, reason: str) -> None:
        self.log.warning("item left out", version=version, item=item, reason=reason)

    # ------------------------------------------------------------ watching

    def watch(self) -> None:
        """Look at CURRENT, the keys and the items of other workers; never raises."""
        self._try("bundles", self.registry.refresh)
        self._try("keys", self.keys.refresh)
        self._try("items", self._replay_all)
        self._try("counts", self._count_dropped)

    def _try(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except CrossFMError as exc:
            if isinstance(exc, StoreError):
                self.metrics.store_failures.labels(name).inc()
            self.log.warning("watching failed", what=name, reason=str(exc))

    def _replay_all(self) -> None:
        for loaded in self.registry.in_memory():
            self.replay(loaded)

    def _count_dropped(self) -> None:
        self.metrics.dropped.set(self.store.waiting()["impressions_dropped"])

    # ------------------------------------------------------------- workers

    def note(self) -> dict[str, Any]:
        """Return what this worker tells: "window" and "course" for ``merged``, the rest as /v1/stats shows it."""
        return {
            "pid": os.getpid(),
            "version": self.registry.current.version,
            "memory_bytes": resident_bytes(),
            "draining": self.draining,
            **self.store.waiting(),
            "window": self.window.state(),
            "course": self.course.state(),
        }

    def share(self) -> None:
        """Leave this worker's note for the others, where there are any; never raises."""
        try:
            if self.shared is not None:
                leave_note(self.shared, self.note())
        except OSError as exc:
            self.log.warning("the other workers were not told", reason=str(exc))

    def notes(self) -> list[dict[str, Any]]:
        """Return the notes of all workers, this one's first and of this moment."""
        return [self.note(), *(notes_of_others(self.shared) if self.shared is not None else [])]

    def store_state(self) -> str:
        """Return "ok", or what is wrong."""
        try:
            self.store.ping()
        except CrossFMError as exc:
            return str(exc)
        return "ok"

    def _swapped(self, new: str, old: str | None) -> None:
        self.metrics.serves(new, old)
        self.log.info("model changed", version=new, before=old)

    def _refused(self, refusal: Refusal) -> None:
        self.metrics.refused.inc()
        self.log.error("model refused", version=refusal.version, reason=refusal.reason)


def without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the other columns of a user or an item."""
    return {key: value for key, value in row.items() if key != name}
