"""An index that looks at a part of the items: clusters of whitened vectors, as many as a measured recall takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_count, check_number
from crossfm.errors import ModelFileError, OptionError
from crossfm.kernels.topk import LANES, pack_items
from crossfm.recommender.changes import Changes, Floats32, Found, Mask, Positions
from crossfm.recommender.clusters import cluster, import_faiss, one_thread, sample_queries
from crossfm.recommender.layers import Layered, Layers, State, as_vectors, layers_of
from crossfm.recommender.probes import Probes, lists_needed, recall_of
from crossfm.recommender.rescore import best_of, positions_of, skip_at
from crossfm.recommender.seen import Skip
from crossfm.recommender.whiten import Whitening

MOST_MEASURED = 256
MEASURED_AT = 100
# What a search costs, in reads of the whole catalogue for one query; measured (docs/recall.md).
SCAN = 2.0  # an item of a list, against one of the exact search
MASKED_SCAN = 5.0  # the same where the bit of a mask is looked up for each
START = 100_000  # items read exactly in the time that a search by lists takes beside its items, caches cold
TOGETHER = 0.12  # of the time of one query, what it takes at least among many of an exact search
FILTER_LATE = 0.5  # share of allowed items from which a mask is applied to what was found


class IVFIndex(Layered):
    """Inverted file over query-whitened, augmented vectors (faiss), rescored exactly.

    Parameters
    ----------
    vectors : float32 (n_items, dim)
        Copied.
    queries : float32 (n_queries, dim)
        Real queries, at least 8 different ones: half of them say which directions matter; on the others the number of
        lists to look at is chosen, and the recall measured.
    target : float, default=0.99
        Share of the best items of the exact search that should be found.
    n_lists : int or None, default=None
        Clusters; None takes the power of two next to 2 sqrt(n_items).
    n_threads : int, default=1
        Of exact searches; those of lists have one.
    seed : int, default=0

    Scores and the order are those of ``ExactIndex``, bit for bit; items may be missing. Never are fewer returned than
    asked for where there are as many: searches look at more lists, and at all items in the end.
    """

    def __init__(
        self,
        vectors: Any,
        queries: Any,
        *,
        target: float = 0.99,
        n_lists: int | None = None,
        n_threads: int = 1,
        seed: int = 0,
    ) -> None:
        vectors = as_vectors(vectors, None, "vectors")
        n_items, dim = vectors.shape
        layers = Layers(pack_items(vectors), n_items, Changes.none(n_items, dim))
        self._start(layers, n_threads)
        self._build(as_vectors(queries, dim, "queries"), target, n_lists, seed)

    def _build(self, queries: Floats32, target: float, n_lists: int | None, seed: int) -> None:
        packed, n_base, _ = self._layers
        self.target = check_target(target)
        self._queries = sample_queries(queries, seed)
        self._whitening = Whitening.fit(packed, n_base, self._queries[::2])
        if n_lists is None:
            n_lists = 1 << round(np.log2(2 * np.sqrt(max(n_base, 1))))
        n_lists = min(check_count("n_lists", n_lists, low=1), max(n_base, 1))
        self._centroids, self._lists = cluster(self._whitening, packed, n_base, n_lists, seed)
        self._fill()
        self._measure()

    def _fill(self) -> None:
        """Put the base into faiss, each item into its list; deleted ones stay out."""
        faiss = import_faiss()
        packed, n_base, changes = self._layers
        d = self._centroids.shape[1]
        self._quantizer = faiss.IndexFlatL2(d)
        self._quantizer.add(self._centroids)
        self._faiss = faiss.IndexIVFFlat(self._quantizer, d, len(self._centroids))
        self._faiss.is_trained = True
        at = 0
        with one_thread(faiss):
            for part in self._whitening.items(packed, n_base):
                keep = slice(None) if changes.live is None else changes.live[at : at + len(part)] != 0
                ids = np.arange(at, at + len(part))[keep]
                rows, lists = np.ascontiguousarray(part[keep]), self._lists[ids].astype(np.int64)
                pointers = (faiss.swig_ptr(array) for array in (rows, ids, lists))
                self._faiss.add_core(len(ids), *pointers)
                at += len(part)

    # --------------------------------------------------------------- measuring

    def _measure(self) -> None:
        """Choose the lists to look at on a quarter of the queries, and measure the recall on another."""
        _, n_base, changes = self._layers
        choose, judge = (self._queries[start::4][:MOST_MEASURED].copy() for start in (1, 3))
        n_live = changes.alive(n_base)
        if n_live == 0:
            self._probes, self._recall = Probes(np.zeros(0, np.int64), np.zeros(0, np.int64)), {}
            return
        best, _ = self._exact(choose, min(n_live, max(1000, n_live // 50)))
        needed = lists_needed(self._centroids, self._whitening.queries(choose), self._lists[best])
        # a quarter of what may be missing is kept for queries that are not among these
        self._probes = Probes.measured(needed, self.target + 0.25 * (1 - self.target))
        k = min(MEASURED_AT, n_live)
        best, _ = self._exact(judge, k)
        while (value := recall_of(self._found(judge, k), best)) < self.target:
            if int(self._probes.counts[0]) == len(self._centroids):
                break
            self._probes = self._probes.raised(1.2, len(self._centroids))
        self._recall = {"k": k, "value": value, "queries": len(judge)}

    def _found(self, queries: Floats32, k: int) -> Positions:
        """Return what lists find, also where a search would look at all items because it costs less."""
        probes, (_, n_base, changes) = self._probes.at(k), self._layers
        assert probes is not None
        share = changes.alive(n_base) / n_base
        return self._by_lists(self._layers, queries, k, None, changes.live, probes, share)[0]

    def share(self, n_best: int) -> float:
        """Return the share of the items that a search for ``n_best`` looks at, by the share of the lists."""
        probes = self._probes.at(n_best)
        return 1.0 if probes is None else probes / len(self._centroids)

    @property
    def stale(self) -> bool:
        """Whether the buffer of new items is so long that ``rebuilt`` would make searches faster."""
        return self._layers.long

    def rebuilt(self, queries: Any = None) -> IVFIndex:
        """Return a new index of the items as they are now, from ``queries`` or those of this one.

        This one stays as it is and may be searched and changed meanwhile; ``catch_up`` brings the changes over.
        """
        layers = self._layers
        index = IVFIndex.__new__(IVFIndex)
        index._start(layers.folded(), self.n_threads)
        index._origin = layers.changes
        queries = self._queries if queries is None else as_vectors(queries, self.dim, "queries")
        index._build(queries, self.target, None, 0)
        return index

    # --------------------------------------------------------------- searching

    def _search_base(
        self, layers: Layers, queries: Floats32, n_best: int, skip: Skip | None, allowed: Mask | None
    ) -> Found:
        n_out = 0 if skip is None else int(np.diff(skip[0]).max(initial=0))
        share = 1.0 if allowed is None else np.count_nonzero(allowed) / max(len(allowed), 1)
        probes = (
            self._worthwhile((n_best + n_out) / max(share, 1e-9), share, len(queries)) if n_best else None
        )
        if probes is None:
            return super()._search_base(layers, queries, n_best, skip, allowed)
        return self._by_lists(layers, queries, n_best, skip, allowed, probes, share)

    def _by_lists(
        self,
        layers: Layers,
        queries: Floats32,
        n_best: int,
        skip: Skip | None,
        allowed: Mask | None,
        probes: int,
        share: float,
    ) -> Found:
        """Search ``probes`` lists for each query, more where they have too few items that count, and all in the end.

        ``share`` of the items are allowed. Where it is large the mask is applied late: to what faiss has found.
        """
        late = share >= FILTER_LATE
        n_out = 0 if skip is None else int(np.diff(skip[0]).max(initial=0))
        n_near = int(1.1 * (n_best + n_out) / (share if late else 1.0)) + 8
        ids = np.full((len(queries), n_best), -1, np.int64)
        scores = np.full((len(queries), n_best), -np.inf, np.float32)
        left = np.flatnonzero(queries.any(axis=1))  # a query of zeros is near nothing
        rest = np.setdiff1d(np.arange(len(queries)), left)
        while len(left) and 2 * probes <= len(self._centroids):
            near = self._near(queries[left], n_near, probes, None if late else allowed)
            for query, row in zip(left, near, strict=True):
                at = positions_of(row, skip, query, allowed if late else None)
                ids[query], scores[query] = best_of(layers.packed, queries[query], at, n_best)
            left, n_near, probes = left[ids[left, -1] < 0], 4 * n_near, 4 * probes
        rest = np.sort(np.concatenate([rest, left]))
        if len(rest):
            ids[rest], scores[rest] = super()._search_base(
                layers, queries[rest], n_best, skip_at(skip, rest), allowed
            )
        return ids, scores

    def _worthwhile(self, rank: float, share: float, n_queries: int) -> int | None:
        """Return how many lists to look at for items up to ``rank``, None where looking at all items costs less.

        ``share`` of the items are allowed; the exact search reads the blocks that have one of them.
        """
        probes = self._probes.at(rank)
        if probes is None:
            return None
        scan = SCAN if share >= FILTER_LATE else MASKED_SCAN
        lists = scan * probes / len(self._centroids) + START / max(self._layers.n_base, 1)
        exact = (1 - (1 - share) ** LANES) * max(1 / max(n_queries, 1), TOGETHER)
        return probes if lists < exact else None

    def _near(self, queries: Floats32, n: int, probes: int, allowed: Mask | None) -> Positions:
        """Return the nearest ``n`` items of each query in its nearest lists, -1 for none."""
        faiss = import_faiss()
        selector = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        params = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        with one_thread(faiss):
            _, ids = self._faiss.search(self._whitening.queries(queries), n, params=params)
        return np.asarray(ids)

    def _exact(self, queries: Floats32, n_best: int) -> Found:
        return super()._search_base(self._layers, queries, n_best, None, self._layers.changes.live)

    # ------------------------------------------------------------------ saving

    def report(self) -> dict[str, Any]:
        """Return kind, numbers of items, lists and bytes, and the recall that was measured."""
        recall: dict[str, Any] = {"k": 0, "value": 1.0, "queries": 0, **self._recall, "target": self.target}
        recall["probes"] = self._probes.at(recall["k"])
        more = self._lists.nbytes + self._centroids.nbytes + self._queries.nbytes
        more += self._faiss.ntotal * (4 * self._centroids.shape[1] + 8)
        return self._report("ivf", recall, more) | {"n_lists": len(self._centroids)}

    def to_state(self) -> State:
        """Return arrays, and JSON-able settings; ``from_state`` takes them back. No bytes of faiss are in it."""
        arrays, meta = super().to_state()
        own = self._whitening
        arrays |= {"centroids": self._centroids, "lists": self._lists, "queries": self._queries}
        arrays |= {"forth": own.forth, "back": own.back, "mean": own.mean}
        arrays |= {"probes.ranks": self._probes.ranks, "probes.counts": self._probes.counts}
        more = {"target": self.target, "recall": self._recall, "radius2": own.radius2}
        return arrays, {"kind": "ivf", **meta, **more}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> IVFIndex:
        """Rebuild what ``to_state`` returned; raises ``ModelFileError`` where its parts do not fit together."""
        layers = layers_of(arrays, meta)
        check_state(arrays, layers.n_base, layers.packed.shape[1])
        own = {name: arrays[name].copy() for name in arrays if not name.startswith(("changes.", "packed"))}
        index = cls.__new__(cls)
        index._start(layers, int(meta["n_threads"]))
        index.target, index._recall = float(meta["target"]), dict(meta["recall"])
        index._queries, index._centroids, index._lists = own["queries"], own["centroids"], own["lists"]
        index._probes = Probes(own["probes.ranks"], own["probes.counts"])
        index._whitening = Whitening(own["forth"], own["back"], own["mean"], float(meta["radius2"]))
        index._fill()
        return index


def check_target(target: Any) -> float:
    """Return a recall above 0 and up to 1, or raise ``OptionError``."""
    if (value := check_number("target", target, above=True)) > 1:
        raise OptionError(f"target={target!r}, but a recall is at most 1")
    return value


def check_state(arrays: dict[str, NDArray[Any]], n_base: int, dim: int) -> None:
    """Raise ``ModelFileError`` for arrays that faiss would read wrong: it does not look by itself."""
    n_lists, n_ranks = len(arrays["centroids"]), len(arrays["probes.ranks"])
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "centroids": (np.float32, (n_lists, dim + 1)),
        "lists": (np.int32, (n_base,)),
        "queries": (np.float32, (len(arrays["queries"]), dim)),
        "forth": (np.float32, (dim, dim)),
        "back": (np.float32, (dim, dim)),
        "mean": (np.float32, (dim,)),
        "probes.ranks": (np.int64, (n_ranks,)),
        "probes.counts": (np.int64, (n_ranks,)),
    }
    for name, (kind, shape) in shapes.items():
        array = arrays[name]
        if array.dtype != kind or array.shape != shape or not np.isfinite(array).all():
            raise ModelFileError(f"{name} of the index is not as it should be; build it again")
    lists, counts = arrays["lists"], arrays["probes.counts"]
    inside = n_lists > 0 and (lists >= 0).all() and (lists < n_lists).all()
    if (
        not inside
        or (counts < 1).any()
        or (counts > n_lists).any()
        or (np.diff(arrays["probes.ranks"]) <= 0).any()
    ):
        raise ModelFileError("the lists of the index are not there; build it again")
