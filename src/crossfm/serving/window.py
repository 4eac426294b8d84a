"""What happened in the last minutes, in memory: quantiles, requests a second, the funnel, coverage."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

SECONDS = 300
STEP = 5
KEPT = 2_000  # times of one route or stage
ANSWERS = 1_000  # answers whose items count for coverage


class Times:
    """The latest times (ms) of one kind, for quantiles."""

    def __init__(self) -> None:
        self.ms: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self.count = 0
        self.errors = 0

    def add(self, now: float, ms: float, *, error: bool = False) -> None:
        """Note one."""
        self.ms.append((now, ms))
        self.count += 1
        self.errors += error

    def state(self, now: float) -> dict[str, Any]:
        """Return what counts now, for another process."""
        recent = [pair for pair in self.ms if now - pair[0] <= SECONDS]
        return {"ms": recent, "count": self.count, "errors": self.errors}

    def take(self, state: Mapping[str, Any]) -> None:
        """Add what another process noted."""
        self.ms = deque((*self.ms, *map(tuple, state["ms"])))  # all: each has left out what is too much
        self.count += state["count"]
        self.errors += state["errors"]

    def report(self, now: float) -> dict[str, Any]:
        """Return counts since the start and quantiles (ms, None without any) of the last minutes."""
        recent = [ms for then, ms in list(self.ms) if now - then <= SECONDS]
        told: dict[str, Any] = {"count": self.count, "errors": self.errors, "recent": len(recent)}
        if not recent:
            return {**told, "mean": None, "p50": None, "p90": None, "p95": None, "p99": None}
        marks = np.quantile(recent, (0.5, 0.9, 0.95, 0.99)).round(3).tolist()
        return {
            **told,
            "mean": round(float(np.mean(recent)), 3),
            **dict(zip(("p50", "p90", "p95", "p99"), marks, strict=True)),
        }


class Window:
    """Rolling statistics of one worker; safe to call from several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.started = clock()
        self._routes: defaultdict[str, Times] = defaultdict(Times)
        self._stages: defaultdict[str, Times] = defaultdict(Times)
        self._seconds: OrderedDict[int, list[int]] = OrderedDict()
        self._funnels: deque[dict[str, int]] = deque(maxlen=ANSWERS)
        self._items: deque[tuple[Any, ...]] = deque(maxlen=ANSWERS)
        self._known: deque[bool] = deque(maxlen=ANSWERS)
        self._versions: Counter[str] = Counter()

    def request(self, route: str, ms: float, status: int) -> None:
        """Note a request that was answered."""
        now = self._clock()
        with self._lock:
            self._routes[route].add(now, ms, error=status >= 500)
            step = self._seconds.setdefault(int(now) // STEP, [0, 0])
            step[0] += 1
            step[1] += status >= 400
            while len(self._seconds) > SECONDS // STEP + 1:
                self._seconds.popitem(last=False)

    def answer(
        self,
        version: str,
        timings: Mapping[str, float],
        funnel: Mapping[str, int],
        items: Iterable[Any],
        known: bool,
    ) -> None:
        """Note a list that was given."""
        now = self._clock()
        with self._lock:
            for stage, ms in timings.items():
                self._stages[stage].add(now, ms)
            self._funnels.append(dict(funnel))
            self._items.append(tuple(items))
            self._known.append(known)
            self._versions[version] += 1

    def concentration(self) -> tuple[int, float]:
        """Return how many items the last answers have shown, and the Gini index of how often; 0 without any."""
        with self._lock:
            shown = Counter(item for items in self._items for item in items)
        return len(shown), _gini(list(shown.values())) if shown else 0.0

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it, for ``merged`` in another process."""
        now = self._clock()
        with self._lock:
            return {
                "started": self.started,
                "routes": {name: times.state(now) for name, times in self._routes.items()},
                "stages": {name: times.state(now) for name, times in self._stages.items()},
                "seconds": list(self._seconds.items()),
                "funnels": list(self._funnels),
                "items": list(self._items),
                "known": list(self._known),
                "versions": dict(self._versions),
            }

    @classmethod
    def merged(cls, states: Iterable[Mapping[str, Any]], clock: Callable[[], float] = time.time) -> Window:
        """Return a window that holds what several workers noted: as if one had answered everything."""
        whole = cls(clock)
        for state in states:
            whole._take(state)
        return whole

    def _take(self, state: Mapping[str, Any]) -> None:
        self.started = min(self.started, state["started"])
        for mine, theirs in ((self._routes, state["routes"]), (self._stages, state["stages"])):
            for name, times in theirs.items():
                mine[name].take(times)
        for step, (count, errors) in state["seconds"]:
            there = self._seconds.setdefault(step, [0, 0])
            there[0] += count
            there[1] += errors
        self._funnels = deque((*self._funnels, *state["funnels"]))
        self._items = deque((*self._items, *map(tuple, state["items"])))
        self._known = deque((*self._known, *state["known"]))
        self._versions.update(state["versions"])

    def report(self, n_items: int) -> dict[str, Any]:
        """Return all of it; the shapes are described in ``answers.Stats``."""
        now = self._clock()
        with self._lock:
            return {
                "uptime_seconds": round(now - self.started, 1),
                "window_seconds": SECONDS,
                "routes": [
                    {"route": name, **times.report(now)} for name, times in sorted(self._routes.items())
                ],
                "stages": [{"stage": name, **times.report(now)} for name, times in self._stages.items()],
                "qps": self._qps(now),
                "funnel": self._funnel(),
                "coverage": self._coverage(n_items),
                "answers_by_version": dict(self._versions),
            }

    def _qps(self, now: float) -> dict[str, Any]:
        last = int(now) // STEP  # still filling: left out
        steps = range(last - SECONDS // STEP, last)
        counts = [self._seconds.get(step, [0, 0]) for step in steps]
        return {
            "step_seconds": STEP,
            "end": last * STEP,
            "series": [count[0] / STEP for count in counts],
            "errors": [count[1] / STEP for count in counts],
        }

    def _funnel(self) -> dict[str, Any]:
        told: dict[str, Any] = {"answers": len(self._funnels)}
        for name in ("catalogue", "allowed", "recalled", "ranked", "returned"):
            values = [funnel[name] for funnel in self._funnels if name in funnel]
            told[name] = round(float(np.mean(values)), 2) if values else None
        told["known"] = round(float(np.mean(self._known)), 4) if self._known else None
        return told

    def _coverage(self, n_items: int) -> dict[str, Any]:
        shown = Counter(item for items in self._items for item in items)
        total = sum(shown.values())
        return {
            "answers": len(self._items),
            "distinct_items": len(shown),
            "share": round(len(shown) / n_items, 6) if n_items else None,
            "top": [
                {"item": item, "share": round(count / len(self._items), 4)}
                for item, count in shown.most_common(10)
            ],
            "gini": _gini(list(shown.values())) if total else None,
        }


def _gini(counts: list[int]) -> float:
    """Return how unequally often the shown items were shown: 0 all alike, near 1 one of them alone."""
    x = np.sort(np.asarray(counts, float))
    n = len(x)
    return round(float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum())), 4)
