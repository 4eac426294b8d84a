"""Progress of a command with several steps: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Steps:
    """``with Steps("ratings", 3) as steps: with steps("fit"): ...``; everything goes to standard error.

    Attributes
    ----------
    seconds : dict
        Wall time of each step done.
    """

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = total
        self.seconds: dict[str, float] = {}
        self._bar: Any = None

    def __enter__(self) -> Steps:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(self.label, total=self.total, step="")
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Do one step."""
        if self._bar is not None:
            self._bar.update(self._task, step=name)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started
        if self._bar is not None:
            self._bar.advance(self._task)
        else:
            print(f"{self.label}: {name} ({self.seconds[name]:.1f} s)", file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}", style="dim"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # standard output may be a file while this is a terminal
        redirect_stderr=False,
    )
