"""Running the engines in turns, each alone in its process, and what is made of their answers."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paths  # noqa: F401
from adapter import FROM_TEXT
from environments import python_of
from process import alone
from scores import auc, log_loss

import data

HERE = Path(__file__).resolve().parent
OURS = "crossfm"
OURS_TOO = {OURS, "alphafm"}  # run by our interpreter: alphaFM is a program


@dataclass(frozen=True)
class Setting:
    """What is timed."""

    engine: str
    machine: str
    solver: str
    factors: int
    threads: int

    def __str__(self) -> str:
        parts = [self.engine, self.machine, *([f"k={self.factors}"] if self.factors else [])]
        return " ".join([*parts, self.solver, *([f"{self.threads} threads"] if self.threads > 1 else [])])


@dataclass(frozen=True)
class Run:
    """One round of one engine."""

    setting: Setting
    found: dict[str, Any]
    log_loss: float
    auc: float
    peak_mb: float


def run_once(
    setting: Setting, epochs: int, folder: Path, seed: int, wrap: list[str], *, follow: bool = False
) -> Run:
    """Run one engine in its own process, behind the command ``wrap``; raises ``RuntimeError`` with its last words.

    ``follow``: it says the log loss after each epoch, which some engines' times include.
    """
    engine = setting.engine
    python = Path(sys.executable) if engine in OURS_TOO else python_of(engine)
    asked = {name: value for name, value in vars(setting).items() if name != "engine"}
    job = {"folder": str(folder), **asked, "epochs": epochs, "follow": follow, "seed": seed}
    found = alone(python, HERE / f"engine_{engine}.py", job, data.FOLDER, threads=setting.threads, wrap=wrap)
    answer, p = found.answer, found.probabilities
    if p is None:
        return Run(setting, answer, answer["log_losses"][-1], float("nan"), found.peak_mb)
    with np.load(folder / "test.npz") as test:
        y = test["y"]
    return Run(setting, answer, log_loss(y, p), auc(y, p), found.peak_mb)


def summary(runs: list[Run], n_rows: int) -> dict[str, Any]:
    """Medians over the rounds of one engine and number of factors."""
    seconds = [s for run in runs for s in run.found["seconds"]]
    middle = statistics.median(seconds)
    comparable = runs[0].found["comparable"]
    return {
        **vars(runs[0].setting),
        "version": runs[0].found["version"],
        "seconds": middle,
        "log_losses": runs[0].found["log_losses"] if comparable else [],
        "seconds_all": seconds,
        "rows_per_second": n_rows / middle,
        "million_nonzeros_per_second": n_rows * data.N_FIELDS / middle / 1e6,
        "test_log_loss": statistics.median(run.log_loss for run in runs) if comparable else None,
        "test_auc": statistics.median(run.auc for run in runs) if comparable else None,
        "peak_mb": statistics.median(run.peak_mb for run in runs),
        "timed_by": runs[0].found["timed_by"],
        "settings": runs[0].found["settings"],
    }


def group(result: dict[str, Any]) -> tuple[Any, ...]:
    """What a result is compared within."""
    return result["machine"], result["factors"], result["threads"], result["solver"].endswith(FROM_TEXT)


def add_ratios(results: list[dict[str, Any]]) -> None:
    """Add ``speed_over_fastest_peer``: of the same machine, factors and threads; that one's is 1."""
    for result in results:
        peers = [r["seconds"] for r in results if group(r) == group(result) and r["engine"] != OURS]
        result["speed_over_fastest_peer"] = min(peers) / result["seconds"] if peers else None
