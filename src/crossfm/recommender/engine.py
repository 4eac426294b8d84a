"""One request at a time, in about a millisecond: a recommender made ready to serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfm.data.rows import Rows, join_rows
from crossfm.errors import DataError, OptionError
from crossfm.recommender.ask import Answer, Ask, Found, Funnel, Id, Part, Why
from crossfm.recommender.catalogue import Catalogue
from crossfm.recommender.describe import describe
from crossfm.recommender.history import FIELD
from crossfm.recommender.index import ExactIndex
from crossfm.recommender.plane import MOST, Map
from crossfm.recommender.query import Queries, Query
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.request import Clock, Request, explored
from crossfm.recommender.rerank import chances_of
from crossfm.recommender.shelf import key_of
from crossfm.scoring.decompose import query_vectors
from crossfm.scoring.explain import explain_rows

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]
SAMPLE = 10_000  # items whose mean stands for the catalogue's
WIDER = 4  # caps left too few: recall is asked for this many times more


class Engine:
    """Answers requests from one fitted recommender; safe to call from many threads.

    Parameters
    ----------
    recommender : Recommender
        Not to be changed afterwards.
    version : str, default=""
        Named in every answer.
    """

    def __init__(self, recommender: Recommender, *, version: str = "") -> None:
        recommender._check_fitted()
        self.version = version
        self.recommender = recommender
        self.queries = Queries(recommender)
        self._catalogue = Catalogue.of(recommender)
        self._similar: ExactIndex | None = None
        self._map: Map | None = None
        self._writing, self._building, self._building_map = (threading.Lock() for _ in range(3))

    # -------------------------------------------------------------- requests

    def _request(self, ask: Ask, *, explore: bool = False) -> Request:
        items = self._catalogue
        query = self.queries.of(ask, items)
        return Request(self.recommender, explored(query, ask) if explore else query, ask, items)

    def recommend(self, ask: Ask) -> Answer:
        """Recall, rank and order again: the answer to ``ask``.

        Raises ``OptionError`` for what means nothing, ``ColumnError`` for columns that are not there.
        """
        clock = Clock()
        request = self._request(ask, explore=True)
        query, items = request.query, request.items
        clock.mark("query")
        wide = asked = max(ask.n, ask.n_candidates or self.recommender.n_candidates)
        while True:
            both = request.stages(wide, clock)
            chosen, chances = request.reorder(both.by_score, both.score[both.order], time.time())
            order = both.order[chosen]
            clock.mark("rerank")
            if len(order) >= ask.n or len(both.first) < wide:  # nothing more is left to find
                break
            wide = min(WIDER * wide, len(items))
        final = request.listed(both.found, both.score, both.recalled, order, both.score, both.merged)
        if not ask.exploration and wide == asked:
            final = [replace(one, propensity=p) for one, p in zip(final, chances.tolist(), strict=True)]
        front = np.arange(min(ask.n, len(both.first)))
        beside = request.listed(both.first, both.inner, both.inner, front, both.score_of_first)
        funnel = Funnel(len(items), query.n_allowed, len(both.found), len(both.found), len(final))
        note = _note(ask, query, len(final))
        lift = self._lift(request, both.found[order])
        return Answer(final, beside, funnel, clock.total(), self.version, query.known, note, lift)

    def propensities(self, ask: Ask, listed: Sequence[Id], *, now: float | None = None) -> list[float]:
        """Return the chance that ``recommend(ask)`` puts each item of a list where it stands, given those above it.

        Exact, as ``Found.propensity``; with a temperature of 0, 1 for the item that comes and 0 for all others.
        Whatever stands below an item that cannot come gets 0. ``now`` is when it is asked, in seconds since 1970, for
        freshness. Raises ``OptionError`` for ``exploration``, whose lists have no such chance.
        """
        if ask.exploration:
            raise OptionError("exploration has no propensities in closed form; use temperature")
        clock, now = Clock(), time.time() if now is None else now
        request = self._request(ask)
        wide = max(ask.n, ask.n_candidates or self.recommender.n_candidates)
        surely = replace(request, ask=replace(ask, temperature=0.0))
        while True:
            both = request.stages(wide, clock)
            found, score = both.by_score, both.score[both.order]
            if not ask.caps or len(both.first) < wide:
                break
            if len(surely.reorder(found, score, now)[0]) >= ask.n:
                break
            wide = min(WIDER * wide, len(request.items))
        score, order, knobs = request.wishes(found, score, now)
        place = {at: rank for rank, at in enumerate(found[order].tolist())}
        given = [place.get(at, -1) for at in request.items.positions(listed).tolist()]
        chances: list[float] = chances_of(score, given, ask.temperature, **knobs).tolist()
        return chances

    def recall(self, ask: Ask) -> Answer:
        """Return the list of recall's machine alone, ``ask.n`` of it, without what channels would bring."""
        clock = Clock()
        request = self._request(ask, explore=True)
        query = request.query
        clock.mark("query")
        found, score = request.recall(ask.n)
        clock.mark("recall")
        listed = request.listed(found, score, score, np.arange(len(found)), None)
        funnel = Funnel(len(request.items), query.n_allowed, len(found), 0, len(found))
        note = _note(ask, query, len(found))
        return Answer(listed, listed, funnel, clock.total(), self.version, query.known, note)

    def rank(self, ask: Ask, wanted: Sequence[Id]) -> Answer:
        """Order ``wanted`` items by the second stage; nothing is left out but unknown items, which ``note`` names."""
        clock = Clock()
        request = self._request(replace(ask, exclude_seen=False, where=None, allow=None, deny=()))
        items = request.items
        where = items.positions(wanted)
        strangers = [item for item, at in zip(wanted, where, strict=True) if at < 0]
        found = np.array(list(dict.fromkeys(where[where >= 0].tolist())), np.int64)
        clock.mark("query")
        score = request.rank(found, request.scores(found), request.frame())
        order = np.lexsort((found, -score))
        clock.mark("rank")
        values = score[order]
        rows = zip(items.ids_at(found[order]), values.tolist(), request.chances(values), strict=True)
        listed = [
            Found(item, rank, value, chance, None, None, "asked")
            for rank, (item, value, chance) in enumerate(rows, 1)
        ]
        funnel = Funnel(len(items), len(found), 0, len(found), len(found))
        note = f"not in the catalogue: {', '.join(map(str, strangers[:10]))}" if strangers else None
        return Answer(listed, [], funnel, clock.total(), self.version, request.query.known, note)

    def similar(self, item: Id, n: int = 10, where: Mapping[str, Any] | None = None) -> list[Found]:
        """Return the items whose vectors point the most alike (cosine of S_T), without the item itself.

        Raises ``DataError`` for an item that is not in the catalogue.
        """
        unit, items = self._units()
        at = items.position(item)
        skip = (np.array([0, 1], np.int64), np.array([at], np.uint32))
        query, n = unit.vectors(np.array([at])), min(n, len(items))
        found, score = items.there(*unit.search(query, n, skip=skip, allowed=items.allowed(where, None)))
        pairs = zip(items.ids_at(found), score.tolist(), strict=True)
        return [Found(one, rank, value, source="similar") for rank, (one, value) in enumerate(pairs, 1)]

    def _units(self) -> tuple[ExactIndex, Catalogue]:
        """Return S_T of all items as unit vectors, made when first asked for, and the items."""
        with self._writing:
            items = self._catalogue
            if self._similar is None:
                self._similar = ExactIndex(unit_vectors(items.vectors(np.arange(len(items)))))
                self._similar.delete(np.flatnonzero(~items.alive))
            return self._similar, items

    def explain(self, ask: Ask, item: Id) -> Why:
        """Return the exact parts of recall's score of ``item``. Raises ``DataError`` for an unknown one."""
        model = self.recommender
        request = self._request(replace(ask, popularity=1.0))
        query, items = request.query, request.items
        at = items.position(item)
        own = items.shelf.take(np.array([at]))
        joined = join_rows(query.rows, own, left_fields=model.n_query_fields)
        parts = explain_rows(joined, model._machine, model.field_names())
        listed = [Part((name,), float(v)) for name, v in zip(parts.names, parts.columns[0], strict=True)]
        listed += [Part(pair, float(v)) for pair, v in zip(parts.pair_names, parts.pairs[0], strict=True)]
        listed = [part for part in listed if part.value]
        listed.sort(key=lambda part: -abs(part.value))
        score = float(parts.score()[0])
        ranked = None
        if model.ranking_ is not None:
            found = np.array([at])
            ranked = float(request.rank(found, request.scores(found), request.frame())[0])
        return Why(item, score, parts.bias, listed, self._because(query, at, items), ranked)

    def toward(self, ask: Ask) -> tuple[float, float, float] | None:
        """Return the direction (x, y) of a query on the map, and the share of its length there.

        None where nothing is known about the user.
        """
        query = self.queries.of(ask, self._catalogue)
        if not query.known:
            return None
        (x, y), share = self._laid_out().plane.direction(query.vector[:-1])
        return float(x), float(y), share

    # ----------------------------------------------------------------- items

    def put_items(self, listed: Sequence[Mapping[str, Any]]) -> int:
        """Add or change items, known by their features at once; return how many. Others stay as they are.

        Columns that an item lacks keep what is stored; None empties one. Raises ``DataError`` where an id is missing or
        comes twice.
        """
        name = self.recommender.item
        for each in listed:
            if each.get(name) is None:
                raise DataError(f"an item has no {name!r}: {dict(each)!r:.200}")
        with self._writing:
            table = self._as_table(listed)
            self._catalogue, where = self._catalogue.with_items(table)
            if self._similar is not None:
                items = self._catalogue
                self._similar.upsert(where, unit_vectors(items.vectors(where)))
        self._refresh()
        return len(listed)

    def _as_table(self, listed: Sequence[Mapping[str, Any]]) -> Any:
        """Return items as a table, each with what is stored where it says nothing itself."""
        stored = self.attributes([each[self.recommender.item] for each in listed])
        rows = [{**(old or {}), **each} for old, each in zip(stored, listed, strict=True)]
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})

    def delete_items(self, ids: Sequence[Id]) -> int:
        """Take items out of all lists; return how many there were."""
        with self._writing:
            where = self._catalogue.positions(ids)
            self._catalogue, n = self._catalogue.without(ids)
            if self._similar is not None:
                self._similar.delete(where[where >= 0])
        self._refresh()
        return n

    def _refresh(self) -> None:
        """Build an index that has many changes beside it anew, while the old one goes on answering."""
        if self._catalogue.index.stale and self._building.acquire(blocking=False):
            threading.Thread(target=self._rebuild, name="crossfm-index", daemon=True).start()

    def _rebuild(self) -> None:
        try:
            old = self._catalogue.index
            fresh = old.rebuilt()
            with self._writing:
                fresh.catch_up(old)
                self._catalogue = replace(self._catalogue, index=fresh)
        finally:
            self._building.release()

    def item(self, item: Id) -> dict[str, Any] | None:
        """Return an item's columns, or None."""
        return self.attributes([item])[0]

    def attributes(self, ids: Sequence[Id]) -> list[dict[str, Any] | None]:
        """Return the columns of several items, None for those that are not there."""
        items = self._catalogue
        where = items.positions(ids)
        rows = iter(items.attributes(where[where >= 0]))
        return [next(rows) if at >= 0 else None for at in where.tolist()]

    def items(self, search: str = "", limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        """Return items whose id or title has ``search`` in it, popular ones first."""
        items = self._catalogue
        return items.attributes(items.matching(search)[offset : offset + limit])

    def map(self, limit: int = MOST) -> dict[str, Any]:
        """Return the most popular items, at most ``MOST``, on a plane (principal components of S_T).

        "items", "titles", "x" and "y" from -1 to 1, "explained" (shares of the variance along x and y), "n_items" of
        the catalogue, and "columns" of few values: "name", "values", and "codes" of each item's values. Made again when
        items have changed.
        """
        return self._laid_out().report(limit)

    def _laid_out(self) -> Map:
        with self._building_map:
            items = self._catalogue
            if self._map is None or self._map.items is not items:
                self._map = Map.of(items)
            return self._map

    def n_known(self, ids: Sequence[Id]) -> int:
        """Return how many of ``ids`` are in the catalogue."""
        return int((self._catalogue.positions(ids) >= 0).sum())

    def n_bare(self) -> int:
        """Return how many items have no attribute, nor a title; 0 where items have no columns."""
        return self._catalogue.n_bare

    # ----------------------------------------------------------------- users

    def knows(self, user: Id) -> bool:
        """Whether the model has learned about a user."""
        return self.queries.places.get(key_of(user)) >= 0

    def user(self, user: Id) -> dict[str, Any] | None:
        """Return what the model has stored of a user, or None."""
        return self.queries.stored(user)

    def users(self, search: str = "", limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        """Return users that the model knows whose id or text has ``search`` in it."""
        return self.queries.matching(search, limit, offset)

    def history(self, user: Id, limit: int = 20) -> list[Id]:
        """Return what the model knows of a user's history, latest first."""
        return self._catalogue.ids_at(self.queries.history(user)[::-1][:limit])

    # ----------------------------------------------------------------- about

    @property
    def n_items(self) -> int:
        """Items that can be recommended."""
        return self._catalogue.n_alive

    @property
    def n_users(self) -> int:
        """Users that the model knows."""
        return len(self.recommender.users_.ids)

    def schema(self) -> dict[str, Any]:
        """Return roles and columns; see ``recommender.describe``."""
        return describe(self.recommender, self._catalogue)

    def index_report(self) -> dict[str, Any]:
        """Return kind, size and measured recall of the index."""
        return self._catalogue.index_report()

    def context_names(self, context: Mapping[str, Any]) -> dict[str, str]:
        """Return what the value of each context column is to the model: see ``recommender.contexts``."""
        return self.queries.context_names(context)

    def context_counts(self) -> dict[str, dict[str, int]]:
        """Return how often training met these, for columns of single values."""
        return {} if self.queries.contexts is None else self.queries.contexts.trained()

    # ----------------------------------------------------------------- steps

    def _lift(self, request: Request, shown: Positions) -> tuple[float, float] | None:
        """Return what lifts ``shown`` items above the mean item: see ``Answer.lift``."""
        if not request.query.known or not len(shown):
            return None
        parts = (request.items.vectors(shown).mean(axis=0) - self._mean_item) * request.vector
        return float(parts[-1]), float(parts[:-1].sum())

    @cached_property
    def _mean_item(self) -> Floats:
        """The mean vector of items as they were when first asked for, of a sample where there are many."""
        items = self._catalogue
        some = np.flatnonzero(items.alive)[:: max(1, items.n_alive // SAMPLE)]
        return np.asarray(items.vectors(some).mean(axis=0), np.float32)

    def _because(self, query: Query, at: int, items: Catalogue) -> list[tuple[Id, float]]:
        """Return what each item of the history adds beside the item at ``at``."""
        if not len(query.history):
            return []
        names = self.recommender.field_names()
        mine = np.asarray(query.rows.field_of_each()) == names.index(FIELD)
        each = Rows(
            query.rows.indices[mine],
            query.rows.n_features,
            values=query.rows.value_of_each()[mine],
            fields=np.full(1, names.index(FIELD), np.uint32),
            width=1,
        )
        vectors, _ = query_vectors(each, self.recommender._machine)
        value = vectors[:, :-1] @ items.vectors(np.array([at]))[0, :-1]
        order = np.argsort(-np.abs(value), kind="stable")
        return list(zip(items.ids_at(query.history[order]), value[order].tolist(), strict=True))


def unit_vectors(vectors: Floats) -> Floats:
    """Return item vectors (n, dim) without their own scores, of length 1."""
    own = vectors[:, :-1]
    length = np.linalg.norm(own, axis=1, keepdims=True)
    return np.asarray(own / np.maximum(length, np.float32(1e-12)), np.float32)


def _note(ask: Ask, query: Query, n: int) -> str | None:
    """Say why there are fewer items than asked for."""
    notes = list(query.notes)
    if n < ask.n:
        capped = ask.caps and query.n_allowed > n
        why = "caps allow no more" if capped else "no more are left after filters and what was seen"
        notes.append(f"{n} of {ask.n}: {why}")
    return "; ".join(notes) or None
