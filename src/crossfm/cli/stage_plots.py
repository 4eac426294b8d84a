"""The figures of the page on both stages."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossfm.cli.stage_words import total
from crossfm.plots.bars import dots, grouped_intervals
from crossfm.plots.style import to_svg
from crossfm.plots.systems import calibration_points, funnel, recall_by_candidates, trade_off


def figures(found: Any) -> dict[str, str]:
    """Return SVG elements by name."""
    k = max(found.about["ks"])
    out = {
        "systems": to_svg(_systems(found, k), f"NDCG@{k} of each system"),
        **_leads(found, k),
        "given": to_svg(_given(found, k), f"NDCG@{k} of orders of the candidates"),
        "curve": to_svg(_curve(found), "Recall by the number of candidates"),
        "funnel": to_svg(_funnel(found), "What is left of the relevant items after each step"),
        "segments": to_svg(_segments(found, k), f"NDCG@{k} of each system by segment"),
        "coverage": to_svg(
            _trade_off(found, k, "coverage", "coverage of the catalogue"), "Accuracy and coverage"
        ),
        "novelty": to_svg(_trade_off(found, k, "novelty", "novelty, bits"), "Accuracy and novelty"),
    }
    if found.channels is not None and found.channels["parts"]:
        n = total(found)
        out["channels"] = to_svg(_channels(found, n), f"What is lost without each part of {n} candidates")
    if found.calibration is not None:
        curve = found.calibration["curve"]
        points = {found.about["ranker"]: (curve["predicted"], curve["observed"])}
        out["calibration"] = to_svg(calibration_points(points), "Calibration of the second stage")
    return out


def _systems(found: Any, k: int) -> Any:
    rows = [found.value(system, f"ndcg@{k}") for system in found.systems]
    values = ([row[end] for row in rows] for end in ("mean", "low", "high"))
    return dots(found.systems, *values, xlabel=f"NDCG@{k}, 95 % interval over users")


def _leads(found: Any, k: int) -> dict[str, str]:
    others = [system for system in found.systems if system != found.final]
    if not others:
        return {}
    rows = [found.difference(found.final, other, f"ndcg@{k}") for other in others]
    values = ([row[end] for row in rows] for end in ("mean", "low", "high"))
    label, numbers = f"NDCG@{k} of {found.final} minus that of each", [found.systems.index(o) for o in others]
    figure = dots(others, *values, xlabel=label, zero=True, colours=numbers)
    return {"leads": to_svg(figure, f"Lead of {found.final} in NDCG@{k}")}


def _given(found: Any, k: int) -> Any:
    rows = [one for one in found.given if one["metric"] == f"ndcg@{k}" and one["mean"] is not None]
    values = ([row[end] for row in rows] for end in ("mean", "low", "high"))
    return dots(
        [row["order"] for row in rows], *values, xlabel=f"NDCG@{k} among the candidates, 95 % interval"
    )


def _curve(found: Any) -> Any:
    systems: dict[str, Any] = {}
    for system in found.systems:
        if system != "two stages":
            rows = [one for one in found.curve if one["system"] == system]
            systems[system] = tuple([row[name] for row in rows] for name in ("n", "mean", "low", "high"))
    numbers = [found.systems.index(system) for system in systems]
    return recall_by_candidates(systems, mark=found.about["n_candidates"], colours=numbers)


def _channels(found: Any, n: int) -> Any:
    rows = [one for one in found.channels["parts"] if one["total"] == n]
    values = ([row["loss"][end] for row in rows] for end in ("mean", "low", "high"))
    label = f"recall@{n} of all parts minus that without this one"
    return dots([row["part"] for row in rows], *values, xlabel=label, zero=True)


def _funnel(found: Any) -> Any:
    notes = []
    for step in found.funnel:
        items = "" if step["items"] is None else f" in {step['items']:,.0f}"
        notes.append(f"{step['relevant']:.1f}{items}")
    return funnel([one["step"] for one in found.funnel], [one["share"] for one in found.funnel], notes)


def _segments(found: Any, k: int) -> Any:
    def rows(segment: str) -> list[dict[str, Any]]:
        return [found.value(system, f"ndcg@{k}", segment) for system in found.systems]

    shown = [segment for segment in found.segments if rows(segment)[0]["n_users"]]
    arrays = [
        [[np.nan if row[end] is None else row[end] for row in rows(segment)] for segment in shown]
        for end in ("mean", "low", "high")
    ]
    labels = [f"{segment}\n{rows(segment)[0]['n_users']:,}" for segment in shown]
    return grouped_intervals(labels, found.systems, *arrays, ylabel=f"NDCG@{k}", width=8.4)


def _trade_off(found: Any, k: int, name: str, label: str) -> Any:
    x, y = ([found.value(s, f"{m}@{k}")["mean"] for s in found.systems] for m in (name, "ndcg"))
    return trade_off(found.systems, x, y, xlabel=label, ylabel=f"NDCG@{k}")
