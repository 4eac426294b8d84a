"""Counts over time: a tally for each step, as many steps as memory is meant for."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from crossfm.serving.histogram import Histogram


class Tally:
    """Named counts and named histograms; tallies add up, over time and over processes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.histograms: dict[str, Histogram] = {}

    def note(self, name: str, values: Iterable[float], width: float = 0.1) -> None:
        """Put numbers into a histogram; one name always has the same width."""
        if name not in self.histograms:
            self.histograms[name] = Histogram(width)
        self.histograms[name].add(values)

    def join(self, other: Tally) -> None:
        """Add another's."""
        self.counts.update(other.counts)
        for name, theirs in other.histograms.items():
            self.histograms.setdefault(name, Histogram(theirs.width)).join(theirs)

    def state(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        histograms = {name: one.state() for name, one in self.histograms.items()}
        return {"counts": dict(self.counts), "histograms": histograms}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Tally:
        """Return what ``state`` was made of."""
        made = cls()
        made.counts.update(state["counts"])
        made.histograms = {name: Histogram.of(one) for name, one in state["histograms"].items()}
        return made


class Series:
    """The tallies of the latest ``kept`` steps of ``seconds`` each; not safe to call from several threads at once."""

    def __init__(self, seconds: int, kept: int) -> None:
        self.seconds = seconds
        self.kept = kept
        self._steps: OrderedDict[int, Tally] = OrderedDict()

    def at(self, now: float) -> Tally:
        """Return the tally of this moment's step."""
        step = int(now) // self.seconds
        if step not in self._steps:
            self._steps[step] = Tally()
            for old in [one for one in self._steps if one <= step - self.kept]:
                del self._steps[old]
        return self._steps[step]

    def before(self, now: float) -> Tally | None:
        """Return the tally of the latest step before this moment's, where this moment's has none yet."""
        if not self._steps or int(now) // self.seconds in self._steps:
            return None
        return self._steps[max(self._steps)]

    def latest(self, now: float) -> list[tuple[int, Tally]]:
        """Return (begin in seconds since 1970, tally) of each step from the first with anything to now."""
        last = int(now) // self.seconds
        there = [step for step in self._steps if last - self.kept < step <= last]
        steps = range(min(there), last + 1) if there else ()
        return [(step * self.seconds, self._steps.get(step, Tally())) for step in steps]

    def total(self, now: float) -> Tally:
        """Return the sum of what is kept."""
        whole = Tally()
        for _, tally in self.latest(now):
            whole.join(tally)
        return whole

    def state(self) -> list[Any]:
        """Return it as JSON can hold it."""
        return [[step, tally.state()] for step, tally in self._steps.items()]

    def take(self, state: Iterable[Any]) -> None:
        """Add what another process noted."""
        for step, tally in state:
            self._steps.setdefault(step, Tally()).join(Tally.of(tally))
