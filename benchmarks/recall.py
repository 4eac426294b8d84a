"""Claim: exact recall runs at the speed of memory, eight queries cost what one does; clusters reach a measured recall.

    python benchmarks/recall.py [--sizes 10000 200000 1000000] [--k 100] [--rounds 41]

Items and queries are made up as an FM has them (``common/fm_items.py``). All methods take turns in one process, one
thread each; times are medians of CPU time, so that other work on the machine counts little. "GB/s" is the catalogue's
bytes over the time of a call, beside what the largest number of the same array takes to find: the reading of memory
is the limit.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from common.about import machine
from common.fm_items import fm_items, fm_queries
from crossfm.kernels.fm import isa
from crossfm.recommender.index import ExactIndex
from crossfm.recommender.ivf import IVFIndex
from crossfm.recommender.probes import recall_of

SHARES = (0.5, 0.1, 0.01, 0.001)
TRAINED_ON = 1024  # queries that the clusters are made and measured with
Call = Callable[[int], Any]


def turns(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each call, which gets the number of the round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name, call in calls.items():
            began = time.thread_time()
            call(number)
            times[name].append(time.thread_time() - began)
    return {name: 1e3 * float(np.median(own[2:])) for name, own in times.items()}


def numpy_best(items: Any, queries: Any, k: int) -> Any:
    """Return the best ``k`` of ``items`` (dim, n) by a product and ``argpartition``, unsorted."""
    scores = queries @ items
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]


def whole(items: Any, queries: Any, k: int, rounds: int) -> tuple[Any, ExactIndex, IVFIndex]:
    """Print searches of the whole catalogue."""
    n, dim = items.shape
    asked = queries[TRAINED_ON:]
    exact = ExactIndex(items)
    began = time.process_time()
    lists = IVFIndex(items, queries[:TRAINED_ON])
    build = time.process_time() - began
    by_coordinate = np.ascontiguousarray(items.T)
    flat = faiss.IndexFlatIP(dim)
    flat.add(items)
    packed = exact._layers.packed

    def batch(size: int) -> Callable[[int], Any]:
        return lambda i: asked[(i * size) % 512 : (i * size) % 512 + size]

    def at(size: int, search: Callable[[Any], Any]) -> Call:
        some = batch(size)
        return lambda i: search(some(i))

    calls: dict[str, Call] = {"reading, max() of the items": lambda i: packed.max()}
    for size in (1, 8, 16):
        calls[f"crossfm exact, {size} at once"] = at(size, lambda q: exact.search(q, k))
        calls[f"numpy, {size} at once"] = at(size, lambda q: numpy_best(by_coordinate, q, k))
        calls[f"faiss Flat, {size} at once"] = at(size, lambda q: flat.search(q, k))
        calls[f"crossfm lists, {size} at once"] = at(size, lambda q: lists.search(q, k))
    measured = turns(calls, rounds)
    found = [lists.search(query[None], k)[0] for query in asked[:200]]
    recall = recall_of(np.concatenate(found), exact.search(asked[:200], k)[0])
    report = lists.report()
    print(f"\n{n:,} items of {dim} numbers, best {k}: CPU ms a query (of a call), GB/s of items in a call")
    for name, ms in measured.items():
        size = int(name.split()[-3]) if "at once" in name else 1
        gb = "" if "lists" in name else f"{items.nbytes / ms / 1e6:7.1f}"
        print(f"  {name:34s} {ms / size:9.3f} ({ms:8.3f}) {gb}")
    own, small = report["bytes"] / n, exact.report()["bytes"] / n
    print(
        f"  lists: built in {build:.1f} CPU s, {report['n_lists']} lists, {report['recall']['probes']} looked at for "
        f"{report['recall']['target']} at 100; measured {report['recall']['value']:.4f} on "
        f"{report['recall']['queries']} held-out queries, {recall:.4f} at {k} on 200 others; {own:.0f} bytes an item, "
        f"exact {small:.0f}"
    )
    return asked, exact, lists


def filtered(items: Any, asked: Any, exact: ExactIndex, lists: IVFIndex, k: int, rounds: int) -> None:
    """Print searches among a share of the items."""
    n = len(items)
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    by_coordinate = np.ascontiguousarray(items.T)
    rng = np.random.default_rng(0)
    print(f"  filtered, 1 at once, {'share allowed':>16s}" + "".join(f"{share:>9.1%}" for share in SHARES))
    rows: dict[str, list[str]] = {}
    for share in SHARES:
        allowed = rng.random(n) < share
        bits = np.packbits(allowed, bitorder="little")
        params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits)))
        few = min(k, int(allowed.sum()))

        def gathered(i: int, allowed: Any = allowed, few: int = few) -> Any:
            at = np.flatnonzero(allowed)
            return at[numpy_best(by_coordinate[:, at], asked[i : i + 1], few)]

        calls: dict[str, Call] = {
            "crossfm exact": lambda i, a=allowed: exact.search(asked[i : i + 1], k, allowed=a),
            "crossfm lists": lambda i, a=allowed: lists.search(asked[i : i + 1], k, allowed=a),
            "numpy on gathered items": gathered,
            "faiss Flat, bitmap": lambda i, p=params: flat.search(asked[i : i + 1], k, params=p),
        }
        for name, ms in turns(calls, rounds).items():
            rows.setdefault(name, []).append(f"{ms:9.3f}")
        best = exact.search(asked[:64], k, allowed=allowed)[0]
        found = np.concatenate([lists.search(q[None], k, allowed=allowed)[0] for q in asked[:64]])
        rows.setdefault("recall of crossfm lists", []).append(f"{recall_of(found, best):9.4f}")
    for name, numbers in rows.items():
        print(f"    {name:35s}" + "".join(numbers))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000, 1_000_000])
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=41)
    given = parser.parse_args()
    threadpool_limits(1)
    faiss.omp_set_num_threads(1)
    print({**machine(), "isa": isa(), "faiss": faiss.__version__, "load": os.getloadavg()})
    for n in given.sizes:
        items = fm_items(n)
        queries = fm_queries(items, TRAINED_ON + 1024)
        rounds = max(11, given.rounds // max(1, n // 1_000_000))
        asked, exact, lists = whole(items, queries, given.k, rounds)
        filtered(items, asked, exact, lists, given.k, rounds)
        print(f"  load {os.getloadavg()}", flush=True)


if __name__ == "__main__":
    main()
