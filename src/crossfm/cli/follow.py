"""``crossfm follow``: a model learns from the rows that are written to a growing file."""

from __future__ import annotations

from contextlib import closing
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
    FormatOption,
    HeaderOption,
    NamesOption,
    SeparatorOption,
    check_out,
    names,
    refuse_sides,
)
from crossfm.cli.show import examples, say
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm follow clicks.csv --model clicks.crossfm --target click",
    "crossfm follow clicks.libsvm --model clicks.crossfm --out live.crossfm --every-seconds 10",
    "crossfm follow clicks.csv --model clicks.crossfm --once   # what there is, then stop: for cron",
)
Text = Optional[str]  # noqa: UP045  (typer reads these at run time, on Python 3.10 too)
LINES = ("libsvm", "libffm", "csv", "tsv")


class Start(str, Enum):
    """Where in the file to start."""

    begin = "begin"
    end = "end"


@verb
def follow(
    data: Annotated[Path, typer.Argument(help="A growing file: libsvm, libffm, csv or tsv, not packed.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="The model that goes on learning.")],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="Where to write the model; else to --model."),
    ] = None,
    start: Annotated[
        Optional[Start],  # noqa: UP045
        typer.Option(help="begin or end of the file; else where the model left off, or the beginning."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of the file.")] = False,
    target: Annotated[
        Text, typer.Option(help="Column to predict; else one called label, rating, click, ...")
    ] = None,
    weight: Annotated[Text, typer.Option(help="Column of sample weights.")] = None,
    batch_rows: Annotated[int, typer.Option(help="Rows learnt at a time, at most.")] = 1000,
    every_rows: Annotated[int, typer.Option(help="Write the model after this many rows,")] = 100_000,
    every_seconds: Annotated[float, typer.Option(help="or after this many seconds.")] = 60.0,
    poll_seconds: Annotated[float, typer.Option(help="How often to look for new lines.")] = 0.5,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a line that cannot be read.")] = False,
    format: FormatOption = None,
    separator: SeparatorOption = None,
    header: HeaderOption = None,
    column_names: NamesOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and skipped lines only.")
    ] = False,
) -> None:
    """Follow a growing file, as tail -F does, and learn its new lines in small batches.

    Prints the loss of each row as predicted before it was learnt. The model file holds the optimizer's state and the
    position in the file: Ctrl-C writes it, and the same command later goes on where it left. A rotated file is read
    to its end before the new one; lines that cannot be read are skipped and counted.
    """
    from crossfm.cli.follow_lines import LineReader
    from crossfm.cli.follow_run import Follower, stopping
    from crossfm.core.options import check_count, check_number
    from crossfm.data.tail import Tail

    out = model if out is None else out
    check_out(out, [data])
    fitted = _fitted(model)
    kind = _format(data, format, separator, fitted)
    delimited = kind in ("csv", "tsv")
    for option, given in (
        ("--target", target),
        ("--weight", weight),
        ("--header", header),
        ("--column-names", column_names),
    ):
        if given is not None and not delimited:
            raise OptionError(f"{option} is for csv and tsv, but {data} is {kind}")
    separator = None if separator is None else separator.replace("\\t", "\t")
    reader = LineReader(fitted, data, kind, separator=separator, target=target, weight=weight)
    options: dict[str, Any] = {
        "names": names(column_names) or None,
        "batch_rows": check_count("batch_rows", batch_rows, low=1),
        "every_rows": check_count("every_rows", every_rows, low=1),
        "every_seconds": check_number("every_seconds", every_seconds),
        "poll_seconds": check_number("poll_seconds", poll_seconds, above=True),
        "once": once,
        "strict": strict,
        "quiet": quiet,
    }
    with_header = delimited and header is not False and column_names is None
    tell = partial(say, err=True)
    with closing(Tail(data, _position(fitted, start), header=with_header, tell=tell)) as tail:
        if not quiet:
            stop = "" if once else "; Ctrl-C writes the model and stops"
            say(f"following {data} from byte {tail.offset:,}{stop}")
        follower = Follower(fitted, tail, reader, out, **options)
        with stopping(follower):
            follower.run()


def _fitted(path: Path) -> Any:
    """Return the model to go on with."""
    from crossfm.models import load

    model = load(path)
    if not hasattr(model, "partial_fit"):
        raise OptionError(f"{path} holds a {type(model).__name__}, which cannot go on learning")
    refuse_sides(model, path, "follow cannot join")
    return model.set_params(verbose=0, callbacks=None)


def _format(data: Path, format: str | None, separator: str | None, model: Any) -> str:
    from crossfm.data.formats import Format, detect_format, format_of_name

    if data.is_file() and data.stat().st_size == 0 and format in (None, *LINES):  # it is about to grow
        name = format or ("csv" if separator else format_of_name(data))
        if name is None:
            raise OptionError(f"{data} is empty, and its name does not tell its format; pass --format")
        found = Format(name)
    else:
        found = detect_format(data, format=format, separator=separator)
    if found.compression is not None or found.name not in LINES:
        packed = found.compression or found.name
        raise OptionError(
            f"{data} is {packed}, but lines can be followed in {', '.join(LINES)} only, not packed"
        )
    if (model.encoder_ is None) != (found.name in ("libsvm", "libffm")):
        learnt = (
            "numbered features" if model.encoder_ is None else f"columns {', '.join(model.encoder_.fields)}"
        )
        raise OptionError(f"{data} is {found.name}, but the model was fitted on {learnt}")
    return found.name


def _position(model: Any, start: Start | None) -> Any:
    from crossfm.data.tail import Position

    known = getattr(model, "followed_", None)
    if start is None and known is not None:
        return Position(int(known["offset"]), str(known["head"]))
    return "end" if start is Start.end else None
