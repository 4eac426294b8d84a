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

    @property
    def rank(self) -> int:
        """``n_factors``, by the name that training tables have for it: ``scores`` takes either."""
        return self.n_factors

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
        V = rng.standard_normal((n_features, n_factors), dtype=np.float32)
        V *= np.float32(scale)
        return cls(float(bias), np.zeros(n_features, np.float32), V)

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        arrays: list[Any] = [self.bias, self.w, self.V]
        return all(bool(np.isfinite(a).all()) for a in arrays)

    def lengths(self) -> NDArray[np.float64]:
        """Return the Euclidean length of each feature's factors (n_features,)."""
        return np.asarray(np.linalg.norm(self.V.astype(np.float64), axis=1))

    def rescaled(self, shift: float, scale: float) -> FMParams:
        """Return the machine whose score is ``shift + scale * score``."""
        return FMParams(
            self.bias * scale + shift,
            self.w * np.float32(scale),
            self.V * np.float32(np.sqrt(scale)),
        )

    def packed(self) -> FMParams:
        """Return a copy whose ``V`` and ``w`` are views of one array, [V_i | w_i] for each feature.

        It takes the same bytes, and scoring a feature waits for one place in memory, not two.
        """
        both = np.empty((self.n_features, self.n_factors + 1), np.float32)
        both[:, :-1], both[:, -1] = self.V, self.w
        return FMParams(self.bias, both[:, -1], both[:, :-1])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as named arrays; ``from_arrays`` takes them back."""
        return {"bias": np.asarray(self.bias, np.float64), "w": self.w, "V": self.V}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> FMParams:
        """Rebuild what ``to_arrays`` wrote; raises ``ValueError`` where the parts do not fit together."""
        w, V = arrays["w"], arrays["V"]
        if V.ndim != 2 or w.shape != V.shape[:1]:
            raise ValueError(f"w has shape {w.shape} and V {V.shape}")
        return cls(float(arrays["bias"]), w, V)


@dataclass(frozen=True, eq=False)
class HOFMParams:
    """Parameters of a third-order machine: FM, plus the ANOVA kernel of degree 3 (Blondel et al. 2016, eq. 5).

    y = bias + <w, x> + sum_{i<j} <V_i, V_j> x_i x_j + sum_{i<j<l} sum_f V3_if V3_jf V3_lf x_i x_j x_l.

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    V, V3 : float32 (n_features, n_factors)
    """

    bias: float
    w: NDArray[np.float32]
    V: NDArray[np.float32]
    V3: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.w)

    @property
    def n_factors(self) -> int:
        """Factors of each degree."""
        return int(self.V.shape[1])

    def lengths(self) -> NDArray[np.float64]:
        """Return the Euclidean length of each feature's factors of both degrees (n_features,)."""
        both = np.concatenate([self.V, self.V3], axis=1).astype(np.float64)
        return np.asarray(np.linalg.norm(both, axis=1))

    def rescaled(self, shift: float, scale: float) -> HOFMParams:
        """Return the machine whose score is ``shift + scale * score``."""
        return HOFMParams(
            self.bias * scale + shift,
            self.w * np.float32(scale),
            self.V * np.float32(np.sqrt(scale)),
            self.V3 * np.float32(np.cbrt(scale)),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as named arrays; ``from_arrays`` takes them back."""
        return {"bias": np.asarray(self.bias, np.float64), "w": self.w, "V": self.V, "V3": self.V3}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> HOFMParams:
        """Rebuild what ``to_arrays`` wrote; raises ``ValueError`` where the parts do not fit together."""
        w, V, V3 = arrays["w"], arrays["V"], arrays["V3"]
        if V.ndim != 2 or V3.shape != V.shape or w.shape != V.shape[:1]:
            raise ValueError(f"w has shape {w.shape}, V {V.shape} and V3 {V3.shape}")
        return cls(float(arrays["bias"]), w, V, V3)
