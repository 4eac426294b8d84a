"""The settings of a two-stage recommender in one TOML file: read, checked, and made into a ``Recommender``."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.errors import DataError, OptionError
from crossfm.recommender.channels.kinds import check_channels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("categorical", "numeric", "multi", "drop")
TRAINED_ON = ("recalled", "impressions")


@dataclass
class Data:
    """Files, relative to the folder of the configuration."""

    interactions: str = ""
    users: str = ""
    items: str = ""
    impressions: str = ""
    separator: str = ""
    encoding: str = ""


@dataclass
class RoleNames:
    """Columns by role; empty: none. ``context`` lists what is known at the moment of asking."""

    user: str = ""
    item: str = ""
    time: str = ""
    label: str = ""
    positive: float = 1.0
    context: list[str] = field(default_factory=list)
    user_columns: list[str] = field(default_factory=list)
    item_columns: list[str] = field(default_factory=list)
    title: str = ""
    item_time: str = ""


@dataclass
class Recall:
    """Of the first stage; see ``Recommender`` and ``FMRanker``. ``options`` go to ``FMRanker`` as they are.

    ``channels`` says how many of the candidates come from "popular", "latest", "item-kNN" and "tags".
    """

    history: int = 0
    half_life: float = 0.0
    n_candidates: int = 300
    channels: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class RankingStage:
    """Of the second stage: "none", "fm", "ffm", "fwfm" or the name of a neural model. ``options`` go to its class."""

    machine: str = "none"
    train_on: str = "recalled"
    share: float = 0.5
    negatives: int = 100
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Judging:
    """How the result is judged: by the latest share of the interactions, lists of these lengths, beside channels."""

    test: float = 0.2
    ks: list[int] = field(default_factory=lambda: [10, 20])
    channels: bool = True


@dataclass
class Output:
    """Where bundles and the report go; an empty report is not written."""

    models: str = "models"
    report: str = "report.html"


@dataclass
class Config:
    """All of it.

    ``columns`` says how to encode a column: "categorical", "numeric", "multi" with "|" between values, "multi:;" with
    another separator, or "drop". Columns that it does not name are inferred.
    """

    data: Data = field(default_factory=Data)
    roles: RoleNames = field(default_factory=RoleNames)
    columns: dict[str, str] = field(default_factory=dict)
    recall: Recall = field(default_factory=Recall)
    ranking: RankingStage = field(default_factory=RankingStage)
    evaluation: Judging = field(default_factory=Judging)
    output: Output = field(default_factory=Output)
    seed: int = 0
    threads: int = 0


def read_config(path: str | Path) -> Config:
    """Read a TOML file. Raises ``DataError`` for a file that is none, ``OptionError`` for unknown or wrong settings."""
    try:
        with open(path, "rb") as file:
            told = tomllib.load(file)
    except tomllib.TOMLDecodeError as exc:
        raise DataError(f"{path} is not TOML: {exc}") from exc
    except OSError as exc:
        raise DataError(f"{path} could not be read: {exc.strerror}") from exc
    config: Config = _filled(Config, told, "")
    if not config.data.interactions:
        raise OptionError(f"{path}: [data] interactions names no file")
    for name in ("user", "item"):
        if not getattr(config.roles, name):
            raise OptionError(f"{path}: [roles] {name} names no column")
    for name, kind in config.columns.items():
        if kind.partition(":")[0] not in KINDS:
            raise OptionError(f"{path}: [columns] {name} is {kind!r}, but kinds are {', '.join(KINDS)}")
    try:
        check_channels(config.recall.channels, config.recall.n_candidates, config.roles.item_time or None)
    except OptionError as exc:
        raise OptionError(f"{path}: [recall] channels: {exc}") from exc
    if config.ranking.train_on not in TRAINED_ON:
        raise OptionError(
            f"{path}: [ranking] train_on is {config.ranking.train_on!r}, but it is one of {', '.join(TRAINED_ON)}"
        )
    return config


def _filled(kind: Any, told: dict[str, Any], where: str) -> Any:
    """Make a dataclass of a table of settings; names and types must be its own."""
    known = {each.name: each for each in fields(kind)}
    made = kind()
    for name, value in told.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise OptionError(f"unknown setting {where}{name}{hint}")
        old = getattr(made, name)
        if hasattr(old, "__dataclass_fields__"):
            if not isinstance(value, dict):
                raise OptionError(f"{where}{name} is a table of settings: write [{name}]")
            value = _filled(type(old), value, f"{name}.")
        elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif type(value) is not type(old):
            raise OptionError(f"{where}{name} is {value!r}, but {type(old).__name__} is expected")
        setattr(made, name, value)
    return made


def column_of(name: str, kind: str) -> Column:
    """Return the column that ``kind`` describes."""
    base, _, separator = kind.partition(":")
    if base == "numeric":
        return Numeric(name)
    if base == "multi":
        return MultiCategorical(name, separator=separator or "|", combiner="sqrtn")
    return Categorical(name)


def make_recommender(config: Config, columns: list[Column] | None, *, callbacks: Any = None) -> Any:
    """Return a ``Recommender`` that is not fitted yet. Raises ``OptionError`` for options that its machines lack."""
    from crossfm.recommender.defaults import default_retriever
    from crossfm.recommender.recommender import Recommender

    retriever = default_retriever(config.seed)
    _set(retriever, {"n_threads": config.threads or 1, **config.recall.options}, "recall.options")
    if callbacks is not None:
        retriever.set_params(callbacks=callbacks)
    ranker = make_ranker(config, retriever.n_factors)
    stage, recall, roles = config.ranking, config.recall, config.roles
    needs_time = roles.time if recall.half_life or recall.history or ranker is not None else None
    return Recommender(
        user=roles.user,
        item=roles.item,
        time=needs_time or None,
        context=roles.context,
        columns=columns,
        history=recall.history,
        retriever=retriever,
        ranker=ranker,
        ranker_share=stage.share,
        ranker_negatives=stage.negatives,
        label=roles.label or "label",
        half_life=recall.half_life or None,
        title=roles.title or None,
        item_time=roles.item_time or None,
        n_candidates=recall.n_candidates,
        channels=recall.channels or None,
    )


def make_ranker(config: Config, n_factors: int) -> Any:
    """Return the machine of the second stage, None where it is "none"."""
    from crossfm.recommender.defaults import default_ranker

    name, options = config.ranking.machine, dict(config.ranking.options)
    if name == "none":
        return None
    machine = default_ranker(name, n_factors=n_factors, random_state=config.seed)
    _set(machine, {"n_threads": config.threads or 1, **options}, "ranking.options")
    return machine


def _set(machine: Any, options: dict[str, Any], where: str) -> None:
    known = machine.get_params(deep=False)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"{where} has {name!r}, which {type(machine).__name__} does not take{hint}")
    machine.set_params(**options)
