"""``crossfm evaluate``: how good a model is on rows it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
    CacheOption,
    EncodingOption,
    FormatOption,
    HeaderOption,
    LimitOption,
    NamesOption,
    Reading,
    SeparatorOption,
    check_column,
    check_out,
    features,
    find_target,
    is_rows,
    memory_limit,
    names,
    refuse_sides,
    target_values,
)
from crossfm.cli.show import examples, say
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm evaluate clicks.crossfm test.csv --target click --group user",
    "crossfm evaluate ctr.crossfm test.libsvm.gz --json report.json",
    "crossfm evaluate movies.crossfm later.tsv --report report.html",
)
Text = Optional[str]  # noqa: UP045


@verb
def evaluate(
    model: Annotated[Path, typer.Argument(help="A .crossfm file.")],
    data: Annotated[
        Path, typer.Argument(help="Rows with their target; for a recommender, later interactions.")
    ],
    target: Annotated[
        Text, typer.Option(help="Column with the target; else one called label, rating, ...")
    ] = None,
    group: Annotated[Text, typer.Option(help="Column of users: AUC inside each, averaged (GAUC).")] = None,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--json", help="Write the numbers to this file too."),
    ] = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Of a recommender: write a page with figures and tables to this file."),
    ] = None,
    baselines: Annotated[
        Text, typer.Option(help="Beside a recommender: popularity,item-kNN,EASE (all), or none.")
    ] = None,
    channels: Annotated[
        bool,
        typer.Option(
            "--channels/--no-channels", help="Of a recommender: would other ways to find items add any?"
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the bootstrap intervals.")] = 0,
    format: FormatOption = None,
    separator: SeparatorOption = None,
    header: HeaderOption = None,
    column_names: NamesOption = None,
    encoding: EncodingOption = None,
    limit: LimitOption = None,
    cache: CacheOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only; needs --json.")] = False,
) -> None:
    """Judge a model on a file, always beside a baseline.

    Classifiers: log loss, AUC, GAUC, calibration error, accuracy. Regressors: RMSE, MAE, Poisson deviance; both
    beside the best constant. Recommenders: both stages, apart and together, by full ranking, with 95 % intervals over
    users, beside popularity, item-kNN and EASE.
    """
    from crossfm.core.options import check_count
    from crossfm.models import load

    check_count("random_state", seed)
    for out in (json_file, report):
        if out is not None:
            check_out(out, [model, data])
    if quiet and json_file is report is None:
        raise OptionError("--quiet leaves the numbers nowhere to go; name a file with --json")
    fitted = load(model)
    reading = Reading(format, separator, header, column_names, encoding)
    room = memory_limit(limit, cache)
    rows = (
        reading.read(data)
        if room is None
        else _stream(fitted, model, reading, data, target, group, room, cache)
    )
    if type(fitted).__name__ == "Recommender":
        for option, given in (("--target", target), ("--group", group)):
            if given:
                raise OptionError(f"{option} means nothing for a recommender; leave it out")
        numbers = _lists(fitted, rows, model, data, report, baselines, channels, seed, quiet=quiet)
    else:
        for option, value in (
            ("--report", report),
            ("--baselines", baselines),
            ("--no-channels", not channels),
        ):
            if value:
                raise OptionError(f"{option} is for recommenders, but {model} is another model; leave it out")
        numbers = _rows(fitted, rows, data, target, group, quiet=quiet)
    if json_file is not None:
        kind = type(fitted).__name__
        _write_json(json_file, {"model": str(model), "data": str(data), "kind": kind} | numbers)
        if not quiet:
            say(f"wrote {json_file}")


def _stream(
    model: Any,
    path: Path,
    reading: Reading,
    data: Path,
    target: str | None,
    group: str | None,
    limit: int,
    cache: Path | None,
) -> Any:
    """Return the rows of a file as a stream."""
    from crossfm.data.pieces import Source
    from crossfm.data.streaming import stream

    if type(model).__name__ == "Recommender" or group is not None:
        raise OptionError("--memory-limit is for classifiers and regressors without --group; leave it out")
    refuse_sides(model, path, "--memory-limit cannot join here; leave it out")
    source = Source.of(data, reading.options())
    head = next(source.pieces(source.piece_bytes(limit)))
    features(model, head, data)  # refuses tables for a model of numbered features, and the other way round
    more = {} if source.is_text else {"target": find_target(head, target), "encoder": model.encoder_}
    return stream(data, memory_limit=limit, cache=cache, **more, **reading.options())


def _rows(
    model: Any, rows: Any, data: Path, target: str | None, group: str | None, *, quiet: bool
) -> dict[str, Any]:
    from crossfm.cli.judge import judge
    from crossfm.data.stream import RowStream

    groups = None
    if is_rows(rows):
        for option, given in (("--target", target), ("--group", group)):
            if given and getattr(rows, "encoder", None) is None:
                raise OptionError(f"{option} names a column, but {data} has numbered features")
        y = rows.all_labels() if isinstance(rows, RowStream) else rows.target
    else:
        y = target_values(rows, find_target(rows, target))
        groups = None if group is None else target_values(rows, check_column(rows, group, "--group"))
    X = rows if isinstance(rows, RowStream) else features(model, rows, data)
    report = judge(model, X, y, title=str(data), groups=groups)
    if not quiet:
        report.show()
    return {"evaluation": report.to_json()}


def _lists(
    model: Any,
    rows: Any,
    path: Path,
    data: Path,
    report: Path | None,
    baselines: str | None,
    channels: bool,
    seed: int,
    *,
    quiet: bool,
) -> dict[str, Any]:
    from crossfm.cli.stage_report import write_page
    from crossfm.cli.stage_view import show_stages
    from crossfm.errors import DataError
    from crossfm.recommender.baselines import NAMES
    from crossfm.recommender.evaluation.stages import evaluate_stages

    if is_rows(rows):
        raise DataError(f"{data} has numbered features, but a table of interactions is needed")
    asked = NAMES if baselines is None else [name for name in names(baselines) if name != "none"]
    found = evaluate_stages(model, rows, baselines=asked, channels=channels, seed=seed)
    if not quiet:
        show_stages(found)
    if report is not None:
        write_page(report, found, {"model": path.name, "later interactions": data.name})
        if not quiet:
            say(f"wrote {report}")
    return {"evaluation": found.to_json() | {"interval": "95 % bootstrap over users"}}


def _write_json(path: Path, numbers: dict[str, Any]) -> None:
    from crossfm.atomic import atomic_write

    text = json.dumps(numbers, indent=2, allow_nan=False, default=lambda value: value.item())
    with atomic_write(path, "w") as file:
        file.write(text + "\n")
