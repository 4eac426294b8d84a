"""Claim: training on skewed one-hot rows is faster than each peer's, at an equal or better log loss.

    python benchmarks/classic/run.py                # all of it: some hours with five rounds
    python benchmarks/classic/run.py --quick        # a tenth of the rows, one round, one thread, k = 8: minutes

It installs the peers, each in a virtual environment of its own (``setup_envs.py``), makes the click log (``data.py``;
1,000,000 rows of 39 non-zeros over 2^20 ids) and then, every engine alone in a process of its own:

1. two epochs of everything (``--speed-epochs``; one of what reads text as it learns), in rounds that take turns:
   seconds an epoch without loading or parsing (median and range over epochs and rounds), rows and non-zeros a second,
   test log loss after the last epoch, peak memory of the process, the ratio to the fastest peer with the same machine,
   factors and threads, and on one thread to the limit (``limits.py``); and how far the cores are from each other
   (``cores.py``);
2. three epochs, the log loss after each, and the seconds to a given log loss (``--targets``), with the first of
   ``--threads`` and ``--factors``;
3. parsing of text (``parse.py``).

Written to ``benchmarks/results``: ``classic.json``, ``classic.md``, ``classic-curves.svg``, ``classic-speed.svg`` and
``parse.md``. alphaFM, which is not in the package index, takes part where ALPHAFM names its program.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import parse
import paths  # noqa: F401
from about import machine
from adapter import FROM_TEXT
from cores import nanoseconds
from engine_crossfm import VARIANTS, solvers
from environments import available
from limits import UPDATE, Limits
from report import RESULTS, markdown, plot_curves, plot_speeds
from scores import auc, log_loss
from setup_envs import PEERS
from turns import OURS, Run, Setting, add_ratios, run_once, summary

import data

TEXT = {"xlearn": "libsvm", "vw": "vw", "alphafm": "libsvm"}  # what an engine reads; others: arrays
# The solvers that are timed, and those that are only followed over epochs; ours are in engine_crossfm.py.
SPEED: dict[str, dict[str, list[str]]] = {
    "xlearn": {"fm": ["adagrad"], "ffm": ["adagrad"], "linear": ["adagrad"]},
    "modern_fm": {"fm": ["adagrad"], "ffm": ["adagrad"]},
    "fastfm": {"fm": ["sgd"]},
    "libffm": {"ffm": ["adagrad"]},
    "vw": {"linear": ["adaptive"]},
    "alphafm": {"fm": ["ftrl" + FROM_TEXT]},
}
CURVES = {"modern_fm": {"fm": ["ftrl"]}, OURS: {"fm": ["adam", "sgd"]}}
# What takes twenty times as long as crossfm and more runs with one thread and the first number of factors alone.
ONE_THREAD = {"fastfm", "vw", "modern_fm", "alphafm"}
LEAST_FACTORS = {"fastfm", "modern_fm", "alphafm"}
TARGETS = {"fm": 0.465, "ffm": 0.503, "linear": 0.506}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000)
    add("--test-rows", type=int, default=100_000)
    add("--rounds", type=int, default=5)
    add("--factors", type=int, nargs="+", default=[8, 16, 32], help="of FM")
    add("--ffm-factors", type=int, nargs="+", default=[4], help="of FFM")
    add("--machines", nargs="+", default=["fm", "ffm", "linear"], choices=list(VARIANTS))
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--engines", nargs="+", choices=[OURS, *SPEED], default=[OURS, *SPEED])
    add("--solvers", nargs="+", help="of crossfm; default: all that it has")
    add("--speed-epochs", type=int, default=2, help="that are timed")
    add("--epochs", type=int, default=3, help="to follow the log loss over; 1: do not")
    add("--targets", type=float, nargs=3, metavar=("FM", "FFM", "LINEAR"), default=list(TARGETS.values()))
    add("--quick", action="store_true", help="100,000 rows, one round, one thread, k = 8, no parsing")
    add("--no-setup", dest="setup", action="store_false", help="take the environments that are there")
    add("--no-parse", dest="parse", action="store_false", help="do not measure parsing")
    add("--wrap", type=shlex.split, default=[], help='put before each engine\'s command, as "taskset -c 1"')
    add("--output", type=Path, default=RESULTS, help="folder of the reports")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.test_rows, options.rounds, options.threads = 100_000, 10_000, 1, [1]
        options.factors, options.parse = [8], False
        options.speed_epochs = 1
    return options


def there(engines: list[str], *, setup: bool) -> tuple[list[str], dict[str, str]]:
    """Return the engines that can run, and why others cannot."""
    _, skipped = available([name for name in engines if name in PEERS], PEERS, setup=setup)
    if "alphafm" in engines and not os.environ.get("ALPHAFM"):
        skipped["alphafm"] = "ALPHAFM does not name its program"
    for engine, reason in skipped.items():
        print(f"{engine} is skipped: {reason}", flush=True)
    return [engine for engine in engines if engine not in skipped], skipped


def plan(options: argparse.Namespace, engines: list[str], *, curves: bool) -> Iterator[Setting]:
    """Yield what is run, in turns: all for one epoch, or what is followed over several."""
    factors = {"fm": options.factors, "ffm": options.ffm_factors, "linear": [0]}
    for machine_ in options.machines:
        for k in factors[machine_][:1] if curves else factors[machine_]:
            for threads in options.threads[:1] if curves else options.threads:
                for engine in engines:
                    if (threads > 1 and engine in ONE_THREAD) or (
                        k != factors[machine_][0] and engine in LEAST_FACTORS
                    ):
                        continue
                    for solver in _solvers(options, engine, machine_, curves=curves):
                        apart = solver.endswith(FROM_TEXT) and k != factors[machine_][0]  # no peer then
                        if (threads == 1 and not apart) or not solver.endswith(("bfloat16", FROM_TEXT)):
                            yield Setting(engine, machine_, solver, k, threads)


def _solvers(options: argparse.Namespace, engine: str, machine_: str, *, curves: bool) -> list[str]:
    """What an engine has for a machine; nothing that reads as it learns is followed, but for alphaFM's passes."""
    followed = CURVES.get(engine, {}).get(machine_, [])
    if engine != OURS:
        return SPEED[engine].get(machine_, []) + (followed if curves else [])
    found = [name for name in solvers(machine_) if options.solvers is None or name in options.solvers]
    if curves:
        return [name for name in found if not name.endswith(FROM_TEXT)]
    text = "alphafm" in options.engines
    return [name for name in found if name not in followed and (text or not name.endswith(FROM_TEXT))]


def texts(folder: Path, settings: list[Setting]) -> None:
    """Write the texts that the engines read, unless they are there."""
    forms = {TEXT[s.engine] if s.machine != "ffm" else "libffm" for s in settings if s.engine in TEXT}
    forms |= {"libsvm" for s in settings if s.solver.endswith(FROM_TEXT)}
    for form in sorted(forms):
        for part in ("train", "test"):
            data.as_text(folder / f"{part}.npz", form)


def turns(
    settings: list[Setting],
    rounds: int,
    epochs: int,
    folder: Path,
    wrap: list[str],
    failed: dict[str, str],
    *,
    follow: bool = False,
) -> list[dict[str, Any]]:
    """Run all settings, round by round; what fails once is left out from then on."""
    runs: dict[Setting, list[Run]] = {}
    for number in range(rounds):
        print(f"round {number + 1}: a line goes from core to core in {nanoseconds()}", flush=True)
        for setting in settings:
            if str(setting) in failed:
                continue
            try:
                times = 1 if setting.solver.endswith(FROM_TEXT) else epochs
                run = run_once(setting, times, folder, number, wrap, follow=follow)
            except RuntimeError as error:
                failed[str(setting)] = str(error)
                print(f"{setting}: failed: {error}", file=sys.stderr, flush=True)
                continue
            runs.setdefault(setting, []).append(run)
            losses = run.found["log_losses"] or [run.log_loss]
            print(
                f"round {number + 1}: {setting}: {np.median(run.found['seconds']):.3f} s, log loss "
                + ", ".join(f"{loss:.4f}" for loss in losses),
                flush=True,
            )
    with np.load(folder / "train.npz") as train:
        n_rows = len(train["y"])
    results = [summary(found, n_rows) for found in runs.values()]
    order = list(VARIANTS)
    results.sort(key=lambda r: (order.index(r["machine"]), r["factors"], r["threads"], r["seconds"]))
    return results


def add_limits(results: list[dict[str, Any]], folder: Path) -> None:
    """Add the limit of the machine, and the ratio to it, to our results on one thread."""
    with np.load(folder / "train.npz") as train:
        limits = Limits(train["ids"])
    for r in results:
        rule = r["settings"].get("solver", "adagrad") if r["engine"] == OURS else ""
        if rule in UPDATE and r["threads"] == 1 and not r["solver"].endswith(FROM_TEXT):
            r["memory_limit"], r["arithmetic_limit"] = limits.of(
                r["machine"], rule, r["factors"], r["settings"].get("precision", "float32")
            )
            r["time_over_limit"] = r["seconds"] / max(r["memory_limit"], r["arithmetic_limit"])


def main() -> int:
    """Run all engines in turns, print and write the reports; 1 if one of them failed."""
    options = arguments()
    about = machine()
    engines, skipped = there(options.engines, setup=options.setup)
    options.engines = engines
    folder = data.make(options.rows, options.test_rows)
    speed = list(plan(options, engines, curves=False))
    followed = list(plan(options, engines, curves=True)) if options.epochs > 1 else []
    texts(folder, speed + followed)
    failed: dict[str, str] = {}
    results = turns(speed, options.rounds, options.speed_epochs, folder, options.wrap, failed)
    add_ratios(results)
    add_limits(results, folder)
    curves = turns(followed, 1, options.epochs, folder, options.wrap, failed, follow=True)
    with np.load(folder / "test.npz") as test:
        y, p = test["y"], test["p"].astype(np.float64)
    task = {
        "rows": options.rows,
        "test_rows": options.test_rows,
        "rounds": options.rounds,
        "epochs": options.speed_epochs,
        "teacher_log_loss": log_loss(y, p),
        "teacher_auc": auc(y, p),
        "constant_log_loss": log_loss(y, np.full(len(y), y.mean())),
    }
    report = {"machine": about, "task": task, "results": results, "curves": curves, "failed": failed}
    report |= {"skipped": skipped, "targets": dict(zip(TARGETS, options.targets, strict=True))}
    write(report, options.output)
    if options.parse:
        peers = ["scikit-learn", *(name for name in engines if name in parse.PEERS)]
        parse.run(
            options.rows,
            argparse.Namespace(rounds=options.rounds, threads=options.threads, peers=peers),
        )
    return int(bool(failed))


def write(report: dict[str, Any], output: Path) -> None:
    """Write the report as JSON, tables and plots; print the tables."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "classic.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "classic.md").write_text(markdown(report))
    print("\n" + markdown(report))
    import matplotlib

    matplotlib.use("Agg")
    if report["curves"]:
        plot_curves(report["curves"], output / "classic-curves.svg")
    plot_speeds(report["results"], output / "classic-speed.svg")


if __name__ == "__main__":
    sys.exit(main())
