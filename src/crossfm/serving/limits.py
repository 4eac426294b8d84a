"""Limits: how often, how many at once, how large."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from crossfm.serving.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
REMEMBERED = 10_000  # buckets; the longest unused goes first, so that many addresses cannot fill the memory


class Buckets:
    """A token bucket for each name: ``rate`` tokens a second, at most ``burst`` saved.

    A bucket that was forgotten is full again. Not for several threads: the event loop alone takes tokens.
    """

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = float(burst)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        if self.rate <= 0:
            return 0.0
        now = self._clock()
        left, then = self._left.pop(name, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        wait = 0.0 if left >= 1 else (1 - left) / self.rate
        self._left[name] = (left - 1 if wait == 0 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return wait


class Slots:
    """At most ``limit`` requests at once; the next is told to come back."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def __enter__(self) -> Slots:
        if self.taken >= self.limit:
            raise Problem(
                503, f"the server is answering {self.limit} requests already; come back in a moment"
            )
        self.taken += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def limited_body(receive: Receive, limit: int, seconds: float) -> Receive:
    """Return ``receive`` with bytes counted as they come, whatever the header says, and a limit on waiting for them."""
    so_far = 0
    more = True

    async def counted() -> Message:
        nonlocal so_far, more
        if not more:
            return await receive()  # waits for the client to go
        try:
            with anyio.fail_after(seconds):
                message = await receive()
        except TimeoutError as exc:
            raise Problem(408, f"the body did not arrive within {seconds:g} seconds") from exc
        so_far += len(message.get("body", b""))
        more = bool(message.get("more_body", False))
        if so_far > limit:
            raise too_large(limit)
        return message

    return counted


def too_large(limit: int) -> Problem:
    """Return the answer to a body over the limit."""
    return Problem(
        413, f"the body is larger than the {limit:,} bytes that this server takes; send it in parts"
    )
