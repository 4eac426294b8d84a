"""Claim: training on skewed one-hot rows is faster than each peer's, at an equal or better log loss.

Every engine trains on the same made click log (see ``data.py``; 1,000,000 rows of 39 non-zeros over 2^20 ids), alone
in a process and environment of its own, in rounds that take turns. Printed, and written to ``classic.json`` and
``classic.md`` in ``benchmarks/results``: seconds an epoch without loading or parsing (median and range of the
rounds), rows and non-zeros a second, test log loss and AUC after the epoch, peak memory of the whole process, and the
ratio to the fastest peer with the same machine, factors and threads. With ``--epochs`` above 1: one run each of so
many epochs, the log loss after each of them, the seconds to the best log loss that all engines of a machine reach,
and a plot (``classic.svg``).

    python benchmarks/classic/setup_envs.py          # once: the peers
    python benchmarks/classic/run.py [--rows 50000] [--rounds 5] [--factors 8 16 32] [--engines crossfm xlearn]
    python benchmarks/classic/run.py --machines linear ffm --factors 4 --solvers adagrad adagrad-row
    python benchmarks/classic/run.py --machines fm ffm --threads 1 2 --engines crossfm xlearn
    python benchmarks/classic/run.py --epochs 4 --solvers adagrad ftrl --engines crossfm xlearn

No package of libffm installs from the index (``pylibffm`` has no wheel for recent Pythons and does not build), and
alphaFM is not there.
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
TEXT = {"xlearn": "libsvm", "vw": "vw"}  # the form that an engine reads; others take arrays; FFM: libffm
MACHINES = {
    "crossfm": {"fm", "linear", "ffm"},
    "xlearn": {"fm", "linear", "ffm"},
    "vw": {"linear"},
}  # others: fm
OUR_SOLVERS = {("fm", "adagrad"), ("fm", "adagrad-row"), ("fm", "ftrl")}
OUR_SOLVERS |= {("linear", "adagrad"), ("ffm", "adagrad"), ("ffm", "adagrad-row")}
EPOCHS = {"crossfm", "xlearn"}  # tell the log loss of every epoch
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


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


def run_once(setting: Setting, epochs: int, folder: Path, seed: int) -> Run:
    """Run one engine in its own process; raises ``RuntimeError`` with its last words."""
    engine = setting.engine
    python = Path(sys.executable) if engine == OURS else python_of(engine)
    with tempfile.TemporaryDirectory(dir=data.FOLDER) as scratch:
        job, answer = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        paths = {"folder": str(folder), "scratch": scratch, "answer": str(answer)}
        asked = {name: value for name, value in vars(setting).items() if name != "engine"}
        job.write_text(json.dumps({**paths, **asked, "epochs": epochs, "seed": seed}))
        log = Path(scratch) / "output.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(python), str(HERE / f"engine_{engine}.py"), str(job)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(THREADS, str(setting.threads))},
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
    return Run(setting, found, log_loss(y, p), auc(y, p), usage.ru_maxrss / 1024)


def summary(runs: list[Run], n_rows: int) -> dict[str, Any]:
    """Medians over the rounds of one engine and number of factors."""
    seconds = [s for run in runs for s in run.found["seconds"]]
    middle = statistics.median(seconds)
    return {
        **vars(runs[0].setting),
        "version": runs[0].found["version"],
        "seconds": middle,
        "log_losses": runs[0].found["log_losses"],
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
    """Add ``speed_over_fastest_peer``: of the same machine, factors and threads; that one's is 1."""
    groups = {(result["machine"], result["factors"], result["threads"]) for result in results}
    for group in groups:
        same = [r for r in results if (r["machine"], r["factors"], r["threads"]) == group]
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
        "# Training on a skewed click log",
        "",
        f"{task['rows']:,} rows of {data.N_FIELDS} one-hot fields, {task['test_rows']:,} test rows, "
        f"median of {task['rounds']} rounds (range). Teacher: test log loss {task['teacher_log_loss']:.4f}, "
        f"AUC {task['teacher_auc']:.4f}; constant {task['constant_log_loss']:.4f}.",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load_at_start']} at the start, "
        f"Python {about['python']}.",
        "",
        "| engine | machine | solver | k | threads | s/epoch | rows/s | M non-zeros/s | test log loss | test AUC | "
        "peak MB | speed, fastest peer = 1 | timed by |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in report["results"]:
        ratio = r.get("speed_over_fastest_peer")
        ratio = "-" if ratio is None else f"{ratio:.2f}"
        lines.append(
            f"| {r['engine']} {r['version']} | {r['machine']} | {r['solver']} | {r['factors']} | {r['threads']} "
            f"| {r['seconds']:.3f} ({min(r['seconds_all']):.3f} to {max(r['seconds_all']):.3f}) "
            f"| {r['rows_per_second']:,.0f} | {r['million_nonzeros_per_second']:.1f} | {r['test_log_loss']:.4f} "
            f"| {r['test_auc']:.4f} | {r['peak_mb']:,.0f} | {ratio} | {r['timed_by']} |"
        )
    if task["epochs"] > 1:
        lines += _curves(report["results"])
    lines += [f"\nFailed: {engine}: {reason}" for engine, reason in report["failed"].items()]
    return "\n".join(lines) + "\n"


def _curves(results: list[dict[str, Any]]) -> list[str]:
    """Render log losses by epoch, and the seconds to one that all engines of a machine reach."""
    lines = [
        "",
        "| engine | machine | solver | k | log loss by epoch | s to log loss |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        same = [o for o in results if (o["machine"], o["threads"]) == (r["machine"], r["threads"])]
        target = max(min(other["log_losses"] or [np.inf]) for other in same)
        reached = next((n for n, loss in enumerate(r["log_losses"], 1) if loss <= target), None)
        seconds = "-" if reached is None else f"{sum(r['seconds_all'][:reached]):.2f} to {target:.4f}"
        losses = ", ".join(f"{loss:.4f}" for loss in r["log_losses"])
        lines.append(
            f"| {r['engine']} | {r['machine']} | {r['solver']} | {r['factors']} | {losses} | {seconds} |"
        )
    return lines


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw test log loss over seconds of training, a panel a machine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    machines = sorted({r["machine"] for r in results})
    figure, panels = pyplot.subplots(1, len(machines), figsize=(5 * len(machines), 3.6), squeeze=False)
    for machine, panel in zip(machines, panels[0], strict=True):
        for r in (r for r in results if r["machine"] == machine):
            label = (
                f"{r['engine']} {r['solver']}, k = {r['factors']}"
                if r["factors"]
                else f"{r['engine']} {r['solver']}"
            )
            style = "-" if r["engine"] == OURS else "--"
            panel.plot(
                np.cumsum(r["seconds_all"]), r["log_losses"], style, marker="o", markersize=4, label=label
            )
        panel.set(title=machine, xlabel="seconds of training", ylabel="test log loss", xlim=(0, None))
        panel.legend(frameon=False, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


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
    parser.add_argument("--machines", nargs="+", default=["fm", "linear"], choices=["fm", "linear", "ffm"])
    parser.add_argument(
        "--solvers",
        nargs="+",
        default=["adagrad"],
        choices=["adagrad", "adagrad-row", "ftrl"],
        help="of crossfm",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=1, help="above 1: log loss by epoch, one round")
    parser.add_argument("--engines", nargs="+", default=there, choices=engines)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of classic.json and classic.md")
    return parser.parse_args()


def plan(options: argparse.Namespace) -> list[Setting]:
    """Return what is to be timed, in turns."""
    settings = []
    for machine in options.machines:
        for factors in options.factors if machine != "linear" else [0]:
            for threads in options.threads:
                for engine in options.engines:
                    if machine not in MACHINES.get(engine, {"fm"}) or (
                        options.epochs > 1 and engine not in EPOCHS
                    ):
                        continue
                    solvers = options.solvers if engine == OURS else ["its best"]
                    settings += [
                        Setting(engine, machine, solver, factors, threads)
                        for solver in solvers
                        if engine != OURS or (machine, solver) in OUR_SOLVERS
                    ]
    return settings


def main() -> int:
    """Run all engines in turns, print and write the report; 1 if one of them failed."""
    options = arguments()
    about = machine()
    folder = data.make(options.rows, options.test_rows)
    settings = plan(options)
    forms = {TEXT[s.engine] if s.machine != "ffm" else "libffm" for s in settings if s.engine in TEXT}
    for form in sorted(forms):
        for part in ("train", "test"):
            data.as_text(folder / f"{part}.npz", form)
    runs: dict[Setting, list[Run]] = {}
    failed: dict[str, str] = {}
    rounds = 1 if options.epochs > 1 else options.rounds
    for number in range(rounds):
        for setting in settings:
            if str(setting) in failed:
                continue
            try:
                run = run_once(setting, options.epochs, folder, seed=number)
            except RuntimeError as error:
                failed[str(setting)] = str(error)
                print(f"{setting}: failed: {error}", file=sys.stderr, flush=True)
                continue
            runs.setdefault(setting, []).append(run)
            seconds = statistics.median(run.found["seconds"])
            print(f"round {number + 1}: {setting}: {seconds:.3f} s, log loss {run.log_loss:.4f}", flush=True)
    results = [summary(found, options.rows) for found in runs.values()]
    results.sort(key=lambda r: (r["machine"], r["factors"], r["threads"], r["seconds"]))
    add_ratios(results)
    with np.load(folder / "test.npz") as test:
        y, p = test["y"], test["p"].astype(np.float64)
    task = {
        "rows": options.rows,
        "test_rows": options.test_rows,
        "rounds": rounds,
        "epochs": options.epochs,
        "teacher_log_loss": log_loss(y, p),
        "teacher_auc": auc(y, p),
        "constant_log_loss": log_loss(y, np.full(len(y), y.mean())),
    }
    report = {"machine": about, "task": task, "results": results, "failed": failed}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "classic.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.output / "classic.md").write_text(markdown(report))
    if options.epochs > 1:
        plot(results, options.output / "classic.svg")
    print("\n" + markdown(report))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
