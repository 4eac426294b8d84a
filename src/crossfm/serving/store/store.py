"""The state of a server, behind one door."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from crossfm.core.options import check_count, check_number
from crossfm.serving.store import entities, events, impressions, lately, outcomes, upkeep
from crossfm.serving.store.checks import MAX_LABEL, check_batch, check_text, json_object
from crossfm.serving.store.database import Database
from crossfm.serving.store.records import Event, Impression, Known, Lately, Outcome
from crossfm.serving.store.tables import logs
from crossfm.serving.store.writer import Writer

MAX_NUMBER = 2**63 - 1
ROWS = 10_000  # of one answer


class Store:
    """Users, items, events and impressions in SQLite or PostgreSQL.

    Whatever a method has returned is durable: it is there after a kill or a loss of power, but for impressions, of
    which the last second may be lost. All methods may be called from many threads; several processes may share a
    database.

    Parameters
    ----------
    url : str, default="sqlite:///crossfm.db"
        ``sqlite:///PATH``, or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME`` (extra ``postgres``).
    timeout : float, default=5.0
        Seconds to wait for a lock or a connection.
    max_waiting : int, default=10_000
        Impressions that may wait to be written; more are dropped, and counted.

    Raises ``OptionError`` for another kind of URL; ``StoreError`` here and in every method where the database cannot be
    used (``retry`` says whether it may work later); ``DataError`` for ids, labels, numbers or JSON that are not taken.
    """

    def __init__(
        self, url: str = "sqlite:///crossfm.db", *, timeout: float = 5.0, max_waiting: int = 10_000
    ) -> None:
        check_number("timeout", timeout, above=True)
        self._queue = impressions.Queue(check_count("max_waiting", max_waiting, low=1))
        self._database = Database(url, timeout)
        self._writer = Writer(self._database, self._queue)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Events

    def add_events(self, new: Sequence[Event]) -> list[int]:
        """Store events; return their numbers once they are durable.

        A ``key`` that this user has sent before is answered with the number it had. An event from before its user was
        deleted is not kept: 0. Calls of several threads share a commit.
        """
        check_batch("events", new)
        rows = [events.row_of(event) for event in new]
        return self._writer.add_events(rows) if rows else []

    def events(self, user: str, *, limit: int | None = None, since: float | None = None) -> list[Event]:
        """Return a user's events, newest first; ``since`` is in seconds since 1970."""
        most = events.ALL if limit is None else check_count("limit", limit, high=events.ALL)
        start = 0.0 if since is None else check_number("since", since)
        return events.of_user(self._database, check_text("user", user), most, start)

    def known(self, user: str, *, limit: int = 50) -> Known:
        """Return features, tombstone and newest history of a user in one round trip: the way of a request."""
        most = check_count("limit", limit, high=events.ALL)
        return events.known(self._database, check_text("user", user), most)

    def event_log(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, Event]]:
        """Return (number, event) by number, those above ``after``. Numbers become visible in order."""
        return events.in_order(self._database, *_page(after, limit))

    # Users

    def put_user(self, id: str, features: Mapping[str, Any], *, create_only: bool = False) -> bool:
        """Store or replace a user's features; return whether the user is new. ``create_only`` replaces nothing."""
        return id in self.put_users([(id, features)], create_only=create_only)

    def put_users(
        self, pairs: Iterable[tuple[str, Mapping[str, Any]]], *, create_only: bool = False
    ) -> set[str]:
        """Store many users in one transaction; return the ids that are new."""
        return self._put("users", pairs, create_only)

    def patch_user(self, id: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change some features (None removes one); return all, or None for a user who was not put."""
        return self._patch("users", id, changes)

    def get_user(self, id: str) -> dict[str, Any] | None:
        """Return a user's features; None for a user who was not put, or was deleted."""
        return entities.get(self._database, "users", check_text("user", id))

    def delete_user(self, id: str) -> bool:
        """Forget a user with all events and impressions; return whether there was anything.

        A tombstone stays, also when the user is put again: what a model has learned from before must not be used.
        """
        check_text("user", id)
        return self._writer.run(lambda turn: entities.delete_user(turn, id))

    def is_forgotten(self, id: str) -> bool:
        """Tell whether a user was ever deleted."""
        return self.known(id, limit=0).forgotten is not None

    def users(self, search: str = "", limit: int = 20, offset: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """Return (id, features) by id; ``search`` is part of the id or of the features, in any case."""
        return self._listed("users", search, limit, offset)

    # Items

    def put_item(self, id: str, attributes: Mapping[str, Any], *, create_only: bool = False) -> bool:
        """Store or replace an item's attributes; return whether it is new."""
        return id in self.put_items([(id, attributes)], create_only=create_only)

    def put_items(
        self, pairs: Iterable[tuple[str, Mapping[str, Any]]], *, create_only: bool = False
    ) -> set[str]:
        """Store many items in one transaction; return the ids that are new."""
        return self._put("items", pairs, create_only)

    def patch_item(self, id: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change some attributes (None removes one); return all, or None for an item that was not put."""
        return self._patch("items", id, changes)

    def get_item(self, id: str) -> dict[str, Any] | None:
        """Return an item's attributes; None for one that was not put, or was deleted."""
        return entities.get(self._database, "items", check_text("item", id))

    def delete_item(self, id: str) -> bool:
        """Note that an item is gone, also one that only a model knows; return whether it was not noted before."""
        check_text("item", id)
        return self._writer.run(lambda turn: entities.delete_item(turn, id))

    def items(self, search: str = "", limit: int = 20, offset: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """Return (id, attributes) by id; ``search`` is part of the id or of the attributes, in any case."""
        return self._listed("items", search, limit, offset)

    def changed_items(
        self, after: int = 0, *, limit: int | None = None
    ) -> tuple[int, list[tuple[str, dict[str, Any]]], list[str]]:
        """Return (cursor, [(id, attributes)] put, ids deleted) since the cursor ``after``: the last change of each.

        Give the cursor back next time; with a ``limit`` there may be more at once.
        """
        most = events.ALL if limit is None else check_count("limit", limit, low=1, high=events.ALL)
        return entities.changed_items(self._database, check_count("after", after, high=MAX_NUMBER), most)

    # Impressions

    def add_impressions(self, shown: Sequence[Impression]) -> None:
        """Queue what was shown; it is written within a second, and never waits for the database."""
        self._writer.add_impressions([impressions.row_of(one) for one in shown])

    def impressions(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, Impression]]:
        """Return (number, impression) by number, those above ``after``."""
        return impressions.in_order(self._database, *_page(after, limit))

    def outcome(self, experiment: str, event_type: str, window: float) -> list[Outcome]:
        """Return for each variant who saw it and who had such an event within ``window`` seconds of first seeing it."""
        check_text("experiment", experiment, MAX_LABEL)
        check_text("event_type", event_type, MAX_LABEL)
        return outcomes.outcome(
            self._database, experiment, event_type, check_number("window", window, above=True)
        )

    def lately(self, item: str) -> Lately:
        """Return what happened to an item among the latest 2,000 answers and 10,000 events."""
        return lately.lately(self._database, check_text("item", item))

    # Upkeep

    def prune(self, older_than: float) -> dict[str, int]:
        """Remove events and impressions older than so many seconds; return how many of each.

        Others go on writing meanwhile. The file does not shrink: its room is used again.
        """
        age = check_number("older_than", older_than)
        return upkeep.prune(self._database, self._writer, time.time() - age)

    def export(self, path: str | os.PathLike[str], *, after: int = 0) -> int:
        """Write the events with numbers above ``after`` as Parquet; return how many. The file is whole or not there."""
        return upkeep.export(self._database, path, check_count("after", after, high=MAX_NUMBER))

    def counts(self) -> dict[str, int]:
        """Return how many users, items, tombstones ("forgotten"), events and impressions there are.

        With what ``waiting`` tells.
        """
        return {**upkeep.counts(self._database), **self.waiting()}

    def waiting(self) -> dict[str, int]:
        """Return "impressions_waiting" and "impressions_dropped" of this process; asks no database."""
        return {"impressions_waiting": len(self._queue), "impressions_dropped": self._queue.dropped}

    def ping(self) -> None:
        """Return when the database answers; raises ``StoreError``."""
        self._database.read(select(logs.c.last))

    def close(self) -> None:
        """Write what waits and close all connections."""
        self._writer.close()
        self._database.close()

    def _put(self, kind: str, pairs: Iterable[tuple[str, Mapping[str, Any]]], create_only: bool) -> set[str]:
        name = kind[:-1]
        contents = {check_text(name, id): json_object(f"{name} {id}", content) for id, content in pairs}
        check_batch(kind, list(contents))
        if not contents:
            return set()
        return self._writer.run(lambda turn: entities.put(turn, kind, contents, create_only=create_only))

    def _patch(self, kind: str, id: str, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        check_text(kind[:-1], id)
        json_object("changes", changes)
        changes = dict(changes)
        return self._writer.run(lambda turn: entities.patch(turn, kind, id, changes))

    def _listed(self, kind: str, search: str, limit: int, offset: int) -> list[tuple[str, dict[str, Any]]]:
        if search:
            check_text("search", search)
        check_count("limit", limit, high=ROWS)
        return entities.listed(
            self._database, kind, search, limit, check_count("offset", offset, high=MAX_NUMBER)
        )


def _page(after: int, limit: int) -> tuple[int, int]:
    return check_count("after", after, high=MAX_NUMBER), check_count("limit", limit, high=events.ALL)
