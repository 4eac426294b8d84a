"""What the engine files share: each runs alone, in its own interpreter, on one job; only NumPy is needed.

``run.py`` calls ``python engine_NAME.py JOB.json``. An engine prepares: it reads the rows in the form that it takes
from a user who has them in memory, makes the model, and hands over what trains one epoch and what predicts the test
rows. Those two are timed here, the same way for all: processor seconds of the process, all its threads, and seconds by
the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paths  # noqa: F401
from process import asked, reply

import data

DIM = 16
BATCH = 4096
LEARNING_RATE = 1e-3  # of Adam
HIDDEN = {"nfm": (128, 64), "deepfm": (400, 400, 400), "fm": ()}
CATEGORICAL = [f"C{j}" for j in range(data.N_CATEGORICAL)]
DENSE = [f"I{j}" for j in range(data.N_DENSE)]


@dataclass(frozen=True)
class Job:
    """One run of one engine."""

    folder: Path
    scratch: Path
    answer: Path
    model: str
    variant: str
    seed: int

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the model's layers."""
        return HIDDEN[self.model]

    @property
    def sizes(self) -> np.ndarray:
        """How many ids each categorical field has."""
        return np.load(self.folder / "sizes.npy")

    def read(self, part: str, name: str) -> np.ndarray:
        """Return "ids", "dense" or "y" of "train" or "test"."""
        return np.load(self.folder / f"{part}-{name}.npy")

    def columns(self, part: str) -> dict[str, np.ndarray]:
        """Return each field's ids or numbers by its name."""
        ids, dense = self.read(part, "ids"), self.read(part, "dense")
        found = {name: np.ascontiguousarray(ids[:, j]) for j, name in enumerate(CATEGORICAL)}
        return found | {name: np.ascontiguousarray(dense[:, j]) for j, name in enumerate(DENSE)}

    def one_table(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids of one table for all fields int64 (rows, 39), and values float32; numbers have an id each."""
        sizes = self.sizes
        ids, dense = self.read(part, "ids"), self.read(part, "dense")
        of_numbers = np.broadcast_to(np.arange(data.N_DENSE) + sizes.sum(), dense.shape)
        ids = np.concatenate([ids + data.starts(sizes), of_numbers], axis=1)
        return ids, np.concatenate([np.ones((len(dense), data.N_CATEGORICAL), np.float32), dense], axis=1)

    @property
    def n_features(self) -> int:
        """Rows of the table for all fields."""
        return int(self.sizes.sum()) + data.N_DENSE


@dataclass(frozen=True)
class Ready:
    """What is timed: ``predict`` returns probabilities of the test rows (rows,)."""

    train: Callable[[], object]
    predict: Callable[[], Any]
    settings: dict[str, Any]


def main(package: str, engine: Callable[[Job], Ready]) -> None:
    """Time ``engine`` on the job that the command line names."""
    job = Job(**asked())
    ready = engine(job)
    found: dict[str, Any] = {"settings": ready.settings}
    found["train"], _ = timed(ready.train)
    found["predict"], probabilities = timed(ready.predict)
    reply(job.answer, found, np.ravel(probabilities), package)


def timed(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return processor and wall seconds of ``call``, and what it returned."""
    processor, wall = time.process_time(), time.perf_counter()
    result = call()
    return {"cpu": time.process_time() - processor, "wall": time.perf_counter() - wall}, result
