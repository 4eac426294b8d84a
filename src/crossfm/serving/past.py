"""What a server remembers of a user, as a request to a model needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfm.serving.settings import EventRule, Settings
from crossfm.serving.store.records import Known


@dataclass(frozen=True)
class Remembered:
    """Of one user: features, what was liked (oldest first), what else was seen.

    ``model_knows`` is False for a user who was deleted: then the model's own features and history must not be used.
    """

    features: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[str] = ()
    seen: Sequence[str] = ()
    model_knows: bool = True


class Past:
    """Reads users from the store and sorts their events by the settings' rules."""

    def __init__(self, store: Any, settings: Settings) -> None:
        self._store = store
        self._positive = [EventRule.parse(text) for text in settings.positive]
        self._not_seen = [EventRule.parse(text) for text in settings.not_seen]
        self._history = settings.history
        self._events = settings.max_events

    def of(self, user: str) -> Remembered:
        """Return what is known. Raises ``StoreError``."""
        return self.sorted(self._store.known(user, limit=self._events))

    def sorted(self, known: Known) -> Remembered:
        """Return what the store knows, sorted by the rules."""
        history: list[str] = []
        seen: list[str] = []
        for event in known.history[: self._events]:  # newest first
            if self._is(self._positive, event) and len(history) < self._history:
                history.append(event.item)
            elif not self._is(self._not_seen, event):
                seen.append(event.item)
        return Remembered(known.features or {}, history[::-1], seen, known.forgotten is None)

    @staticmethod
    def _is(rules: Sequence[EventRule], event: Any) -> bool:
        return any(rule.matches(event.type, event.value) for rule in rules)
