"""The last step of a list: freshness, likeness to what stands above, and caps per attribute.

Diversity is maximal marginal relevance: J. Carbonell, J. Goldstein, SIGIR 1998, eq. (1), with lambda = 1 - diversity.
Ours: scores are taken in deviations of the candidates, so that one diversity means the same for every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def standardised(score: Floats) -> Floats:
    """Return scores (n,) in deviations from their mean; zeros where all are equal."""
    score = score.astype(np.float32)
    spread = float(score.std())
    return np.asarray((score - score.mean()) / np.float32(spread or 1.0), np.float32)


def freshened(score: Floats, age: NDArray[np.float64], weight: float, half_life: float) -> Floats:
    """Return standardised scores (n,) and ``weight`` for new items, halved with every ``half_life`` days of ``age``.

    Items of unknown age (NaN) gain nothing.
    """
    gain = np.exp2(-np.maximum(age, 0.0) / half_life)
    return np.asarray(standardised(score) + weight * np.nan_to_num(gain), np.float32)


def reorder(
    score: Floats,
    n: int,
    *,
    vectors: Floats | None = None,
    diversity: float = 0.0,
    caps: Sequence[tuple[Sequence[NDArray[np.int64]], int]] = (),
) -> NDArray[np.int64]:
    """Return which candidates (at most n) come, in order; ``score`` (n_candidates,) falls.

    ``vectors`` (n_candidates, dim) tell likeness, by cosine. ``caps`` holds for each attribute the codes of every
    candidate and how many items one code may have. Ties go to the earlier candidate. Fewer than n come back where
    caps leave no more.
    """
    if len(score) == 0 or (diversity <= 0 and not caps):
        return np.arange(min(n, len(score)))
    relevance = (1.0 - diversity) * standardised(score)
    unit = None if diversity <= 0 or vectors is None else _unit(vectors)
    likeness = np.full(len(score), -1.0 if unit is not None else 0.0, np.float32)  # to the nearest chosen one
    free = np.ones(len(score), bool)
    counts: list[dict[int, int]] = [{} for _ in caps]
    chosen: list[int] = []
    while len(chosen) < n and free.any():
        gain = relevance - diversity * likeness if chosen else relevance
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        free[best] = False
        if not _fits(best, caps, counts):
            continue
        chosen.append(best)
        if unit is not None:
            np.maximum(likeness, unit @ unit[best], out=likeness)
    return np.array(chosen, np.int64)


def _fits(
    at: int, caps: Sequence[tuple[Sequence[NDArray[np.int64]], int]], counts: list[dict[int, int]]
) -> bool:
    """Whether a candidate keeps all caps; counts it where it does."""
    for (codes, most), count in zip(caps, counts, strict=True):
        if any(count.get(int(code), 0) >= most for code in codes[at]):
            return False
    for (codes, _), count in zip(caps, counts, strict=True):
        for code in codes[at]:
            count[int(code)] = count.get(int(code), 0) + 1
    return True


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), np.float32)
