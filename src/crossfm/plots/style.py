"""How figures look: no pyplot, no global state, colours that do on white and on black."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Seven hues that differ in lightness too, readable on light and on dark ground.
COLOURS = ("#3f86d8", "#e07b39", "#2fa37c", "#a06cd5", "#c9a227", "#d1557a", "#7d8597")
INK = "#707781"  # text and axes; ``to_svg`` makes it the colour of the page's text
RISE, FALL = COLOURS[2], COLOURS[1]


def new_figure(width: float = 4.8, height: float = 3.0) -> tuple[Figure, Any]:
    """Return a figure (inches) with one axes, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=10)
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def name_axes(axes: Any, x: str = "", y: str = "") -> None:
    """Label the axes."""
    axes.set_xlabel(x, color=INK, fontsize=10)
    axes.set_ylabel(y, color=INK, fontsize=10)


def add_legend(axes: Any, **options: Any) -> None:
    """Add a legend without a frame."""
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, **options)


def to_svg(figure: Figure, title: str) -> str:
    """Return an ``<svg>`` element for a page, with ``title`` for those who hear it; same figure, same text.

    It scales with the page, takes the page's colour for text and axes, and names no other site.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\sxmlns(?::xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(rf"(?i){INK}", "currentColor", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 inherit; font-family: inherit", text)
    safe = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{safe}"', 1).strip()
