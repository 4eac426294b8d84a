"""From a request to the query side of a row: features of the user, the context, the history."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.rows import Rows, join_rows, shift_ids
from crossfm.errors import ColumnError
from crossfm.recommender.ask import Ask, Id
from crossfm.recommender.catalogue import Catalogue
from crossfm.recommender.contexts import Contexts
from crossfm.recommender.history import history_rows
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import Seen, Skip
from crossfm.recommender.shelf import key_of
from crossfm.scoring.decompose import query_vectors

KEPT = 10_000  # encoded contexts and features that are remembered
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Query:
    """A request made ready.

    Attributes
    ----------
    rows : Rows (1, n_query_features)
    vector : float32 (dim,)
        (S_Q ; 1).
    constant : float
        What the machine's score has beside the inner product.
    known : bool
        Whether a feature was met in training.
    skip : offsets and sorted positions
        What was seen or denied.
    allowed : bool (n_items,) or None
        What filters and allow lists leave.
    n_allowed : int
        Items that may come: alive, allowed and not skipped.
    history : int64 (n,)
        Positions, oldest first.
    past : int64 (n,)
        All that is known of what the user has, distinct positions.
    recent : int64 (n,)
        What the user did of late, the latest last, new items too: as many as the model has a history of, else all that
        is known; for channels, empty where there are none.
    notes : list of str
    """

    rows: Rows
    vector: NDArray[np.float32]
    constant: float
    known: bool
    skip: Skip
    allowed: NDArray[np.bool_] | None
    n_allowed: int
    history: NDArray[np.int64]
    past: NDArray[np.int64]
    recent: NDArray[np.int64]
    notes: list[str]


class Queries:
    """Makes queries for one recommender."""

    def __init__(self, model: Recommender) -> None:
        self.model = model
        self.places = model.users_.ids.places
        self.contexts = None if model.context_encoder_ is None else Contexts(model.context_encoder_)
        self._encoded: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = Lock()

    def of(self, ask: Ask, items: Catalogue) -> Query:
        """Return the query of ``ask``. Raises ``ColumnError`` for columns that the model does not know."""
        at = -1 if ask.user is None else self.places.get(key_of(ask.user))
        rows = self._user_rows(at, ask)
        rows = self._with_context(rows, ask.context)
        done = items.positions(ask.history)
        history = np.zeros(0, np.int64)
        if self.model.history:
            history = self._latest(at, done)
            rows = self._with_history(rows, history)
        vectors, constant = query_vectors(rows, self.model._machine)
        skip = self._skip(at, done, ask, items)
        allowed = items.allowed(ask.where, ask.allow)
        kept = items.alive if allowed is None else allowed
        n_allowed = (items.n_alive if allowed is None else int(allowed.sum())) - int(kept[skip[1]].sum())
        known = bool(self.model.known(rows)[0])
        lost = len(done) - int((done >= 0).sum())
        notes = [f"{lost} items of the history are not in the catalogue"] if lost else []
        own = self.model.seen_.of_users(np.array([at])).items.astype(np.int64)
        past = np.unique(np.concatenate([own, done[done >= 0]]))
        recent = self._recent(at, done) if items.channels is not None else done[:0]
        query = rows, vectors[0], float(constant[0]), known
        return Query(*query, skip, allowed, n_allowed, history, past, recent, notes)

    def stored(self, user: Id) -> dict[str, Any] | None:
        """Return the columns of a user that have a value, or None."""
        side, at = self.model.users_, self.places.get(key_of(user))
        if at < 0:
            return None
        row = {name: side.table[name][at].as_py() for name in side.table.column_names}
        own = {side.column: side.ids.take([at])[0].as_py()}
        return own | {n: v for n, v in row.items() if v is not None and n != side.column}

    def matching(self, search: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Return users whose id has ``search`` in it, the very id first, then those that begin with it."""
        side = self.model.users_
        found = nearest_first(side.ids.keys, search)[offset : offset + limit]
        listed = [self.stored(side.ids.keys[int(at)].as_py()) for at in found]
        return [user for user in listed if user is not None]

    def context_names(self, context: Mapping[str, Any]) -> dict[str, str]:
        """Return what the value of each context column is to the model; see ``contexts``."""
        if self.contexts is None:
            return {}
        contexts = self.contexts
        key = ("context names", _text(context))
        named: dict[str, str] = self._remembered(key, lambda: contexts.of(self._encode_context(context)))
        return named

    def history(self, user: Id) -> NDArray[np.int64]:
        """Return the positions of what the model knows of a user's history, oldest first, or of all that was seen."""
        at = np.array([self.places.get(key_of(user))])
        source = self.model.histories_ or self.model.seen_
        return np.asarray(source.of_users(at).items, np.int64)

    # ----------------------------------------------------------------- parts

    def _user_rows(self, at: int, ask: Ask) -> Rows:
        side = self.model.users_
        if at >= 0 and not ask.features:
            return side.rows.take(np.array([at]))
        for name in ask.features:
            if name not in side.encoder.fields or name == side.column:
                there = [each for each in side.encoder.fields if each != side.column]
                raise ColumnError(f"features has {name!r}, but users have the features {there}")
        key = ("user", _text({"": None if ask.user is None else key_of(ask.user), **ask.features}))
        return self._remembered(key, lambda: self._encode_user(ask))

    def _encode_user(self, ask: Ask) -> Rows:
        side = self.model.users_
        user = None if ask.user is None else key_of(ask.user)
        values = {side.column: user, **ask.features}
        if user is None:
            return side.encoder.transform(_one_row(values, side.encoder.fields))
        return side.encode(_one_row(values, list(values)))[0]

    def _with_context(self, rows: Rows, context: Mapping[str, Any]) -> Rows:
        model = self.model
        for name in context:
            if name not in model.context:
                raise ColumnError(f"context has {name!r}, but the context columns are {list(model.context)}")
        if model.context_encoder_ is None:
            return rows
        n = model.users_.encoder.n_features
        key = ("context", _text(context))
        more = self._remembered(key, lambda: shift_ids(self._encode_context(context), n))
        return join_rows(rows, more, left_fields=len(model.users_.encoder.fields))

    def _encode_context(self, context: Mapping[str, Any]) -> Rows:
        encoder = self.model.context_encoder_
        assert encoder is not None
        return encoder.transform(_one_row(context, encoder.fields))

    def _latest(self, at: int, done: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the latest items, those of the request behind the model's own, each where it came last."""
        return self._recent(at, done[done < self.model._n_known])  # newer items have no features in histories

    def _recent(self, at: int, done: NDArray[np.int64]) -> NDArray[np.int64]:
        own = self.model.recent(np.array([at])).items.astype(np.int64)
        joined = np.concatenate([own, done[done >= 0]])
        distinct = list(dict.fromkeys(joined[::-1].tolist()))[: self.model.history or None]
        return np.array(distinct[::-1], np.int64)

    def _with_history(self, rows: Rows, history: NDArray[np.int64]) -> Rows:
        one = Seen(np.array([0, len(history)], np.int64), history.astype(np.uint32))
        more = shift_ids(history_rows(one, self.model._n_known), self.model._n_own_features())
        return join_rows(rows, more, left_fields=self.model._n_own_fields())

    def _skip(self, at: int, done: NDArray[np.int64], ask: Ask, items: Catalogue) -> Skip:
        out = [items.positions(ask.deny)]
        if ask.exclude_seen:
            out += [self.model.seen_.of_users(np.array([at])).items.astype(np.int64), done]
            out.append(items.positions(ask.seen))
        both = np.unique(np.concatenate(out))
        both = both[both >= 0]
        return np.array([0, len(both)], np.int64), both.astype(np.uint32)

    def _remembered(self, key: tuple[str, str], make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._encoded:
                self._encoded.move_to_end(key)
                found: T = self._encoded[key]
                return found
        made = make()
        with self._lock:
            self._encoded[key] = made
            while len(self._encoded) > KEPT:
                self._encoded.popitem(last=False)
        return made


def nearest_first(keys: Any, search: str) -> NDArray[np.int64]:
    """Return where ``search`` is in a text: equal ones first, then those that begin with it, then others."""
    has = pc.match_substring(keys, search, ignore_case=True).to_numpy(zero_copy_only=False)
    found = np.flatnonzero(has)
    texts = [text.casefold() for text in keys.take(pa.array(found)).to_pylist()]
    wanted = search.casefold()
    closeness = np.array([(text != wanted) + (not text.startswith(wanted)) for text in texts], np.int64)
    return found[np.argsort(closeness, kind="stable")]


def _one_row(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return a table of one row with the columns ``names``, missing where there is no value."""
    try:
        return pa.table({name: pa.array([values.get(name)]) for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
        raise ColumnError(f"a value of {list(values)} is no text, number or list of these: {exc}") from exc


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)
