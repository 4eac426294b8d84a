"""What the engine files share: each runs alone, in its own interpreter, on one job.

``run.py`` calls ``python engine_NAME.py JOB.json``. A job has ``folder`` (of the data), ``scratch`` (an empty
folder), ``machine`` ("fm", "linear" or "ffm"), ``solver``, ``factors``, ``threads``, ``epochs``, ``follow``, ``seed``
and ``answer`` (a path). The engine writes there: ``seconds`` (one a measured epoch; loading and parsing left out but
for engines that read as they learn), ``timed_by`` (how), ``settings``, ``version``, ``comparable``, and where
``follow`` asks for it ``log_losses`` on the test rows after each epoch; and beside it the test probabilities after the
last epoch as ``.npy``, unless it tells log losses alone. Only NumPy is needed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paths  # noqa: F401
from process import asked, reply
from scores import log_loss

N_IDS = 2**20
FROM_TEXT = " from text"  # a solver that parses as it learns: it is compared with its like only


@dataclass(frozen=True)
class Job:
    """One run of one engine."""

    folder: Path
    scratch: Path
    answer: Path
    machine: str
    solver: str
    factors: int
    threads: int
    epochs: int
    follow: bool
    seed: int

    def rows(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids uint32 (rows, 39) and labels uint8 (rows,) of "train" or "test"."""
        with np.load(self.folder / f"{part}.npz") as data:
            return data["ids"], data["y"]


@dataclass(frozen=True)
class Answer:
    """What an engine found."""

    seconds: list[float]
    timed_by: str
    probabilities: Any
    settings: dict[str, Any]
    log_losses: list[float] = field(default_factory=list)
    peak_mb: float = 0.0  # where the engine is a program of its own
    comparable: bool = True  # False: trained on fewer rows, so its log loss says nothing


def as_csr(ids: np.ndarray, dtype: Any = np.float32) -> Any:
    """Return one-hot rows as a SciPy CSR matrix (rows, 2^20)."""
    from scipy.sparse import csr_matrix

    n_rows, width = ids.shape
    indptr = np.arange(n_rows + 1, dtype=np.int64) * width
    indices = np.sort(ids, axis=1).ravel().astype(np.int32)
    return csr_matrix((np.ones(ids.size, dtype), indices, indptr.astype(np.int32)), shape=(n_rows, N_IDS))


def by_difference(
    job: Job, fit: Callable[[int], Any], predict: Callable[[Any], np.ndarray]
) -> tuple[list[float], Any, list[float]]:
    """Time an engine that tells no times: an epoch is a share of the difference of fits with more epochs and with one.

    ``fit(epochs)`` returns a model and ``predict(model)`` probabilities of the test rows. Returns seconds of each epoch
    (all the same), probabilities after ``job.epochs`` and, if followed, the log loss after each.
    """
    counts = list(range(1, job.epochs + 1)) if job.follow else [3, job.epochs]
    y = job.rows("test")[1]
    times, losses = {}, []
    for epochs in counts:
        start = time.perf_counter()
        model = fit(epochs)
        times[epochs] = time.perf_counter() - start
        if job.follow:
            probabilities = predict(model)
            losses.append(log_loss(y, probabilities))
    if not job.follow:
        probabilities = predict(model)
    most, least = max(counts), min(counts)
    return [(times[most] - times[least]) / (most - least)] * job.epochs, probabilities, losses


def printed_by(call: Callable[[], object], path: Path) -> str:
    """Run ``call`` and return what the library below Python writes to standard output."""
    sys.stdout.flush()
    keep = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            call()
        finally:
            os.dup2(keep, 1)
            os.close(keep)
    return path.read_text(errors="replace")


def main(package: str, engine: Callable[[Job], Answer]) -> None:
    """Run ``engine`` on the job that the command line names."""
    job = Job(**asked())
    answer = engine(job)
    found = {
        key: getattr(answer, key) for key in ("seconds", "timed_by", "settings", "log_losses", "comparable")
    }
    reply(job.answer, found, answer.probabilities, package, answer.peak_mb)
