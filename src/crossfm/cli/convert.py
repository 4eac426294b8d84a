"""``crossfm convert``: a text model of another program becomes a model file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import check_out
from crossfm.cli.show import examples, say

EXAMPLES = examples(
    "crossfm convert libfm.txt --task regression --out ratings.crossfm",
    "crossfm convert xlearn.txt --task classification --out clicks.crossfm",
)


class Kind(str, Enum):
    """What the model predicts."""

    classification = "classification"
    regression = "regression"


class Program(str, Enum):
    """Who wrote the model."""

    libfm = "libfm"
    xlearn = "xlearn"


@verb
def convert(
    model: Annotated[
        Path, typer.Argument(help="Text model: of libFM (-save_model), or LR and FM of xLearn (-t).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    task: Annotated[Kind, typer.Option(help="What it predicts; the text does not say.")],
    program: Annotated[
        Optional[Program],  # noqa: UP045
        typer.Option("--from", help="Who wrote it; else recognised."),
    ] = None,
) -> None:
    """Convert another program's text model: equal raw scores.

    xLearn normalises rows unless told --no-norm: only models trained so score the same here. libFM clips
    numbers to the range of its training targets, and its MCMC and ALS turn scores into probabilities by
    the normal distribution; here they are not clipped, and the logistic function is used.
    """
    from crossfm.estimators.fm import FMClassifier, FMRegressor
    from crossfm.io.foreign import read_foreign

    check_out(out, [model])
    found, params = read_foreign(model, None if program is None else program.value)
    arrays = {"machine.0.w": params.w, "machine.0.V": params.V, "machine.0.bias": params.bias}
    meta: dict[str, Any] = {
        "settings": {"n_factors": params.n_factors},
        "n_machines": 1,
        "n_features_in": params.n_features,
        "feature_names_in": [],
        "history": [],
        "best_iter": 0,
        "n_iter": 0,
        "target": [0.0, 1.0],
        "classes": [0, 1],
        "class_kind": "i",
    }
    made: Any = FMRegressor if task is Kind.regression else FMClassifier
    made.from_state(arrays, meta).save(out)
    say(f"{found}: {params.n_features:,} features, {params.n_factors} factors; wrote {out}")
