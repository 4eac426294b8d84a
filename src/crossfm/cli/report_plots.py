"""The figures of the demo's page, from the numbers of its report."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossfm.cli import demo_words as words
from crossfm.plots.bars import dots, grouped_intervals
from crossfm.plots.curves import calibration, roc, training_curves
from crossfm.plots.parts import heat_map, waterfall
from crossfm.plots.style import to_svg

N_PAIRS = 8


def figures(report: dict[str, Any]) -> dict[str, str]:
    """Return SVG elements by name."""
    return {
        **_ratings(report["rating_prediction"]),
        **_lists(report["recommendation"]),
        **_person(report["explanation"]),
        **_cancer(report["classification"]),
    }


def _ratings(part: dict[str, Any]) -> dict[str, str]:
    systems = part["systems"]
    rmse, low, high = ([system[key] for system in systems] for key in ("rmse", "rmse_low", "rmse_high"))
    names = ["bias", "MF", "FM + features"]
    error = dots(
        names, rmse, low, high, xlabel="test RMSE in stars, 95 % interval (less is better)", digits=4
    )
    runs = {
        name: tuple([epoch[key] for epoch in system["epochs"]] for key in ("train_rmse", "valid_rmse"))
        for name, system in zip(names, systems, strict=True)
    }
    best = {name: system["best_epoch"] for name, system in zip(names, systems, strict=True)}
    curves = training_curves(runs, best, ylabel="RMSE in stars")  # type: ignore[arg-type]
    return {
        "rmse": to_svg(error, "Test RMSE of each model"),
        "curves": to_svg(curves, "Training and validation RMSE by epoch"),
    }


def _lists(part: dict[str, Any]) -> dict[str, str]:
    found = {(row["system"], row["segment"], row["metric"]): row for row in part["rows"]}
    titles = {"all": "all users", "warm": "known users", "new": "new users"}
    out = {}
    for name, metric in (("ndcg", "NDCG@20"), ("recall", "Recall@20")):
        arrays = [
            [
                [_number(found[system, segment, f"{name}@{words.K}"][end]) for system in words.SYSTEMS]
                for segment in words.SEGMENTS
            ]
            for end in ("mean", "low", "high")
        ]
        figure = grouped_intervals(
            list(titles.values()), list(words.SYSTEMS.values()), *arrays, ylabel=metric
        )
        out[name] = to_svg(figure, f"{metric} of each system, by users")
    return out


def _person(part: dict[str, Any]) -> dict[str, str]:
    first = part["recommended"][0]
    shown = first["parts"][: N_PAIRS + 1]
    labels = [words.columns(one) for one in shown]
    values = [one["points"] for one in shown]
    rest = first["score"] - sum(values)
    figure = waterfall([*labels, "all others"], [*values, rest], xlabel="score")
    tables = [{words.columns(one): one for one in row["parts"]} for row in part["recommended"]]
    sizes: dict[str, float] = {}
    for table in tables:
        for name, one in table.items():
            if len(one["columns"]) == 2 and not one["same_for_all"]:
                sizes[name] = sizes.get(name, 0.0) + abs(one["points"])
    names = sorted(sizes, key=lambda name: (-sizes[name], name))[:N_PAIRS]
    cells = [[table[name]["points"] if name in table else 0.0 for name in names] for table in tables]
    titles = [_short(words.movie(row)) for row in part["recommended"]]
    out = {"waterfall": to_svg(figure, "The parts of the first score")}
    if names:
        out["heat"] = to_svg(heat_map(titles, names, cells), "Points of each pair of columns, by movie")
    return out


def _cancer(part: dict[str, Any]) -> dict[str, str]:
    titles = {"scikit-learn": "logistic (scikit-learn)", "linear": "logistic (FM, k=0)", "fm": "FM, k=4"}
    target = part["target"]
    probability = {titles[system["name"]]: system["probability"] for system in part["systems"]}
    return {
        "roc": to_svg(roc(target, probability, zoom=0.2), "ROC curves, upper left corner"),
        "calibration": to_svg(calibration(target, probability), "Calibration curves"),
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _short(title: str, length: int = 30) -> str:
    return title if len(title) <= length else title[: length - 1] + "…"
