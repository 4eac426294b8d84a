"""An engine alone in a process and an interpreter of its own: what it is asked, and what it answers.

The one side is ``alone``; the other, an engine's file, reads ``asked()`` and ends with ``reply``. Only NumPy is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
PATHS = ("folder", "scratch", "answer")


@dataclass(frozen=True)
class Found:
    """What an engine answered, its probabilities of the test rows if it gave any, and the most memory it held."""

    answer: dict[str, Any]
    probabilities: np.ndarray | None
    peak_mb: float


def alone(
    python: Path, script: Path, job: dict[str, Any], within: Path, *, threads: int, wrap: Sequence[str] = ()
) -> Found:
    """Run an engine's file on a job, behind the command ``wrap``; raises ``RuntimeError`` with its last words.

    The job gets ``scratch``, an empty folder in ``within``, and ``answer``, a path in there.
    """
    with tempfile.TemporaryDirectory(dir=within) as scratch:
        asked, answer, log = (Path(scratch) / name for name in ("job.json", "answer.json", "output.txt"))
        asked.write_text(json.dumps({**job, "scratch": scratch, "answer": str(answer)}))
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*wrap, str(python), str(script), str(asked)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not answer.exists():
            words = log.read_text(errors="replace")[-600:].strip()
            raise RuntimeError(f"exit code {process.returncode}: {words}")
        found = json.loads(answer.read_text())
        probabilities = answer.with_suffix(".npy")
        p = np.load(probabilities) if probabilities.exists() else None
    return Found(found, p, found.get("peak_mb", usage.ru_maxrss / 1024))


def asked() -> dict[str, Any]:
    """Return the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    return {key: Path(value) if key in PATHS else value for key, value in job.items()}


def reply(answer: Path, found: dict[str, Any], probabilities: Any, package: str, peak: float = 0.0) -> None:
    """Write the answer, with the version of ``package``; ``peak``: where the engine is a program of its own."""
    if probabilities is not None:
        np.save(answer.with_suffix(".npy"), np.asarray(probabilities, np.float64))
    if peak or Path("/proc/self/status").exists():
        found = {**found, "peak_mb": peak or peak_mb()}
    try:
        found = {**found, "version": version(package)}
    except PackageNotFoundError:  # alphaFM is no package
        found = {**found, "version": ""}
    answer.write_text(json.dumps(found))


def peak_mb(process: int | str = "self") -> float:
    """Most resident memory of a process so far; what the system counts when it ends includes its parent's."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
