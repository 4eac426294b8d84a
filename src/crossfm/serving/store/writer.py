"""The one thread of a process that writes: calls that wait at the same time share a commit."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from crossfm.errors import StoreError
from crossfm.serving.store import events, impressions
from crossfm.serving.store.database import Database, Turn
from crossfm.serving.store.faults import store_error

T = TypeVar("T")
GROUP = 1_000  # calls of one commit, at most
ROWS = 10_000  # events of one commit, after which no further call joins
WAITING = 20_000  # calls that may wait
BATCH = 500  # impressions of one commit
MANY = 2_000  # impressions that do not let calls go first
SOON, LATE = 0.25, 0.75  # seconds that impressions wait where nothing else is to be written, and at all
PAUSE = 1.0  # seconds until impressions that could not be written are tried again

log = logging.getLogger("crossfm.serving.store")


class Task:
    """One call: events to add, or something else to do in the transaction."""

    def __init__(self, rows: Sequence[dict[str, Any]], do: Callable[[Turn], Any] | None = None) -> None:
        self.rows = rows
        self.do = do
        self.result: Future[Any] = Future()


class Writer:
    """Runs calls in the order in which they came, in groups, each group one durable transaction.

    While one group is being made durable the next one gathers, so that no call waits for company. A call that fails
    by itself fails alone. Impressions are written when nothing else is, but not later than ``LATE`` seconds.
    """

    def __init__(self, database: Database, queue: impressions.Queue) -> None:
        self._database = database
        self._queue = queue
        self._tasks: deque[Task] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._paused = False
        self._thread = threading.Thread(target=self._loop, name="crossfm-store", daemon=True)
        self._thread.start()

    def add_events(self, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Return the numbers of events once they are durable; raises ``StoreError``."""
        numbers: list[int] = self._wait(Task(rows))
        return numbers

    def run(self, do: Callable[[Turn], T]) -> T:
        """Return what ``do`` returns once all that it wrote is durable; raises ``StoreError``, or what it raises."""
        result: T = self._wait(Task((), do))
        return result

    def add_impressions(self, rows: Sequence[dict[str, Any]]) -> None:
        """Queue impressions; never waits for the database."""
        if self._queue.add(rows):
            with self._wake:
                self._wake.notify()

    def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _wait(self, task: Task) -> Any:
        with self._wake:
            if self._closing:
                raise StoreError("the store has been closed; make a new one")
            if len(self._tasks) >= WAITING:
                raise StoreError(
                    f"{WAITING} writes wait already; nothing of this call was stored. Try again", retry=True
                )
            self._tasks.append(task)
            self._wake.notify()
        return task.result.result()

    def _loop(self) -> None:
        while True:
            tasks = self._next()
            if tasks:
                self._settle(tasks)
            if self._due():
                self._write_impressions()
            with self._wake:
                if self._closing and not self._tasks and not len(self._queue):
                    return

    def _next(self) -> list[Task]:
        """Return the calls of the next group; none where impressions are due first."""
        with self._wake:
            if not self._tasks and not self._closing and not self._due():
                self._wake.wait(self._until_due())
            group: list[Task] = []
            rows = 0
            while self._tasks and len(group) < GROUP and rows < ROWS:
                group.append(self._tasks.popleft())
                rows += len(group[-1].rows)
            return group

    def _until_due(self) -> float | None:
        if not len(self._queue):
            return None
        return PAUSE if self._paused else max(SOON - self._queue.age(), 0.001)

    def _due(self) -> bool:
        count, age = len(self._queue), self._queue.age()
        if not count or (self._paused and age < PAUSE and not self._closing):
            return False
        if not self._tasks and (age >= SOON or count >= BATCH):
            return True
        return age >= LATE or count >= MANY or self._closing

    def _settle(self, tasks: list[Task]) -> None:
        """Run a group and tell every caller."""
        try:
            results = self._run(tasks)
        except Exception as exc:
            self._fail(tasks, exc)
            return
        for task, result in zip(tasks, results, strict=True):
            task.result.set_result(result)

    def _fail(self, tasks: list[Task], exc: Exception) -> None:
        """Tell callers that nothing was stored; where it may be the fault of one call, run each alone first."""
        of_database = isinstance(exc, SQLAlchemyError)
        if len(tasks) > 1 and not (of_database and store_error(exc).retry):
            for task in tasks:
                self._settle([task])
            return
        for task in tasks:
            error = store_error(exc) if of_database else exc
            if of_database:
                error.__cause__ = exc
            task.result.set_exception(error)

    def _run(self, tasks: list[Task]) -> list[Any]:
        with self._database.write() as turn:
            rows = [row for task in tasks for row in task.rows]
            numbers = iter(events.add_rows(turn, rows)) if rows else iter(())
            return [
                [next(numbers) for _ in task.rows] if task.do is None else task.do(turn) for task in tasks
            ]

    def _write_impressions(self) -> None:
        rows = self._queue.take(BATCH)
        try:
            with self._database.write() as turn:
                impressions.add_rows(turn, rows)
        except Exception as exc:
            error = store_error(exc)
            self._paused = True
            if self._closing:
                rows += self._queue.take(len(self._queue))
            if error.retry and not self._closing:
                self._queue.give_back(rows)
            else:
                self._queue.drop(len(rows))
            log.warning("%d impressions could not be written: %s", len(rows), error)
        else:
            self._paused = False
