"""Claim: NFM, DeepFM and FM train and predict faster than in each neural peer, at an equal or better AUC and log loss.

    python benchmarks/neural/run.py                                # all of it: some hours with five rounds
    python benchmarks/neural/run.py --rounds 1 --vocabulary 100k --models nfm --engines crossfm fuxictr

It installs the peers, each in a virtual environment of its own (``setup_envs.py``), makes the click logs (``data.py``:
500,000 rows of 26 ids and 13 numbers; 100,000 and 2,000,000 ids) and then runs every engine alone in a process of its
own, in rounds that take turns: one epoch with 16 factors in batches of 4,096, on one thread, without dropout or
penalty; peers train everything with Adam at 0.001. Beside them: PyTorch by hand with Adam over whole tables, and with
FBGEMM's row-wise AdaGrad. Processor seconds of the process are told besides wall time: other work on the machine
disturbs them least. Written: the runs as JSON (``--output``) and beside it the tables.

``step_time.py`` asks how much longer a step takes with the large vocabulary.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paths  # noqa: F401
from about import machine
from environments import available
from job import BATCH, DIM
from report import markdown
from scores import auc, log_loss
from setup_envs import PEERS
from turns import BY_US, ENGINES, HERE, MODELS, Run, Setting, run_once, settings

import data

RESULTS = HERE.parent / "results"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--vocabulary", choices=[*data.LOGS, "both"], default="both")
    add("--models", nargs="+", choices=MODELS, default=MODELS)
    add("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    add("--rows", type=int, default=500_000)
    add("--test-rows", type=int, default=50_000)
    add("--no-setup", dest="setup", action="store_false", help="take the environments that are there")
    add("--wrap", type=shlex.split, default=[], help='put before each engine\'s command, as "taskset -c 1"')
    add("--add", action="store_true", help="keep the runs of the same task that are in --output")
    add("--output", type=Path, default=RESULTS / "neural.json")
    return parser.parse_args()


def turns(
    planned: list[Setting], rounds: int, folders: dict[str, Path], wrap: list[str], failed: dict[str, str]
) -> list[Run]:
    """Run all settings, round by round; what fails once is left out from then on."""
    runs: list[Run] = []
    for number in range(rounds):
        for setting in planned:
            if str(setting) in failed:
                continue
            try:
                run = run_once(setting, folders[setting.vocabulary], number, wrap)
            except RuntimeError as error:
                failed[str(setting)] = str(error)
                print(f"{setting}: failed: {error}", file=sys.stderr, flush=True)
                continue
            runs.append(run)
            print(
                f"round {number + 1}: {setting}: {run['train_rate']:,.0f} rows/s, "
                f"{run['predict_rate']:,.0f} predicted, AUC {run['auc']:.4f}, log loss {run['log_loss']:.4f}, "
                f"{run['peak_mb']:,.0f} MB",
                flush=True,
            )
    return runs


def teacher(folder: Path) -> tuple[float, float]:
    """Return the hidden FM's AUC and log loss on the test rows."""
    y, p = np.load(folder / "test-y.npy"), np.load(folder / "test-p.npy").astype(np.float64)
    return auc(y, p), log_loss(y, p)


def main() -> int:
    """Run all engines in turns, print and write the reports; 1 if one of them failed."""
    options = arguments()
    about = machine()
    asked = [name for name in options.engines if name not in BY_US]
    _, skipped = available(asked, PEERS, setup=options.setup)
    for engine, reason in skipped.items():
        print(f"{engine} is skipped: {reason}", flush=True)
    vocabularies = list(data.LOGS) if options.vocabulary == "both" else [options.vocabulary]
    folders = {v: data.make(v, options.rows, options.test_rows) for v in vocabularies}
    task = {"rows": options.rows, "test_rows": options.test_rows, "batch": BATCH, "dim": DIM}
    before = earlier(options.output, task) if options.add else {}
    engines = [name for name in options.engines if name not in skipped]
    failed: dict[str, str] = {}
    runs = turns(
        settings(vocabularies, options.models, engines), options.rounds, folders, options.wrap, failed
    )
    teachers = {v: teacher(folder) for v, folder in folders.items()}
    report: dict[str, Any] = {
        "machine": about,
        "task": {**task, "teachers": {**before.get("task", {}).get("teachers", {}), **teachers}},
        "runs": [*before.get("runs", []), *runs],
        "failed": {**before.get("failed", {}), **failed},
        "skipped": {**before.get("skipped", {}), **skipped},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    options.output.with_suffix(".md").write_text(markdown(report))
    print("\n" + markdown(report))
    return int(bool(failed))


def earlier(path: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Return the report that is there, if it is of the same task."""
    if not path.exists():
        return {}
    report: dict[str, Any] = json.loads(path.read_text())
    return report if task.items() <= report["task"].items() else {}


if __name__ == "__main__":
    sys.exit(main())
