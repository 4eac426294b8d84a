"""One-hot rows whose targets a known machine of two factors gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack


def blocks(n: int = 3000, sizes: tuple[int, ...] = (40, 30), seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """One-hot blocks, and the score that a machine of two factors gives them."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(0, size, n) for size in sizes]
    rows = np.arange(n)
    X = hstack(
        [csr_matrix((np.ones(n), (rows, i)), shape=(n, size)) for i, size in zip(ids, sizes, strict=True)]
    )
    w = [rng.standard_normal(size) for size in sizes]
    V = [rng.standard_normal((size, 2)) for size in sizes]
    score = sum(part[i] for part, i in zip(w, ids, strict=True)) + (V[0][ids[0]] * V[1][ids[1]]).sum(1)
    return X.tocsr(), 50 + 5 * score


def noisy(n: int = 3000, noise: float = 2.0, **options: Any) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    X, score = blocks(n, **options)
    return X, score, score + noise * np.random.default_rng(1).standard_normal(n)


def classes(n: int = 4000, link: str = "probit") -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """One-hot blocks, the probabilities of a known machine, and labels drawn by them."""
    from scipy.special import expit, ndtr

    X, score = blocks(n)
    probability = ndtr((score - 50) / 5) if link == "probit" else expit((score - 50) / 2.5)
    label = np.random.default_rng(2).random(n) < probability
    return X, probability, np.where(label, "yes", "no")
