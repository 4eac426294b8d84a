"""Several recommenders side by side: recall by candidates, what is left after each step, trade-offs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter
from numpy.typing import ArrayLike

from crossfm.errors import DataError
from crossfm.plots.style import COLOURS, INK, add_legend, name_axes, new_figure

TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


def recall_by_candidates(
    systems: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]],
    *,
    mark: int | None = None,
    colours: Sequence[int] | None = None,
) -> Figure:
    """Draw recall over the number of candidates (logarithmic), with the interval of the first system as a band.

    Parameters
    ----------
    systems : mapping of name to (n, mean, low, high), each (n_points,)
    mark : int or None
        The number of candidates in use: a line.
    colours : (n_systems,) or None
        Numbers of colours; None: 0, 1, ...
    """
    figure, axes = new_figure(5.4, 3.6)
    most = 1.0
    for number, (name, (n, mean, low, high)) in enumerate(systems.items()):
        x = np.asarray(n, float)
        colour = COLOURS[(number if colours is None else colours[number]) % len(COLOURS)]
        most = max(most, float(x.max()))
        if not number:
            axes.fill_between(
                x, np.asarray(low, float), np.asarray(high, float), color=colour, alpha=0.18, lw=0
            )
        axes.plot(x, np.asarray(mean, float), "o-", color=colour, linewidth=1.6, markersize=3.5, label=name)
    if mark is not None:
        axes.axvline(mark, color=INK, linewidth=0.9, linestyle=":")
        axes.annotate(
            f"{mark:,} in use",
            (mark, 1.0),
            (-4, 0),
            textcoords="offset points",
            color=INK,
            size=9,
            ha="right",
            va="top",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= most]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, 1.02)
    name_axes(axes, "candidates", "recall")
    add_legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def funnel(labels: Sequence[str], shares: ArrayLike, notes: Sequence[str]) -> Figure:
    """Draw what share (n,) of all that was relevant is left after each step, the first on top, with a note each."""
    x = np.asarray(shares, np.float64)
    if not len(labels) == len(notes) == len(x):
        raise DataError(
            f"{len(labels)} labels, {len(x)} shares and {len(notes)} notes: one of each is expected"
        )
    figure, axes = new_figure(5.4, 0.9 + 0.42 * len(x))
    place = np.arange(len(x))
    axes.barh(place, np.ones(len(x)), color=INK, alpha=0.1, height=0.66)
    axes.barh(place, x, color=COLOURS[0], height=0.66)
    for at, (share, note) in enumerate(zip(x, notes, strict=True)):
        inside = share > 0.5
        axes.annotate(
            note,
            (share, at),
            (-6 if inside else 6, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            color="#ffffff" if inside else INK,
            size=9,
        )
    axes.set_yticks(place, list(labels))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(x) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(False, axis="y")
    name_axes(axes, "share of what was relevant")
    return figure


def trade_off(
    systems: Sequence[str], x: ArrayLike, y: ArrayLike, *, xlabel: str = "", ylabel: str = ""
) -> Figure:
    """Draw a dot for each system, (n,) each: better is up, and to the right."""
    across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not len(systems) == len(across) == len(up):
        raise DataError(
            f"{len(systems)} systems, {len(across)} and {len(up)} numbers: one of each is expected"
        )
    figure, axes = new_figure(4.8, 3.4)
    for number, (name, a, b) in enumerate(zip(systems, across, up, strict=True)):
        axes.plot([a], [b], "o", color=COLOURS[number % len(COLOURS)], markersize=10, label=name)
    axes.margins(0.15)
    name_axes(axes, xlabel, ylabel)
    add_legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def calibration_points(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw observed shares against mean predictions, (n_bins,) each, as they were binned."""
    figure, axes = new_figure(4.8, 3.6)
    most: Any = max(float(np.max(values)) for pair in curves.values() for values in pair)
    axes.plot([0, most], [0, most], color=INK, linewidth=0.8, linestyle=":")
    for number, (name, (predicted, observed)) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(predicted, observed, "o-", color=colour, linewidth=1.4, markersize=4, label=name)
    name_axes(axes, "predicted probability", "observed share")
    add_legend(axes, loc="upper left")
    return figure
