"""What goes into the store and comes out of it, as plain records. Times are seconds since 1970."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Event:
    """Something that a user did with an item.

    Parameters
    ----------
    user, item : str
        1 to 256 characters.
    type : str, default="click"
        1 to 64 characters.
    value : float, default=1.0
        A rating, a price, seconds watched.
    time : float, default=now
    key : str or None
        The client's own name for this event: sent again, it is stored once, and answered with the same number. Keys of
        different users never meet.
    request : str or None
        Of the answer that showed the item.
    context : mapping or None
        At most 16 kB as JSON.
    """

    user: str
    item: str
    type: str = "click"
    value: float = 1.0
    time: float = field(default_factory=time.time)
    key: str | None = None
    request: str | None = None
    context: Mapping[str, Any] | None = None


class Past(NamedTuple):
    """An event as the way of a request needs it; a tuple, as fifty are made in each request."""

    item: str
    type: str
    value: float
    time: float


@dataclass(frozen=True)
class Known:
    """All that the store knows of a user, read at once.

    Attributes
    ----------
    features : dict or None
        None: no such user was put.
    forgotten : float or None
        When the user was deleted last: what a model learned before must not be used. Stays when the user is put again.
    history : list of Past
        Newest first.
    """

    features: dict[str, Any] | None
    forgotten: float | None
    history: list[Past]


@dataclass(frozen=True)
class Impression:
    """An answer that was shown.

    Parameters
    ----------
    request : str
    user : str or None
        "session:" and its id where no user is known; None: nobody.
    items : sequence of str
        As shown, best first.
    scores : sequence of float
    version : str
        Of the model.
    context : mapping or None
    experiment, variant : str or None
    time : float, default=now
    candidates : sequence of str or None
        What ranking was given, where it is to be learned from.
    propensities : sequence of float or None
        Chance that each item had at its place, given those above it; above 0, at most 1. None: the list was not drawn,
        or nobody knows.
    asked : mapping or None
        What it takes to ask again, besides user, context and what the store knows: other fields of the request that
        were not left as they are by default. At most 16 kB as JSON.
    """

    request: str
    user: str | None
    items: Sequence[str]
    scores: Sequence[float] = ()
    version: str = ""
    context: Mapping[str, Any] | None = None
    experiment: str | None = None
    variant: str | None = None
    time: float = field(default_factory=time.time)
    candidates: Sequence[str] | None = None
    propensities: Sequence[float] | None = None
    asked: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one variant of an experiment.

    Attributes
    ----------
    users : int
        Who saw it.
    converted : int
        Who had an event of the type within the window after they first saw it.
    rate, low, high : float
        converted / users, with the 95 % interval of Wilson (1927).
    """

    variant: str
    users: int
    converted: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Lately:
    """What happened to an item of late.

    Attributes
    ----------
    answers : int
        The latest answers that were looked at.
    shown : int
        How many of them had the item.
    events : int
        The latest events that were looked at, of all items.
    types : dict of str to int
        Those of the item, by type.
    """

    answers: int
    shown: int
    events: int
    types: dict[str, int]
