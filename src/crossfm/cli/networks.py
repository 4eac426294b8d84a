"""Options of ``crossfm train`` for networks, and what they are to an estimator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.reading import names
from crossfm.cli.show import say
from crossfm.errors import DataError, OptionError

PANEL = "Networks"
STEPS = 20  # of an epoch, at least, where the size of the batches is not given
SMALLEST = 32  # rows of a batch then
MODEL_OPTIONS = (
    "hidden",
    "dropout",
    "batch_norm",
    "activation",
    "model_options",
)  # a fitted network keeps them


def _option(*flags: str, help: str) -> Any:
    return typer.Option(*flags, help=help, rich_help_panel=PANEL)


HiddenOption = Annotated[
    Optional[str],  # noqa: UP045  (typer reads these at run time, on Python 3.10 too)
    _option("--hidden", help="Widths of the layers: 400,400; else the model's own."),
]
DropoutOption = Annotated[
    Optional[str],  # noqa: UP045
    _option("--dropout", help="Share that is dropped: 0.3, or one a layer, 0.3,0.2."),
]
BatchNormOption = Annotated[
    Optional[bool],  # noqa: UP045
    _option("--batch-norm/--no-batch-norm", help="Normalise batches in the layers; else the model's own."),
]
ActivationOption = Annotated[
    Optional[str],  # noqa: UP045
    _option("--activation", help="relu, leaky_relu, elu, gelu, silu, tanh, sigmoid or identity."),
]
BatchSizeOption = Annotated[
    Optional[int],  # noqa: UP045
    _option("--batch-size", help="Rows of a step; else 1024, or fewer where the rows are few."),
]
RateVOption = Annotated[
    Optional[float],  # noqa: UP045
    _option(
        "--learning-rate-v", help="Of embeddings; else the solver's own. --learning-rate is the layers'."
    ),
]
RateWOption = Annotated[
    Optional[float],  # noqa: UP045
    _option("--learning-rate-w", help="Of linear weights; else the solver's own."),
]
LayersOption = Annotated[
    Optional[float],  # noqa: UP045
    _option("--l2-layers", help="Weight decay of the layers."),
]
ClipOption = Annotated[
    Optional[float],  # noqa: UP045
    _option("--clip-norm", help="Largest length of the layers' gradient."),
]
WarmupOption = Annotated[
    Optional[int],  # noqa: UP045
    _option("--warmup", help="Steps in which the layers' learning rate rises."),
]
CowClipOption = Annotated[
    Optional[float],  # noqa: UP045
    _option("--cowclip", help="For very large batches: bound each embedding's gradient, 0.1 for example."),
]
DeviceOption = Annotated[
    Optional[str],  # noqa: UP045
    _option("--device", help="cpu, or a GPU as PyTorch names it: cuda, cuda:1."),
]
CompileOption = Annotated[bool, _option("--compile", help="Let torch.compile make the layers faster.")]
ModelOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    _option(
        "--option",
        help="name=value of the model's own options, again for more: n_cross=4, cin=[64,64].",
    ),
]


def widths(text: str | None) -> list[int] | None:
    """Read ``400,400``; no numbers are no hidden layers."""
    if text is None:
        return None
    try:
        return [int(word) for word in names(text)]
    except ValueError:
        raise OptionError(f"--hidden {text}, but it must be widths of layers, such as 400,400") from None


def rates(text: str | None) -> float | list[float] | None:
    """Read ``0.3``, or ``0.3,0.2``, a number for each layer."""
    if text is None:
        return None
    try:
        found = [float(word) for word in names(text)]
    except ValueError:
        found = []
    if not found:
        raise OptionError(f"--dropout {text}, but it must be a share such as 0.3, or one a layer: 0.3,0.2")
    return found[0] if len(found) == 1 else found


def model_options(texts: Sequence[str] | None) -> dict[str, Any] | None:
    """Read ``name=value`` each; values are JSON, or else text."""
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise OptionError(f"--option {text}, but it must be name=value, such as n_cross=4")
        if name in found:
            raise OptionError(f"--option names {name} twice; say one thing about it")
        try:
            found[name] = json.loads(value, parse_constant=_no_number)
        except ValueError:
            found[name] = value
    return found or None


def _no_number(text: str) -> Any:
    raise ValueError(text)  # NaN, Infinity


def start_from(fm: Any, task: str, job: Any) -> tuple[Any, str]:
    """Return a network that is not fitted and starts at the factorization machine ``fm`` of the file ``job.init``."""
    from crossfm.cli.fit_estimator import check_settings
    from crossfm.estimators.machines import ESTIMATORS

    if fm.n_factors == 0:
        raise OptionError(f"{job.init} is a linear model: it has no factors that a network could start from")
    own = {"n_factors": fm.n_factors} | ({"loss": fm.loss} if task == "regression" else {})
    columns = None if fm.encoder_ is None else list(fm.encoder_.columns)
    kind = ESTIMATORS[job.machine][task]
    settings = check_settings(job.settings, kind(), f"the task {task} with --model {job.machine}") | own
    return kind(**settings, init=fm, columns=columns, random_state=job.seed), task


def known_features(X: Any, fm: Any, path: Path) -> Any:
    """Return rows (or a stream, changed in place) with as many features as ``fm`` has; a table as it is."""
    from dataclasses import replace

    from crossfm.cli.reading import features, is_rows
    from crossfm.data.rows import Rows

    if isinstance(X, Rows) or not is_rows(X):
        if fm.encoder_ is not None and not is_rows(X):
            return X
        return replace(features(fm, X, path), n_features=fm.n_features_in_)
    if (X.encoder is None) != (fm.encoder_ is None):
        learnt = "numbered features" if fm.encoder_ is None else f"columns {', '.join(fm.encoder_.fields)}"
        raise DataError(f"{path} does not fit the model to start from, which was fitted on {learnt}")
    if X.encoder is None:
        if X.n_features > fm.n_features_in_:
            raise DataError(
                f"{path} has feature {X.n_features - 1}, but the model to start from was fitted with "
                f"{fm.n_features_in_} features (0 to {fm.n_features_in_ - 1})"
            )
        X.n_features = fm.n_features_in_
    return X


def choose_batch_size(model: Any, n_rows: int, job: Any) -> None:
    """Let a new network have smaller batches where few rows would give an epoch of few steps, and say so."""
    usual = getattr(model, "batch_size", None)
    if usual is None or "batch_size" in job.settings or hasattr(model, "history_") or n_rows >= STEPS * usual:
        return
    size = max(n_rows // STEPS, SMALLEST)
    model.set_params(batch_size=size)
    if not job.quiet:
        say(f"batches of {size:,} rows, for the rows are few; --batch-size says otherwise")
