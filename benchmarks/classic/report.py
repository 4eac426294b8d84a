"""What the benchmark writes: tables and plots, from ``classic.json``'s content alone."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from adapter import FROM_TEXT
from turns import HERE, OURS

import data

RESULTS = HERE.parent / "results"
MACHINES = {"fm": "FM", "ffm": "FFM", "linear": "linear"}
PEER_COLOURS = ["#888888", "#b8860b", "#2e7d32", "#8e24aa", "#c62828", "#5d4037"]
OUR_COLOURS = ["#0d47a1", "#1e88e5", "#00838f", "#64b5f6", "#5e35b1", "#26a69a", "#1a1a2e", "#9fa8da"]


def markdown(report: dict[str, Any]) -> str:
    """Render the report."""
    about, task = report["machine"], report["task"]
    lines = [
        "# Training on a skewed click log",
        "",
        f"{task['rows']:,} rows of {data.N_FIELDS} one-hot fields, {task['test_rows']:,} test rows, "
        f"{task['epochs']} epochs in each of {task['rounds']} rounds: medians (ranges). "
        f"Teacher: test log loss {task['teacher_log_loss']:.4f}, "
        f"AUC {task['teacher_auc']:.4f}; constant {task['constant_log_loss']:.4f}.",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load_at_start']} at the start, "
        f"Python {about['python']}.",
        *speeds(report["results"]),
        *epochs(report["curves"], report["targets"]),
        "",
    ]
    lines += [f"Failed: {engine}: {reason}" for engine, reason in report["failed"].items()]
    lines += [f"Skipped: {engine}: {reason}" for engine, reason in report["skipped"].items()]
    return "\n".join(lines) + "\n"


def speeds(results: list[dict[str, Any]]) -> list[str]:
    """Render one epoch of everything."""
    lines = [
        "",
        "| engine | machine | solver | k | threads | s an epoch (range) | rows/s | M non-zeros/s | test log loss "
        "| peak MB | speed, fastest peer = 1 | time / limit | timed by |",
        "|---" * 13 + "|",
    ]
    for r in results:
        cells = [
            f"{r['engine']} {r['version']}".strip(),
            MACHINES[r["machine"]],
            r["solver"],
            r["factors"],
            r["threads"],
            f"{r['seconds']:.3f} ({min(r['seconds_all']):.3f} to {max(r['seconds_all']):.3f})",
            f"{r['rows_per_second']:,.0f}",
            f"{r['million_nonzeros_per_second']:.1f}",
            _number(r["test_log_loss"], 4),
            f"{r['peak_mb']:,.0f}",
            _number(r["speed_over_fastest_peer"], 2),
            _number(r.get("time_over_limit"), 1),
            r["timed_by"],
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def epochs(curves: list[dict[str, Any]], targets: dict[str, float]) -> list[str]:
    """Render log losses by epoch, and the seconds to the target of the machine."""
    if not curves:
        return []
    lines = [
        "",
        "| engine | machine | solver | k | log loss by epoch | s to log loss | settings |",
        "|---" * 7 + "|",
    ]
    for r in curves:
        target = targets[r["machine"]]
        reached = next((n for n, loss in enumerate(r["log_losses"], 1) if loss <= target), None)
        seconds = "-" if reached is None else f"{sum(r['seconds_all'][:reached]):.2f} to {target:.4f}"
        losses = ", ".join(f"{loss:.4f}" for loss in r["log_losses"])
        settings = ", ".join(f"{name} {value}" for name, value in r["settings"].items())
        machine = MACHINES[r["machine"]]
        cells = [r["engine"], machine, r["solver"], r["factors"], losses, seconds, settings]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def plot_curves(curves: list[dict[str, Any]], path: Path) -> None:
    """Draw test log loss over seconds of training, on a logarithmic scale, a panel a machine."""
    from matplotlib import pyplot, ticker

    machines = [m for m in MACHINES if any(r["machine"] == m and r["log_losses"] for r in curves)]
    figure, panels = pyplot.subplots(1, len(machines), figsize=(4.4 * len(machines), 4.6), squeeze=False)
    for machine, panel in zip(machines, panels[0], strict=True):
        shown = [r for r in curves if r["machine"] == machine and r["log_losses"]]
        for r, colour in zip(shown, _colours(shown), strict=True):
            ours = r["engine"] == OURS
            x = np.cumsum(r["seconds_all"])
            style = {"linestyle": "-" if ours else "--", "marker": "o" if ours else "s", "markersize": 4}
            panel.plot(x, r["log_losses"], color=colour, label=f"{r['engine']} {r['solver']}", **style)
        panel.set(title=MACHINES[machine], xlabel="seconds of training", xscale="log")
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        lowest = min(min(r["log_losses"]) for r in shown)
        panel.set_ylim(top=min(panel.get_ylim()[1], lowest + 0.05))  # what is worse stands above the panel
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(
            frameon=False,
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=min(2, len(shown)),
        )
    panels[0][0].set_ylabel("test log loss")
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)


def plot_speeds(results: list[dict[str, Any]], path: Path) -> None:
    """Draw rows a second of each engine's fastest way, one thread, over those of the fastest peer."""
    from matplotlib import pyplot

    rows = [r for r in results if r["threads"] == 1 and r["speed_over_fastest_peer"] and _trains(r)]
    groups: dict[str, list[dict[str, Any]]] = {}
    for r in rows:
        name = MACHINES[r["machine"]] + (f", k = {r['factors']}" if r["factors"] else "")
        groups.setdefault(name, []).append(r)
    places = sum(len(group) + 1 for group in groups.values())
    figure, panel = pyplot.subplots(figsize=(7.5, 0.8 + 0.24 * places))
    at, ticks, names = 0.0, [], []
    for name, group in groups.items():
        panel.text(0, at, name, weight="bold", fontsize=9, va="center")
        at += 1
        for r in sorted(group, key=lambda r: r["seconds"]):
            ratio = r["speed_over_fastest_peer"]
            panel.barh(at, ratio, height=0.75, color=OUR_COLOURS[1] if r["engine"] == OURS else "#9e9e9e")
            panel.text(ratio, at, f" {ratio:.2f}", va="center", fontsize=8)
            ticks.append(at)
            names.append(f"{r['engine']} {r['solver']}")
            at += 1
    panel.axvline(1, color="#444444", linewidth=0.8, linestyle=":")
    panel.set_yticks(ticks, names, fontsize=8)
    panel.set_ylim(at, -0.7)
    panel.set(xlabel="speed of training, one thread; fastest peer = 1")
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)


def _trains(result: dict[str, Any]) -> bool:
    return not result["solver"].endswith(FROM_TEXT)


def _colours(shown: list[dict[str, Any]]) -> list[str]:
    """One colour a line: blues for ours."""
    ours, peers = cycle(OUR_COLOURS), cycle(PEER_COLOURS)
    return [next(ours if r["engine"] == OURS else peers) for r in shown]
