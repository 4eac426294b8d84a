"""What the fake server answers: the shapes of the HTTP API over the model of ``fake_model``."""

from __future__ import annotations

import time
from typing import Any

from serving.page.fake_model import COUNTRIES, GENRES, FakeModel

CANDIDATES = 40
VERSIONS = ("2024-05-01T09-00", "2024-05-02T09-00", "2024-05-03T09-00")
Body = dict[str, Any]


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """An answer that is an error."""

    def __init__(self, status: int, kind: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers


class Answers:
    """Answers by route, and what the server remembers: ``events`` that came in, requests for lists in ``asked``."""

    def __init__(self) -> None:
        self.model = FakeModel()
        self.events: list[Body] = []
        self.asked: list[Body] = []
        self.active, self.previous = VERSIONS[2], VERSIONS[1]

    # ---- lists ----------------------------------------------------------------------------------------------

    def recommend(self, ask: Body) -> Body:
        """Both stages: the machine over the catalogue, the second opinion over what it found."""
        began = time.perf_counter()
        version = ask.get("version") or self.active
        if version not in (self.active, self.previous):
            raise Refused(404, "not_found", f"version {version!r} is not in memory")
        if "version" not in ask:
            self.asked.append(ask)
        history = self._history(ask)
        skip = set(history) if ask.get("exclude_seen", True) else set()
        allowed = [film for film in self.model.allowed(ask.get("where") or {}) if film not in skip]
        recalled = best((film, self.model.score(film, ask, history)) for film in allowed)
        recalled = recalled[: int(ask.get("candidates") or CANDIDATES)]
        ranked = best((film, self.model.ranked(film, score)) for film, score in recalled)
        if version != self.active:  # another version does without the second opinion
            ranked = recalled
        final = self.model.rerank(ranked, ask)
        n, total = int(ask.get("n", 10)), (time.perf_counter() - began) * 1000
        steps = (len(self.model.items), len(allowed), len(recalled), len(ranked), len(final))
        return {
            "request_id": f"r{len(self.asked)}",
            "version": version,
            "user": ask.get("user"),
            "known": bool(history) or ask.get("user") in self.model.users,
            "note": None if len(final) >= n else f"Only {len(final)} items of {n} meet the conditions.",
            "items": self._found(final, recalled, ask, history),
            "recalled": self._found(recalled[:n], recalled, {}, history),
            "funnel": dict(
                zip(("catalogue", "allowed", "recalled", "ranked", "returned"), steps, strict=True)
            ),
            "timings": {
                "query": 0.05,
                "recall": 0.5 * total,
                "rank": 0.4 * total,
                "rerank": 0.1 * total,
                "total": total,
            },
            "experiment": None,
        }

    def explain(self, ask: Body) -> Body:
        """The parts of one score."""
        film, history = self.film(str(ask["item"])), self._history(ask)
        parts, bias = self.model.parts(film, ask, history)
        score = bias + sum(value for _, value in parts)
        because = [
            {"item": old, "value": value, "attributes": self.model.items.get(old)}
            for old, value in self.model.because(film, history)
        ]
        ranked = self.model.ranked(film, score)
        return {
            "item": film,
            "score": score,
            "bias": bias,
            "ranked": ranked,
            "parts": named(parts),
            "because": because,
        }

    def similar(self, film: str, n: int) -> Body:
        """Other items by genre and country."""
        self.film(film)
        others = best((other, self.model.alike(film, other)) for other in self.model.items if other != film)
        return {"item": film, "items": self._found(others[:n], others, {}, [])}

    def map(self, limit: int) -> Body:
        """Films by year and by how much they are worth, the worthiest first."""
        films = [film for film, _ in best(self.model.worth.items())][:limit]
        rows = [self.model.items[film] for film in films]
        genres, countries = list(GENRES), list(COUNTRIES)
        return {
            "version": self.active,
            "items": films,
            "titles": [row["title"] for row in rows],
            "x": [(row.get("year", 1990) - 1992) / 32 for row in rows],
            "y": [2 * self.model.worth[film] - 0.5 for film in films],
            "explained": [0.31, 0.12],
            "n_items": len(self.model.items),
            "columns": [
                {
                    "name": "genres",
                    "values": genres,
                    "codes": [[genres.index(one) for one in row["genres"]] for row in rows],
                },
                {
                    "name": "country",
                    "values": countries,
                    "codes": [[countries.index(row["country"])] for row in rows],
                },
            ],
        }

    def direction(self, ask: Body) -> Body:
        """Where a query points: the same for all whom the model knows."""
        known = ask["user"] in self.model.users
        return {"user": ask["user"], "x": 0.6 if known else None, "y": 0.8 if known else None, "share": 0.5}

    def lately(self, film: str) -> Body:
        """How often an item was shown and chosen."""
        clicks = sum(event["item"] == self.film(film) for event in self.events)
        types = {"click": clicks} if clicks else {}
        return {"id": film, "answers": 900, "shown": 31, "events": len(self.events), "types": types}

    def _found(
        self, films: list[tuple[str, float]], recalled: list[tuple[str, float]], ask: Body, history: list[str]
    ) -> list[Body]:
        places = {film: (i + 1, score) for i, (film, score) in enumerate(recalled)}
        rows = []
        for rank, (film, score) in enumerate(films, 1):
            row = {"item": film, "rank": rank, "score": score, "probability": None, "source": "recall"}
            row["recall_rank"], row["recall_score"] = places[film]
            row["attributes"] = self.model.items[film]
            if ask.get("explain"):
                row["why"] = named(self.model.parts(film, ask, history)[0])
            rows.append(row)
        return rows

    # ---- users, items, events -------------------------------------------------------------------------------

    def history(self, user: str, limit: int) -> Body:
        """Clicks first, then what the model knows, latest first."""
        told = [{**event, "source": "feedback"} for event in reversed(self.events) if event["user"] == user]
        told += [
            {"item": film, "type": "history", "time": None, "source": "model"}
            for film in self.model.past.get(user, [])
        ]
        return {
            "user": user,
            "history": [{**row, "attributes": self.model.items.get(row["item"])} for row in told[:limit]],
        }

    def _history(self, ask: Body) -> list[str]:
        sent = [str(item) for item in reversed(ask.get("history") or [])]
        return sent + [row["item"] for row in self.history(str(ask.get("user")), 1000)["history"]]

    def feedback(self, body: Body) -> Body:
        """Store events; a repeated key is stored once."""
        for event in body["events"]:
            if event.get("key") is None or event["key"] not in {old.get("key") for old in self.events}:
                texts = {name: str(event[name]) for name in ("user", "item")}
                self.events.append({"type": "click", "time": time.time(), **event, **texts})
        return {"accepted": len(body["events"]), "numbers": [len(self.events)]}

    def film(self, film: str) -> str:
        """Return the id of an item that is there."""
        if film not in self.model.items:
            raise Refused(404, "not_found", f"there is no item {film!r}")
        return film

    def item(self, film: str) -> Body:
        """One item."""
        return {"id": self.film(film), "attributes": {self.model.item: film, **self.model.items[film]}}

    def put_item(self, film: str, attributes: Body) -> Body:
        """A new or changed item."""
        if self.model.item in attributes:
            raise Refused(422, "invalid", f"attributes has {self.model.item!r}, which is the id")
        self.model.items[film] = attributes
        self.model.worth.setdefault(film, 0.3)
        return self.item(film)

    def delete_item(self, film: str) -> None:
        """Take an item out."""
        del self.model.items[self.film(film)]

    def user(self, user: str) -> Body:
        """One user."""
        if user not in self.model.users:
            raise Refused(404, "not_found", f"there is no user {user!r}")
        return {"id": user, "features": self.model.users[user]}

    def listing(self, of: str, search: str, limit: int, offset: int) -> Body:
        """Users or items with a text in their id, title or features."""
        make = self.user if of == "users" else self.item
        rows = [make(one) for one in (self.model.users if of == "users" else self.model.items)]
        found = [row for row in rows if search.lower() in " ".join(map(str, _texts(row))).lower()]
        return {of: found[offset : offset + limit], "limit": limit, "offset": offset}

    # ---- versions -------------------------------------------------------------------------------------------

    def activate(self, version: str) -> Body:
        """Answer with another version from now on."""
        if version not in VERSIONS:
            raise Refused(404, "not_found", f"there is no version {version!r}")
        self.previous, self.active = self.active, version
        return {"version": self.active, "previous": self.previous}

    def models(self) -> Body:
        """All versions."""
        listed = [
            {
                "version": version,
                "created": f"{version[:10]}T09:00:00+00:00",
                "n_items": 80,
                "n_users": 24,
                "bytes": 5_440,
                "in_memory": version in (self.active, self.previous),
                "metrics": {"ndcg@20": 0.31 + i / 100, "segments": {"new users": {"recall@20": 0.2}}},
            }
            for i, version in enumerate(VERSIONS)
        ]
        return {"current": self.active, "previous": self.previous, "versions": listed[::-1], "refused": []}


def best(pairs: Any) -> list[tuple[str, float]]:
    """Return pairs by score, ties by id."""
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def named(parts: Any) -> list[Body]:
    """Parts as JSON has them."""
    return [{"columns": list(names), "value": value} for names, value in parts]


def _texts(row: Body) -> list[Any]:
    return [row["id"], *row.get("features", row.get("attributes", {})).values()]
