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
    libffm = "libffm"


@verb
def convert(
    model: Annotated[Path, typer.Argument(help="Text model: of libFM (-save_model), xLearn (-t) or libffm.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    task: Annotated[Kind, typer.Option(help="What it predicts; the text does not say.")],
    program: Annotated[
        Optional[Program],  # noqa: UP045
        typer.Option("--from", help="Who wrote it; else recognised."),
    ] = None,
    normalize: Annotated[
        bool,
        typer.Option(
            "--normalize", help="The rows were scaled to length 1 (xLearn's FFM without --no-norm)."
        ),
    ] = False,
) -> None:
    """Convert another program's text model: equal raw scores.

    xLearn normalises rows unless told --no-norm. Its FFM then scores the same with --normalize, its FM does not: it
    divides pairs by the fourth power of the length. A libffm file says whether rows are normalised. libFM clips
    numbers to the range of its training targets, and its MCMC and ALS turn scores into probabilities by
    the normal distribution; here they are not clipped, and the logistic function is used.
    """
    from crossfm.core.field_params import FFMParams
    from crossfm.estimators.machines import ESTIMATORS
    from crossfm.io.foreign import read_foreign

    check_out(out, [model])
    found, params, normalized = read_foreign(model, None if program is None else program.value)
    arrays = {f"machine.0.{name}": array for name, array in params.to_arrays().items()}
    meta: dict[str, Any] = {
        "settings": {"n_factors": params.n_factors, "normalize": normalize or normalized},
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
    machine = "ffm" if isinstance(params, FFMParams) else "fm"
    ESTIMATORS[machine][task.value].from_state(arrays, meta).save(out)
    say(f"{found}: {params.n_features:,} features, {params.n_factors} factors; wrote {out}")
