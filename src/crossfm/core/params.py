"""What a second-order machine has learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FMParams:
    """Parameters of y = bias + <w, x> + sum_{i<j} <V_i, V_j> x_i x_j (Rendle 2010, eq. 1).

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    V : float32 (n_features, n_factors); ``n_factors`` is 0 for a linear model.
    """

    bias: float
    w: NDArray[np.float32]
    V: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.V.shape[0])

    @property
    def n_factors(self) -> int:
        """Length of each row of ``V``."""
        return int(self.V.shape[1])

    @classmethod
    def start(
        cls,
        n_features: int,
        n_factors: int,
        rng: np.random.Generator,
        *,
        scale: float = 0.01,
        bias: float = 0.0,
    ) -> FMParams:
        """Start values: ``w`` zero, ``V`` normal with deviation ``scale``."""
        V = rng.standard_normal((n_features, n_factors), dtype=np.float32) * np.float32(scale)
        return cls(float(bias), np.zeros(n_features, np.float32), V)

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        arrays: list[Any] = [self.bias, self.w, self.V]
        return all(bool(np.isfinite(a).all()) for a in arrays)
