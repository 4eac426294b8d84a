"""Progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from crossfm.solvers.callbacks import Callback, Epoch


def progress(label: str = "training", words: Callable[[Epoch, Any], str] | None = None) -> Callback:
    """Return the callback that fits where standard error goes; ``words`` (epoch, model) are said in place of
    ``describe`` (epoch).
    """
    words = words or (lambda epoch, model: describe(epoch))
    return _Bar(label, words) if sys.stderr.isatty() else _Lines(label, words)


def describe(epoch: Epoch, name: str = "loss", of: Callable[[float], float] = float) -> str:
    """One line about an epoch; its losses by the ``name`` of what ``of`` makes of them."""
    parts = [f"epoch {epoch.epoch}", f"train {name} {of(epoch.train_loss):.5f}"]
    if epoch.valid_loss is not None:
        parts.append(f"valid {name} {of(epoch.valid_loss):.5f}")
    if epoch.valid_auc is not None:
        parts.append(f"valid AUC {epoch.valid_auc:.5f}")
    if epoch.elbo is not None:
        parts.append(f"ELBO {epoch.elbo:.1f}")
    parts.append(f"{epoch.seconds:.2f} s")
    if epoch.valid_loss is not None and epoch.best:
        parts.append("best")
    return "  ".join(parts)


class _Lines(Callback):
    def __init__(self, label: str, words: Callable[[Epoch, Any], str]) -> None:
        self.label, self.words = label, words

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        print(f"{self.label}: going on after {len(epochs)} epochs", file=sys.stderr, flush=True)

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        print(f"{self.label}: {self.words(epoch, model)}", file=sys.stderr, flush=True)


class _Bar(Callback):
    def __init__(self, label: str, words: Callable[[Epoch, Any], str]) -> None:
        self.label, self.words = label, words
        self.bar: Any = None

    def on_start(self, n_rows: int, max_iter: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        self.task = self.bar.add_task(self.label, total=n_rows * max_iter, state="")

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        self.bar.advance(self.task, n_rows * len(epochs))

    def on_rows(self, n_rows: int) -> None:
        self.bar.advance(self.task, n_rows)

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        self.bar.update(self.task, state=self.words(epoch, model))

    def on_end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
