"""Times of interactions, and what they weigh by age."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.errors import DataError

DAY = 86_400.0


def age_weight(seconds: NDArray[np.float64], half_life: float) -> NDArray[np.float64]:
    """Return weights (n,) of mean 1 that halve with every ``half_life`` days before the latest time."""
    weight = 0.5 ** ((seconds.max() - seconds) / (DAY * half_life))
    return np.asarray(weight / weight.mean())


def born_of(table: Any, name: str) -> NDArray[np.float64]:
    """Return the times of the column ``name`` of a table in seconds (n,), NaN where there is none.

    Raises ``DataError`` as ``seconds_of`` does.
    """
    column, out = table[name], np.full(table.num_rows, np.nan)
    out[column.is_valid().to_numpy()] = seconds_of(column.drop_null(), name)
    return out


def seconds_of(column: Any, name: str) -> NDArray[np.float64]:
    """Return the times of an Arrow column (timestamps, dates or numbers of seconds) in seconds.

    Raises ``DataError`` for other types, and where a time is missing or not finite.
    """
    kind, per_second = column.type, 1.0
    try:
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            column = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
            per_second = 1e6
        seconds = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), np.float64) / per_second
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise DataError(
            f"column {name!r} holds {kind}, but times are timestamps, dates or numbers of seconds"
        ) from exc
    if not np.isfinite(seconds).all():
        bad = ~np.isfinite(seconds)
        raise DataError(
            f"column {name!r} has no finite time in row {int(np.argmax(bad))} ({int(bad.sum())} in all); "
            "fill or drop such rows"
        )
    return seconds
