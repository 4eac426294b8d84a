"""How the learning rate falls from epoch to epoch."""

from __future__ import annotations

import math

from crossfm.core.options import check_choice

SCHEDULES = ("constant", "inverse", "linear", "cosine")


def rate(schedule: str, learning_rate: float, epoch: int, max_iter: int) -> float:
    """Return the learning rate of ``epoch`` (counted from 0).

    constant: eta; inverse: eta / sqrt(1 + epoch); linear: eta (1 - epoch / max_iter);
    cosine: eta (1 + cos(pi epoch / max_iter)) / 2.
    """
    check_choice("schedule", schedule, SCHEDULES)
    done = epoch / max(max_iter, 1)
    factor = {
        "constant": 1.0,
        "inverse": 1.0 / math.sqrt(1.0 + epoch),
        "linear": 1.0 - done,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
    }[schedule]
    return learning_rate * max(factor, 1e-3)
