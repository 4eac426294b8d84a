"""Items: in the model at once, and in the store so that they outlive it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from crossfm.errors import CrossFMError
from crossfm.serving.problems import Problem
from crossfm.serving.service import Service, without


class Goods:
    """Reads and writes items; runs in a thread of the store."""

    def __init__(self, service: Service) -> None:
        self.registry = service.registry
        self.store = service.store
        self.loaded = self.registry.current
        self.engine = self.loaded.engine
        self.id_name = self.loaded.item_name

    def get(self, item: Any) -> dict[str, Any]:
        """Return an item's attributes. Raises ``Problem`` (404) for an unknown one."""
        found: dict[str, Any] | None = self.engine.item(item)
        if found is None:
            raise Problem(404, f"there is no item {item!r}", field="id")
        return without(found, self.id_name)

    def page(self, search: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Return items that match, popular ones first."""
        return [
            {
                "id": one[self.id_name],
                "attributes": without(one, self.id_name),
            }
            for one in self.engine.items(search, limit, offset)
        ]

    def exists(self, item: Any) -> bool:
        """Whether the model has it."""
        return self.engine.item(item) is not None

    def put(self, item: Any, attributes: dict[str, Any]) -> dict[str, Any]:
        """Make or replace an item in every version in memory, then on disk; return its attributes.

        The model checks it first: what it does not take is not stored. Where the disk refuses, the model is put back.
        """
        return self._write(item, attributes, lambda: self.store.put_item(str(item), attributes))

    def change(self, item: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some attributes in one transaction of the store, None removes one; return all.

        Raises ``Problem`` (404) for an unknown item. Else as ``put``.
        """
        before = self.get(item)
        changed = {name: value for name, value in {**before, **changes}.items() if value is not None}

        def store() -> None:
            self.store.put_item(str(item), before, create_only=True)  # known to the model alone
            merged = self.store.patch_item(str(item), changes)
            if (
                merged is not None and merged != changed
            ):  # another call has changed other attributes meanwhile
                self.loaded.put_items([{self.id_name: item, **merged}])

        return self._write(item, changed, store)

    def _write(self, item: Any, attributes: Mapping[str, Any], store: Callable[[], object]) -> dict[str, Any]:
        if self.id_name in attributes:
            raise Problem(422, f"attributes has {self.id_name!r}, which is the id", field="attributes")
        before = self.engine.item(item)
        row = {self.id_name: item, **attributes}
        self.loaded.put_items([row])
        try:
            store()
        except CrossFMError:
            with suppress(CrossFMError):
                self.loaded.put_items([before]) if before else self.engine.delete_items([item])
            raise
        for loaded in self.registry.in_memory():
            if loaded is not self.loaded:
                with suppress(CrossFMError):  # another version may have other columns
                    loaded.put_items([row])
        return self.get(item)

    def delete(self, item: Any) -> None:
        """Take an item out of the disk and of every version in memory. Raises ``Problem`` (404)."""
        self.get(item)
        self.store.delete_item(str(item))
        for loaded in self.registry.in_memory():
            loaded.engine.delete_items([item])
