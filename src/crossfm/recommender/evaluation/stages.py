"""How good is each stage, and both together? Full ranking, beside popularity, item-kNN and EASE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_count
from crossfm.data.tables import as_table
from crossfm.errors import OptionError
from crossfm.metrics.lists import coverage, gini
from crossfm.recommender.baselines import NAMES, Baseline, fit_baselines
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.index import index_loss
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.evaluation.measure import METRICS, PAIRS, Measure, calibration
from crossfm.recommender.evaluation.segments import ITEM_SEGMENTS, Mask, Segments
from crossfm.recommender.evaluation.systems import RECALL, TWO_STAGES
from crossfm.recommender.evaluation.tally import Floats, intervals, weighted
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.times import seconds_of

SCORES_A_BLOCK = 4_000_000  # of users times items: bounded memory
CEILINGS = (100, 300, 500, 1000)
CURVE = (1, 5, 10, 20, 50, 100, 200, 300, 500, 700, 1000)
Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class StageReport:
    """What was measured.

    Attributes
    ----------
    systems : list of str
        "recall", "two stages" (where there is a second stage), then the baselines.
    final : str
        The system that users see.
    best_baseline : str or None
        The one with the best NDCG at the longest list: chosen on the test, which favours it.
    rows : list of dict
        One a system (also "ideal ranking", the candidates with all relevant ones in front), segment and metric: mean,
        low, high (95 % bootstrap over users) and n_users. "recall@100" and so on are ceilings: what a second stage
        behind so many candidates could find. coverage and gini belong to all lists together and have no interval.
    differences : list of dict
        ``system`` minus ``other``, the same users resampled for both: of two stages and recall, and of the final system
        and each baseline.
    curve : list of dict
        Recall at n candidates: system, n, mean, low, high.
    given : list of dict
        Ranking alone: order, metric, mean, low, high, n_users; over users with a relevant item among the candidates,
        and judged by those alone.
    funnel : list of dict
        step, and averages a user: items, relevant, share (of all relevant ones).
    index : dict
        See ``evaluation.index``.
    calibration : dict or None
        Of the chances that the second stage gives candidates; None where it gives none.
    segments : dict of str to str
        What each means.
    about : dict
        Sizes, dates and settings.
    per_user : dict of (system, segment of items or "all", metric) to float64 (n_users,)
        NaN for users without such relevant items.
    users : dict of segment to bool (n_users,)
    notes : list of str
    """

    systems: list[str]
    final: str
    best_baseline: str | None
    rows: Rows
    differences: Rows
    curve: Rows
    given: Rows
    funnel: Rows
    index: dict[str, Any]
    calibration: dict[str, Any] | None
    segments: dict[str, str]
    about: dict[str, Any]
    per_user: dict[tuple[str, str, str], Floats]
    users: dict[str, Mask]
    notes: list[str]

    def value(self, system: str, metric: str, segment: str = "all") -> dict[str, Any]:
        """Return one row. Raises ``KeyError`` when there is none."""
        for row in self.rows:
            if (row["system"], row["metric"], row["segment"]) == (system, metric, segment):
                return row
        raise KeyError((system, metric, segment))

    def difference(self, system: str, other: str, metric: str, segment: str = "all") -> dict[str, Any]:
        """Return one difference. Raises ``KeyError`` when there is none."""
        wanted = (system, other, metric, segment)
        for row in self.differences:
            if (row["system"], row["other"], row["metric"], row["segment"]) == wanted:
                return row
        raise KeyError(wanted)

    def to_json(self) -> dict[str, Any]:
        """Return all but the values of single users."""
        kept = ("per_user", "users")
        return {name: value for name, value in vars(self).items() if name not in kept}


def evaluate_stages(
    model: Recommender,
    test: Any,
    *,
    ks: Sequence[int] = (10, 20),
    baselines: Sequence[str | Baseline] = NAMES,
    head: float = 0.5,
    engine: Engine | None = None,
    seed: int = 0,
) -> StageReport:
    """Judge both stages of ``model`` by the interactions ``test``, which came after those it was fitted on.

    Each user of the test gets one list from each system: the whole catalogue (never sampled items) without what the
    user had seen in training, in the context of the user's first test row. Relevant are the items of the user's test
    rows, those seen in training aside; items outside the catalogue count as misses. Baselines learn from what the
    model has stored of its training.

    Parameters
    ----------
    model : Recommender
        Fitted. Without a second stage, recall's own order is what users see.
    test : table
        Interactions.
    ks : sequence of int, default=(10, 20)
        Lengths of lists.
    baselines : sequence of str or Baseline
        Names are fitted here (see ``baselines.NAMES``; "recent popularity" comes with "popularity" where the model has
        a half-life); fitted baselines are taken as they are.
    head : float, default=0.5
        Share of the interactions that the head of the catalogue has.
    engine : Engine or None
        Whose index is compared with exact search; None makes one.
    seed : int, default=0
        Of the bootstrap.

    Raises ``DataError`` when no test interaction is left to judge by, ``OptionError`` for settings that mean nothing.
    """
    model._check_fitted()
    if not ks:
        raise OptionError("ks is empty; give at least one length of list, like ks=(10, 20)")
    ks = sorted({check_count("k", k, low=1) for k in ks})
    later = Later.of(model, test)
    fitted, notes = _baselines(model, baselines)
    segments = Segments.of(model, later, head)
    n_items = later.n_items
    reached = {min(n, n_items) for n in (*CURVE, *CEILINGS, model.n_candidates)}
    measure = Measure(model, fitted, segments, ks, sorted(reached))
    measure.step = max(1, -(-len(later) * measure.n_candidates // PAIRS))
    for _, block in later.blocks(max(1, SCORES_A_BLOCK // n_items)):
        measure.block(block)
    return _report(
        model, test, later, measure, index_loss(model, later, measure.n_candidates, engine), notes, seed
    )


def _baselines(model: Recommender, asked: Sequence[str | Baseline]) -> tuple[list[Baseline], list[str]]:
    recent = None if model.half_life is None else model.popularity_
    names = [one for one in asked if isinstance(one, str)]
    found, notes = fit_baselines(model.seen_, model.counts_, names, recent=recent)
    return found + [one for one in asked if not isinstance(one, str)], notes


def _report(
    model: Recommender,
    test: Any,
    later: Later,
    measure: Measure,
    index: dict[str, Any],
    notes: list[str],
    seed: int,
) -> StageReport:
    values, users = measure.values.arrays(), measure.segments.users
    systems = list(measure.lists)
    final = TWO_STAGES if TWO_STAGES in systems else RECALL
    curves = {name: np.concatenate(parts) for name, parts in measure.curves.items()}
    curve, ceilings = _curve(measure, curves, seed)
    rows = _rows(values, users, np.diff(later.indptr), seed) + ceilings + _of_lists(measure, later.n_items)
    compared = [(final, other) for other in systems if other != final]
    longest = f"ndcg@{max(measure.ks)}"
    names = [baseline.name for baseline in measure.baselines]
    best = max(names, key=lambda name: float(values[name, "all", longest].mean()), default=None)
    if final == RECALL:
        notes = [
            *notes,
            "there is no second stage: the order of recall, the machine's own, is what users see",
        ]
    return StageReport(
        systems=systems,
        final=final,
        best_baseline=best,
        rows=rows,
        differences=_differences(values, users, compared, seed),
        curve=curve,
        given=_given(measure, seed),
        funnel=_funnel(measure, later.n_items),
        index=index,
        calibration=calibration(measure.chances),
        segments=measure.segments.meaning,
        about=_about(model, test, later, measure),
        per_user=values,
        users=users,
        notes=[*later.notes, *notes],
    )


def _rows(
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


def _curve(measure: Measure, curves: dict[str, Floats], seed: int) -> tuple[Rows, Rows]:
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


def _of_lists(measure: Measure, n_items: int) -> Rows:
    rows, n = [], max(measure.ks)
    for system, parts in measure.lists.items():
        lists = np.concatenate(parts)
        for name, number in (("coverage", coverage(lists, n_items)), ("gini", gini(lists, n_items))):
            row = {"system": system, "segment": "all", "metric": f"{name}@{n}", "mean": number}
            rows.append(row | {"n_users": len(lists)})
    return rows


def _differences(
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


def _given(measure: Measure, seed: int) -> Rows:
    values = measure.given.arrays()
    everyone = np.ones(len(next(iter(values.values()))), bool)
    found = intervals({"\n".join(key): value for key, value in values.items()}, everyone, seed)
    return [
        {"order": order, "metric": metric, **one}
        for (order, metric), one in zip(values, found.values(), strict=True)
    ]


def _funnel(measure: Measure, n_items: int) -> Rows:
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


def _about(model: Recommender, test: Any, later: Later, measure: Measure) -> dict[str, Any]:
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
    if model.time is not None and model.time in table.column_names and table.num_rows:
        seconds = seconds_of(table[model.time], model.time)
        about |= {"test_from": float(seconds.min()), "test_to": float(seconds.max())}
    return about


def _settings(baseline: Baseline) -> dict[str, float]:
    return {
        name: value
        for name, value in vars(baseline).items()
        if isinstance(value, (int, float)) and name[-1] != "_"
    }
