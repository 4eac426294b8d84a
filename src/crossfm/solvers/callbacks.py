"""What happens between epochs: reports, progress, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """What one pass over the rows did.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    seconds : float
        Wall time of the pass, without validation.
    train_loss : float
        Mean loss over the pass, each row before its own update.
    learning_rate : float
    valid_loss, valid_auc : float or None
        On the validation rows, after the pass.
    best : bool
        Whether this is the best epoch so far (always, without validation).
    elbo : float or None
        Evidence lower bound after the pass, of "vb".
    """

    epoch: int
    seconds: float
    train_loss: float
    learning_rate: float
    valid_loss: float | None = None
    valid_auc: float | None = None
    best: bool = True
    elbo: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that have a value."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Callback:
    """Base of callbacks: every method may be left out. ``on_epoch`` stops the training by returning True."""

    def on_start(self, n_rows: int, max_iter: int) -> None:
        """Before the first epoch."""

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        """After ``on_start``, where a killed training goes on: the epochs of ``n_rows`` rows that it had done."""

    def on_rows(self, n_rows: int) -> None:
        """After ``n_rows`` more rows of the running epoch."""

    def on_epoch(self, epoch: Epoch, model: Any) -> bool | None:
        """After an epoch; ``model`` is the estimator, ready to predict and to save."""

    def on_end(self) -> None:
        """After the last epoch, also when training was stopped by an error."""


class _Function(Callback):
    def __init__(self, function: Callable[[Epoch, Any], bool | None]) -> None:
        self.function = function

    def on_epoch(self, epoch: Epoch, model: Any) -> bool | None:
        return self.function(epoch, model)


class Record(Callback):
    """Keep ``history_``, ``n_iter_`` and ``best_iter_`` of the model up to date, before other callbacks see it."""

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        """Append the epochs that were done before."""
        for epoch in epochs:
            self.on_epoch(epoch, model)

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        """Append the epoch."""
        model.history_.append(epoch.as_dict())
        model.n_iter_ = len(model.history_)
        if epoch.best:
            model.best_iter_ = epoch.epoch


class Checkpoint(Callback):
    """Save the model after every best epoch so far: an interrupt loses at most what came after it."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.saved_epoch = 0

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        """Write the model; the old file stays until the new one is complete."""
        if epoch.best:
            model.save(self.path)
            self.saved_epoch = epoch.epoch


class Callbacks(Callback):
    """Several callbacks as one; plain functions (epoch, model) are taken as ``on_epoch``."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self.callbacks = [c if isinstance(c, Callback) else _Function(c) for c in callbacks]

    def on_start(self, n_rows: int, max_iter: int) -> None:
        for callback in self.callbacks:
            callback.on_start(n_rows, max_iter)

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        for callback in self.callbacks:
            callback.on_resume(epochs, n_rows, model)

    def on_rows(self, n_rows: int) -> None:
        for callback in self.callbacks:
            callback.on_rows(n_rows)

    def on_epoch(self, epoch: Epoch, model: Any) -> bool:
        stops = [callback.on_epoch(epoch, model) for callback in self.callbacks]  # all of them hear of it
        return any(stops)

    def on_end(self) -> None:
        for callback in self.callbacks:
            callback.on_end()
