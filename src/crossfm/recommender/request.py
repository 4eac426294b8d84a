"""Both stages for one request: what recall and channels find, what ranking says of it, and how a list is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.random import stream
from crossfm.errors import OptionError
from crossfm.recommender.ask import Ask, Found
from crossfm.recommender.catalogue import Catalogue
from crossfm.recommender.channels.quotas import Merged
from crossfm.recommender.query import Query
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.rerank import drawn, freshened, reorder
from crossfm.recommender.signals import Frame

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Staged:
    """What both stages give one request.

    Attributes
    ----------
    first, inner : (n_first,)
        Recall's own list, best first, and its scores.
    merged : Merged or None
        Where the candidates come from; None: they are that list.
    found : int64 (n,)
        The candidates.
    recalled, score : float32 (n,)
        Recall's and the ranking's score of each.
    order : int64 (n,)
        By falling score, ties by position.
    """

    first: Positions
    inner: Floats
    merged: Merged | None
    found: Positions
    recalled: Floats
    score: Floats
    order: Positions

    @property
    def by_score(self) -> Positions:
        """The candidates in their order."""
        return self.found[self.order]

    @property
    def score_of_first(self) -> Floats:
        """The ranking's score of each item of recall's own list, NaN for those that are no candidates."""
        if self.merged is None:
            return self.score
        out = np.full(len(self.first), np.nan, np.float32)
        own = self.merged.places >= 0
        out[self.merged.places[own]] = self.score[own]
        return out


@dataclass(frozen=True, eq=False)
class Request:
    """A request in the two stages of ``model``, among the items as they were when it came."""

    model: Recommender
    query: Query
    ask: Ask
    items: Catalogue

    @property
    def vector(self) -> Floats:
        """The query's vector with the weight that the request gives to popularity."""
        vector: Floats = self.query.vector.copy()
        vector[-1] *= np.float32(self.ask.popularity)
        return vector

    def stages(self, wide: int, clock: Clock) -> Staged:
        """Return ``wide`` candidates and what both stages give them."""
        first, inner = self.recall(wide)
        merged = self._merged(first, wide)
        found, recalled = self._scored(merged, first, inner)
        clock.mark("recall")
        frame = None
        if self.query.allowed is not None or wide < self.model.n_candidates:
            frame = self.frame()
        elif merged is not None:
            frame = self.frame((first, self._plain(first, inner)))
        score = self.rank(found, recalled, frame)
        order = np.lexsort((found, -score))
        clock.mark("rank")
        return Staged(first, inner, merged, found, recalled, score, order)

    def recall(self, wide: int) -> tuple[Positions, Floats]:
        """Return positions and scores of up to ``wide`` items, best first."""
        wide = min(wide, len(self.items))
        if not self.query.known:
            return self.items.popular(wide, self.query.skip, self.query.allowed)
        found, score = self.items.nearest(self.vector[None], wide, self.query.skip, self.query.allowed)
        return found, score + np.float32(self.query.constant)

    def scores(self, found: Positions) -> Floats:
        """Return recall's scores of given items."""
        if not self.query.known:
            return np.asarray(self.items.popularity[found], np.float32)
        score = self.items.vectors(found) @ self.vector + np.float32(self.query.constant)
        return np.asarray(score, np.float32)

    def _merged(self, found: Positions, wide: int) -> Merged | None:
        """Return ``wide`` candidates of recall's list ``found`` and of channels; None where recall is all there is."""
        if self.items.channels is None or not self.query.known:
            return None
        may = (self.items.alive if self.query.allowed is None else self.query.allowed).copy()
        may[self.query.skip[1]] = False
        return self.items.channels.merged(
            found, min(wide, len(self.items)), self.query.past, self.query.recent, may
        )

    def _scored(self, merged: Merged | None, found: Positions, recalled: Floats) -> tuple[Positions, Floats]:
        """Return the candidates with recall's scores; those of its own list are there."""
        if merged is None:
            return found, recalled
        new = merged.places < 0
        more = self.scores(merged.positions[new])
        return merged.positions, np.concatenate([recalled[merged.places[~new]], more])

    def frame(self, listed: tuple[Positions, Floats] | None = None) -> Frame | None:
        """Return what the ranking measures by: the list that recall finds without filters. None without a ranking.

        ``listed`` is that list with its scores, where it has been found already.
        """
        ranking = self.model.ranking_
        if ranking is None or not self.query.known:
            return None
        if listed is not None:
            return ranking.frame(self.query.past, *listed)
        seen = np.unique(self.query.past).astype(np.uint32)
        skip = (np.array([0, len(seen)], np.int64), seen)
        found, score = self.items.nearest(self.query.vector[None], ranking.n_candidates, skip, None)
        return ranking.frame(self.query.past, found, score + np.float32(self.query.constant))

    def rank(self, found: Positions, recalled: Floats, frame: Frame | None) -> Floats:
        """Return the second stage's scores; without one, recall's, which are the machine's own full scores.

        ``frame`` None: ``found`` is the list that recall finds, as long as the ranking expects.
        """
        ranking = self.model.ranking_
        if ranking is None or not self.query.known or not len(found):
            return recalled
        plain = self._plain(found, recalled)
        score = ranking.scores(
            self.query.rows, self.query.past, self.items.shelf.take(found), found, plain, frame
        )
        if self.ask.popularity != 1.0:
            scale = float(score.std()) / (float(plain.std()) or 1.0)  # one machine's units in the other's
            score = score + np.float32(scale) * (recalled - plain)
        return np.asarray(score, np.float32)

    def _plain(self, found: Positions, recalled: Floats) -> Floats:
        """Return recall's scores as they are at a popularity of 1."""
        if self.ask.popularity == 1.0:
            return recalled
        more = np.float32(self.ask.popularity - 1.0) * self.items.vectors(found)[:, -1]
        return np.asarray(recalled - more, np.float32)

    def reorder(self, found: Positions, score: Floats, now: float) -> tuple[Positions, NDArray[np.float64]]:
        """Return which of the found items come, and the chance that each had given those above it."""
        score, order, knobs = self.wishes(found, score, now)
        if not self.ask.temperature:
            chosen = reorder(score, self.ask.n, **knobs)
            return order[chosen], np.ones(len(chosen))
        chosen, chances = drawn(
            score, self.ask.n, self.ask.temperature, stream(self.ask.seed, "draw"), **knobs
        )
        return order[chosen], chances

    def wishes(self, found: Positions, score: Floats, now: float) -> tuple[Floats, Positions, dict[str, Any]]:
        """Return falling scores with freshness, where each stands in ``found``, and what ``rerank`` needs besides."""
        order = np.arange(len(found))
        if self.ask.freshness and len(found):
            age = self.items.age(found, now)
            if age is None:
                raise OptionError("freshness needs items with a time: name its column as item_time")
            score = freshened(score, age, self.ask.freshness, self.model.freshness_half_life)
            order = np.lexsort((found, -score))
        caps = [(self.items.codes(name, found[order]), most) for name, most in self.ask.caps.items()]
        vectors = self.items.vectors(found[order])[:, :-1] if self.ask.diversity else None
        return score[order], order, {"vectors": vectors, "diversity": self.ask.diversity, "caps": caps}

    def listed(
        self,
        found: Positions,
        score: Floats,
        recalled: Floats,
        order: Positions,
        ranked: Floats | None,
        merged: Merged | None = None,
    ) -> list[Found]:
        """Return what stands in ``order`` of the found items; scores (n_found,) are of each.

        ``ranked`` are those of the second stage, which tell chances; None: it has not been asked. ``merged`` says
        where the found items come from; None: they are recall's list.
        """
        known = "recall" if self.query.known else "popularity"
        sources, at_recall = [known] * len(order), (order + 1).tolist()
        if merged is not None and self.items.channels is not None:
            sources = [self.items.channels.source(number) for number in merged.brought[order].tolist()]
            at_recall = [place + 1 if place >= 0 else None for place in merged.places[order].tolist()]
        chances = [None] * len(order) if ranked is None else self.chances(ranked[order])
        scores, first = score[order].tolist(), recalled[order].tolist()
        rows = zip(self.items.ids_at(found[order]), scores, chances, at_recall, first, sources, strict=True)
        return [Found(one, rank, *rest) for rank, (one, *rest) in enumerate(rows, 1)]

    def chances(self, score: Floats) -> list[float | None]:
        """Return the calibrated chances of scores (n,) of the second stage; popularity, without a query, has none."""
        ranking = self.model.ranking_
        if ranking is None or not self.query.known:
            return [None] * len(score)
        chances: list[float] = ranking.probability(score).tolist()
        return [None if chance != chance else chance for chance in chances]  # NaN: not scored


def explored(query: Query, ask: Ask) -> Query:
    """Return the query with a random direction added to its vector, as far as ``ask`` explores."""
    if not ask.exploration or not query.known:
        return query
    vector = query.vector.copy()
    away = np.random.default_rng(ask.seed).standard_normal(len(vector) - 1)
    away *= ask.exploration * np.linalg.norm(vector[:-1]) / max(float(np.linalg.norm(away)), 1e-12)
    vector[:-1] += away.astype(np.float32)
    return replace(query, vector=vector)


class Clock:
    """Milliseconds of the steps of one request."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()
        self.spent: dict[str, float] = {}

    def mark(self, name: str) -> None:
        """Add the time since the last mark to ``name``."""
        now = time.perf_counter()
        self.spent[name] = self.spent.get(name, 0.0) + 1000.0 * (now - self.last)
        self.last = now

    def total(self) -> dict[str, float]:
        """Return all steps, and "total"."""
        return self.spent | {"total": 1000.0 * (time.perf_counter() - self.start)}
