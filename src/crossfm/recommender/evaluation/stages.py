"""How good is each stage, and both together? Full ranking, beside popularity, item-kNN and EASE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.recommender.baselines import NAMES, Baseline, fit_baselines
from crossfm.recommender.channels.near import NEIGHBOURS, Near
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.channels import TOTALS, compare_channels
from crossfm.recommender.evaluation.index import index_loss
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.evaluation.measure import PAIRS, Measure, calibration
from crossfm.recommender.evaluation.segments import Mask, Segments
from crossfm.recommender.evaluation.summary import (
    CEILINGS,
    Rows,
    about_test,
    funnel,
    list_rows,
    metric_rows,
    paired,
    ranking_alone,
    recall_curves,
)
from crossfm.recommender.evaluation.systems import RECALL, TWO_STAGES
from crossfm.recommender.evaluation.tally import Floats
from crossfm.recommender.from_items import ItemKNN
from crossfm.recommender.recommender import Recommender

SCORES_A_BLOCK = 4_000_000  # of users times items: bounded memory
CURVE = (1, 5, 10, 20, 50, 100, 200, 300, 500, 700, 1000)


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
        Of the chances that the second stage gives candidates to be chosen; None where it gives none.
    channels : dict or None
        ``ChannelReport`` as JSON holds it: what simpler ways to find items would add to recall; None: not asked for.
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
    channels: dict[str, Any] | None
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
    channels: bool = True,
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
    channels : bool, default=True
        Whether recall is compared with channels at equal numbers of candidates, see ``compare_channels``: 100, 300, 500
        and as many as the model has.
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
    found = _report(
        model, test, later, measure, index_loss(model, later, measure.n_candidates, engine), notes, seed
    )
    if not channels:
        return found
    beside = compare_channels(
        model, later, sorted({*TOTALS, model.n_candidates}), near=_near(fitted), seed=seed
    )
    return replace(found, channels=beside.to_json())


def _near(fitted: Sequence[Baseline]) -> Near | None:
    """Return the channel item-kNN of a baseline with its settings."""
    usual = ItemKNN(NEIGHBOURS)
    for one in fitted:
        if isinstance(one, ItemKNN) and (one.n_neighbours, one.shrinkage) == (NEIGHBOURS, usual.shrinkage):
            return Near.of(one)
    return None


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
    curve, ceilings = recall_curves(measure, curves, seed)
    rows = (
        metric_rows(values, users, np.diff(later.indptr), seed) + ceilings + list_rows(measure, later.n_items)
    )
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
        differences=paired(values, users, compared, seed),
        curve=curve,
        given=ranking_alone(measure, seed),
        funnel=funnel(measure, later.n_items),
        index=index,
        calibration=calibration(measure.chances),
        channels=None,
        segments=measure.segments.meaning,
        about=about_test(model, test, later, measure),
        per_user=values,
        users=users,
        notes=[*later.notes, *notes],
    )
