"""Draws behind classes: Polya-Gamma numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm import _kernels


def polya_gamma(
    score: NDArray[Any], count: NDArray[np.int32] | None = None, *, seed: int, n_threads: int = 1
) -> NDArray[np.float32]:
    """Draw exactly from PG(count, score), count 1 where None: float32 (n_rows,), 0 where ``count`` is 0.

    NaN where a score is not finite. The result depends on ``seed``, not on ``n_threads``.
    """
    out = np.empty(len(score), np.float32)
    _kernels.polya_gamma(np.ascontiguousarray(score, np.float32), count, seed, out, n_threads)
    return out
