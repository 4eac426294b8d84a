"""Values of users, gathered block by block, and their means with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossfm.metrics.bootstrap import bootstrap_interval, bootstrap_intervals

Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


class Tally(Generic[Key]):
    """Arrays (n_users,) by key, in parts."""

    def __init__(self) -> None:
        self._parts: dict[Key, list[Floats]] = {}

    def add(self, values: Mapping[Key, Floats]) -> None:
        """Put a block's values behind those of the blocks before."""
        for key, value in values.items():
            self._parts.setdefault(key, []).append(value)

    def arrays(self) -> dict[Key, Floats]:
        """Return whole arrays."""
        return {key: np.concatenate(parts) for key, parts in self._parts.items()}


def spread(values: Mapping[str, Floats], judged: NDArray[np.bool_]) -> dict[str, Floats]:
    """Put values (n_judged,) at the places of the users judged; NaN for the others."""
    out = {}
    for name, value in values.items():
        out[name] = np.full(len(judged), np.nan)
        out[name][judged] = value
    return out


def intervals(columns: Mapping[str, Floats], mask: NDArray[np.bool_], seed: int) -> dict[str, dict[str, Any]]:
    """Return mean, low and high (95 % bootstrap over users), and n_users, of each array where ``mask`` is set.

    Users with NaN are left out; where none is left the numbers are None.
    """
    out: dict[str, dict[str, Any]] = {}
    groups: dict[bytes, list[str]] = {}
    for name, value in columns.items():
        groups.setdefault((mask & np.isfinite(value)).tobytes(), []).append(name)
    for packed, names in groups.items():
        keep = np.frombuffer(packed, bool)
        n = int(keep.sum())
        if not n:
            out |= {name: {"mean": None, "low": None, "high": None, "n_users": 0} for name in names}
            continue
        found = bootstrap_intervals(np.stack([columns[name][keep] for name in names], axis=1), seed=seed)
        out |= {name: {**one._asdict(), "n_users": n} for name, one in zip(names, found, strict=True)}
    return {name: out[name] for name in columns}


def weighted(value: Floats, weight: Iterable[float], mask: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Return what ``intervals`` does of one array, users weighted."""
    keep = mask & np.isfinite(value)
    if not keep.any():
        return {"mean": None, "low": None, "high": None, "n_users": 0}
    found = bootstrap_interval(value[keep], np.asarray(weight)[keep], seed=seed)
    return {**found._asdict(), "n_users": int(keep.sum())}
