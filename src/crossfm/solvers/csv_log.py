"""The epochs of a training as lines of a CSV file."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from crossfm.atomic import atomic_write
from crossfm.errors import DataError
from crossfm.solvers.callbacks import Callback, Epoch

NAMES = [field.name for field in fields(Epoch)]
HEADER = ",".join(NAMES)


class CSVLog(Callback):
    """Append a line to ``path`` for each epoch: number, seconds, losses, learning rate, AUC, and whether it is best.

    The first line names the columns; what an epoch does not have is empty. Each line is written out when its epoch
    ends, so a running training can be watched. Another training with the same ``path`` goes on below. A killed one that
    goes on from its checkpoint takes away the lines of epochs that it does again.

    Parameters
    ----------
    path : path

    Raises
    ------
    DataError
        ``path`` cannot be written to, or is another file already.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise DataError(f"no log can be written to {self.path}: the folder does not exist; make it first")
        try:
            with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
                first = file.read(len(HEADER) + 1)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise DataError(f"no log can be written to {self.path}: {exc.strerror}") from exc
        if first not in ("", HEADER + "\n"):
            raise DataError(
                f"{self.path} is another file: a log begins with {HEADER}. Give another path, or delete it."
            )

    def on_start(self, n_rows: int, max_iter: int) -> None:
        """Write the header of a new file."""
        if not self.path.exists() or not self.path.stat().st_size:
            self._append(HEADER + "\n")

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        """Take away the lines of epochs that come again."""
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        before = getattr(model, "history_", [])  # of a warm start
        done = epochs[-1].epoch if epochs else before[-1]["epoch"] if before else 0
        last = len(lines)
        while last > 1 and _number(lines[last - 1]) > done:
            last -= 1
            if _number(lines[last]) == 1:
                break  # before it stands another training
        if last < len(lines):
            with atomic_write(self.path, "w") as file:
                file.write("".join(lines[:last]))

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        """Append the epoch."""
        line = io.StringIO()
        values = epoch.as_dict()
        csv.writer(line, lineterminator="\n").writerow([values.get(name, "") for name in NAMES])
        self._append(line.getvalue())

    def _append(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)


def _number(line: str) -> int:
    return int(line.partition(",")[0])
