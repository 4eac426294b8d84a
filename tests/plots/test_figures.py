"""Figures: what they show, and that they are drawn without pyplot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="plots need the extra: pip install 'crossfm[plots]'")

from crossfm.errors import DataError, LabelError
from crossfm.metrics import auc
from crossfm.plots.bars import dots, grouped_intervals
from crossfm.plots.curves import calibration, roc, roc_points, training_curves
from crossfm.plots.parts import heat_map, waterfall
from crossfm.plots.style import COLOURS, to_svg
from crossfm.plots.systems import calibration_points, funnel, recall_by_candidates, trade_off

RNG = np.random.default_rng(2)
Y = RNG.integers(0, 2, 80)
P = np.clip(0.6 * Y + 0.4 * RNG.random(80), 0, 1)
RECALL = ([10, 100, 1000], [0.2, 0.5, 0.9], [0.1, 0.4, 0.8], [0.3, 0.6, 0.95])
DRAWN: dict[str, Callable[[], Any]] = {
    "dots": lambda: dots(["a", "b"], [0.9, 0.8], [0.85, 0.7], [0.95, 0.85], xlabel="RMSE"),
    "groups": lambda: grouped_intervals(
        ["all", "new"], ["x"], [[0.3], [np.nan]], [[0.2], [np.nan]], [[0.4], [np.nan]]
    ),
    "leads": lambda: dots(["a", "b"], [0.1, -0.2], [0, -0.3], [0.2, -0.1], zero=True, colours=[1, 4]),
    "recall": lambda: recall_by_candidates({"a": RECALL, "b": RECALL}, mark=100, colours=[0, 2]),
    "funnel": lambda: funnel(["all", "left"], [1.0, 0.3], ["66", "20 in 300"]),
    "trade-off": lambda: trade_off(["a", "b"], [0.1, 0.2], [0.3, 0.2], xlabel="coverage"),
    "calibration points": lambda: calibration_points({"a": ([0.01, 0.1], [0.02, 0.07])}),
    "curves": lambda: training_curves({"a": ([3, 2, 1], [3, 2.5, 2.6])}, {"a": 2}),
    "roc": lambda: roc(Y, {"a": P}, zoom=0.5),
    "calibration": lambda: calibration(Y, {"a": P}),
    "waterfall": lambda: waterfall(["bias", "a", "b"], [1.0, -0.2, 0.3]),
    "heat": lambda: heat_map(["r"], ["c", "d"], [[0.1, -0.2]]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_becomes_one_svg_element_that_names_no_site(name: str) -> None:
    text = to_svg(DRAWN[name](), 'Title with <, & and "')
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    assert root.attrib["aria-label"] == 'Title with <, & and "'
    assert "width" not in root.attrib  # scales with the page
    assert "http" not in text
    assert "currentColor" in text


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_the_same_text_every_time(name: str) -> None:
    assert to_svg(DRAWN[name](), "t") == to_svg(DRAWN[name](), "t")


def test_plots_never_load_pyplot() -> None:
    code = (
        "import sys; from crossfm.plots import bars, curves, parts, style; "
        "style.to_svg(bars.dots(['a'], [1.0], [0.5], [2.0]), 't'); print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_roc_points_are_the_rates_at_every_threshold() -> None:
    score = np.round(RNG.random(60), 1)  # with ties
    y = RNG.integers(0, 2, 60)
    naive = [(0.0, 0.0)]
    for cut in sorted(set(score), reverse=True):
        said = score >= cut
        naive.append(
            (float((said & (y == 0)).sum() / (y == 0).sum()), float((said & (y == 1)).sum() / (y == 1).sum()))
        )
    false, true = roc_points(y, score)
    np.testing.assert_allclose(np.stack([false, true], 1), naive)
    assert float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)) == pytest.approx(auc(y, score))


def test_a_roc_curve_needs_both_classes() -> None:
    with pytest.raises(LabelError, match="target 1"):
        roc_points([0, 0], [0.1, 0.2])


def test_dots_show_every_value_and_interval() -> None:
    axes = dots(["a", "b"], [0.9, 0.8], [0.85, 0.7], [0.95, 0.85]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.900", "0.800"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    spans = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(spans, [[0.85, 0.95], [0.7, 0.85]])


def test_each_part_of_a_waterfall_starts_where_the_last_ended_and_the_last_bar_is_the_sum() -> None:
    bars = waterfall(["bias", "a", "b"], [1.0, -0.2, 0.3]).axes[0].patches
    np.testing.assert_allclose([bar.get_x() for bar in bars], [0.0, 1.0, 0.8, 0.0])
    np.testing.assert_allclose([bar.get_width() for bar in bars], [1.0, -0.2, 0.3, 1.1])


def test_a_waterfall_shows_small_parts_beside_a_large_first_one() -> None:
    low, high = waterfall(["movie", "a", "b"], [5.0, 0.1, -0.05]).axes[0].get_xlim()
    assert 4.8 < low < 5.0 < 5.1 < high < 5.3


def test_the_deepest_colour_of_a_heat_map_is_the_largest_size() -> None:
    axes = heat_map(["r"], ["c", "d", "e"], [[0.1, -0.2, 0.001]]).axes[0]
    depth = [patch.get_facecolor()[3] for patch in axes.patches]
    assert depth[1] > depth[0] > depth[2]
    assert [text.get_text() for text in axes.texts] == ["+0.10", "-0.20", "0"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: dots(["a"], [1.0, 2.0], [0.0], [2.0]),
        lambda: grouped_intervals(["a"], ["x"], [1.0], [0.5], [2.0]),
        lambda: waterfall([], []),
        lambda: heat_map(["a"], ["b"], [[1.0, 2.0]]),
    ],
)
def test_numbers_that_do_not_match_the_labels_are_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(DataError, match="shape"):
        draw()


def test_colours_and_signs_of_leads_are_those_asked_for() -> None:
    axes = dots(["a", "b"], [0.1, -0.2], [0, -0.3], [0.2, -0.1], zero=True, colours=[1, 4]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["+0.100", "-0.200"]
    points = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert points == [COLOURS[1], COLOURS[4]]


def test_many_systems_of_a_group_do_not_touch_the_next_group() -> None:
    nine = np.full((2, 9), 0.5)
    axes = grouped_intervals(["a", "b"], list("abcdefghi"), nine, nine, nine).axes[0]
    x = np.array(
        [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
    )
    assert x[:, 0].max() < 0.5 < x[:, 1].min()


def test_figures_of_systems_show_their_numbers() -> None:
    axes = recall_by_candidates({"a": RECALL}, mark=100).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), RECALL[1])
    assert axes.texts[0].get_text() == "100 in use"
    bars = funnel(["all", "left"], [1.0, 0.3], ["66", "20 in 300"]).axes[0]
    assert [bar.get_width() for bar in bars.patches[2:]] == [1.0, 0.3]
    with pytest.raises(DataError, match="one of each is expected"):
        funnel(["all"], [1.0, 0.3], ["66"])
    with pytest.raises(DataError, match="one of each is expected"):
        trade_off(["a"], [1.0, 0.3], [0.1])
