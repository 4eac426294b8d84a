"""Users as the store and the model know them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossfm.serving.service import Service, without

MOST = 10_000  # users that can be paged through; search finds the others


class People:
    """Reads and writes users; runs in a thread of the store."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        loaded = service.registry.current
        self.engine = loaded.engine
        self.id_name = loaded.user_name
        self.item_name = loaded.item_name

    def features(self, user: str) -> dict[str, Any] | None:
        """Return the features of a user, stored ones before the model's; None for nobody."""
        known = self.store.known(user, limit=0)
        model = self.engine.user(user) if known.forgotten is None else None
        if known.features is None and model is None:
            return None
        return without({**(model or {}), **(known.features or {})}, self.id_name)

    def change(self, user: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change some stored features in one transaction, None removes one; return all, or None for nobody."""
        if self.store.patch_user(user, changes) is None:
            if self.features(user) is None:
                return None
            self.store.put_user(user, {}, create_only=True)  # known to the model alone
            self.store.patch_user(user, changes)
        return self.features(user)

    def page(self, search: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Return users that match: those of the store first, then those whom only the model knows."""
        wide = min(limit + offset, MOST)
        stored = self.store.users(search, wide, 0)
        known = {user for user, _ in stored}
        found = [{"id": user, "features": features} for user, features in stored]
        at = 0
        while len(found) < wide:
            more = self.engine.users(search, limit=wide, offset=at)
            at += len(more)
            for one in more:
                user = str(one[self.id_name])
                if user not in known and not self.store.is_forgotten(user):
                    found.append({"id": one[self.id_name], "features": without(one, self.id_name)})
            if len(more) < wide:
                break
        return found[offset:wide]

    def history(self, user: str, limit: int) -> list[dict[str, Any]] | None:
        """Return what a user did, the latest first: events of the store, then what the model learned from.

        None for a user who was deleted and has not come back.
        """
        told = [
            {
                "item": event.item,
                "type": event.type,
                "value": event.value,
                "time": event.time,
                "source": "feedback",
            }
            for event in self.store.events(user, limit=limit)
        ]
        forgotten = self.store.is_forgotten(user)
        if forgotten and not told and self.store.get_user(user) is None:
            return None
        if len(told) < limit and not forgotten:
            there = {str(one["item"]) for one in told}
            told += [
                {"item": item, "type": "history", "value": None, "time": None, "source": "model"}
                for item in self.engine.history(user, limit=limit)
                if str(item) not in there
            ]
        for one in told[:limit]:
            attributes = one["attributes"] = self.engine.item(one["item"])
            if attributes is not None:
                one["item"] = attributes[self.item_name]  # a number again, if the model's ids are
        return told[:limit]

    def known(self, user: str) -> bool:
        """Whether anybody knows this user: stored, in the model, or with events."""
        return self.features(user) is not None or bool(self.store.events(user, limit=1))
