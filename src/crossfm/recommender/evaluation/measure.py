"""Measure both stages and the baselines, block by block of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.metrics.diversity import self_information, set_diversity, share_in, vector_diversity
from crossfm.metrics.ranking import per_user_ranking, recall_curve
from crossfm.recommender.baselines import Baseline
from crossfm.recommender.channels.tags import shared_values
from crossfm.recommender.evaluation.areas import relevant_auc
from crossfm.recommender.evaluation.candidates import given_candidates, hits_of
from crossfm.recommender.evaluation.later import Later, only
from crossfm.recommender.evaluation.segments import Mask, Segments
from crossfm.recommender.evaluation.systems import (
    IDEAL,
    RECALL,
    TWO_STAGES,
    Found,
    Ranked,
    baseline_lists,
    ideal,
    ranked,
    recalled,
    two_stages,
)
from crossfm.recommender.evaluation.tally import Floats, Tally, spread
from crossfm.recommender.filters import Filters
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import Positions
from crossfm.recommender.side import separators_of

PAIRS = 2_000_000  # users times candidates whose probabilities are compared with what happened


class Measure:
    """Gathers values of users.

    Attributes
    ----------
    values : Tally of (system, kind of items, metric)
    curves : dict of system to list of float64 (n_block, n_curve)
        Recall at each of ``curve``.
    lists : dict of system to list of int64 (n_block, max(ks))
    given : Tally of (order, metric)
        Ranking alone.
    funnel : Tally of str
        "unseen", "candidates": items; "relevant", "in catalogue", "in candidates", "in list": relevant ones.
    chances : list of (0 or 1, probability)
        Of candidates to be chosen.
    """

    def __init__(
        self,
        model: Recommender,
        baselines: Sequence[Baseline],
        segments: Segments,
        ks: Sequence[int],
        curve: Sequence[int],
    ) -> None:
        self.model, self.baselines, self.segments = model, baselines, segments
        self.ks, self.curve = tuple(ks), tuple(curve)
        self.n_candidates = min(max(model.n_candidates, *self.ks), len(model.items_.ids))
        self.values: Tally[tuple[str, str, str]] = Tally()
        self.curves: dict[str, list[Floats]] = {}
        self.lists: dict[str, list[Positions]] = {}
        self.given: Tally[tuple[str, str]] = Tally()
        self.funnel: Tally[str] = Tally()
        self.chances: list[tuple[Floats, Floats]] = []
        self.vectors = model.item_vectors_  # a copy, made once
        self.attributes = attribute_values(model)
        self.step = 1  # every which user has probabilities compared

    def block(self, block: Later) -> None:
        """Measure a block of users."""
        kinds = self.segments.relevant(block)
        wide = max(*self.curve, self.n_candidates)
        first = recalled(self.model, self.vectors, block, wide)
        both = ranked(self.model, block, first, self.n_candidates)
        hits = hits_of(both.candidates, block.indptr, block.relevant)
        orders = {RECALL: -np.arange(hits.shape[1], dtype=np.float32) + np.zeros(hits.shape, np.float32)}
        self._system(RECALL, first, block, kinds)
        last = first
        if self.model.ranking_ is not None:
            last = two_stages(both, first)
            orders[TWO_STAGES] = both.score
            self._system(TWO_STAGES, last, block, kinds)
            self._probabilities(both, hits)
        self._lists(IDEAL, ideal(both.candidates, hits).lists, block, kinds)
        if self.n_candidates not in self.ks:
            ceiling = hits.sum(axis=1) / np.diff(block.indptr)
            self.values.add({(IDEAL, "all", f"recall@{self.n_candidates}"): ceiling})
        for baseline in self.baselines:
            found = baseline_lists(baseline, block, wide)
            assert found.scores is not None
            orders[baseline.name] = np.take_along_axis(found.scores, np.maximum(both.candidates, 0), 1)
            self._system(baseline.name, found, block, kinds)
        self.given.add(given_candidates(both.candidates, hits, orders, self.ks))
        self._funnel(block, both.candidates, hits, last.lists)

    def _system(self, name: str, found: Found, block: Later, kinds: Mapping[str, Mask]) -> None:
        assert found.scores is not None
        n = max(self.ks)
        short = found.lists[:, :n]
        self._lists(name, short, block, kinds)
        curve = recall_curve(found.lists, block.indptr, block.relevant, self.curve)
        self.curves.setdefault(name, []).append(curve)
        self.lists.setdefault(name, []).append(short)
        quality = {
            f"novelty@{n}": self_information(short, self.model.counts_),
            f"head_share@{n}": share_in(short, self.segments.items["head items"]),
            f"vector_diversity@{n}": vector_diversity(short, self.vectors[:-1].T),
        }
        if self.attributes is not None:
            quality[f"attribute_diversity@{n}"] = set_diversity(short, *self.attributes)
        quality["gauc"] = relevant_auc(found.scores.copy(), block.skip, block.indptr, block.relevant)
        self.values.add({(name, "all", metric): value for metric, value in quality.items()})

    def _lists(self, name: str, lists: Positions, block: Later, kinds: Mapping[str, Mask]) -> None:
        """Judge lists by all relevant items, and by those of each kind alone."""
        short = lists[:, : max(self.ks)]
        metrics = [f"{m}@{k}" for k in self.ks for m in METRICS]
        for kind, keep in kinds.items():
            indptr, relevant = only(block.indptr, block.relevant, keep)
            judged = np.diff(indptr) > 0
            found = {metric: np.empty(0) for metric in metrics}
            if judged.any():
                found = per_user_ranking(short, indptr, relevant, self.ks)
            values = spread({metric: found[metric] for metric in metrics}, judged)
            self.values.add({(name, kind, metric): value for metric, value in values.items()})

    def _probabilities(self, both: Ranked, hits: NDArray[np.bool_]) -> None:
        """Keep the calibrated chances of candidates, and whether the user chose them."""
        assert self.model.ranking_ is not None
        rows = np.flatnonzero(both.known)[:: self.step]
        there = both.candidates[rows] >= 0
        score = both.score[rows][there]
        if len(score) and self.model.ranking_.probability(float(score[0])) is not None:
            chance = np.asarray(self.model.ranking_.probability(score.astype(np.float64)), np.float64)
            self.chances.append((hits[rows][there].astype(np.float64), chance))

    def _funnel(self, block: Later, candidates: Positions, hits: NDArray[np.bool_], lists: Positions) -> None:
        inside = only(block.indptr, block.relevant, block.relevant < block.n_items)[0]
        shown = hits_of(lists[:, : max(self.ks)], block.indptr, block.relevant)
        counts = {
            "unseen": block.n_items - np.diff(block.skip[0]),
            "candidates": (candidates >= 0).sum(axis=1),
            "relevant": np.diff(block.indptr),
            "in catalogue": np.diff(inside),
            "in candidates": hits.sum(axis=1),
            "best in list": np.minimum(hits.sum(axis=1), max(self.ks)),
            "in list": shown.sum(axis=1),
        }
        self.funnel.add({name: np.asarray(value, np.float64) for name, value in counts.items()})


METRICS = ("ndcg", "recall", "precision", "mrr", "map", "hit_rate")


def attribute_values(model: Recommender) -> tuple[Positions, Positions] | None:
    """Return the values of items in all categorical columns as CSR, None where there are none.

    Columns in which most items have a value that no other has, such as titles, say nothing about likeness.
    """
    side = model.items_
    shared = shared_values(side, Filters(side.table, separators_of(side)))
    n_items, rows, codes, start = len(side.ids), [], [], 0
    for values in shared.values():
        rows.append(np.repeat(np.arange(n_items), np.diff(values.indptr)))
        codes.append(values.codes + start)
        start += len(values.names)
    if not start:
        return None
    row, code = np.concatenate(rows), np.concatenate(codes)
    order = np.argsort(row, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_items))])
    return indptr.astype(np.int64), code[order].astype(np.int64)


def calibration(chances: Sequence[tuple[Floats, Floats]]) -> dict[str, Any] | None:
    """Return error, log loss and curve of the probabilities, None where there are none."""
    from crossfm.metrics import calibration_curve, expected_calibration_error, log_loss

    if not chances:
        return None
    y, p = (np.concatenate(parts) for parts in zip(*chances, strict=True))
    curve = calibration_curve(y, p)
    return {
        "ece": expected_calibration_error(y, p),
        "log_loss": log_loss(y, p),
        "log_loss_of_constant": log_loss(y, np.full(len(y), y.mean())),
        "observed": float(y.mean()),
        "predicted": float(p.mean()),
        "n_pairs": len(y),
        "curve": {
            "predicted": curve.mean_predicted.tolist(),
            "observed": curve.observed.tolist(),
            "count": curve.count.tolist(),
        },
    }
