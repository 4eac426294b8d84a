"""Claim: one epoch of AdaGrad FM on skewed one-hot rows is faster than each peer's, on one thread.

Every engine trains one epoch on the same made click log (see ``data.py``; 1,000,000 rows of 39 non-zeros over
2^20 ids), alone in a process and environment of its own, in rounds that take turns. Printed, and written to
``benchmarks/results/classic.json`` and ``classic.md``: seconds an epoch without loading or parsing (median and
range of the rounds), rows and non-zeros a second, test log loss and AUC after the epoch, peak memory of the
whole process, and how many times faster than it the fastest peer with factors is or is not.

    python benchmarks/classic/setup_envs.py          # once: the peers
    python benchmarks/classic/run.py [--rows 50000] [--rounds 5] [--factors 8 16 32] [--engines crossfm xlearn]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from setup_envs import ENVS, PEERS, python_of

import data

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
OURS = "crossfm"
TEXT = {"xlearn": "libsvm", "vw": "vw"}  # the form that an engine reads; others take arrays
LINEAR = {"vw"}  # runs once, whatever the factors
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Run:
    """One round of one engine."""

    engine: str
    factors: int
    found: dict[str, Any]
    log_loss: float
    auc: float
    peak_mb: float


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log likelihood; probabilities are kept 1e-7 from 0 and 1."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve: the mean rank of positives, ties sharing theirs."""
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n_positive = int(y.sum())
    n_negative = len(y) - n_positive
    return float((ranks[y == 1].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def run_once(engine: str, factors: int, folder: Path, seed: int) -> Run:
    """Run one engine in its own process; raises ``RuntimeError`` with its last words."""
    python = Path(sys.executable) if engine == OURS else python_of(engine)
    with tempfile.TemporaryDirectory(dir=data.FOLDER) as scratch:
        job, answer = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        paths = {"folder": str(folder), "scratch": scratch, "answer": str(answer)}
        job.write_text(json.dumps({**paths, "factors": factors, "seed": seed}))
        log = Path(scratch) / "output.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(python), str(HERE / f"engine_{engine}.py"), str(job)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD},
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not answer.exists():
            raise RuntimeError(
                f"exit code {process.returncode}: {log.read_text(errors='replace')[-600:].strip()}"
            )
        p = np.load(answer.with_suffix(".npy"))
        found = json.loads(answer.read_text())
    with np.load(folder / "test.npz") as test:
        y = test["y"]
    return Run(engine, factors, found, log_loss(y, p), auc(y, p), usage.ru_maxrss / 1024)


def summary(runs: list[Run], n_rows: int) -> dict[str, Any]:
    """Medians over the rounds of one engine and number of factors."""
    seconds = [s for run in runs for s in run.found["seconds"]]
    middle = statistics.median(seconds)
    return {
        "engine": runs[0].engine,
        "version": runs[0].found["version"],
        "model": "linear" if runs[0].engine in LINEAR else "FM",
        "factors": 0 if runs[0].engine in LINEAR else runs[0].factors,
        "seconds": middle,
        "seconds_all": seconds,
        "rows_per_second": n_rows / middle,
        "million_nonzeros_per_second": n_rows * data.N_FIELDS / middle / 1e6,
        "test_log_loss": statistics.median(run.log_loss for run in runs),
        "test_auc": statistics.median(run.auc for run in runs),
        "peak_mb": statistics.median(run.peak_mb for run in runs),
        "timed_by": runs[0].found["timed_by"],
        "settings": runs[0].found["settings"],
    }


def add_ratios(results: list[dict[str, Any]]) -> None:
    """Add ``speed_over_fastest_peer``: that of the fastest peer FM with as many factors is 1."""
    for factors in {result["factors"] for result in results}:
        same = [result for result in results if result["factors"] == factors and result["model"] == "FM"]
        peers = [result["seconds"] for result in same if result["engine"] != OURS]
        for result in same:
            result["speed_over_fastest_peer"] = min(peers) / result["seconds"] if peers else None


def machine() -> dict[str, Any]:
    """Name the machine, and how busy it is with other work."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def markdown(report: dict[str, Any]) -> str:
    """Render the report as a table."""
    about, task = report["machine"], report["task"]
    lines = [
        "# One epoch of FM on a skewed click log",
        "",
        f"{task['rows']:,} rows of {data.N_FIELDS} one-hot fields, {task['test_rows']:,} test rows, one thread, "
        f"median of {task['rounds']} rounds (range). Teacher: test log loss {task['teacher_log_loss']:.4f}, "
        f"AUC {task['teacher_auc']:.4f}; constant {task['constant_log_loss']:.4f}.",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load_at_start']} at the start, "
        f"Python {about['python']}.",
        "",
        "| engine | model | k | s/epoch | rows/s | M non-zeros/s | test log loss | test AUC | peak MB | speed, "
        "fastest peer FM = 1 | timed by |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in report["results"]:
        ratio = r.get("speed_over_fastest_peer")
        ratio = "-" if ratio is None else f"{ratio:.2f}"
        lines.append(
            f"| {r['engine']} {r['version']} | {r['model']} | {r['factors']} "
            f"| {r['seconds']:.3f} ({min(r['seconds_all']):.3f} to {max(r['seconds_all']):.3f}) "
            f"| {r['rows_per_second']:,.0f} | {r['million_nonzeros_per_second']:.1f} | {r['test_log_loss']:.4f} "
            f"| {r['test_auc']:.4f} | {r['peak_mb']:,.0f} | {ratio} | {r['timed_by']} |"
        )
    lines += [f"\nFailed: {engine}: {reason}" for engine, reason in report["failed"].items()]
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    engines = [OURS, *(peer for peer in PEERS if (HERE / f"engine_{peer}.py").exists())]
    there = [engine for engine in engines if engine == OURS or (ENVS / engine / "done").exists()]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test-rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--factors", type=int, nargs="+", default=[8])
    parser.add_argument("--engines", nargs="+", default=there, choices=engines)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of classic.json and classic.md")
    return parser.parse_args()


def main() -> int:
    """Run all engines in turns, print and write the report; 1 if one of them failed."""
    options = arguments()
    about = machine()
    folder = data.make(options.rows, options.test_rows)
    for form in sorted({TEXT[engine] for engine in options.engines if engine in TEXT}):
        for part in ("train", "test"):
            data.as_text(folder / f"{part}.npz", form)
    runs: dict[tuple[str, int], list[Run]] = {}
    failed: dict[str, str] = {}
    plan = [
        (e, k) for k in options.factors for e in options.engines if e not in LINEAR or k == options.factors[0]
    ]
    for number in range(options.rounds):
        for engine, factors in plan:
            if engine in failed:
                continue
            try:
                run = run_once(engine, factors, folder, seed=number)
            except RuntimeError as error:
                failed[engine] = str(error)
                print(f"{engine}: failed: {error}", file=sys.stderr, flush=True)
                continue
            runs.setdefault((engine, factors), []).append(run)
            seconds = statistics.median(run.found["seconds"])
            print(
                f"round {number + 1}: {engine} k={factors}: {seconds:.3f} s, log loss {run.log_loss:.4f}",
                flush=True,
            )
    results = [summary(found, options.rows) for found in runs.values()]
    results.sort(key=lambda result: (result["model"], result["factors"], result["seconds"]))
    add_ratios(results)
    with np.load(folder / "test.npz") as test:
        y, p = test["y"], test["p"].astype(np.float64)
    task = {
        "rows": options.rows,
        "test_rows": options.test_rows,
        "rounds": options.rounds,
        "teacher_log_loss": log_loss(y, p),
        "teacher_auc": auc(y, p),
        "constant_log_loss": log_loss(y, np.full(len(y), y.mean())),
    }
    report = {"machine": about, "task": task, "results": results, "failed": failed}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "classic.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.output / "classic.md").write_text(markdown(report))
    print("\n" + markdown(report))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
