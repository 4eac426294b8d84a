"""What comes in, looked at: users and items that nobody knows, contexts that training did not meet, odd times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from crossfm.recommender.contexts import MISSING, NEVER
from crossfm.serving.series import Tally

FEW = 20  # of fewer, no verdict
FEW_FOR_DRIFT = 100
AHEAD = 300.0  # seconds that a clock may be ahead
OLD = 30 * 86_400.0  # seconds after which an event comes late
LOOK, OK, UNSURE = "look", "ok", "too few"
LIMITS = {
    "unknown users": 0.3,
    "unknown items": 0.05,
    "events in the future": 0.01,
    "old events": 0.05,
    "items without attributes": 0.05,
    "context missing": 0.5,
    "context never met": 0.05,
    "context drift": 0.25,
}


def note_request(tally: Tally, names: Mapping[str, str], *, user: bool, stranger: bool) -> None:
    """Count a request: ``names`` of its context's values, whether it has a user, and one that nobody knows."""
    tally.counts["requests"] += 1
    tally.counts["users"] += user
    tally.counts["unknown users"] += stranger
    for column, name in names.items():
        tally.counts[f"context\0{column}\0{name}"] += 1


def note_events(tally: Tally, times: Iterable[float], now: float, n_unknown: int) -> None:
    """Count events of feedback: their times, and how many are of items that are not in the catalogue."""
    for time in times:
        tally.counts["events"] += 1
        tally.counts["events in the future"] += time > now + AHEAD
        tally.counts["old events"] += time < now - OLD
    tally.counts["unknown items"] += n_unknown


def checks(
    tally: Tally, trained: Mapping[str, Mapping[str, int]], n_items: int, n_bare: int
) -> list[dict[str, Any]]:
    """Return one line for each thing to look at: name, column or None, share (or drift), of how many, limit, verdict.

    ``trained`` are the counts of context values in training, of columns whose drift can be told.
    """
    counts = tally.counts
    lines = [
        _line("unknown users", counts["unknown users"], counts["users"]),
        _line("unknown items", counts["unknown items"], counts["events"]),
        _line("events in the future", counts["events in the future"], counts["events"]),
        _line("old events", counts["old events"], counts["events"]),
        _line("items without attributes", n_bare, n_items),
    ]
    for column, names in sorted(context_counts(tally).items()):
        n = names.total()
        lines.append(_line("context missing", names[MISSING], n, column))
        lines.append(_line("context never met", names[NEVER], n, column))
        if column in trained:
            drift = drift_of(names, trained[column])
            n_known = n - names[MISSING] - names[NEVER]
            lines.append(_judged("context drift", drift, n_known, FEW_FOR_DRIFT, column))
    return lines


def context_counts(tally: Tally) -> dict[str, Counter[str]]:
    """Return for each context column how often its values were met."""
    found: dict[str, Counter[str]] = {}
    for key, n in tally.counts.items():
        if key.startswith("context\0"):
            _, column, name = key.split("\0", 2)
            found.setdefault(column, Counter())[name] += n
    return found


def drift_of(now: Mapping[str, int], then: Mapping[str, int]) -> float:
    """Return how far the shares of values that training knows have moved: the population stability index.

    sum over values of (p - q) ln(p / q), with half a count added to each; less what as few requests would show by
    chance, (values - 1) (1/n + 1/m), and never below 0. Above 0.25 is usually called a shift.

    Siddiqi, "Credit Risk Scorecards", 2006; Yurdakul and Naranjo, "Statistical properties of the population stability
    index", 2020, for its mean under no change.
    """
    names = sorted({*now, *then} - {MISSING, NEVER})
    n, m = (sum(counts.get(name, 0) for name in names) for counts in (now, then))
    if not n or not m:
        return 0.0
    size, total = 0.5 * len(names), 0.0
    for name in names:
        p, q = (now.get(name, 0) + 0.5) / (n + size), (then.get(name, 0) + 0.5) / (m + size)
        total += (p - q) * math.log(p / q)
    return max(0.0, total - (len(names) - 1) * (1 / n + 1 / m))


def _line(check: str, count: int, of: int, column: str | None = None) -> dict[str, Any]:
    return _judged(check, count / of if of else None, of, FEW, column)


def _judged(check: str, share: float | None, of: int, few: int, column: str | None) -> dict[str, Any]:
    limit = LIMITS[check]
    verdict = UNSURE if share is None or of < few else LOOK if share > limit else OK
    told = None if share is None else round(share, 4)
    return {"check": check, "column": column, "share": told, "of": of, "limit": limit, "verdict": verdict}
