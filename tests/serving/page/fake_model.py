"""A tiny catalogue of invented films and a machine over it, small enough to read, with real effects.

Scores are sums of named parts, as a factorization machine's are, so that explanations add up exactly: what films are
worth to anybody (times the knob of popularity), the user's tastes, the context, and the history.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

GENRES = ("Comedy", "Crime", "Documentary", "Drama", "Mystery", "Romance", "Science fiction", "Western")
FIRST = ("Paper", "Silent", "Copper", "Northern", "Borrowed", "Glass", "Second", "Salt", "Velvet", "Hollow")
LAST = ("Harbour", "Orchard", "Meridian", "Winter", "Letters", "Station", "Garden", "Parade")
COUNTRIES = ("France", "Iran", "Japan", "Mexico", "Sweden")
JOBS = ("baker", "engineer", "librarian", "nurse", "student")
AGES = ("18-24", "25-34", "35-49", "50+")
DAYPARTS = ("morning", "afternoon", "evening", "night")
DEVICES = ("phone", "laptop", "tv")
HACK = '<img src=x onerror="window.hacked=1"><b>Bold</b> & Brave'
LONG = "The Extraordinary and Mostly Accurate Account of the Lighthouse Keeper Who Collected Forgotten Maps"
FIT_FOR = {"morning": "Documentary", "afternoon": "Comedy", "evening": "Drama", "night": "Mystery"}
SUITS = {"phone": "Comedy", "laptop": "Science fiction", "tv": "Western"}

Part = tuple[tuple[str, ...], float]


class FakeModel:
    """Films "1".."80", users "1".."24"; all numbers come from seed 0."""

    title, user, item = "title", "user_id", "movie_id"

    def __init__(self) -> None:
        rng = random.Random(0)
        names = [f"{first} {last}" for first in FIRST for last in LAST]
        rng.shuffle(names)
        names[3], names[5] = HACK, LONG
        self.items: dict[str, dict[str, Any]] = {}
        self.worth: dict[str, float] = {}
        for at, name in enumerate(names):
            film = str(at + 1)
            genres = rng.sample(GENRES, rng.choice((1, 2, 2, 3)))
            self.items[film] = {
                "title": name,
                "year": 1960 + rng.randrange(64),
                "genres": genres,
                "country": rng.choice(COUNTRIES),
            }
            self.worth[film] = 1.2 / (1 + at / 8) + rng.uniform(-0.05, 0.05)
        self.users: dict[str, dict[str, Any]] = {}
        self.tastes: dict[str, dict[str, float]] = {}
        self.past: dict[str, list[str]] = {}
        for at in range(1, 25):
            user = str(at)
            self.users[user] = {"age": rng.choice(AGES), "occupation": rng.choice(JOBS)}
            self.tastes[user] = {genre: rng.gauss(0, 0.5) for genre in GENRES}
            self.past[user] = rng.sample(sorted(self.items), rng.randrange(3, 14))

    def parts(self, film: str, ask: Mapping[str, Any], history: Sequence[str]) -> tuple[list[Part], float]:
        """Return the named parts of a score, and the bias; they add up to it."""
        genres = self.items[film].get("genres") or []
        context = ask.get("context") or {}
        tastes = self.tastes.get(str(ask.get("user")), {})
        features = {**self.users.get(str(ask.get("user")), {}), **(ask.get("features") or {})}
        per = 1 / math.sqrt(max(1, len(genres)))
        free = context.get("minutes_free")
        parts: list[Part] = [
            (("movie_id",), self.worth.get(film, 0.0) * float(ask.get("popularity", 1.0))),
            (("user_id", "genres"), sum(tastes.get(genre, 0.0) for genre in genres) * per),
            (("daypart", "genres"), 0.6 * per * (FIT_FOR.get(context.get("daypart", "")) in genres)),
            (("device", "genres"), 0.5 * per * (SUITS.get(context.get("device", "")) in genres)),
            (("minutes_free", "genres"), 0.004 * float(free or 0) * per * ("Documentary" in genres)),
            (
                ("occupation", "country"),
                0.25 * _chance(features.get("occupation"), self.items[film].get("country")),
            ),
            (("age", "genres"), 0.2 * sum(_chance(features.get("age"), genre) for genre in genres) * per),
            (("history", "movie_id"), sum(value for _, value in self.because(film, history))),
        ]
        return sorted((part for part in parts if part[1]), key=lambda part: -abs(part[1])), -0.75

    def because(self, film: str, history: Sequence[str]) -> list[tuple[str, float]]:
        """Return what each film of the history adds to this one, largest first; ``history`` is latest first."""
        weight = 0.9 / math.sqrt(max(1, len(history)))
        found = [
            (old, weight * (self.alike(old, film) - 0.25) / (1 + 0.15 * i)) for i, old in enumerate(history)
        ]
        return sorted(found, key=lambda row: -abs(row[1]))

    def alike(self, a: str, b: str) -> float:
        """Jaccard index of two films' genres, and a little for the same country."""
        mine, yours = (set(self.items.get(film, {}).get("genres") or []) for film in (a, b))
        country = {self.items.get(film, {}).get("country") for film in (a, b)}
        return len(mine & yours) / max(1, len(mine | yours)) + 0.15 * (len(country) == 1)

    def score(self, film: str, ask: Mapping[str, Any], history: Sequence[str]) -> float:
        """Return the score of recall."""
        parts, bias = self.parts(film, ask, history)
        return bias + sum(value for _, value in parts)

    def ranked(self, film: str, score: float) -> float:
        """Return the second stage's score: another opinion, so that items move between the stages."""
        return 0.8 * score + 0.35 * _chance("ranker", film) + 0.1

    def schema(self) -> dict[str, Any]:
        """What the page builds its controls from."""
        return {
            "user": self.user,
            "item": self.item,
            "time": "timestamp",
            "item_time": "year",
            "title": self.title,
            "context": [
                _column("daypart", "categorical", DAYPARTS),
                _column("device", "categorical", DEVICES),
                _column("minutes_free", "numeric"),
            ],
            "item_columns": [
                _column("title", "categorical", [film["title"] for film in self.items.values()][:50]),
                _column("year", "numeric"),
                _column("genres", "multi", GENRES),
                _column("country", "categorical", COUNTRIES),
            ],
            "user_columns": [_column("age", "categorical", AGES), _column("occupation", "categorical", JOBS)],
            "history": 20,
            "ranker": "nfm",
            "retriever": "fm",
        }

    def allowed(self, where: Mapping[str, Any]) -> list[str]:
        """Return the films that meet all conditions: a value, any of a list, or {"min", "max"}."""
        return [
            film for film in self.items if all(self._meets(film, *condition) for condition in where.items())
        ]

    def _meets(self, film: str, name: str, condition: Any) -> bool:
        cells = _listed(self.items[film].get(name))
        if isinstance(condition, Mapping):
            low, high = condition.get("min", -math.inf), condition.get("max", math.inf)
            return all(cell is not None and low <= cell <= high for cell in cells)
        return bool(set(_listed(condition)) & set(cells))

    def rerank(self, films: list[tuple[str, float]], ask: Mapping[str, Any]) -> list[tuple[str, float]]:
        """Greedy MMR, newer films first by ``freshness``, caps per attribute."""
        diversity, caps = float(ask.get("diversity", 0.0)), ask.get("caps") or {}
        fresh = float(ask.get("freshness", 0.0))
        left = {
            film: score + fresh * (self.items[film].get("year", 1960) - 1990) / 40 for film, score in films
        }
        scores, chosen, used = dict(films), [], {}
        while left and len(chosen) < int(ask.get("n", 10)):
            worth = {film: self._worth(film, score, chosen, diversity) for film, score in left.items()}
            best = max(worth, key=lambda film: worth[film])
            del left[best]
            values = [(name, value) for name in caps for value in _listed(self.items[best].get(name))]
            if any(used.get(pair, 0) >= caps[pair[0]] for pair in values):
                continue
            used.update({pair: used.get(pair, 0) + 1 for pair in values})
            chosen.append((best, scores[best]))
        return chosen

    def _worth(self, film: str, score: float, chosen: list[tuple[str, float]], diversity: float) -> float:
        like = max((self.alike(film, other) for other, _ in chosen), default=0.0)
        return (1 - diversity) * score - 2 * diversity * like


def _column(name: str, kind: str, values: Sequence[str] | None = None) -> dict[str, Any]:
    return {"name": name, "kind": kind, "values": None if values is None else list(values)}


def _listed(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _chance(*key: Any) -> float:
    """Return a number from -1 to 1 that depends on the key alone; 0 where something is missing."""
    return 0.0 if None in key else random.Random("/".join(map(str, key))).uniform(-1, 1)
