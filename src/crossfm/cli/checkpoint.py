"""Training that can be interrupted: the best epoch so far is always in the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossfm.cli.errors import TrainingInterruptedError
from crossfm.errors import DivergenceError


class Keeper:
    """Saves ``model`` to ``out`` after each best epoch; a function, so that cloned estimators share it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.epoch = 0

    def callback(self, model: Any = None) -> Any:
        """Return the callback (epoch, estimator); ``model`` is saved in the estimator's place when given."""

        def keep(epoch: Any, estimator: Any) -> None:
            if epoch.best:
                (model or estimator).save(self.out)
                self.epoch = epoch.epoch

        return keep

    def kept(self) -> str:
        """Say what there is after training broke off."""
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
