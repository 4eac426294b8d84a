"""Numbers of several systems side by side, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import DataError
from crossfm.plots.style import COLOURS, INK, add_legend, name_axes, new_figure


def dots(
    labels: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    xlabel: str = "",
    digits: int = 3,
    zero: bool = False,
    colours: Sequence[int] | None = None,
) -> Figure:
    """Draw a dot with its interval and its value for each label, the first on top.

    Dots and not bars: the axis need not start at zero, so small differences can be seen.

    Parameters
    ----------
    labels : (n,)
    values, low, high : (n,)
        ``low`` and ``high`` are the ends of the intervals.
    zero : bool, default=False
        For differences: a line at zero, and signs.
    colours : (n,) or None
        Numbers of colours; None: 0, 1, ...
    """
    x, lower, upper = (_checked(a, (len(labels),)) for a in (values, low, high))
    figure, axes = new_figure(height=1.0 + 0.55 * len(x))
    place = np.arange(len(x))
    if zero:
        axes.axvline(0.0, color=INK, linewidth=0.9, linestyle=":")
    for at in place:
        colour = COLOURS[(at if colours is None else colours[int(at)]) % len(COLOURS)]
        axes.plot(
            [lower[at], upper[at]], [at, at], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round"
        )
        axes.plot([x[at]], [at], "o", color=colour, markersize=8)
        text = f"{x[at]:{'+' if zero else ''}.{digits}f}"
        axes.annotate(text, (x[at], at), (0, 9), textcoords="offset points", ha="center", color=INK, size=10)
    axes.set_yticks(place, list(labels))
    axes.set_ylim(len(x) - 0.5, -0.7)
    axes.grid(False, axis="y")
    axes.margins(x=0.08)
    name_axes(axes, xlabel)
    return figure


def grouped_intervals(
    groups: Sequence[str],
    systems: Sequence[str],
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    ylabel: str = "",
    width: float = 4.8,
) -> Figure:
    """Draw a point with its interval for each system in each group.

    ``mean``, ``low`` and ``high`` are (n_groups, n_systems); NaN leaves a point out. ``width`` is in inches.
    """
    arrays = [_checked(a, (len(groups), len(systems))) for a in (mean, low, high)]
    figure, axes = new_figure(width)
    place, apart = np.arange(len(groups)), min(0.22, 0.8 / max(1, len(systems)))
    for number, system in enumerate(systems):
        m, lower, upper = (array[:, number] for array in arrays)
        x = place + (number - (len(systems) - 1) / 2) * apart
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(x, m, yerr=[m - lower, upper - m], fmt="o", color=colour, capsize=3, label=system)
    axes.set_xticks(place, list(groups))
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(False, axis="x")
    name_axes(axes, "", ylabel)
    add_legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(systems), int(width / 1.2)))
    return figure


def _checked(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != shape:
        raise DataError(f"got numbers of shape {array.shape}, but the labels are for {shape}")
    return array
