"""The made click log of the benchmark: skewed one-hot rows whose labels come from a hidden FM.

39 fields of 26,886 values each, the r-th as frequent as (r + SHIFT)^-ZIPF (r from 0), spread at random over 2^20
ids; the click probability is the logistic of an FM with 8 factors, 0.25 on average. Fixed seed: the same rows
on every machine with the same NumPy. Files are kept in ``benchmarks/.data``.

The constants below were searched until known engines reach here, within 0.002, the log losses they have on the click
log that peers were measured on at first (docs/benchmarks.md has both): SHIFT sets how many ids occur, ZIPF how much
pairs can be learnt from so many rows, W_SCALE against V_SCALE what a linear machine reaches, and both together the log
loss of the hidden FM. CTR is a hair below 0.25 because the test rows drawn have more clicks than expected.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

N_FIELDS = 39
N_IDS = 2**20
N_FACTORS = 8
CTR = 0.249
ZIPF = 1.55
SHIFT = 1.878
W_SCALE = 0.176
V_SCALE = 0.1215
SEED = 20_261
CHUNK = 50_000
FOLDER = Path(__file__).resolve().parents[1] / ".data"


@dataclass(frozen=True)
class Teacher:
    """The hidden FM, and how ids of each field are drawn."""

    bias: float
    w: NDArray[np.float32]
    V: NDArray[np.float32]
    ids: NDArray[np.uint32]  # (N_FIELDS, values a field), the most frequent first
    shares: NDArray[np.float64]  # cumulative, the same in every field

    def draw(self, rng: np.random.Generator, n_rows: int) -> NDArray[np.uint32]:
        """Return ids (n_rows, N_FIELDS)."""
        return np.stack([ids[np.searchsorted(self.shares, rng.random(n_rows))] for ids in self.ids], axis=1)

    def score(self, ids: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Return bias + linear + pair part of rows (n_rows, N_FIELDS)."""
        v = self.V[ids]
        total = v.sum(axis=1)
        pairs = 0.5 * ((total**2).sum(axis=1) - (v**2).sum(axis=(1, 2)))
        return self.bias + self.w[ids].sum(axis=1, dtype=np.float64) + pairs


def make_teacher(rng: np.random.Generator) -> Teacher:
    """Draw the hidden FM; its bias is set so that a click has probability ``CTR``."""
    size = N_IDS // N_FIELDS
    places = rng.permutation(N_IDS).astype(np.uint32)
    ids = places[: N_FIELDS * size].reshape(N_FIELDS, size)
    shares = np.cumsum((np.arange(size) + SHIFT) ** -ZIPF)
    shares /= shares[-1]
    w = rng.normal(0, W_SCALE, N_IDS).astype(np.float32)
    V = rng.normal(0, V_SCALE, (N_IDS, N_FACTORS)).astype(np.float32)
    teacher = Teacher(0.0, w, V, ids, shares)
    scores = teacher.score(teacher.draw(rng, CHUNK))
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(scores + middle).mean() < CTR else (low, middle)
    return Teacher(low, w, V, ids, shares)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def make(n_rows: int, n_test: int) -> Path:
    """Make the log unless it is there; return its folder with ``train.npz`` and ``test.npz``.

    Each has ``ids`` uint32 (rows, 39), ``y`` uint8 (rows,) and ``p`` float32 (rows,), the teacher's probability.
    """
    constants = (N_FIELDS, N_IDS, N_FACTORS, CTR, ZIPF, SHIFT, W_SCALE, V_SCALE, SEED)
    made_by = zlib.crc32(repr(constants).encode())  # a log of other constants is not taken for this one
    folder = FOLDER / f"classic-{n_rows}-{n_test}-{made_by:08x}"
    if (folder / "test.npz").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    teacher = make_teacher(rng)
    for name, rows in (("train", n_rows), ("test", n_test)):
        chunks = [teacher.draw(rng, min(CHUNK, rows - start)) for start in range(0, rows, CHUNK)]
        p = np.concatenate([sigmoid(teacher.score(chunk)) for chunk in chunks])
        y = (rng.random(rows) < p).astype(np.uint8)
        _save(folder / f"{name}.npz", ids=np.concatenate(chunks), y=y, p=p.astype(np.float32))
    return folder


def as_text(npz: Path, form: str) -> Path:
    """Write the rows of ``npz`` beside it as "libsvm", "libffm" or "vw" text, unless that is there."""
    path = npz.with_suffix(f".{form}")
    if path.exists():
        return path
    with np.load(npz) as rows:
        ids, y = rows["ids"], rows["y"]
    half = path.with_name(path.name + ".half")
    with half.open("w") as file:
        for start in range(0, len(y), CHUNK):
            file.writelines(_lines(ids[start : start + CHUNK], y[start : start + CHUNK], form))
    os.replace(half, path)
    return path


def _lines(ids: NDArray[np.uint32], y: NDArray[np.uint8], form: str) -> Iterator[str]:
    for row, label in zip(ids.tolist(), y.tolist(), strict=True):
        if form == "vw":
            yield f"{2 * label - 1} |f {' '.join(map(str, row))}\n"
        elif form == "libffm":
            yield f"{label} {' '.join(f'{field}:{i}:1' for field, i in enumerate(row))}\n"
        else:
            yield f"{label} {' '.join(f'{i}:1' for i in row)}\n"


def _save(path: Path, **arrays: NDArray[np.generic]) -> None:
    half = path.with_name("half-" + path.name)
    np.savez(half, **arrays)
    os.replace(half, path)
