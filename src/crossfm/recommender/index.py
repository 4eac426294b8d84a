"""The index of recall: the items with the largest inner products, under exclusions, filters and changes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_count
from crossfm.kernels.topk import pack_items
from crossfm.recommender.changes import Changes, Floats32, Found
from crossfm.recommender.layers import Layered, Layers, State, as_vectors, layers_of
from crossfm.recommender.seen import Skip


class Index(Protocol):
    """Items by position (0, 1, ...), each a vector; searches may run while another thread changes items."""

    @property
    def n_items(self) -> int:
        """Positions there are, deleted ones included."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def stale(self) -> bool:
        """Whether ``rebuilt`` would make searches faster."""

    def search(
        self, queries: Floats32, n_best: int, *, skip: Skip | None = None, allowed: Any = None
    ) -> Found:
        """Return positions and scores (n_queries, n_best) of the best items; -1 and -inf where none is left."""

    def upsert(self, positions: Any, vectors: Any) -> None:
        """Replace the vectors at ``positions``, or append behind the last; a deleted item comes back."""

    def delete(self, positions: Any) -> None:
        """Leave items out of all later searches."""

    def vectors(self, positions: Any) -> Floats32:
        """Return the vectors (n, dim) at ``positions``."""

    def rebuilt(self, queries: Any = None) -> Index:
        """Return a new index of the items as they are now; this one stays as it is."""

    def catch_up(self, old: Any) -> None:
        """Take over what was changed in ``old`` since this index was rebuilt from it."""

    def report(self) -> dict[str, Any]:
        """Return kind, numbers of items, bytes and measured recall, as plain JSON values."""

    def to_state(self) -> State:
        """Return arrays, and JSON-able settings."""


class ExactIndex(Layered):
    """All items are looked at: the very order of the inner products.

    Parameters
    ----------
    vectors : float32 (n_items, dim)
        Copied.
    n_threads : int, default=1
        Of a search; 0 takes all cores.
    """

    def __init__(self, vectors: Any, *, n_threads: int = 1) -> None:
        vectors = as_vectors(vectors, None, "vectors")
        n_items, dim = vectors.shape
        self._start(Layers(pack_items(vectors), n_items, Changes.none(n_items, dim)), n_threads)

    @property
    def stale(self) -> bool:
        """Never: it takes a long buffer in by itself."""
        return False

    def rebuilt(self, queries: Any = None) -> ExactIndex:
        """Return this index."""
        return self

    def _put(self, layers: Layers) -> None:
        self._layers = layers.folded() if layers.long else layers

    def report(self) -> dict[str, Any]:
        """Return kind, numbers of items, bytes and recall, which is all there is."""
        return self._report("exact", {"k": None, "value": 1.0, "target": 1.0, "probes": None, "queries": 0})

    def to_state(self) -> State:
        """Return arrays, and JSON-able settings; ``from_state`` takes them back."""
        arrays, meta = super().to_state()
        return arrays, {"kind": "exact", **meta}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> ExactIndex:
        """Rebuild what ``to_state`` returned; raises ``ModelFileError`` where its parts do not fit together."""
        index = cls.__new__(cls)
        index._start(layers_of(arrays, meta), int(meta["n_threads"]))
        return index


def choose_index(
    vectors: Any,
    queries: Any,
    *,
    limit: int = 500_000,
    target: float = 0.99,
    n_threads: int = 1,
) -> ExactIndex | Any:
    """Return an ``ExactIndex`` up to ``limit`` items, above it an ``IVFIndex`` with a measured recall of ``target``.

    Where an ``IVFIndex`` would have to look at a third of the items for the target, or there are too few ``queries``
    (n_queries, dim) to measure it, the index is exact too. Raises ``MissingLibraryError`` where faiss is needed and not
    installed.
    """
    from crossfm.recommender.clusters import LEAST_QUERIES
    from crossfm.recommender.ivf import IVFIndex, check_target

    check_count("limit", limit)
    check_target(target)
    if len(vectors) <= limit or len(np.unique(np.asarray(queries), axis=0)) < LEAST_QUERIES:
        return ExactIndex(vectors, n_threads=n_threads)
    index = IVFIndex(vectors, queries, target=target, n_threads=n_threads)
    if 3 * index.share(100) > 1:
        return ExactIndex(vectors, n_threads=n_threads)
    return index
