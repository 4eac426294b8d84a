"""Which of the shown items an event came of."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from crossfm.serving.experiments import user_of
from crossfm.serving.store import Event, Impression


def rewards(shown: Sequence[Impression], events: Iterable[Event], window: float) -> list[list[float]]:
    """Return for each list 1 for every item that an event came of, else 0.

    An event belongs to the list whose request it names, if this shows the item, was for this user or a session, and is
    at most ``window`` seconds older. Otherwise it belongs to the latest list that showed the user the item within so
    many seconds before, if there is one. Several events of one item in one list count once.
    """
    came = [[0.0] * len(one.items) for one in shown]
    join = _Join(shown, window)
    for event in events:
        at = join.by_request(event)
        at = join.by_time(event) if at is None else at
        if at is not None:
            came[at][shown[at].items.index(event.item)] = 1.0
    return came


class _Join:
    def __init__(self, shown: Sequence[Impression], window: float) -> None:
        self._shown, self._window = shown, window
        self._of_request: dict[str, list[int]] = defaultdict(list)
        self._of_user: dict[str, list[int]] = defaultdict(list)
        self._times: dict[str, list[float]] = defaultdict(list)
        for at in sorted(range(len(shown)), key=lambda at: shown[at].time):
            one = shown[at]
            self._of_request[one.request].append(at)
            if one.user is not None:
                self._of_user[one.user].append(at)
                self._times[one.user].append(one.time)

    def by_request(self, event: Event) -> int | None:
        for at in reversed(self._of_request.get(event.request or "", ())):
            one = self._shown[at]
            soon = event.time - one.time <= self._window
            if soon and user_of(one.user) in (None, event.user) and event.item in one.items:
                return at
        return None

    def by_time(self, event: Event) -> int | None:
        last = bisect_right(self._times.get(event.user, ()), event.time)
        for at in reversed(self._of_user.get(event.user, [])[:last]):
            one = self._shown[at]
            if event.time - one.time > self._window:
                return None
            if event.item in one.items:
                return at
        return None
