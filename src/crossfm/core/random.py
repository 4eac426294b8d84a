"""One seed in, named streams out."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from crossfm.errors import OptionError


def stream(random_state: Any, name: str) -> np.random.Generator:
    """Return a generator for one purpose: the same seed and name give the same numbers.

    ``random_state`` is an int (repeatable), None (fresh entropy), or a NumPy ``RandomState`` or
    ``Generator``, of which one draw is taken as the seed.
    """
    if isinstance(random_state, np.random.RandomState):
        seed: Any = int(random_state.randint(0, 2**31 - 1))
    elif isinstance(random_state, np.random.Generator):
        seed = int(random_state.integers(0, 2**31 - 1))
    elif random_state is None:
        return np.random.default_rng()
    elif isinstance(random_state, (int, np.integer)) and random_state >= 0:
        seed = int(random_state)
    else:
        raise OptionError(
            f"random_state={random_state!r}, but it must be None, an int of at least 0 or a generator"
        )
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
