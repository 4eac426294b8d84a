"""A version and its knobs, judged by the log of what others have shown: what they would have earned.

Every list that was drawn with known chances is asked for again: the same request, with the user's history as it was.
The chances that the new version gives the same items are what ``recommender.evaluation.replay`` weighs the log with.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from crossfm.core.options import check_count, check_number
from crossfm.errors import CrossFMError, DataError, MissingFileError, OptionError
from crossfm.recommender.engine import Engine
from crossfm.recommender.evaluation.replay import Replay, replay
from crossfm.serving.bundle import open_bundle, open_file, pointed
from crossfm.serving.clicks import rewards
from crossfm.serving.experiments import user_of
from crossfm.serving.lists import ask_of
from crossfm.serving.past import Past, Remembered
from crossfm.serving.registry import Loaded
from crossfm.serving.schemas import RecommendBody
from crossfm.serving.settings import EventRule, Settings
from crossfm.serving.store import Event, Impression, Known, records

PAGE = 5_000  # rows of one read
CHECKED = 200  # lists whose own chances are computed again
NEAR = 0.01  # of their logarithms
NO_CHANCES = "have no propensities: shown by score, with a seed or exploration, or before these were kept"
YOUNG = "are younger than the window: their events may still come"


@dataclass(frozen=True)
class Replayed:
    """What the log says of a version.

    Attributes
    ----------
    replay : Replay
    n_read : int
        Lists in the log.
    refused : dict of reason to int
        Lists that could not be used.
    n_checked, n_same : int
        Lists of this very version that were asked for again as they were, and those whose logged chances came back.
    """

    replay: Replay
    n_read: int
    refused: dict[str, int]
    n_checked: int
    n_same: int


def open_version(path: Path, version: str | None = None, *, ranking: bool = True) -> Loaded:
    """Return a version of a folder (None: the current one), or the model of a ``.crossfm`` file.

    ``ranking`` False leaves the second stage away. Raises ``OptionError`` for what is not there to choose from, and
    whatever is wrong with the version.
    """
    if path.is_dir():
        version = version or pointed(path)
        if version is None:
            raise OptionError(f"{path} names no current version; name one of crossfm bundle list")
        engine, manifest = open_bundle(path, version)
    elif version is not None:
        raise OptionError(f"version {version!r} is asked for, but {path} is one model, no folder of versions")
    elif not path.is_file():
        raise MissingFileError(f"{path}: no folder of versions and no .crossfm file there")
    else:
        engine, manifest = open_file(path), {}
    if not ranking:
        if engine.recommender.ranking_ is None:
            raise OptionError(f"{engine.version} has no second stage that could be left away")
        model = copy(engine.recommender)
        model.ranking_ = None
        engine = Engine(model, version=f"{engine.version}, recall alone")
    return Loaded(engine, engine.version, manifest)


def replay_log(
    store: Any,
    loaded: Loaded,
    settings: Settings,
    *,
    knobs: Mapping[str, Any],
    event: str = "click",
    window: float = 86_400.0,
    most: int = 20_000,
    clip: float = 10.0,
    seed: int = 0,
    told: Callable[[str], None] = lambda line: None,
) -> Replayed:
    """Return what ``loaded`` with ``knobs`` would have earned on the log of ``store``.

    Parameters
    ----------
    knobs : mapping
        Fields of ``RecommendBody`` in the place of what was asked: popularity, diversity, temperature, candidates.
    event : str
        A rule as in the settings: "click", "rating>=4".
    window : float
        Seconds after a list in which its events count; younger lists are left out.
    most : int
        The latest lists that are used.
    told : callable
        Is told what takes long.

    Raises ``DataError`` where no list can be used, with the reasons; ``OptionError`` for a knob or rule that means
    nothing; ``StoreError``.
    """
    check_number("window", window, above=True)
    check_count("most", most, low=1)
    rule = _rule(event)
    _check_knobs(knobs)
    shown = [one for _, one in _pages(store.impressions)]
    log = Log(store, Past(store, settings), {one.user for one in shown if one.user is not None})
    refused: Counter[str] = Counter()
    used = _usable(shown, window, most, refused)
    told(f"asking {loaded.version} for {len(used):,} of {len(shown):,} lists")
    target: dict[int, list[float]] = {}
    for at in used:
        chances = _chances_or_reason(loaded, shown[at], log, knobs)
        if isinstance(chances, str):
            refused[chances] += 1
        else:
            target[at] = chances
    if not target:
        why = "; ".join(f"{n:,} {reason}" for reason, n in refused.items())
        raise DataError(
            f"none of {len(shown):,} lists can be used: {why or 'the log is empty'}. Serve with a temperature above "
            "0 for a while (docs/serving.md)"
        )
    came = rewards(shown, (one for one in log.events if rule.matches(one.type, one.value)), window)
    kept = sorted(target)
    tables = (
        _table([came[at] for at in kept]),
        _table([list(shown[at].propensities or ()) for at in kept]),
        _table([target[at] for at in kept]),
    )
    units = [shown[at].user or f"\0{shown[at].request}" for at in kept]
    found = replay(*tables, units, clip=clip, seed=seed)
    return Replayed(found, len(shown), dict(refused), *_check(loaded, [shown[at] for at in kept], log))


class Log:
    """Events in the order of their numbers, and requests as they were; of ``users``, who have to be all that are asked.

    What is read is kept, so later events are not in it.
    """

    def __init__(self, store: Any, past: Past, users: set[str]) -> None:
        self.events: list[Event] = []
        self._past = past
        self._times: dict[str, list[float]] = {}
        self._done: dict[str, list[records.Past]] = {}
        self._known = {user: store.known(user, limit=0) for user in sorted(users)}
        of_user: dict[str, list[Event]] = defaultdict(list)
        for _, one in _pages(store.event_log):
            self.events.append(one)
            if one.user in users:
                of_user[one.user].append(one)
        for user, events in of_user.items():
            events.sort(key=lambda one: one.time)  # stable: then by number
            self._times[user] = [one.time for one in events]
            self._done[user] = [records.Past(one.item, one.type, one.value, one.time) for one in events]

    def before(self, user: str, moment: float) -> Any:
        """Return what was remembered of a user; features are as they are now."""
        before = bisect_left(self._times.get(user, ()), moment)
        known = self._known[user]
        return self._past.sorted(
            Known(known.features, known.forgotten, self._done.get(user, [])[:before][::-1])
        )

    def ask(self, shown: Impression, loaded: Loaded, knobs: Mapping[str, Any]) -> Any:
        """Return the request of a list, asked again with other knobs."""
        user = user_of(shown.user)
        body = RecommendBody.model_validate(
            {**(shown.asked or {}), **knobs, "user": user, "context": shown.context or {}}
        )
        past = Remembered() if user is None else self.before(user, shown.time)
        return ask_of(body, past, loaded)


def _chances_or_reason(
    loaded: Loaded, shown: Impression, log: Log, knobs: Mapping[str, Any]
) -> list[float] | str:
    try:
        return _chances(loaded, shown, log, knobs)
    except (CrossFMError, ValidationError) as exc:
        return f"cannot be asked of {loaded.version}: {_line(exc)}"


def _chances(loaded: Loaded, shown: Impression, log: Log, knobs: Mapping[str, Any]) -> list[float]:
    ask = log.ask(shown, loaded, knobs)
    chances: list[float] = loaded.engine.propensities(ask, shown.items, now=shown.time)
    return chances


def _check(loaded: Loaded, shown: Sequence[Impression], log: Log) -> tuple[int, int]:
    """Return how many lists of this version were asked for again as they were, and how often the chances came back."""
    mine = [one for one in shown if one.version == loaded.version][-CHECKED:]
    same = 0
    for one in mine:
        again = np.array(_chances(loaded, one, log, {}))
        with np.errstate(divide="ignore"):
            away = np.abs(np.log(again) - np.log(np.array(one.propensities)))
        same += bool((away <= NEAR).all())
    return len(mine), same


def _usable(shown: Sequence[Impression], window: float, most: int, refused: Counter[str]) -> list[int]:
    """Return which lists can be used, the latest ``most``; count the others by reason."""
    kept, latest = [], time.time() - window
    for at, one in enumerate(shown):
        if one.propensities is None or one.asked is None:
            refused[NO_CHANCES] += 1
        elif one.time > latest:
            refused[YOUNG] += 1
        else:
            kept.append(at)
    if len(kept) > most:
        refused[f"are older than the latest {most:,}"] += len(kept) - most
    return kept[-most:]


def _pages(read: Callable[[int, int], Sequence[tuple[int, Any]]]) -> Iterator[tuple[int, Any]]:
    after = 0
    while rows := read(after, PAGE):
        yield from rows
        after = rows[-1][0]


def _table(lists: Sequence[Sequence[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return lists as rows, NaN beyond their ends."""
    table = np.full((len(lists), max(map(len, lists))), np.nan)
    for row, one in zip(table, lists, strict=True):
        row[: len(one)] = one
    return table


def _rule(event: str) -> EventRule:
    try:
        return EventRule.parse(event)
    except ValueError as exc:
        raise OptionError(str(exc)) from None


def _check_knobs(knobs: Mapping[str, Any]) -> None:
    try:
        RecommendBody.model_validate(dict(knobs))
    except ValidationError as exc:
        raise OptionError(_line(exc)) from None


def _line(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = exc.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(exc)
