"""A small honest engine: scores are what they say, everything of ``Engine`` that the server calls is there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossfm.errors import ColumnError, DataError, OptionError
from crossfm.recommender.ask import Answer, Ask, Found, Funnel, Part, Why

GENRES = ("Comedy", "Drama", "Horror")
DAYTIMES = ("evening", "morning")


def films(n: int = 20, first: int = 1) -> dict[str, dict[str, Any]]:
    """Return ``n`` items; the popular ones come first."""
    return {
        str(at): {"item_id": str(at), "title": f"Film {at}", "genre": GENRES[at % 3], "year": 1990 + at % 10}
        for at in range(first, first + n)
    }


class FakeEngine:
    """Likes what shares a genre with the history; then what is popular."""

    def __init__(self, *, version: str = "", first: int = 1, shift: float = 0.0, slow: float = 0.0) -> None:
        self.version = version
        self.shift = shift
        self.slow = slow
        self.catalogue = films(first=first)
        self.popularity = {item: 1.0 / at for at, item in enumerate(self.catalogue, 1)}
        self.people = {str(at): {"user_id": str(at), "age": 20 + at} for at in range(1, 6)}
        self.past = {"1": [str(first + 2), str(first + 1)]}
        self.asked: list[Ask] = []
        self._lock = threading.Lock()

    # requests

    def recommend(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        if self.slow:
            time.sleep(self.slow)
        return self._answer(ask, self._left(ask))

    def recall(self, ask: Ask) -> Answer:
        return self._answer(ask, self._left(ask))

    def rank(self, ask: Ask, items: Sequence[Any]) -> Answer:
        known = [str(item) for item in items if str(item) in self.catalogue]
        strangers = [str(item) for item in items if str(item) not in self.catalogue]
        answer = self._answer(replace(ask, n=len(items)), list(dict.fromkeys(known)))
        return replace(answer, recalled=[], note=f"not in the catalogue: {strangers}" if strangers else None)

    def similar(self, item: Any, n: int = 10, where: Mapping[str, Any] | None = None) -> list[Found]:
        if str(item) not in self.catalogue:
            raise DataError(f"item {item!r} is not in the catalogue")
        genre = self.catalogue[str(item)]["genre"]
        near = [i for i, row in self.catalogue.items() if row["genre"] == genre and i != str(item)]
        return [Found(one, at, 1.0 / at, source="similar") for at, one in enumerate(near[:n], 1)]

    def explain(self, ask: Ask, item: Any) -> Why:
        if str(item) not in self.catalogue:
            raise DataError(f"item {item!r} is not in the catalogue")
        own, liked = self.popularity[str(item)] + self.shift, self._liked(ask, str(item))
        because = [(one, liked / len(ask.history)) for one in ask.history]
        parts = [Part(("item_id",), own), Part(("history", "genre"), liked)]
        return Why(item, own + liked, 0.0, parts, because, None)

    # the catalogue

    def schema(self) -> dict[str, Any]:
        return {
            "user": "user_id",
            "item": "item_id",
            "time": None,
            "title": "title",
            "context": [{"name": "daytime", "kind": "categorical", "values": list(DAYTIMES)}],
            "item_columns": [{"name": "genre", "kind": "categorical", "values": list(GENRES)}],
            "user_columns": [{"name": "age", "kind": "numeric", "values": None}],
            "history": 10,
            "retriever": "FakeEngine",
            "ranker": None,
        }

    def item(self, item: Any) -> dict[str, Any] | None:
        return self.catalogue.get(str(item))

    def attributes(self, ids: Sequence[Any]) -> list[dict[str, Any] | None]:
        return [self.item(one) for one in ids]

    def items(self, search: str = "", limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        found = [
            row for row in self.catalogue.values() if search.lower() in str(row.get("title", "")).lower()
        ]
        return found[offset : offset + limit]

    def user(self, user: Any) -> dict[str, Any] | None:
        return self.people.get(str(user))

    def users(self, search: str = "", limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        return [row for user, row in self.people.items() if search in user][offset : offset + limit]

    def history(self, user: Any, limit: int = 20) -> list[Any]:
        return self.past.get(str(user), [])[:limit]

    def put_items(self, items: Sequence[Mapping[str, Any]]) -> int:
        for row in items:
            if not isinstance(row.get("year", 0), int):
                raise DataError(f"year is {row['year']!r}, but is a number")
        with self._lock:
            for row in items:
                key = str(row["item_id"])
                self.catalogue = {**self.catalogue, key: {**row, "item_id": key}}
                self.popularity.setdefault(key, 0.5)
        return len(items)

    def delete_items(self, ids: Sequence[Any]) -> int:
        gone = {str(one) for one in ids}
        with self._lock:
            before = len(self.catalogue)
            self.catalogue = {item: row for item, row in self.catalogue.items() if item not in gone}
            return before - len(self.catalogue)

    def index_report(self) -> dict[str, Any]:
        return {"kind": "exact", "n_items": self.n_items, "dim": 1, "bytes": 0, "recall": None}

    def map(self, limit: int = 5_000) -> dict[str, Any]:
        rows = list(self.catalogue.values())[:limit]
        codes = [[GENRES.index(row["genre"])] if row.get("genre") in GENRES else [] for row in rows]
        return {
            "items": [row["item_id"] for row in rows],
            "titles": [row.get("title", row["item_id"]) for row in rows],
            "x": [at / len(rows) for at in range(len(rows))],
            "y": [0.0] * len(rows),
            "explained": [1.0, 0.0],
            "n_items": self.n_items,
            "columns": [{"name": "genre", "values": list(GENRES), "codes": codes}],
        }

    def toward(self, ask: Ask) -> tuple[float, float, float] | None:
        return (1.0, 0.0, 0.5) if self.knows(ask.user) else None

    def knows(self, user: Any) -> bool:
        return str(user) in self.people

    def n_known(self, ids: Sequence[Any]) -> int:
        return sum(str(one) in self.catalogue for one in ids)

    def n_bare(self) -> int:
        return sum(len(row) == 1 for row in self.catalogue.values())

    def context_names(self, context: Mapping[str, Any]) -> dict[str, str]:
        value = context.get("daytime")
        name = "missing" if value is None else f"={value}" if value in DAYTIMES else "never met"
        return {"daytime": name}

    def context_counts(self) -> dict[str, dict[str, int]]:
        return {"daytime": {f"={value}": 50 for value in DAYTIMES}}

    @property
    def n_items(self) -> int:
        return len(self.catalogue)

    @property
    def n_users(self) -> int:
        return len(self.people)

    # how

    def _left(self, ask: Ask) -> list[str]:
        for name in ask.context:
            if name != "daytime":
                raise ColumnError(f"context has {name!r}, but the context columns are ['daytime']")
        for name in ask.features:
            if name != "age":
                raise ColumnError(f"features has {name!r}, but users have the features ['age']")
        out = {str(one) for one in ask.deny}
        if ask.exclude_seen:
            own = self.past.get(str(ask.user), []) if ask.user is not None else []
            out |= {str(one) for one in [*ask.history, *ask.seen, *own]}
        allow = None if ask.allow is None else {str(one) for one in ask.allow}
        left = [i for i in self.catalogue if i not in out and (allow is None or i in allow)]
        for name, value in (ask.where or {}).items():
            if name not in ("genre", "title", "year"):
                raise ColumnError(f"where has {name!r}, but items have genre, title, year")
            if isinstance(value, dict):
                raise OptionError(f"where[{name!r}] is {value!r}: this small engine compares only")
            wanted = value if isinstance(value, list) else [value]
            left = [i for i in left if self.catalogue[i].get(name) in wanted]
        return left

    def _liked(self, ask: Ask, item: str) -> float:
        genre = self.catalogue[item].get("genre")
        mine = [self.catalogue[str(one)].get("genre") for one in ask.history if str(one) in self.catalogue]
        return sum(genre == one for one in mine) / max(len(mine), 1)

    def _answer(self, ask: Ask, left: list[str]) -> Answer:
        scores = {
            item: self._liked(ask, item) + ask.popularity * self.popularity[item] + self.shift
            for item in left
        }
        order = sorted(left, key=lambda item: (-scores[item], item))
        found = [
            Found(item, at, scores[item], None, at, scores[item]) for at, item in enumerate(order[: ask.n], 1)
        ]
        known = str(ask.user) in self.people or bool(ask.history)
        note = None if len(found) == ask.n else f"{len(found)} of {ask.n}: no more are left"
        funnel = Funnel(self.n_items, len(left), len(left), len(left), len(found))
        timings = {"query": 0.1, "recall": 0.2, "rank": 0.3, "rerank": 0.1, "total": 0.7}
        return Answer(found, found, funnel, timings, self.version, known, note)


class FakeModel:
    """What ``write_bundle`` is given: a model that saves itself."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def save(self, path: Path) -> None:
        Path(path).write_text(json.dumps(self.settings))


def open_fake(folder: Path, version: str) -> FakeEngine:
    """Open what ``FakeModel`` saved."""
    return FakeEngine(version=version, **json.loads((folder / "model.crossfm").read_text()))
