"""What the server remembers of the last hours, in memory: times and coverage by the minute, scores, data checks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crossfm.recommender.ask import Answer
from crossfm.serving import quality
from crossfm.serving.series import Series, Tally

MINUTE = 60
LONG = 240  # steps of times and coverage: four hours
RECENT = 60  # steps of scores and checks: an hour
FINE = 0.02  # buckets of scores and shares
BARS = 30
MARKS = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9}
Concentration = Callable[[], tuple[int, float]]  # distinct items of the last answers, their Gini index


class Course:
    """Counts of one worker by the minute; safe to call from several threads.

    Parameters
    ----------
    concentration : callable
        Asked when a minute has ended, at the first answer after it.
    """

    def __init__(self, concentration: Concentration, clock: Callable[[], float] = time.time) -> None:
        self._concentration = concentration
        self._clock = clock
        self._lock = threading.Lock()
        self._long = Series(MINUTE, LONG)
        self._recent = Series(MINUTE, RECENT)

    def answer(self, answer: Answer, names: Mapping[str, str], *, user: bool, stranger: bool) -> None:
        """Note a list that was given, and the request: ``names`` of its context's values (``contexts``)."""
        now = self._clock()
        with self._lock:
            ended = self._long.before(now)
            long, recent = self._long.at(now), self._recent.at(now)
            long.counts["answers"] += 1
            for stage, ms in answer.timings.items():
                long.note(stage, (ms,))
            recent.note("scores" if answer.known else "popularity", (one.score for one in answer.items), FINE)
            recent.note(
                "chances", (one.probability for one in answer.items if one.probability is not None), FINE
            )
            if (share := own_share(answer.lift)) is not None:
                recent.note("own share", (share,), FINE)
                recent.counts["own share, millionths"] += round(1e6 * share)
            quality.note_request(recent, names, user=user, stranger=stranger)
        if ended is not None:
            distinct, gini = self._concentration()
            with self._lock:
                ended.counts["looks"] += 1
                ended.counts["distinct"] += distinct
                ended.counts["gini, millionths"] += round(1e6 * gini)

    def events(self, times: Iterable[float], n_unknown: int) -> None:
        """Note events of feedback, ``n_unknown`` of them for items that are not in the catalogue."""
        now = self._clock()
        with self._lock:
            quality.note_events(self._recent.at(now), times, now, n_unknown)

    # ------------------------------------------------------------- workers

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it, for ``merged`` in another process."""
        with self._lock:
            return {"long": self._long.state(), "recent": self._recent.state()}

    @classmethod
    def merged(cls, states: Iterable[Mapping[str, Any]], clock: Callable[[], float] = time.time) -> Course:
        """Return what several workers noted, as if one had answered everything."""
        whole = cls(lambda: (0, 0.0), clock)
        for state in states:
            whole._long.take(state["long"])
            whole._recent.take(state["recent"])
        return whole

    # ------------------------------------------------------------- telling

    def report(self, engine: Any) -> dict[str, Any]:
        """Return "course", "scores" and "quality" as docs/serving.md describes them."""
        now = self._clock()
        with self._lock:
            steps, recent = self._long.latest(now), self._recent.total(now)
        n_items = engine.n_items
        return {
            "course": _course(steps, n_items),
            "scores": _scores(recent),
            "quality": {
                "seconds": RECENT * MINUTE,
                "requests": recent.counts["requests"],
                "events": recent.counts["events"],
                "checks": quality.checks(recent, engine.context_counts(), n_items, engine.n_bare()),
            },
        }


def own_share(lift: tuple[float, float] | None) -> float | None:
    """Return how much of what lifts items above the mean one is their own part, from 0 to 1; None if nothing does."""
    if lift is None:
        return None
    own, pairs = (max(part, 0.0) for part in lift)
    return own / (own + pairs) if own + pairs > 0 else None


def _course(steps: list[tuple[int, Tally]], n_items: int) -> dict[str, Any]:
    """Return times and coverage of each step; None where nothing was answered."""
    names = list(dict.fromkeys(name for _, tally in steps for name in tally.histograms))
    looks = [(tally.counts, tally.counts["looks"]) for _, tally in steps]
    return {
        "step_seconds": MINUTE,
        "begin": steps[0][0] if steps else None,
        "answers": [tally.counts["answers"] for _, tally in steps],
        "coverage": [round(c["distinct"] / n / n_items, 5) if n and n_items else None for c, n in looks],
        "gini": [round(c["gini, millionths"] / n / 1e6, 4) if n else None for c, n in looks],
        "stages": {name: _quantiles([tally for _, tally in steps], name) for name in names},
    }


def _quantiles(tallies: list[Tally], name: str) -> dict[str, list[float | None]]:
    told: dict[str, list[float | None]] = {"p50": [], "p99": []}
    for tally in tallies:
        found = tally.histograms.get(name)
        marks: list[Any] = [None, None] if not found else found.quantiles((0.5, 0.99))
        for mark, x in zip(told, marks, strict=True):
            told[mark].append(None if x is None else round(x, 3))
    return told


def _scores(recent: Tally) -> dict[str, Any]:
    """Return what scores, chances and shares of the own part are like; None of what there was nothing."""
    share = _spread(recent, "own share", (0.0, 1.0))
    if share is not None:
        share["mean"] = round(recent.counts["own share, millionths"] / share["count"] / 1e6, 4)
    return {
        "score": _spread(recent, "scores"),
        "probability": _spread(recent, "chances"),
        "popularity": _spread(recent, "popularity"),
        "own_share": share,
    }


def _spread(recent: Tally, name: str, ends: tuple[float, float] | None = None) -> dict[str, Any] | None:
    """Return quantiles, and ``BARS`` counts from low to high: the 0.5 and 99.5 % points where ``ends`` is None."""
    found = recent.histograms.get(name)
    if not found:
        return None
    low, high = ends or found.quantiles((0.005, 0.995))
    marks = dict(zip(MARKS, found.quantiles(list(MARKS.values())), strict=True))
    if ends is not None:
        marks = {mark: min(max(x, low), high) for mark, x in marks.items()}
    bars = found.bars(low, high, BARS)
    return {
        "count": len(found),
        **{mark: round(x, 4) for mark, x in marks.items()},
        "bars": {"low": round(low, 4), "high": round(high, 4), "counts": [round(n) for n in bars]},
    }
