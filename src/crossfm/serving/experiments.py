"""Experiments: who gets which variant, the same on every worker and after every restart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crossfm.serving.settings import Experiment, Variant

SESSION = "session:"


@dataclass(frozen=True)
class Assigned:
    """The experiment and the variant of one answer."""

    experiment: Experiment
    variant: Variant


def unit_of(user: str | int | None, session: str | None) -> str | None:
    """Return the name under which somebody is dealt to variants, and under which lists and events are stored.

    A session without a user is ``SESSION`` and its id, so that it is no user's namesake; None: nobody to count.
    """
    if user is not None:
        return str(user)
    return None if session is None else SESSION + session


def user_of(unit: str | None) -> str | None:
    """Return the user of a ``unit_of``; None for sessions and for nobody."""
    return None if unit is None or unit.startswith(SESSION) else unit


def share_of(*parts: str) -> float:
    """Return a number in [0, 1) that depends on the parts alone: 53 bits of their SHA-256."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def assign(experiments: Sequence[Experiment], unit: str | None) -> Assigned | None:
    """Return the variant of a user or session (``unit_of``); None for nobody and for who is in no experiment.

    Experiments are asked in their order and take their share of those whom the ones before have left, so nobody is
    in two. Being in and the variant are independent draws.
    """
    if unit is None:
        return None
    for experiment in experiments:
        salt = experiment.salt or experiment.name
        if share_of(salt, "in", unit) >= experiment.share:
            continue
        return Assigned(experiment, _variant(experiment, share_of(salt, "variant", unit)))
    return None


def _variant(experiment: Experiment, at: float) -> Variant:
    left = at * sum(variant.weight for variant in experiment.variants)
    for variant in experiment.variants:
        left -= variant.weight
        if left < 0:
            return variant
    return experiment.variants[-1]
