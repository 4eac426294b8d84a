"""From values of users to the rows of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.tables import as_table
from crossfm.metrics.lists import coverage, gini
from crossfm.recommender.baselines import Baseline
from crossfm.recommender.evaluation.later import Later, times_of
from crossfm.recommender.evaluation.measure import METRICS, Measure
from crossfm.recommender.evaluation.segments import ITEM_SEGMENTS, Mask
from crossfm.recommender.evaluation.tally import Floats, intervals, weighted
from crossfm.recommender.recommender import Recommender

CEILINGS = (100, 300, 500, 1000)
Rows = list[dict[str, Any]]


def metric_rows(
    values: dict[tuple[str, str, str], Floats],
    users: dict[str, Mask],
    n_relevant: NDArray[np.int64],
    seed: int,
) -> Rows:
    """Return the means of all metrics in all segments."""
    rows: Rows = []
    ranking = {key: value for key, value in values.items() if key[2].partition("@")[0] in METRICS}
    whole = {key: value for key, value in values.items() if key not in ranking}
    everyone = users["all"]
    for segment, mask in (*users.items(), *((kind, everyone) for kind in ITEM_SEGMENTS)):
        kind = segment if segment in ITEM_SEGMENTS else "all"
        chosen = {key: value for key, value in ranking.items() if key[1] == kind}
        if segment == "all":
            chosen |= {key: value for key, value in whole.items() if key[2] != "gauc"}
        found = intervals({"\n".join(key): value for key, value in chosen.items()}, mask, seed)
        for (system, _, metric), one in zip(chosen, found.values(), strict=True):
            rows.append({"system": system, "segment": segment, "metric": metric, **one})
        for (system, _, metric), value in whole.items():
            if metric == "gauc" and kind == "all":
                one = weighted(value, n_relevant, mask, seed)
                rows.append({"system": system, "segment": segment, "metric": metric, **one})
    return rows


def recall_curves(measure: Measure, curves: dict[str, Floats], seed: int) -> tuple[Rows, Rows]:
    """Return recall over the number of candidates, and the ceilings as rows."""
    curve: Rows = []
    for system, values in curves.items():
        columns = {str(n): values[:, at] for at, n in enumerate(measure.curve)}
        found = intervals(columns, np.ones(len(values), bool), seed)
        curve += [{"system": system, "n": int(n), **one} for n, one in found.items()]
    wanted = [n for n in CEILINGS if n in measure.curve and n not in measure.ks]
    ceilings = [
        {"system": one["system"], "segment": "all", "metric": f"recall@{one['n']}"}
        | {name: one[name] for name in ("mean", "low", "high", "n_users")}
        for one in curve
        if one["n"] in wanted
    ]
    return curve, ceilings


def list_rows(measure: Measure, n_items: int) -> Rows:
    rows, n = [], max(measure.ks)
    for system, parts in measure.lists.items():
        lists = np.concatenate(parts)
        for name, number in (("coverage", coverage(lists, n_items)), ("gini", gini(lists, n_items))):
            row = {"system": system, "segment": "all", "metric": f"{name}@{n}", "mean": number}
            rows.append(row | {"n_users": len(lists)})
    return rows


def paired(
    values: dict[tuple[str, str, str], Floats],
    users: dict[str, Mask],
    pairs: list[tuple[str, str]],
    seed: int,
) -> Rows:
    rows: Rows = []
    for system, other in pairs:
        for segment, mask in (*users.items(), *((kind, users["all"]) for kind in ITEM_SEGMENTS)):
            kind = segment if segment in ITEM_SEGMENTS else "all"
            columns = {
                metric: value - values[other, kind, metric]
                for (name, of, metric), value in values.items()
                if name == system and of == kind and metric.partition("@")[0] in METRICS
            }
            for metric, one in intervals(columns, mask, seed).items():
                rows.append({"system": system, "other": other, "segment": segment, "metric": metric, **one})
    return rows


def ranking_alone(measure: Measure, seed: int) -> Rows:
    values = measure.given.arrays()
    everyone = np.ones(len(next(iter(values.values()))), bool)
    found = intervals({"\n".join(key): value for key, value in values.items()}, everyone, seed)
    return [
        {"order": order, "metric": metric, **one}
        for (order, metric), one in zip(values, found.values(), strict=True)
    ]


def funnel(measure: Measure, n_items: int) -> Rows:
    mean = {name: float(value.mean()) for name, value in measure.funnel.arrays().items()}
    n = max(measure.ks)
    steps = [
        ("all that was relevant", None, mean["relevant"]),
        ("in the catalogue", float(n_items), mean["in catalogue"]),
        ("not seen before", mean["unseen"], mean["in catalogue"]),
        ("candidates of recall", mean["candidates"], mean["in candidates"]),
        (f"best list of {n} from them", float(n), mean["best in list"]),
        (f"list of {n}", float(n), mean["in list"]),
    ]
    total = mean["relevant"]
    return [
        {"step": step, "items": items, "relevant": relevant, "share": relevant / total}
        for step, items, relevant in steps
    ]


def about_test(model: Recommender, test: Any, later: Later, measure: Measure) -> dict[str, Any]:
    table = as_table(test)
    about: dict[str, Any] = {
        "n_test_interactions": table.num_rows,
        "n_users": len(later),
        "n_relevant": len(later.relevant),
        "n_items": later.n_items,
        "n_training_interactions": int(model.counts_.sum()),
        "n_training_users": int((np.diff(model.seen_.indptr) > 0).sum()),
        "n_training_items": int((model.counts_ > 0).sum()),
        "n_candidates": measure.n_candidates,
        "ks": list(measure.ks),
        "columns": model.field_names(),
        "history": model.history,
        "half_life": model.half_life,
        "retriever": f"{type(model.retriever_).__name__}, {model.retriever_.n_factors} factors",
        "ranker": None if model.ranking_ is None else model.ranking_.name,
        "baselines": {baseline.name: _settings(baseline) for baseline in measure.baselines},
    }
    seconds = times_of(model, table)
    if seconds is not None and len(seconds):
        about |= {"test_from": float(seconds.min()), "test_to": float(seconds.max())}
    return about


def _settings(baseline: Baseline) -> dict[str, float]:
    return {
        name: value
        for name, value in vars(baseline).items()
        if isinstance(value, (int, float)) and name[-1] != "_"
    }
