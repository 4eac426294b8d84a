"""Which version answers: loaded beside the old one, checked, warmed, then one reference changes."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfm.errors import CrossFMError, DataError, ModelFileError, OptionError
from crossfm.recommender.ask import Ask
from crossfm.serving import bundle

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass
class Loaded:
    """One version in memory. A request takes it once and keeps it, whatever is swapped meanwhile."""

    engine: Any
    version: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    loaded_at: float = field(default_factory=time.time)
    cursor: int = 0  # of the store's item changes that are in the engine

    def __post_init__(self) -> None:
        schema = self.engine.schema()
        self.user_name = str(schema["user"])
        self.item_name = str(schema["item"])
        self.user_columns = frozenset(column["name"] for column in schema["user_columns"])
        first = self.engine.items(limit=1)
        self.whole_numbers = bool(first) and isinstance(first[0][self.item_name], int)

    def put_items(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put items into the engine. Raises ``DataError`` where it does not take the values."""
        try:
            self.engine.put_items([{**row, self.item_name: self._id(row[self.item_name])} for row in rows])
        except CrossFMError:
            raise
        except (ValueError, TypeError, NotImplementedError) as exc:  # Arrow's: a text in a column of numbers
            raise DataError(f"the model does not take these attributes: {exc}") from exc

    def catch_up(self, store: Any, left_out: Callable[[Any, str], None]) -> int:
        """Put the store's item changes since the last time into the engine; return how many. Raises ``StoreError``.

        One that this version does not take (its columns may differ) is told to ``left_out`` with the reason.
        """
        cursor, puts, deletes = store.changed_items(self.cursor)
        rows = [{self.item_name: item, **attributes} for item, attributes in puts]
        try:
            if rows:
                self.put_items(rows)
        except CrossFMError:
            for row in rows:
                self._put_or_leave(row, left_out)
        if deletes:
            self.engine.delete_items(list(deletes))
        self.cursor = cursor
        return len(rows) + len(deletes)

    def _put_or_leave(self, row: Mapping[str, Any], left_out: Callable[[Any, str], None]) -> None:
        try:
            self.put_items([row])
        except CrossFMError as exc:
            left_out(row[self.item_name], str(exc))

    def _id(self, item: Any) -> Any:
        """Return an id as the model's own are: one text among whole numbers would make texts of all of them."""
        if self.whole_numbers and isinstance(item, str) and _WHOLE.fullmatch(item):
            return int(item)
        return item


@dataclass(frozen=True)
class Refusal:
    """A version that was not taken, and why."""

    version: str
    reason: str
    time: float


Replay = Callable[[Loaded], object]


class Registry:
    """Versions of a folder, one of them current.

    Parameters
    ----------
    folder : path or None
        Of bundles; None serves ``engine`` alone.
    engine : Engine or None
        A model without a folder.
    opener : callable
        Makes an engine of a version's folder.
    keep : sequence of str
        Versions that experiments need: loaded at the start and kept.

    Raises ``ModelFileError`` when neither the current nor the previous version can be served.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        engine: Any = None,
        opener: bundle.Opener = bundle.open_engine,
        keep: Sequence[str] = (),
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self._opener = opener
        self._lock = threading.RLock()  # of loading and swapping; answering takes none
        self.refusals: list[Refusal] = []
        self.replay: Replay = lambda loaded: None
        self.on_swap: Callable[[str, str | None], None] = lambda new, old: None
        self.on_refusal: Callable[[Refusal], None] = lambda refusal: None
        self._tried: str | None = None
        self._others: dict[str, Loaded] = {}
        self._keep = tuple(keep)
        self.previous: Loaded | None = None
        self.current = self._first(engine)
        for version in keep:
            if version != self.current.version:
                self._others[version] = self._load(version)

    def _first(self, engine: Any) -> Loaded:
        if self.folder is None:
            if engine is None:
                raise OptionError("a registry needs a folder of bundles or an engine")
            return Loaded(engine, engine.version or "unversioned")
        wanted = self._pointed("CURRENT")
        if wanted is None:
            raise ModelFileError(
                f"{self.folder} names no current version; write one with crossfm bundle add, "
                "or choose one with crossfm bundle use"
            )
        self._tried = wanted
        try:
            return self._load(wanted)
        except CrossFMError as exc:
            before = self._pointed("PREVIOUS")
            if before is None:
                raise
            self._refuse(wanted, exc)
            return self._load(before)

    # ------------------------------------------------------------- asking

    def get(self, version: str | None) -> Loaded:
        """Return the current version, or the named one if it is in memory (else the current one)."""
        current = self.current
        if version is None or version == current.version:
            return current
        return self._others.get(version, current)

    def find(self, version: str) -> Loaded | None:
        """Return the named version if it is in memory."""
        return next((one for one in self.in_memory() if one.version == version), None)

    def in_memory(self) -> list[Loaded]:
        """Return every version that may still be asked for."""
        kept = [self.current, *self._others.values(), *([self.previous] if self.previous else [])]
        return list({id(one): one for one in kept}.values())

    def report(self) -> dict[str, Any]:
        """Return the versions and what was refused."""
        current, previous = self.current, self.previous
        listed = bundle.versions(self.folder) if self.folder is not None else [{"version": current.version}]
        memory = {one.version for one in self.in_memory()}
        return {
            "current": current.version,
            "previous": previous.version if previous else None,
            "loaded_at": current.loaded_at,
            "versions": [{**one, "in_memory": one["version"] in memory} for one in listed],
            "refused": [
                {"version": one.version, "reason": one.reason, "time": one.time} for one in self.refusals
            ],
        }

    @property
    def failing(self) -> Refusal | None:
        """The refusal of the version that CURRENT names, if it is not the one that answers."""
        if self._tried is None or self._tried == self.current.version:
            return None
        return next((one for one in reversed(self.refusals) if one.version == self._tried), None)

    # ------------------------------------------------------------ changing

    def refresh(self) -> bool:
        """Take the version that CURRENT names if that changed; return whether another one answers now.

        A version that cannot be served is refused once, until CURRENT names another; the old one goes on.
        """
        with self._lock:
            try:
                wanted = self._pointed("CURRENT") if self.folder is not None else None
                if wanted is None or wanted == self._tried:
                    return False
                self._tried = wanted
                if wanted == self.current.version:
                    return False
                self._swap(self._ready(wanted))
            except (CrossFMError, OSError) as exc:
                self._refuse(self._tried or "CURRENT", exc)
                return False
            return True

    def activate(self, version: str) -> Loaded:
        """Serve ``version`` and make it the folder's current one.

        Raises what is wrong with it; then the old one goes on, and CURRENT is as it was.
        """
        if self.folder is None:
            raise OptionError(
                "this server has one model and no folder of bundles; start it with one to change"
            )
        with self._lock:
            try:
                loaded = self._ready(version)
            except CrossFMError as exc:
                self._note(Refusal(version[:64], str(exc), time.time()))
                raise
            bundle.point(self.folder, version)
            self._tried = version
            if loaded is not self.current:
                self._swap(loaded)
            return loaded

    def rollback(self) -> Loaded:
        """Serve the version before. Raises ``OptionError`` if there is none."""
        with self._lock:
            before = self.previous.version if self.previous else None
            if before is None and self.folder is not None:
                before = self._pointed("PREVIOUS")
            if before is None:
                raise OptionError("there is no version before this one; activate one by name")
            return self.activate(before)

    def _ready(self, version: str) -> Loaded:
        return self.find(version) or self._load(version)

    def _load(self, version: str) -> Loaded:
        assert self.folder is not None
        engine, manifest = bundle.open_bundle(self.folder, version, opener=self._opener)
        loaded = Loaded(engine, version, manifest)
        self.replay(loaded)
        for _ in range(3):  # the first answers of an engine build what it caches
            engine.recommend(Ask())
        return loaded

    def _swap(self, loaded: Loaded) -> None:
        old = self.current
        self._others.pop(loaded.version, None)
        self.previous, self.current = old, loaded  # requests that hold ``old`` end with it
        if old.version in self._keep:
            self._others[old.version] = old
        self.replay(loaded)  # what changed while it was loading
        self.on_swap(loaded.version, old.version)

    def _pointed(self, name: str) -> str | None:
        assert self.folder is not None
        return bundle.pointed(self.folder, name)

    def _refuse(self, version: str, exc: Exception) -> None:
        self._note(Refusal(version, str(exc), time.time()))

    def _note(self, refusal: Refusal) -> None:
        self.refusals = [*self.refusals[-19:], refusal]
        self.on_refusal(refusal)
