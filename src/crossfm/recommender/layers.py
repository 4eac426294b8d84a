"""What all indexes share: a packed base that never moves, changes beside it, and the checks of what comes in."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import thread_count
from crossfm.errors import DataError, ModelFileError
from crossfm.kernels.topk import LANES, top_items, unpack_items
from crossfm.recommender.changes import Changes, Floats32, Found, Mask, Positions, merged
from crossfm.recommender.seen import Skip

Arrays = dict[str, NDArray[Any]]
State = tuple[Arrays, dict[str, Any]]
MOST_ITEMS = 2**32 - 1
LEAST_BUFFER, BUFFER_SHARE = 1024, 20  # a buffer is long when it has a 20th of the items


class Layers(NamedTuple):
    """What one search sees; a writer puts another in its place.

    Attributes
    ----------
    packed : float32 (n_blocks, dim, LANES)
        The base.
    n_base : int
    changes : Changes
    """

    packed: Floats32
    n_base: int
    changes: Changes

    @property
    def long(self) -> bool:
        """Whether the buffer is so long that it should go into the base."""
        return len(self.changes.at) > max(LEAST_BUFFER, self.n_base // BUFFER_SHARE)

    def folded(self) -> Layers:
        """Return the same items with an empty buffer."""
        changes = self.changes
        live = changes.present(self.n_base)
        return Layers(
            changes.folded(self.packed), changes.n_items, Changes.none(changes.n_items, self.packed.shape[1], live)
        )  # fmt: skip


class Layered:
    """An index whose base is searched by ``_search_base``; searches may run while another thread changes items."""

    _layers: Layers
    _origin: Changes | None = None  # of the index that this one was rebuilt from

    def _start(self, layers: Layers, n_threads: int) -> None:
        self._layers = layers
        self.n_threads = thread_count(n_threads)
        self._writing = threading.Lock()

    @property
    def n_items(self) -> int:
        """Positions there are, deleted ones included."""
        return self._layers.changes.n_items

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._layers.packed.shape[1])

    def search(
        self, queries: Floats32, n_best: int, *, skip: Skip | None = None, allowed: Any = None
    ) -> Found:
        """Return positions and scores (n_queries, n_best) of the best items, best first, ties by position.

        Parameters
        ----------
        queries : float32 (n_queries, dim)
            Several at once cost less than one after another.
        n_best : int
            Where fewer items are left, the rest is -1, with a score of -inf.
        skip : (int64 (n_queries + 1,), uint32 (n_skipped,)) or None, default=None
            Offsets, and positions sorted within each query, to leave out.
        allowed : bool or uint8 (n_items,) or None, default=None
            The only items that any query may get. Items that came after the mask was made are left out.

        Raises ``DataError`` for queries of another length or that are not finite.
        """
        layers = self._layers
        queries = as_vectors(queries, self.dim, "queries")
        mask = None if allowed is None else as_mask(allowed, layers.changes.n_items)
        found = self._search_base(
            layers, queries, n_best, skip, layers.changes.base_mask(mask, layers.n_base)
        )
        if not len(layers.changes.at):
            return found
        return merged(found, layers.changes.search(queries, n_best, skip, mask, self.n_threads))

    def upsert(self, positions: Any, vectors: Any) -> None:
        """Replace the vectors (n, dim) at ``positions`` (n,), or append behind the last; a deleted item comes back.

        Raises ``DataError`` for vectors that are not finite or of another length, and for new positions with a gap.
        """
        vectors = as_vectors(vectors, self.dim, "vectors")
        with self._writing:
            layers = self._layers
            at = as_positions(positions, MOST_ITEMS)
            if len(at) != len(vectors):
                raise DataError(f"{len(at)} positions, but {len(vectors)} vectors")
            self._put(layers._replace(changes=layers.changes.put(at, vectors, layers.n_base)))

    def delete(self, positions: Any) -> None:
        """Leave the items at ``positions`` (n,) out of all later searches. Raises ``DataError`` for unknown ones."""
        with self._writing:
            layers = self._layers
            at = as_positions(positions, self.n_items)
            self._put(layers._replace(changes=layers.changes.drop(at, layers.n_base)))

    def vectors(self, positions: Any) -> Floats32:
        """Return the vectors (n, dim) at ``positions`` (n,); of a deleted item the last one, or zeros."""
        packed, n_base, changes = self._layers
        at = as_positions(positions, changes.n_items)
        out = np.zeros((len(at), self.dim), np.float32)
        out[at < n_base] = unpack_items(packed, at[at < n_base])
        if len(changes.at):
            place = np.minimum(np.searchsorted(changes.at, at), len(changes.at) - 1)
            hit = changes.at[place] == at
            out[hit] = changes.rows[place[hit]]
        return out

    def catch_up(self, old: Any) -> None:
        """Take over what was changed in ``old`` since this index was ``rebuilt`` from it.

        What ``old`` changes after this call is lost: keep writers waiting until this index stands in its place.
        """
        before, (_, n_base, now) = self._origin, old._layers
        if before is None or old is self:
            return
        there = np.ones(now.n_items, np.uint8) if (live := now.present(n_base)) is None else live
        new = np.arange(before.n_items, now.n_items)
        known = now.at[now.at < before.n_items]
        moved = known[(self.vectors(known) != old.vectors(known)).any(axis=1) | (self._there()[known] == 0)]
        at = np.concatenate([moved, new])
        self.upsert(at, old.vectors(at))
        self.delete(np.flatnonzero((there == 0) & (self._there() != 0)))
        self._origin = None

    def _there(self) -> Mask:
        live = self._layers.changes.present(self._layers.n_base)
        return np.ones(self.n_items, np.uint8) if live is None else live

    def _put(self, layers: Layers) -> None:
        self._layers = layers

    def _search_base(
        self, layers: Layers, queries: Floats32, n_best: int, skip: Skip | None, allowed: Mask | None
    ) -> Found:
        return top_items(
            queries,
            layers.packed,
            n_best,
            n_items=layers.n_base,
            skip=skip,
            allowed=allowed,
            n_threads=self.n_threads,
        )

    def to_state(self) -> State:
        """Return arrays, and JSON-able settings; ``from_state`` takes them back."""
        packed, n_base, changes = self._layers
        arrays: Arrays = {"packed": packed, "changes.at": changes.at, "changes.rows": changes.rows}
        if changes.live is not None:
            arrays["changes.live"] = changes.live
        return arrays, {"n_base": n_base, "n_items": changes.n_items, "n_threads": self.n_threads}

    def _report(self, kind: str, recall: dict[str, Any], more_bytes: int = 0) -> dict[str, Any]:
        packed, n_base, changes = self._layers
        live = 0 if changes.live is None else changes.live.nbytes
        return {
            "kind": kind,
            "n_items": changes.n_items,
            "n_deleted": changes.n_items - changes.alive(n_base),
            "n_buffered": len(changes.at),
            "dim": self.dim,
            "bytes": packed.nbytes + changes.packed.nbytes + changes.rows.nbytes + live + more_bytes,
            "recall": recall,
        }


def as_vectors(vectors: Any, dim: int | None, name: str) -> Floats32:
    """Return finite float32 vectors (n, dim), or raise ``DataError``."""
    rows: Floats32 = np.ascontiguousarray(vectors, np.float32)
    if rows.ndim != 2 or (dim is not None and rows.shape[1] != dim):
        raise DataError(
            f"the {name} have shape {rows.shape}, expected (n, {'dim' if dim is None else dim}): a row each"
        )
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise DataError(f"row {bad} of the {name} is not finite: look for divergence in training")
    return rows


def as_positions(positions: Any, n_items: int) -> Positions:
    """Return positions (n,) from 0 below ``n_items``, or raise ``DataError``."""
    at = np.atleast_1d(np.asarray(positions))
    if at.size == 0:
        return np.zeros(0, np.int64)
    if at.ndim != 1 or at.dtype.kind not in "iu":
        raise DataError(f"positions are {at.dtype} of shape {at.shape}, expected a row of whole numbers")
    if int(at.min()) < 0 or int(at.max()) >= n_items:
        bad = at[(at < 0) | (at >= n_items)][0]
        raise DataError(f"position {bad} is not there: expected 0 to {n_items - 1}")
    return at.astype(np.int64)


def as_mask(allowed: Any, n_items: int) -> Mask:
    """Return ``allowed`` as 0 and 1 (n_items,), 0 for items behind its end. Raises ``DataError`` for other kinds."""
    mask = np.ascontiguousarray(allowed)
    if mask.ndim != 1 or mask.dtype not in (np.bool_, np.uint8):
        raise DataError(f"allowed is {mask.dtype} of shape {mask.shape}, expected bool ({n_items},)")
    mask = mask.astype(np.bool_, copy=False).view(np.uint8)
    if len(mask) < n_items:
        mask = np.concatenate([mask, np.zeros(n_items - len(mask), np.uint8)])
    return mask[:n_items]


def layers_of(arrays: Arrays, meta: dict[str, Any]) -> Layers:
    """Return what ``Layered.to_state`` wrote; raises ``ModelFileError`` where its parts do not fit together."""
    packed, at, rows = arrays["packed"], arrays["changes.at"], arrays["changes.rows"]
    live, n_base, n_items = arrays.get("changes.live"), int(meta["n_base"]), int(meta["n_items"])
    fits = (
        0 <= n_base <= n_items
        and packed.dtype == rows.dtype == np.float32
        and packed.ndim == 3
        and packed.shape[::2] == (-(-n_base // LANES), LANES)
        and rows.shape == (len(at), packed.shape[1])
        and at.dtype == np.int64
        and (live is None or (live.dtype == np.uint8 and live.shape == (n_base,)))
    )
    if not fits or not np.isfinite(packed).all() or not np.isfinite(rows).all():
        raise ModelFileError("the index does not hold vectors as it should; build it again")
    if len(at) and (int(at[0]) < 0 or int(at[-1]) >= n_items or (np.diff(at) <= 0).any()):
        raise ModelFileError("the index has items at positions that are not there; build it again")
    live = None if live is None else (live != 0).view(np.uint8)
    return Layers(packed.copy(), n_base, Changes.of(n_items, live, at.copy(), rows.copy()))
