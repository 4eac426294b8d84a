"""The made click log of the neural benchmark: skewed ids and numbers, labels from a hidden FM over both.

26 categorical fields, the r-th id of each as frequent as (r + 2)^-1.1 (r from 0), ids in random order; 13 numbers in
[0, 1]. The click probability is the logistic of an FM over all 39 fields, so numbers cross with ids and with each
other. Fixed seed; files are kept in ``benchmarks/.data``.

What ``LOGS`` says of a vocabulary was searched until the hidden FM has the AUC, one epoch learns the AUC and as many
ids occur as in the log that peers were measured on at first (0.849, 0.70 and all; 0.867, 0.735 and 576,000).
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_CATEGORICAL = 26
N_DENSE = 13
N_FIELDS = N_CATEGORICAL + N_DENSE
N_FACTORS = 8
SHIFT = 2
ZIPF = 1.1
BIAS = -1.1
SEED = 20_262
CHUNK = 25_000
FOLDER = Path(__file__).resolve().parents[1] / ".data"


class Log(NamedTuple):
    """Ids in all, how many times as many a field has as the one before, and the deviation of the score's parts."""

    ids: int
    growth: float
    linear: float
    pairs: float


LOGS = {"100k": Log(100_000, 1.0, 0.97, 1.48), "2m": Log(2_000_000, 1.45, 1.5, 1.32)}


@dataclass(frozen=True)
class Teacher:
    """The hidden FM: a row for each id of each field, then one for each number."""

    w: NDArray[np.float32]
    V: NDArray[np.float32]
    ids: list[NDArray[np.int32]]  # of each field, the most frequent first
    sizes: NDArray[np.int64]

    def draw(self, rng: np.random.Generator, n_rows: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return ids of each field's own (n_rows, N_CATEGORICAL) and numbers (n_rows, N_DENSE)."""
        columns = []
        for ids in self.ids:
            shares = np.cumsum((np.arange(len(ids)) + SHIFT) ** -ZIPF)
            columns.append(ids[np.searchsorted(shares, rng.random(n_rows) * shares[-1])])
        return np.stack(columns, axis=1), rng.random((n_rows, N_DENSE), dtype=np.float32)

    def score(self, ids: NDArray[np.int32], dense: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the linear part and the pairs (2, n_rows)."""
        at = ids + starts(self.sizes)
        numbers = self.V[-N_DENSE:]
        total = self.V[at].sum(axis=1) + dense @ numbers
        squares = (self.V**2)[at].sum(axis=1) + dense**2 @ numbers**2
        linear = self.w[at].sum(axis=1) + dense @ self.w[-N_DENSE:]
        return np.stack([linear, 0.5 * (total**2 - squares).sum(axis=1)]).astype(np.float64)


def make_teacher(rng: np.random.Generator, sizes: NDArray[np.int64]) -> Teacher:
    """Draw the hidden FM."""
    n_features = int(sizes.sum()) + N_DENSE
    return Teacher(
        rng.normal(0, 1, n_features).astype(np.float32),
        rng.normal(0, 1, (n_features, N_FACTORS)).astype(np.float32),
        [rng.permutation(size).astype(np.int32) for size in sizes],
        sizes,
    )


def field_sizes(log: Log) -> NDArray[np.int64]:
    """Return how many ids each categorical field has (N_CATEGORICAL,)."""
    shares = log.growth ** np.arange(N_CATEGORICAL)
    return np.ceil(shares / shares.sum() * log.ids).astype(np.int64)


def starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each field's ids start when all share one table (N_CATEGORICAL,)."""
    return np.cumsum(sizes) - sizes


def make(vocabulary: str, n_rows: int, n_test: int) -> Path:
    """Make the log unless it is there; return its folder.

    It has ``sizes`` (N_CATEGORICAL,), and of "train" and "test" each: ``-ids`` int32 (rows, N_CATEGORICAL), of each
    field's own from 0; ``-dense`` float32 (rows, N_DENSE); ``-y`` uint8 (rows,); ``-p`` float32 (rows,), the teacher's
    probability.
    """
    log = LOGS[vocabulary]
    constants = (N_CATEGORICAL, N_DENSE, N_FACTORS, SHIFT, ZIPF, BIAS, SEED, log)
    made_by = zlib.crc32(repr(constants).encode())  # a log of other constants is not taken for this one
    folder = FOLDER / f"neural-{vocabulary}-{n_rows}-{n_test}-{made_by:08x}"
    if folder.exists():
        return folder
    rng = np.random.default_rng(SEED)
    sizes = field_sizes(log)
    teacher = make_teacher(rng, sizes)
    parts = [teacher.draw(rng, min(CHUNK, n_rows + n_test - at)) for at in range(0, n_rows + n_test, CHUNK)]
    scores = np.concatenate([teacher.score(*part) for part in parts], axis=1)
    scores -= scores.mean(axis=1, keepdims=True)
    linear, pairs = scores / scores.std(axis=1, keepdims=True)
    p = 1 / (1 + np.exp(-(BIAS + log.linear * linear + log.pairs * pairs)))
    found = {
        "ids": np.concatenate([ids for ids, _ in parts]),
        "dense": np.concatenate([dense for _, dense in parts]),
        "y": (rng.random(len(p)) < p).astype(np.uint8),
        "p": p.astype(np.float32),
    }
    half = folder.with_name("half-" + folder.name)
    half.mkdir(parents=True, exist_ok=True)
    np.save(half / "sizes.npy", sizes)
    for name, values in found.items():
        np.save(half / f"train-{name}.npy", values[:n_rows])
        np.save(half / f"test-{name}.npy", values[n_rows:])
    os.replace(half, folder)
    return folder
