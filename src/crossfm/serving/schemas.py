"""What may be sent. Everything is limited here, so that no request can ask for more than the server has."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

Text = Annotated[StrictStr, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")]
WholeNumber = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[Union[Text, WholeNumber], Field(examples=["42"])]  # noqa: UP007
Session = Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Column = Annotated[StrictStr, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Cell = Annotated[StrictStr, Field(max_length=4_000, pattern=r"^[^\x00]*$")]
Scalar = Union[Cell, StrictBool, WholeNumber, Annotated[StrictFloat, Field(allow_inf_nan=False)], None]  # noqa: UP007
Value = Union[  # noqa: UP007
    Scalar,
    Annotated[list[Scalar], Field(max_length=1_000)],
    Annotated[dict[Column, Number], Field(max_length=1_000)],
]
Values = Annotated[dict[Column, Value], Field(max_length=200)]
Ids = Annotated[list[Id], Field(max_length=10_000)]
Kind = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Strict(BaseModel):
    """A body without unknown fields and without guesses: a misspelt name or a text for a number is told."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Who(Strict):
    """For whom: a user, a session, or nobody."""

    user: Id | None = Field(None, description="None, or unknown to the model: a session.", examples=["196"])
    session: Session | None = Field(
        None, description="Takes the user's place in experiments where there is no user."
    )
    context: Values = Field({}, description="Values of context columns.", examples=[{"daytime": "evening"}])
    features: Values = Field(
        {}, description="Of the user, instead of what is stored.", examples=[{"age": 33}]
    )
    history: Annotated[list[Id], Field(max_length=1_000)] = Field(
        [],
        description="Items of this session, oldest first; go behind what is stored.",
        examples=[["50", "181"]],
    )


class Asked(Who):
    """What both stages can be told."""

    n: int = Field(10, ge=1, le=1_000, description="Items wanted.")
    allow: Ids | None = Field(None, description="Only these items.")
    deny: Ids = Field([], description="Not these items.")
    where: Annotated[dict[Column, Any], Field(max_length=50)] | None = Field(
        None, description="Conditions on item attributes.", examples=[{"genres": "Comedy"}]
    )
    exclude_seen: bool = True
    popularity: float = Field(1.0, ge=0, le=10, description="0 is pure taste; above 1 leans to hits.")
    attributes: bool = Field(True, description="Whether items come with their attributes.")


class RecommendBody(Asked):
    """A request for a list."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"user": "196", "n": 5, "context": {"daytime": "evening"}},
                {"history": ["50", "181"], "n": 5, "diversity": 0.3},
            ]
        },
    )
    diversity: float = Field(0.0, ge=0, le=1, description="0 is by score alone.")
    caps: Annotated[dict[Column, Annotated[int, Field(ge=1, le=1_000)]], Field(max_length=20)] = Field(
        {}, description="Most items of one value of an attribute."
    )
    freshness: float = Field(
        0.0, ge=0, le=10, description="What a new item gains, in deviations of the scores."
    )
    exploration: float = Field(
        0.0, ge=0, le=10, description="Length of a random turn of the query, in lengths of the query."
    )
    temperature: float = Field(
        0.0, ge=0, le=10, description="Above 0 the list is drawn: chances of exp(score / temperature)."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**53, description="Of that turn and that draw: the same seed, the same list."
    )
    candidates: int | None = Field(None, ge=1, le=10_000, description="Items that recall hands to ranking.")
    explain: bool = Field(False, description="Whether items come with the largest parts of their scores.")
    version: Name | None = Field(
        None,
        description="One that is in memory, to compare: outside experiments, and not noted as shown.",
        examples=["20260701-120000-a1b2c3"],
    )


class RankBody(Who):
    """A request to put given items in order."""

    items: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    popularity: float = Field(1.0, ge=0, le=10)
    attributes: bool = True


class ExplainBody(Who):
    """A request for the parts of one score."""

    item: Id
    popularity: float = Field(1.0, ge=0, le=10)


class EventBody(Strict):
    """Something a user, or a session without one, did with an item."""

    user: Id | None = None
    session: Session | None = Field(
        None, description="Of whom no user is known; as in the request for the list."
    )
    item: Id
    type: Kind = "click"
    value: Number = 1.0
    time: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] | None = Field(
        None, description="Seconds since 1970; None is now."
    )
    key: Text | None = Field(None, description="Makes sending again harmless: stored once.")
    request_id: Text | None = Field(None, description="Of the answer that showed the item.")
    context: Values | None = None

    @model_validator(mode="after")
    def _somebody(self) -> EventBody:
        if (self.user is None) == (self.session is None):
            raise ValueError("give user or session, one of them")
        return self


class FeedbackBody(Strict):
    """Events; the answer comes when all of them are on disk."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=1_000)] = Field(
        examples=[[{"user": "196", "item": "50", "type": "click"}]]
    )


class UserBody(Strict):
    """A user to be made."""

    id: Id
    features: Values = Field({}, examples=[{"age": 33, "occupation": "writer"}])


class ItemBody(Strict):
    """An item to be made."""

    id: Id
    attributes: Values = Field({}, examples=[{"title": "A new film", "genres": ["Comedy"]}])


class FeaturesBody(Strict):
    """Features of a user."""

    features: Values = Field(examples=[{"age": 33}])


class AttributesBody(Strict):
    """Attributes of an item."""

    attributes: Values = Field(examples=[{"title": "A new film"}])


class ActivateBody(Strict):
    """The version to serve."""

    version: Name
