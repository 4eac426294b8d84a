"""What came of experiments: exposures joined with later events."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import bindparam, case, exists, func, select

from crossfm.serving.store.database import Database
from crossfm.serving.store.records import Outcome
from crossfm.serving.store.tables import events, impressions

Z = 1.959963984540054  # two-sided 95 % of the normal distribution

_SEEN = (
    select(impressions.c.variant, impressions.c.user_id, func.min(impressions.c.time).label("first"))
    .where(
        impressions.c.experiment == bindparam("experiment"),
        impressions.c.variant.is_not(None),
        impressions.c.user_id.is_not(None),
    )
    .group_by(impressions.c.variant, impressions.c.user_id)
    .subquery()
)
_CONVERTED = exists().where(
    events.c.user_id == _SEEN.c.user_id,
    events.c.type == bindparam("type"),
    events.c.time >= _SEEN.c.first,
    events.c.time <= _SEEN.c.first + bindparam("window"),
)
_OUTCOME = (
    select(_SEEN.c.variant, func.count(), func.sum(case((_CONVERTED, 1), else_=0)))
    .group_by(_SEEN.c.variant)
    .order_by(_SEEN.c.variant)
)


def outcome(database: Database, experiment: str, event_type: str, window: float) -> list[Outcome]:
    """Return what came of each variant.

    A user counts once for a variant, from the first time they saw it: all are watched for the same ``window`` seconds,
    however often they come back. So does a session with an id; who has neither does not count.
    """
    rows = database.read(_OUTCOME, {"experiment": experiment, "type": event_type, "window": window})
    found = []
    for variant, n, k in rows:
        low, high = wilson(k, n)
        found.append(Outcome(variant, int(n), int(k), int(k) / int(n), float(low), float(high)))
    return found


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the 95 % interval of a share, elementwise; ``trials`` are above 0.

    E. B. Wilson. Probable inference, the law of succession, and statistical inference. JASA 1927.
    """
    n = np.asarray(trials, dtype=np.float64)
    p = np.asarray(successes, dtype=np.float64) / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
