"""What is answered, for the API's description; answers are written as dicts and checked against these in tests."""

from __future__ import annotations

from typing import Any, Union

from pydantic import BaseModel, ConfigDict, Field

Id = Union[str, int]  # noqa: UP007


class ErrorDetail(BaseModel):
    """What is wrong, and where."""

    type: str = Field(examples=["invalid"])
    message: str = Field(examples=["n: Input should be greater than or equal to 1"])
    field: str | None = Field(None, examples=["n"])
    request_id: str = Field(examples=["6f1c2d"])


class Error(BaseModel):
    """Every error looks like this."""

    error: ErrorDetail


class WhyPart(BaseModel):
    """What a column or a pair of columns adds to a score."""

    columns: list[str]
    value: float


class ItemFound(BaseModel):
    """One item of a list."""

    item: Id
    rank: int
    score: float | None
    probability: float | None = None
    recall_rank: int | None = None
    recall_score: float | None = None
    source: str = Field(examples=["recall"])
    propensity: float | None = Field(
        None, description="Chance of this item at its place, given those above it."
    )
    attributes: dict[str, Any] | None = None
    why: list[WhyPart] | None = None


class FunnelOut(BaseModel):
    """Items left after each step."""

    catalogue: int
    allowed: int
    recalled: int
    ranked: int
    returned: int


class VariantOut(BaseModel):
    """The experiment that this answer is part of."""

    name: str
    variant: str


class AnswerOut(BaseModel):
    """A list."""

    request_id: str
    version: str
    user: Id | None
    known: bool
    note: str | None
    items: list[ItemFound]
    recalled: list[ItemFound]
    funnel: FunnelOut
    timings: dict[str, float] = Field(description="Milliseconds of each stage.")
    experiment: VariantOut | None = None


class SimilarOut(BaseModel):
    """Items like another."""

    request_id: str
    version: str
    item: Id
    items: list[ItemFound]


class MapColumn(BaseModel):
    """An attribute to colour by: for each item the codes of its values."""

    name: str
    values: list[str]
    codes: list[list[int]]


class MapOut(BaseModel):
    """Items on a plane, popular ones first."""

    version: str
    items: list[Id]
    titles: list[str]
    x: list[float] = Field(description="From -1 to 1; x and y have one scale.")
    y: list[float]
    explained: list[float] = Field(description="Share of the variance along x and along y.")
    n_items: int = Field(description="Of the whole catalogue.")
    columns: list[MapColumn]


class DirectionOut(BaseModel):
    """A direction on the plane, of length 1; None where nothing is known of the user."""

    request_id: str
    version: str
    user: Id | None
    x: float | None
    y: float | None
    share: float | None = Field(description="How much of the query's length lies on the plane.")


class LatelyOut(BaseModel):
    """What happened to an item of late."""

    id: Id
    answers: int = Field(description="The latest answers that were looked at.")
    shown: int = Field(description="How many of them had the item.")
    events: int = Field(description="The latest events that were looked at, of all items.")
    types: dict[str, int] = Field(description="Those of the item, by type.", examples=[{"click": 3}])


class BecauseOut(BaseModel):
    """What an item of the history adds."""

    item: Id
    value: float
    attributes: dict[str, Any] | None = None


class ExplainOut(BaseModel):
    """A score in parts that add up: bias and parts."""

    request_id: str
    version: str
    user: Id | None
    item: Id
    score: float | None
    bias: float
    parts: list[WhyPart]
    because: list[BecauseOut]
    ranked: float | None
    attributes: dict[str, Any] | None = None


class AcceptedOut(BaseModel):
    """Events that are on disk."""

    accepted: int
    numbers: list[int]


class UserOut(BaseModel):
    """A user."""

    id: Id
    features: dict[str, Any]


class UsersOut(BaseModel):
    """A page of users."""

    users: list[UserOut]
    limit: int
    offset: int


class ItemOut(BaseModel):
    """An item."""

    id: Id
    attributes: dict[str, Any]


class ItemsOut(BaseModel):
    """A page of items."""

    items: list[ItemOut]
    limit: int
    offset: int


class PastOut(BaseModel):
    """Something a user did; ``time`` is None for what the model learned from."""

    item: Id
    type: str
    value: float | None
    time: float | None
    source: str = Field(examples=["feedback", "model"])
    attributes: dict[str, Any] | None = None


class HistoryOut(BaseModel):
    """The latest first."""

    user: Id
    history: list[PastOut]


class ModelsOut(BaseModel):
    """Versions."""

    current: str
    previous: str | None
    loaded_at: float
    versions: list[dict[str, Any]]
    refused: list[dict[str, Any]]


class VersionOut(BaseModel):
    """The version that answers now."""

    version: str
    previous: str | None


class ExperimentsOut(BaseModel):
    """Experiments with what came of them."""

    experiments: list[dict[str, Any]]


class Anything(BaseModel):
    """An object whose keys are described in docs/serving.md."""

    model_config = ConfigDict(extra="allow")


class LiveOut(BaseModel):
    """The process runs."""

    status: str


class ReadyOut(BaseModel):
    """Whether requests should come here; details only for callers with a key."""

    status: str = Field(examples=["ready", "draining"])
    version: str | None = None
    refused: dict[str, Any] | None = None
    store: str | None = None
