"""What a two-stage recommender is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from crossfm.core.options import check_count, check_number
from crossfm.errors import OptionError

Id = Union[str, int]  # noqa: UP007  (a value at run time)


@dataclass(frozen=True)
class Ask:
    """One request.

    Parameters
    ----------
    user : id or None
        None, or an id nobody knows: a session, known by ``features``, ``context`` and ``history`` alone.
    n : int, default=10
        Items wanted. Never fewer come back where as many are left.
    context : mapping of column to value
        Known at the moment of asking (time, device, place). Columns without a value count as missing.
    features : mapping of column to value
        Of the user, instead of what is stored.
    history : sequence of item ids
        What the user has done since the model was trained, oldest first; goes behind what the model knows.
    seen : sequence of item ids
        More items that the user has seen, which are no history (impressions, dislikes).
    allow : sequence of item ids or None
        Only these; None: all.
    deny : sequence of item ids
        Not these.
    where : mapping or None
        Conditions on item attributes; see ``recommender.filters``.
    exclude_seen : bool, default=True
        Leave out what the user has seen.
    popularity : float, default=1.0
        Last coordinate of the query: weight of what an item scores without any user. 0 is pure taste, above 1 leans to
        hits. Asked of recall and ranking alike.
    diversity : float, default=0.0
        From 0 (by score alone) to 1: how much likeness to what stands above counts against an item (MMR).
    caps : mapping of attribute to int
        At most this many items of one value of an attribute; an item of several values counts for each.
    freshness : float, default=0.0
        What an item of age 0 gains, in deviations of the candidates' scores; halves with the recommender's half-life
        of freshness.
    exploration : float, default=0.0
        Length of a random vector that is added to the query, in lengths of the query itself: items that the query has
        no opinion about get their chance, those it is sure of stay.
    temperature : float, default=0.0
        0 is by score. Above, each place is drawn from what is left, with chances in proportion to
        exp(score / temperature), the scores in deviations of the candidates' (after freshness; with diversity, what
        MMR makes of them). Some tenths change a list; at 1 and above it is nearly any list of candidates.
    seed : int or None, default=None
        Of that vector and of the draw; the same seed, the same list. None: another one each time.
    n_candidates : int or None
        Items that recall hands to ranking; None: the recommender's own.

    Raises ``OptionError`` for numbers out of range.
    """

    user: Id | None = None
    n: int = 10
    context: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Id] = ()
    seen: Sequence[Id] = ()
    allow: Sequence[Id] | None = None
    deny: Sequence[Id] = ()
    where: Mapping[str, Any] | None = None
    exclude_seen: bool = True
    popularity: float = 1.0
    diversity: float = 0.0
    caps: Mapping[str, int] = field(default_factory=dict)
    freshness: float = 0.0
    exploration: float = 0.0
    temperature: float = 0.0
    seed: int | None = None
    n_candidates: int | None = None

    def __post_init__(self) -> None:
        check_count("n", self.n, low=1)
        if self.n_candidates is not None:
            check_count("n_candidates", self.n_candidates, low=1)
        for name in ("popularity", "diversity", "freshness", "exploration", "temperature"):
            check_number(name, getattr(self, name))
        if self.diversity > 1:
            raise OptionError(f"diversity is {self.diversity}, but must be from 0 to 1")
        for name, cap in self.caps.items():
            check_count(f"caps[{name!r}]", cap, low=1)


@dataclass(frozen=True)
class Found:
    """One item of an answer.

    Attributes
    ----------
    item : id
    rank : int
        From 1.
    score : float
        Of the last stage that ordered by score: the raw score of ranking, of recall where there is no ranking, or
        the popularity where nothing is known about a user.
    probability : float or None
        Calibrated chance of a positive, where the model was calibrated.
    recall_rank, recall_score : int, float or None
        Place in the recalled list and the score there; no place for items of channels, neither where all was asked for.
    source : str
        "recall", the name of the channel that brought an item which recall's list had not, "popularity" or "asked".
    propensity : float or None
        Chance that the item had to stand at this place, given the items above it; exact, and 1 where ``temperature``
        is 0. None where no list was made (recall alone, rank), with ``exploration``, which has no such number, and
        where caps made recall look for more candidates.
    """

    item: Id
    rank: int
    score: float
    probability: float | None = None
    recall_rank: int | None = None
    recall_score: float | None = None
    source: str = "recall"
    propensity: float | None = None


@dataclass(frozen=True)
class Funnel:
    """How many items were left after each step of an answer."""

    catalogue: int
    allowed: int
    recalled: int
    ranked: int
    returned: int


@dataclass(frozen=True)
class Answer:
    """Items for one request, best first.

    Attributes
    ----------
    items : list of Found
        The final list.
    recalled : list of Found
        The first ``n`` of recall alone, to be shown beside it.
    funnel : Funnel
    timings : dict of str to float
        Milliseconds of "query", "recall", "rank", "rerank" and "total".
    version : str
        Of the model that gave the whole answer.
    known : bool
        Whether anything is known about the user; where not, items come by popularity.
    note : str or None
        Why there are fewer than ``n``, or what was left out of the request.
    lift : (float, float) or None
        How far recall's score of the mean item of ``items`` is above that of the mean item of the catalogue: by the
        items' own part (the last coordinate times popularity), and by the pairs with the query. None where nothing is
        known about the user.
    """

    items: list[Found]
    recalled: list[Found]
    funnel: Funnel
    timings: dict[str, float]
    version: str
    known: bool = True
    note: str | None = None
    lift: tuple[float, float] | None = None


@dataclass(frozen=True)
class Part:
    """What a column (one name) or a pair of columns (two) adds to a score."""

    columns: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Why:
    """A score in exact parts.

    Attributes
    ----------
    score : float
        Of recall's machine; ``bias`` and ``parts`` add up to it.
    parts : list of Part
        Largest size first.
    because : list of (id, float)
        What each item of the user's history adds by standing beside this item, largest first; a part of the pair of
        the columns history and item.
    ranked : float or None
        The ranking's score, where another machine ranks: it has no exact parts unless it is made of pairs.
    """

    item: Id
    score: float
    bias: float
    parts: list[Part]
    because: list[tuple[Id, float]]
    ranked: float | None = None
