"""What the benchmark writes, from the JSON's content alone.

python benchmarks/neural/report.py benchmarks/results/neural.json       # print the tables again
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from turns import ENGINES, MODELS, summaries

import data

TITLES = {"nfm": "NFM (128, 64)", "deepfm": "DeepFM (400, 400, 400)", "fm": "FM"}


def markdown(report: dict[str, Any]) -> str:
    """Render the report."""
    about, task = report["machine"], report["task"]
    results = summaries(report["runs"])
    lines = [
        "# Neural machines on a skewed click log",
        "",
        f"{task['rows']:,} rows of {data.N_CATEGORICAL} ids and {data.N_DENSE} numbers, one epoch in batches of "
        f"{task['batch']:,}, {task['dim']} factors, one thread; {task['test_rows']:,} test rows. Medians over rounds. "
        "Rates are rows a processor second of the process, a thousand; in brackets by the wall clock.",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load_at_start']} at the start, "
        f"Python {about['python']}.",
    ]
    for vocabulary, teacher in task["teachers"].items():
        shown = [r for r in results if r["vocabulary"] == vocabulary]
        if shown:
            lines += ["", f"{vocabulary} ids; teacher: AUC {teacher[0]:.4f}, log loss {teacher[1]:.4f}."]
            lines += ["", *rates(shown)]
    lines += growth(results)
    lines += ["", *(f"Failed: {what}: {why}" for what, why in report["failed"].items())]
    lines += [f"Skipped: {what}: {why}" for what, why in report["skipped"].items()]
    return "\n".join(lines).rstrip() + "\n"


def rates(results: list[dict[str, Any]]) -> list[str]:
    """Render one vocabulary, a row a model and engine, the fastest first."""
    lines = [
        "| model | engine | rounds | training, k/s | crossfm is | inference, k/s | AUC | log loss | peak MB |",
        "|---" * 9 + "|",
    ]
    for r in results:
        cells = [
            TITLES[r["model"]],
            f"{r['engine']} {r['version']}",
            r["rounds"],
            f"{r['train_rate'] / 1e3:.1f} ({r['train_wall_rate'] / 1e3:.1f})",
            "-" if math.isnan(r["ratio"]) else f"{r['ratio']:.2f} times",
            f"{r['predict_rate'] / 1e3:.0f} ({r['predict_wall_rate'] / 1e3:.0f})",
            f"{r['auc']:.4f}",
            f"{r['log_loss']:.4f}",
            f"{r['peak_mb']:,.0f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def growth(results: list[dict[str, Any]]) -> list[str]:
    """Render how many times the time of training grows from the small vocabulary to the large one."""
    seconds = {(r["vocabulary"], r["model"], r["engine"]): r["train_seconds"] for r in results}
    few, many = data.LOGS
    lines = ["", f"Time of training with {many} ids, over that with {few}:", ""]
    lines += [f"| engine | {' | '.join(TITLES[m] for m in MODELS)} |", "|---" * (1 + len(MODELS)) + "|"]
    head = len(lines)
    for engine in ENGINES:
        both = [(seconds.get((many, m, engine)), seconds.get((few, m, engine))) for m in MODELS]
        if any(more and less for more, less in both):
            cells = [f"{more / less:.2f}" if more and less else "-" for more, less in both]
            lines.append(f"| {engine} | {' | '.join(cells)} |")
    return lines if len(lines) > head else []


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())), end="")
