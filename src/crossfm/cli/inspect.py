"""``crossfm inspect``: what is in a model file, or in a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
    EncodingOption,
    FormatOption,
    HeaderOption,
    NamesOption,
    Reading,
    SeparatorOption,
    check_out,
)
from crossfm.cli.show import examples
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm inspect clicks.csv",
    "crossfm inspect clicks.crossfm --weights 20",
    "crossfm inspect clicks.crossfm --data test.csv",
    "crossfm inspect clicks.crossfm --dump clicks.txt",
)
MARK = b'"format":"crossfm"'  # near the start of every model file
File = Optional[Path]  # noqa: UP045


@verb
def inspect(
    path: Annotated[Path, typer.Argument(help="A .crossfm file, or rows in any format.")],
    weights: Annotated[
        int, typer.Option("--weights", help="Models: show this many features of largest weight.")
    ] = 0,
    data: Annotated[
        File, typer.Option("--data", help="Models: importance of columns and pairs over these rows.")
    ] = None,
    dump: Annotated[File, typer.Option("--dump", help="Models: write all parameters as text.")] = None,
    format: FormatOption = None,
    separator: SeparatorOption = None,
    header: HeaderOption = None,
    column_names: NamesOption = None,
    encoding: EncodingOption = None,
) -> None:
    """Show what a model learnt from, its settings and history; or what a file of rows holds."""
    from crossfm.cli import inspect_data, inspect_model

    reading = Reading(format, separator, header, column_names, encoding)
    if not is_model_file(path):
        for option, given in (("--weights", weights), ("--data", data), ("--dump", dump)):
            if given:
                raise OptionError(f"{option} is for models, but {path} is no .crossfm file")
        inspect_data.show(path, reading)
        return
    from crossfm.models import load

    if dump is not None:
        check_out(dump, [path, data])
    model = load(path)
    if data is not None or dump is not None:
        inspect_model.check_splits(path, model, "--data" if data is not None else "--dump")
    inspect_model.show(path, model)
    if weights:
        inspect_model.show_weights(model, weights)
    if data is not None:
        inspect_model.show_importance(model, reading.read(data), data)
    if dump is not None:
        inspect_model.dump(model, dump)


def is_model_file(path: Path) -> bool:
    """Whether a file is, or is named like, a model."""
    if path.suffix == ".crossfm":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(64)
