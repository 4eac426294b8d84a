"""What a chain drew beside the weights, iteration by iteration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.kernels.gibbs import Prior

Doubles = NDArray[np.float64]


@dataclass(eq=False)
class Trace:
    """One entry an iteration, the burn-in included.

    Attributes
    ----------
    burn_in : list of bool
        Whether the iteration does not count.
    alpha, bias : list of float
    precision, mean : list of float64 (n_groups, 1 + n_factors)
        As in ``Prior``.
    """

    burn_in: list[bool] = field(default_factory=list)
    alpha: list[float] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    precision: list[Doubles] = field(default_factory=list)
    mean: list[Doubles] = field(default_factory=list)

    def add(self, alpha: float, bias: float, prior: Prior, *, burn_in: bool) -> None:
        """Append an iteration."""
        self.burn_in.append(burn_in)
        self.alpha.append(alpha)
        self.bias.append(bias)
        self.precision.append(prior.precision)
        self.mean.append(prior.mean)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return each as an array, iterations first."""
        return {
            "burn_in": np.array(self.burn_in, bool),
            "alpha": np.array(self.alpha, np.float64),
            "bias": np.array(self.bias, np.float64),
            "precision": np.array(self.precision, np.float64),
            "mean": np.array(self.mean, np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Trace:
        """Take back what ``to_arrays`` returned; nothing of ``arrays`` is kept."""
        return cls(
            arrays["burn_in"].tolist(),
            arrays["alpha"].tolist(),
            arrays["bias"].tolist(),
            list(arrays["precision"].copy()),
            list(arrays["mean"].copy()),
        )

    def rescaled(self, shift: float, scale: float) -> dict[str, NDArray[Any]]:
        """Return the arrays for the target ``shift + scale * target``."""
        arrays = self.to_arrays()
        arrays["alpha"] /= scale**2
        arrays["bias"] = shift + scale * arrays["bias"]
        arrays["precision"][..., :1] /= scale**2
        arrays["precision"][..., 1:] /= scale  # V grows by the root: pairs multiply two of them
        arrays["mean"][..., :1] *= scale
        arrays["mean"][..., 1:] *= np.sqrt(scale)
        return arrays
