"""Clusters of whitened items, by faiss with one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import DataError, MissingLibraryError
from crossfm.recommender.whiten import Whitening

Floats32 = NDArray[np.float32]
LEAST_QUERIES = 8
MOST_QUERIES = 2048  # kept: half to whiten with, a quarter to choose by, a quarter to measure on
POINTS_A_CLUSTER = 64  # that the centroids are learnt from


def import_faiss() -> Any:
    """Return faiss; raises ``MissingLibraryError`` where it is not installed."""
    try:
        import faiss
    except ModuleNotFoundError as exc:
        raise MissingLibraryError(
            "an index above the limit of exact search needs faiss, which is not installed: pip install "
            "'crossfm[recommend]', or raise the limit"
        ) from exc
    return faiss


@contextmanager
def one_thread(faiss: Any) -> Iterator[None]:
    """Let faiss work with one thread inside; the number is this thread's own, and put back."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def sample_queries(queries: Floats32, seed: int) -> Floats32:
    """Return different queries in random order; raises ``DataError`` for too few to measure with."""
    distinct = np.unique(queries, axis=0)
    if len(distinct) < LEAST_QUERIES:
        raise DataError(
            f"{len(distinct)} different queries, but it takes {LEAST_QUERIES} to whiten with and to measure recall on; "
            "pass more, or use ExactIndex"
        )
    order = np.random.default_rng(seed).permutation(len(distinct))[:MOST_QUERIES]
    return np.ascontiguousarray(distinct[order])


def cluster(
    whitening: Whitening, packed: Floats32, n_items: int, n_lists: int, seed: int
) -> tuple[Floats32, NDArray[np.int32]]:
    """Return centroids (n_lists, dim + 1), and the list of each item."""
    faiss = import_faiss()
    d = packed.shape[1] + 1
    rng = np.random.default_rng(seed)
    share = min(1.0, POINTS_A_CLUSTER * n_lists / max(n_items, 1))
    parts = [np.zeros((0, d), np.float32)]
    parts += [part[rng.random(len(part)) < share] for part in whitening.items(packed, n_items)]
    sample = np.concatenate(parts)
    n_lists = max(1, min(n_lists, len(sample)))
    if n_items == 0:
        return np.zeros((1, d), np.float32), np.zeros(0, np.int32)
    kmeans = faiss.Clustering(d, n_lists)
    kmeans.niter, kmeans.seed, kmeans.min_points_per_centroid = 10, seed + 1, 1
    flat = faiss.IndexFlatL2(d)
    with one_thread(faiss):
        kmeans.train(sample, faiss.IndexFlatL2(d))
        centroids = faiss.vector_float_to_array(kmeans.centroids).reshape(n_lists, d)
        flat.add(centroids)
        lists = [flat.search(part, 1)[1][:, 0] for part in whitening.items(packed, n_items)]
    return centroids, np.concatenate(lists).astype(np.int32)
