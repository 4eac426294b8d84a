"""Training that can be interrupted: the best epoch so far is in the file."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossfm.cli.errors import TrainingInterruptedError
from crossfm.errors import DivergenceError

CHAIN_SECONDS = 10.0


class Keeper:
    """Saves ``model`` to ``out`` after each best epoch; a function, so that cloned estimators share it.

    Chains, whose iterations are short and whose samples are many, are saved every ``CHAIN_SECONDS``.
    """

    def __init__(self, out: Path, *, with_state: bool = False, checkpoint: str | None = None) -> None:
        self.out = out
        self.with_state = with_state
        self.checkpoint = checkpoint  # of an estimator: see its option
        self.epoch = 0
        self.saved = -math.inf

    def callback(self, model: Any = None) -> Any:
        """Return the callback (epoch, estimator); ``model`` is saved in the estimator's place when given."""

        def keep(epoch: Any, estimator: Any) -> None:
            chain = getattr(estimator, "_chain", None) is not None
            if epoch.best and not (chain and time.monotonic() - self.saved < CHAIN_SECONDS):
                with _undisturbed():  # so that file and number agree
                    self.save(model or estimator)
                    self.epoch, self.saved = epoch.epoch, time.monotonic()

        return keep

    def save(self, model: Any) -> None:
        """Write the model, with its optimizer's state where that was asked for."""
        from crossfm.models import save

        save(model, self.out, with_state=self.with_state)

    def kept(self) -> str:
        """Say what there is after training broke off."""
        if self.checkpoint is not None and Path(self.checkpoint).exists():
            return f"the same command goes on from {self.checkpoint}"
        if self.epoch:
            return f"kept the model of epoch {self.epoch} in {self.out}"
        older = "the older file is as it was" if self.out.exists() else "no file was written"
        return f"no epoch was complete, {older}"

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn Ctrl-C and divergence into what the user should know."""
        try:
            yield
        except KeyboardInterrupt:
            raise TrainingInterruptedError(self.kept()) from None
        except DivergenceError as exc:
            raise DivergenceError(f"{exc} ({self.kept()}.)") from exc


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, Any]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt
