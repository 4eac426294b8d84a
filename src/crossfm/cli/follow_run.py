"""Learning from a growing file: batch by batch, each predicted before it is learnt."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossfm.cli.follow_lines import BadLine, Batch, LineReader
from crossfm.cli.judge import class_numbers
from crossfm.cli.show import number, say
from crossfm.data.tail import Position, Tail
from crossfm.errors import DataError, DivergenceError

HISTORY = 100  # batches that the model's history keeps
REPORT_SECONDS = 5.0


@dataclass
class Loss:
    """Mean loss of predictions made before learning, over all rows and since the last report."""

    name: str
    total: float = 0.0
    n_rows: int = 0
    recent_total: float = 0.0
    recent_rows: int = 0

    def add(self, mean: float, n_rows: int) -> None:
        """Count ``n_rows`` rows with this mean loss."""
        self.total += mean * n_rows
        self.recent_total += mean * n_rows
        self.n_rows += n_rows
        self.recent_rows += n_rows

    def say(self) -> str:
        """Return it in words, and start a new recent part."""
        whole, recent = (self.shown(self.total, self.n_rows), self.shown(self.recent_total, self.recent_rows))
        text = f"{self.name} {whole} (last {self.recent_rows:,} rows: {recent})"
        self.recent_total, self.recent_rows = 0.0, 0
        return text

    def shown(self, total: float, n_rows: int) -> str:
        """Write a mean; squared errors as their root."""
        mean = total / n_rows if n_rows else float("nan")
        return number(float(np.sqrt(mean)) if self.name == "RMSE" else mean)


@dataclass
class Follower:
    """What ``crossfm follow`` does, with the clock and the pause as functions.

    The model file holds the position in the followed file too, so both are always of one moment: stopping at any time
    and starting again neither leaves out a line nor learns one twice.
    """

    model: Any
    tail: Tail
    reader: LineReader
    out: Path
    names: Sequence[str] | None = None  # of columns; None: from the file's header, if it has one
    batch_rows: int = 1000
    every_rows: int = 100_000
    every_seconds: float = 60.0
    poll_seconds: float = 0.5
    once: bool = False
    strict: bool = False
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    stopped: bool = False
    rows: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)

    def run(self) -> None:
        """Learn until stopped, or until the end of the file with ``once``; then write the model."""
        before = getattr(self.model, "followed_", {})
        self.rows_before, self.skipped_before = before.get("rows", 0), before.get("skipped", 0)
        self.loss = Loss(_loss_name(self.model))
        self.saved_rows, self.saved_at, self.said_at = 0, self.clock(), self.clock()
        self.place = self.tail.position
        self.saved_place: Position | None = None
        try:
            while not self.stopped:
                lines = self.tail.read(self.batch_rows)
                if lines:
                    self._learn(lines)
                    self.place = self.tail.position
                elif self.once:
                    break
                self._keep_up()
                if not lines and not self.stopped:
                    self.pause(self.poll_seconds)
        except DataError:  # of the lines: the model is as it was before them
            self._finish()
            raise
        self._finish()

    def _finish(self) -> None:
        self._report()
        self._save()

    def _learn(self, lines: list[bytes]) -> None:
        batch, bad = self.reader.read(lines, self._columns())
        if bad and self.strict:
            raise DataError(f"{self._located(bad[0])}. All batches before it are learnt")
        if bad:
            self.skipped += len(bad)
            more = f"; {len(bad) - 1} more" if len(bad) > 1 else ""
            say(f"skipped {self._located(bad[0])}{more}", err=True)
        if batch is None or not len(batch.y):
            return
        self.loss.add(_loss(self.model, batch), len(batch.y))
        if batch.weight is None or batch.weight.any():
            try:
                self.model.partial_fit(batch.X, batch.y, sample_weight=batch.weight)
            except DivergenceError as exc:
                raise DivergenceError(f"{exc} ({self.out} is as it was when it was last written.)") from exc
            del self.model.history_[:-HISTORY]
        self.rows += len(batch.y)

    def _columns(self) -> Sequence[str] | None:
        if self.names is not None or self.tail.header is None:
            return self.names
        return self.reader.split(self.tail.header)

    def _located(self, bad: BadLine) -> str:
        """Return what is wrong with a line, and the line's number in the file."""
        line = self.tail.line_number(self.tail.lines_at) + bad.number
        text, start = str(bad.why), f"{self.tail.path}:1:"
        rest = text.removeprefix(start) if text.startswith(start) else f" {text}"
        return f"{self.tail.path}:{line}:{rest}"

    def _keep_up(self) -> None:
        now = self.clock()
        if self.loss.recent_rows and now - self.said_at >= REPORT_SECONDS:
            self._report()
            self.said_at = now
        if self.rows - self.saved_rows >= self.every_rows or now - self.saved_at >= self.every_seconds:
            self._save()
            self.saved_at = now

    def _report(self) -> None:
        if self.loss.recent_rows and not self.quiet:
            skipped = f", {self.skipped:,} lines skipped" if self.skipped else ""
            encoder = self.model.encoder_
            n_features = self.model.n_features_in_ if encoder is None else encoder.n_features
            say(f"{self.rows:,} rows, {self.loss.say()}, {n_features:,} features{skipped}")

    def _save(self) -> None:
        """Write the model and how far it has come, unless that is what the file has."""
        if self.place == self.saved_place:
            return
        self.model.followed_ = {
            "offset": self.place.offset,
            "head": self.place.head,
            "rows": self.rows_before + self.rows,
            "skipped": self.skipped_before + self.skipped,
        }
        self.model.save(self.out, with_state=True)
        self.saved_rows, self.saved_place = self.rows, self.place
        if not self.quiet:
            say(f"wrote {self.out}: {self.place.offset:,} bytes of {self.tail.path} are learnt")


@contextmanager
def stopping(follower: Follower) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the follower between two batches."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        follower.stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loss_name(model: Any) -> str:
    if hasattr(model, "classes_"):
        return "log loss"
    return "RMSE" if model.loss == "squared" else "Poisson deviance"


def _loss(model: Any, batch: Batch) -> float:
    """Return the mean loss of the rows of a batch under the model as it is; for RMSE the mean square."""
    from crossfm.metrics import log_loss, poisson_deviance

    if hasattr(model, "classes_"):
        proba = model.predict_proba(batch.rows)
        return float(log_loss(class_numbers(model, batch.y), proba if proba.shape[1] > 2 else proba[:, 1]))
    predicted = model.predict(batch.rows)
    if model.loss == "squared":
        return float(np.mean((predicted - batch.y) ** 2))
    return float(poisson_deviance(batch.y, predicted))
