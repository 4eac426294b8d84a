"""Lines: losses by epoch, ROC, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from crossfm.errors import LabelError
from crossfm.metrics import calibration_curve
from crossfm.plots.style import COLOURS, INK, add_legend, name_axes, new_figure

Floats = NDArray[np.float64]


def training_curves(
    runs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    best: Mapping[str, int] | None = None,
    *,
    ylabel: str = "loss",
) -> Figure:
    """Draw the training (dashed) and validation (solid) loss of each run over the epochs, counted from 1.

    Parameters
    ----------
    runs : mapping of name to (train, valid), each (n_epochs,)
    best : mapping of name to the epoch kept, which gets a dot; optional
    """
    figure, axes = new_figure()
    for number, (name, (train, valid)) in enumerate(runs.items()):
        colour = COLOURS[number % len(COLOURS)]
        y, held = np.asarray(train, float), np.asarray(valid, float)
        epoch = np.arange(1, len(y) + 1)
        axes.plot(epoch, y, color=colour, linestyle="--", linewidth=1.2, alpha=0.8)
        axes.plot(epoch, held, color=colour, linewidth=1.8, label=name)
        if best and name in best:
            at = best[name]
            axes.plot([at], [held[at - 1]], "o", color=colour, markersize=6)
    axes.plot([], [], color=INK, linestyle="--", linewidth=1.2, label="in training")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, "epoch", ylabel)
    add_legend(axes)
    return figure


def roc_points(y_true: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Return false and true positive rates at every threshold, from (0, 0) to (1, 1); ties are one step.

    The area under these points by the trapezium rule is the AUC. Raises ``LabelError`` without both classes.
    """
    y, s = np.asarray(y_true, float), np.asarray(score, float)
    if not (y == 1).any() or not (y == 0).any():
        raise LabelError("a ROC curve needs rows of target 0 and of target 1")
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    true, false = np.cumsum(y[order])[last], np.cumsum(1 - y[order])[last]
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def roc(y_true: ArrayLike, scores: Mapping[str, Any], *, zoom: float = 1.0) -> Figure:
    """Draw the ROC curve of each system; ``scores`` maps its name to scores (n_rows,).

    ``zoom`` below 1 shows false positive rates up to it and true ones from one minus it: the corner that matters
    when all curves are good.
    """
    figure, axes = new_figure(4.8, 3.6)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for number, (name, score) in enumerate(scores.items()):
        false, true = roc_points(y_true, score)
        axes.plot(false, true, color=COLOURS[number % len(COLOURS)], linewidth=1.6, label=name)
    axes.set_xlim(-0.03 * zoom, 1.03 * zoom)
    axes.set_ylim(1 - 1.03 * zoom, 1 + 0.03 * zoom)
    name_axes(axes, "false positive rate", "true positive rate")
    add_legend(axes, loc="lower right")
    return figure


def calibration(y_true: ArrayLike, probabilities: Mapping[str, Any], *, n_bins: int = 10) -> Figure:
    """Draw the share of ones against the mean prediction, in bins of equal mass, for each system."""
    figure, axes = new_figure(4.8, 3.6)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for number, (name, probability) in enumerate(probabilities.items()):
        curve = calibration_curve(y_true, probability, n_bins=n_bins)
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            curve.mean_predicted, curve.observed, "o-", color=colour, linewidth=1.4, markersize=4, label=name
        )
    name_axes(axes, "predicted probability", "observed share")
    add_legend(axes, loc="upper left")
    return figure
