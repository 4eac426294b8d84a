"""Golden requests: what a version answered when it was written, asked again before it is served."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from crossfm.errors import CrossFMError, ModelFileError
from crossfm.recommender.ask import Ask

TOLERANCE = 1e-4  # of scores, relative above 1: other processors add in another order
TIE = 1e-6  # scores nearer than this may change places for the same reason


def choose_asks(engine: Any, n: int, *, seed: int = 0) -> list[Ask]:
    """Return ``n`` requests: known users in changing contexts, an unknown user, and a session with a history."""
    rng = random.Random(seed)
    schema = engine.schema()
    users = [user[schema["user"]] for user in engine.users(limit=1_000)]
    items = [item[schema["item"]] for item in engine.items(limit=20)]
    asks = [Ask(), Ask(history=tuple(items[:3]))][:n]
    while len(asks) < n and users:
        context = {
            column["name"]: rng.choice(column["values"])
            for column in schema["context"]
            if column["values"] and column["kind"] == "categorical"
        }
        asks.append(Ask(user=rng.choice(users), n=10, context=context))
    return asks


def record_golden(engine: Any, asks: Sequence[Ask]) -> list[dict[str, Any]]:
    """Return requests with their answers, as JSON holds them."""
    told = []
    for ask in asks:
        found = engine.recommend(ask).items
        told.append(
            {
                "ask": _plain(ask),
                "items": [one.item for one in found],
                "scores": [float(one.score) for one in found],
            }
        )
    return told


def read_golden(path: Path) -> list[dict[str, Any]]:
    """Read the file. Raises ``ModelFileError`` for one that holds something else."""
    try:
        cases = json.loads(path.read_text(encoding="utf8"))
        return [{"ask": Ask(**one["ask"]), "items": one["items"], "scores": one["scores"]} for one in cases]
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise ModelFileError(f"{path.name} holds no requests with answers: {exc}") from exc


def check_golden(engine: Any, cases: Sequence[Mapping[str, Any]], version: str) -> None:
    """Ask again. Raises ``ModelFileError`` for the first answer that differs."""
    for at, case in enumerate(cases):
        try:
            found = engine.recommend(case["ask"]).items
        except CrossFMError as exc:
            raise ModelFileError(f"version {version!r}: golden request {at} fails: {exc}") from exc
        items = [one.item for one in found]
        scores = [float(one.score) for one in found]
        if not _same(case["items"], case["scores"], items, scores):
            raise ModelFileError(
                f"version {version!r} answers golden request {at} with {items[:5]}, scores {_short(scores)}, but "
                f"{case['items'][:5]}, scores {_short(case['scores'])}, are expected; it is not the model that was "
                "written, or this machine computes otherwise"
            )


def _same(items: list[Any], scores: list[float], got: list[Any], values: list[float]) -> bool:
    if len(items) != len(got) or any(
        abs(a - b) > TOLERANCE * max(1.0, abs(a)) for a, b in zip(scores, values, strict=True)
    ):
        return False
    place = dict(zip(items, scores, strict=True))
    return all(
        a == b or (b in place and abs(place[b] - score) <= TIE * max(1.0, abs(score)))
        for a, b, score in zip(items, got, scores, strict=True)
    )


def _plain(ask: Ask) -> dict[str, Any]:
    """Return what differs from the defaults."""
    usual = Ask()
    told = asdict(ask)
    return {one.name: told[one.name] for one in fields(ask) if told[one.name] != getattr(usual, one.name)}


def _short(scores: Sequence[float]) -> list[float]:
    return [round(score, 4) for score in scores[:5]]
