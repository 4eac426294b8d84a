"""Settings of the server: options win over the environment, the environment over the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)

from crossfm.errors import MissingFileError, MissingLibraryError, OptionError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Variant(BaseModel):
    """One way to answer inside an experiment; None leaves what the request says.

    ``weight`` is relative to the other variants', ``version`` a bundle's, the rest as in ``Ask``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Name
    weight: Positive = 1.0
    version: Name | None = None
    popularity: NotNegative | None = None
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    candidates: Annotated[int, Field(ge=1, le=10_000)] | None = None


class Experiment(BaseModel):
    """A comparison of variants on a share of users; another ``salt`` (default: the name) shuffles them anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Name
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=20)
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    salt: str | None = None
    event: str = "click"
    window_seconds: Positive = 86_400.0

    @model_validator(mode="after")
    def _names_differ(self) -> Experiment:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"experiment {self.name!r} names a variant twice: {names}")
        return self


class Settings(BaseSettings):
    """Everything that can be set, with defaults that are safe on a laptop.

    Sizes are in bytes, times in seconds. ``rate`` is requests a second of one key, or of one address where there is
    no key (0: no limit), ``burst`` how many may come at once. ``positive`` names the events that extend a user's
    history ("click", "rating>=4"); all events but ``not_seen`` keep an item from being recommended again.
    """

    model_config = SettingsConfigDict(env_prefix="CROSSFM_SERVE_", env_nested_delimiter="__", extra="forbid")

    bundle: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    state: str = "sqlite:///crossfm.db"
    keys: Path | None = None
    page: bool = True
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    max_body: Annotated[int, Field(ge=1)] = 1_000_000
    max_depth: Annotated[int, Field(ge=2, le=200)] = 32
    max_n: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    max_candidates: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    max_in_flight: Annotated[int, Field(ge=1)] = 128
    rate: NotNegative = 0.0
    burst: Annotated[int, Field(ge=1)] = 100
    timeout: Positive = 10.0
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    store_threads: Annotated[int, Field(ge=1, le=256)] = 32
    drain_seconds: NotNegative = 0.0

    positive: tuple[str, ...] = ("click", "like", "purchase", "rating>=4")
    not_seen: tuple[str, ...] = ()
    history: Annotated[int, Field(ge=0, le=10_000)] = 50
    max_events: Annotated[int, Field(ge=1, le=100_000)] = 1_000

    watch_seconds: Positive = 2.0
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    experiments: tuple[Experiment, ...] = ()

    @field_validator("positive", "not_seen")
    @classmethod
    def _rules_parse(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            EventRule.parse(rule)
        return rules

    @model_validator(mode="after")
    def _experiments_differ(self) -> Settings:
        names = [experiment.name for experiment in self.experiments]
        if len(set(names)) < len(names):
            raise ValueError(f"two experiments have the same name: {names}")
        return self


def read_settings(path: Path | None = None, **options: Any) -> Settings:
    """Return the settings; ``options`` that are None were not given.

    Raises ``MissingFileError`` for no file, ``OptionError`` that names the setting for a value that means nothing.
    """
    given = {name: value for name, value in options.items() if value is not None}
    made = Settings if path is None else _from_file(path)
    try:
        return made(**given)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise OptionError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from exc
    except ImportError as exc:
        raise MissingLibraryError(f"{path} needs a library to be read: {exc}") from exc
    except (ValueError, OSError) as exc:  # broken TOML, YAML or JSON in the environment
        raise OptionError(f"settings could not be read from {path or 'the environment'}: {exc}") from exc


def _from_file(path: Path) -> type[Settings]:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file of settings")
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise OptionError(f"{path}: settings are read from .toml, .yaml or .yml")

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file: PydanticBaseSettingsSource
            if path.suffix == ".toml":
                file = TomlConfigSettingsSource(settings_cls, toml_file=path)
            else:
                file = YamlConfigSettingsSource(settings_cls, yaml_file=path)
            return init_settings, env_settings, file

    return FileSettings


_RULE = re.compile(r"^([A-Za-z_][\w.-]*)\s*(?:(>=|<=|>|<|==)\s*(-?\d+(?:\.\d+)?))?$")


class EventRule(BaseModel):
    """A type of event, perhaps with a condition on its value: "click", "rating>=4"."""

    model_config = ConfigDict(frozen=True)
    type: str
    sign: str | None = None
    bound: float = 0.0

    @classmethod
    def parse(cls, text: str) -> EventRule:
        """Read one rule. Raises ``ValueError`` for anything else."""
        match = _RULE.match(text.strip())
        if match is None:
            raise ValueError(f'{text!r} is no rule for events; write a type ("click") or "rating>=4"')
        return cls(type=match[1], sign=match[2], bound=float(match[3] or 0))

    def matches(self, kind: str, value: float) -> bool:
        """Whether an event of this type and value is meant."""
        if kind != self.type:
            return False
        if self.sign is None:
            return True
        return {
            ">=": value >= self.bound,
            "<=": value <= self.bound,
            ">": value > self.bound,
            "<": value < self.bound,
            "==": value == self.bound,
        }[self.sign]
