"""The table of losses: what each allows, its link and its start.

The value and the slope live in ``cpp/losses.hpp``; a row here and a branch there make a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import LabelError, OptionError

Floats = NDArray[np.float64]


def _sigmoid(score: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * score)))


def _logit(mean: float) -> float:
    mean = min(max(mean, 1e-6), 1.0 - 1e-6)
    return float(np.log(mean / (1.0 - mean)))


@dataclass(frozen=True)
class Loss:
    """One loss L(score, target); its slope dL/dscore is prediction minus target (canonical link).

    Attributes
    ----------
    code : int
        The branch in ``cpp/losses.hpp``.
    predict : callable
        The link: from scores (n,) to predictions (n,).
    value : callable
        Loss per row (n,), from scores and targets.
    start : callable
        The bias of the best constant model, from the mean target.
    allowed : callable
        Mask (n,) of the targets that the loss is defined for.
    expects : str
        What ``allowed`` accepts, in words.
    """

    name: str
    code: int
    predict: Callable[[Floats], Floats]
    value: Callable[[Floats, Floats], Floats]
    start: Callable[[float], float]
    allowed: Callable[[Floats], NDArray[np.bool_]]
    expects: str

    def check(self, target: Any) -> None:
        """Raise ``LabelError`` for the first target outside the loss's range."""
        target = np.asarray(target, np.float64)
        good = np.isfinite(target) & self.allowed(target)
        if not good.all():
            row = int(np.argmin(good))
            raise LabelError(
                f"row {row} has target {target[row]:g}, but {self.name} loss expects {self.expects}. "
                "Correct or drop such rows, or choose another loss."
            )


LOSSES = {
    loss.name: loss
    for loss in (
        Loss(
            name="squared",
            code=0,
            predict=lambda s: s,
            value=lambda s, y: 0.5 * (s - y) ** 2,
            start=float,
            allowed=lambda y: np.ones(len(y), bool),
            expects="finite numbers",
        ),
        Loss(
            name="logistic",
            code=1,
            predict=_sigmoid,
            value=lambda s, y: np.logaddexp(0.0, s) - y * s,
            start=_logit,
            allowed=lambda y: (y == 0) | (y == 1),
            expects="0 or 1",
        ),
        Loss(
            name="poisson",
            code=2,
            predict=lambda s: np.exp(s),
            value=lambda s, y: np.exp(s) - y * s,
            start=lambda mean: float(np.log(max(mean, 1e-6))),
            allowed=lambda y: y >= 0,
            expects="counts, 0 or more",
        ),
    )
}


def find_loss(name: str) -> Loss:
    """Return the loss of that name; ``OptionError`` lists the names there are."""
    if name not in LOSSES:
        raise OptionError(f"loss={name!r}, but the losses are {', '.join(LOSSES)}")
    return LOSSES[name]
