"""What a score is made of: one row as a waterfall, several as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from crossfm.errors import DataError
from crossfm.plots.style import COLOURS, FALL, INK, RISE, name_axes, new_figure


def waterfall(labels: Sequence[str], values: ArrayLike, *, xlabel: str = "", total: str = "score") -> Figure:
    """Draw parts one after another, each from where the last ended, and their sum.

    The axis starts near the smallest level that a part starts or ends at, the first part aside, so that small parts
    beside a large first one can be seen.
    """
    x = np.asarray(values, float)
    if x.shape != (len(labels),) or not len(x):
        raise DataError(
            f"values have shape {x.shape}, but one part for each of {len(labels)} labels is expected"
        )
    ends = np.cumsum(x)
    starts = ends - x
    figure, axes = new_figure(height=0.9 + 0.32 * (len(x) + 1))
    place = np.arange(len(x))
    colours = [COLOURS[0], *(RISE if part >= 0 else FALL for part in x[1:])]
    axes.barh(place, x, left=starts, color=colours, height=0.62)
    axes.barh([len(x)], [ends[-1]], color=COLOURS[6], height=0.62)
    for at, part, right in zip(
        [*place, len(x)], [*x, ends[-1]], [*np.maximum(starts, ends), ends[-1]], strict=True
    ):
        text = f"{part:+.3f}" if 0 < at < len(x) else f"{part:.3f}"
        axes.annotate(text, (right, at), (4, 0), textcoords="offset points", va="center", color=INK, size=9)
    levels = ends if ends.min() > 0 else np.append(ends, 0.0)
    span = max(float(np.ptp(levels)), abs(float(levels.max())) * 0.02, 1e-9)
    axes.set_xlim(levels.min() - 0.25 * span, levels.max() + 0.3 * span)
    axes.set_yticks([*place, len(x)], [*labels, total])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    name_axes(axes, xlabel)
    return figure


def heat_map(rows: Sequence[str], columns: Sequence[str], values: ArrayLike, *, label: str = "") -> Figure:
    """Draw signed numbers (n_rows, n_columns) as colours, the same depth for the same size, with the numbers."""
    table = np.asarray(values, float)
    if table.shape != (len(rows), len(columns)) or not table.size:
        raise DataError(f"values have shape {table.shape}, but {(len(rows), len(columns))} is expected")
    figure, axes = new_figure(2.6 + 0.62 * len(columns), 1.2 + 0.31 * len(rows))
    most = float(np.abs(table).max()) or 1.0
    for at, line in enumerate(table):
        for across, value in enumerate(line):
            colour = RISE if value >= 0 else FALL
            axes.barh(
                at, 0.94, left=across - 0.47, height=0.88, color=colour, alpha=0.06 + 0.5 * abs(value) / most
            )
            text = f"{value:+.2f}" if abs(value) >= 0.005 else "0"
            axes.text(across, at, text, ha="center", va="center", color=INK, size=8)
    axes.set_xticks(range(len(columns)), list(columns), rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(False)
    name_axes(axes, label)
    return figure
