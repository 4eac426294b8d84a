"""What the engine files share: each runs alone, in its own interpreter, on one job.

``run.py`` calls ``python engine_NAME.py JOB.json``. A job has ``folder`` (of the data), ``scratch`` (an empty
folder), ``machine`` ("fm", "linear" or "ffm"), ``solver``, ``factors``, ``threads``, ``epochs``, ``follow``, ``seed``
and ``answer`` (a path). The engine writes there: ``seconds`` (one a measured epoch; loading and parsing left out but
for engines that read as they learn), ``timed_by`` (how), ``settings``, ``version``, ``comparable``, and where
``follow`` asks for it ``log_losses`` on the test rows after each epoch; and beside it the test probabilities after the
last epoch as ``.npy``, unless it tells log losses alone. Only NumPy is needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

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


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log likelihood; probabilities are kept 1e-7 from 0 and 1."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


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


def peak_mb(process: int | str = "self") -> float:
    """Most resident memory of a process so far; what the system counts when it ends includes its parent's."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(package: str, engine: Callable[[Job], Answer]) -> None:
    """Run ``engine`` on the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    paths = {key: Path(job[key]) for key in ("folder", "scratch", "answer")}
    rest = {key: value for key, value in job.items() if key not in paths}
    answer = engine(Job(**paths, **rest))
    if answer.probabilities is not None:
        np.save(paths["answer"].with_suffix(".npy"), np.asarray(answer.probabilities, np.float64))
    found = {
        key: getattr(answer, key) for key in ("seconds", "timed_by", "settings", "log_losses", "comparable")
    }
    if answer.peak_mb or Path("/proc/self/status").exists():
        found["peak_mb"] = answer.peak_mb or peak_mb()
    try:
        found["version"] = version(package)
    except PackageNotFoundError:  # alphaFM is no package
        found["version"] = ""
    paths["answer"].write_text(json.dumps(found))
