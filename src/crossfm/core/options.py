"""The numbers of a training run, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfm.errors import OptionError

MAX_FACTORS = 1024


@dataclass(frozen=True)
class Hyper:
    """Numbers of the update rules; see ``cpp/rules.hpp`` for where each enters.

    Attributes
    ----------
    learning_rate : float
        Step size; FTRL's alpha.
    l2_w, l2_V : float
        L2 penalty on ``w`` and ``V`` of touched features, per row.
    l1_w, l1_V : float
        L1 penalty; FTRL only.
    initial_accumulator : float
        AdaGrad's accumulators start here (above 0).
    ftrl_decay : float
        FTRL's n fades by this factor at each update of the weight; 1 keeps all.
    ftrl_beta, adam_beta1, adam_beta2, adam_eps : float
    """

    learning_rate: float
    l2_w: float = 0.0
    l2_V: float = 0.0
    l1_w: float = 0.0
    l1_V: float = 0.0
    initial_accumulator: float = 1.0
    ftrl_beta: float = 1.0
    ftrl_decay: float = 1.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_eps: float = 1e-8


def check_number(name: str, value: Any, *, low: float = 0.0, above: bool = False) -> float:
    """Return ``value`` as a float at least ``low`` (or above it), or raise ``OptionError``."""
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    good = good and np.isfinite(value) and (value > low if above else value >= low)
    if not good:
        raise OptionError(
            f"{name}={value!r}, but it must be a number {'above' if above else 'of at least'} {low:g}"
        )
    return float(value)


def check_count(name: str, value: Any, *, low: int = 0, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high], or raise ``OptionError``."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not good or value < low or (high is not None and value > high):
        upper = "" if high is None else f" and at most {high}"
        raise OptionError(f"{name}={value!r}, but it must be a whole number of at least {low}{upper}")
    return int(value)


def check_choice(name: str, value: Any, choices: Any) -> Any:
    """Return ``value`` when it is one of ``choices``, or raise ``OptionError``."""
    if value not in tuple(choices):
        raise OptionError(f"{name}={value!r}, but it must be one of {', '.join(repr(c) for c in choices)}")
    return value


def thread_count(n_threads: Any) -> int:
    """Return the number of threads; 0 or -1 means all cores this process may use."""
    import os

    if isinstance(n_threads, (int, np.integer)) and n_threads is not False and n_threads in (0, -1):
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else (os.cpu_count() or 1)
    return check_count("n_threads", n_threads, low=1, high=1024)
