"""``crossfm predict``: a model and a file of rows to a file of predictions, row by row."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
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
    is_rows,
    memory_limit,
    names,
)
from crossfm.cli.show import examples, say
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm predict clicks.crossfm new.csv --out predictions.csv",
    "crossfm predict clicks.crossfm new.parquet --keep user,item --out scored.parquet",
    "crossfm predict clicks.crossfm new.libsvm --output label | head",
)


class Output(str, Enum):
    """What to write."""

    probability = "probability"
    label = "label"
    score = "score"


@verb
def predict(
    model: Annotated[Path, typer.Argument(help="A .crossfm file.")],
    data: Annotated[
        Path, typer.Argument(help="Rows, as for train; columns the model does not use are ignored.")
    ],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", "-o", help="csv, tsv, parquet, arrow or txt (no header); else standard output."
        ),
    ] = None,
    output: Annotated[
        Optional[Output],  # noqa: UP045
        typer.Option(help="Classifiers: probability (default) or label; all: the raw score."),
    ] = None,
    keep: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--keep", help="Columns a,b of the data to write beside the predictions."),
    ] = None,
    format: FormatOption = None,
    separator: SeparatorOption = None,
    header: HeaderOption = None,
    column_names: NamesOption = None,
    encoding: EncodingOption = None,
    limit: LimitOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only; needs --out.")] = False,
) -> None:
    """Predict each row of a file, in its order.

    Two classes give the probability of the second one; more give a column a class.
    """
    from crossfm.models import load

    if out is not None:
        check_out(out, [model, data])
    elif quiet:
        raise OptionError("--quiet leaves the predictions nowhere to go; name a file with --out")
    fitted = load(model)
    if type(fitted).__name__ == "Recommender":
        raise OptionError(f"{model} recommends lists: use crossfm recommend, or crossfm evaluate")
    reading = Reading(format, separator, header, column_names, encoding)
    room = memory_limit(limit)
    pieces = [reading.read(data)] if room is None else reading.pieces(data, room)
    tables = (
        _predicted(fitted, rows, data, names(keep), None if output is None else output.value)
        for rows in pieces
    )
    if out is None:
        _print(tables)
    else:
        n_rows, columns = _write(out, tables)
        if not quiet:
            say(f"wrote {out}: {n_rows:,} rows, columns {', '.join(columns)}")


def _predicted(model: Any, rows: Any, data: Path, keep: list[str], output: str | None) -> Any:
    """Return a table of the columns to ``keep`` and of the predictions for ``rows``."""
    import pyarrow as pa

    X = features(model, rows, data)
    if keep and is_rows(rows):
        raise OptionError(f"--keep names columns, but {data} has numbered features")
    columns = {name: rows[check_column(rows, name, "--keep")] for name in keep}
    for name, values in predictions(model, X, output).items():
        columns[name if name not in columns else f"{name}_predicted"] = pa.array(values)
    return pa.table(columns)


def predictions(model: Any, X: Any, output: str | None) -> dict[str, Any]:
    """Return named columns of predictions (n_rows,)."""
    import numpy as np

    if type(model).__name__.endswith("Classifier"):
        if output == "label":
            return {"label": model.predict(X)}
        values = model.decision_function(X) if output == "score" else model.predict_proba(X)
        name = output or "probability"
        if len(model.classes_) == 2:
            return {name: values if values.ndim == 1 else values[:, 1]}
        return {f"{name}_{label}": values[:, at] for at, label in enumerate(model.classes_.tolist())}
    if output in ("probability", "label"):
        raise OptionError(f"--output {output} is for classifiers, but the model is a {type(model).__name__}")
    values = model.predict(X)
    if type(model).__name__.endswith("Ranker"):
        return {"score": values}
    if output == "score":
        return {"score": np.log(values) if getattr(model, "loss", None) == "poisson" else values}
    return {"prediction": values}


def _write(out: Path, tables: Iterable[Any]) -> tuple[int, list[str]]:
    """Write the tables one after another; return the number of rows and the names of the columns."""
    from crossfm.atomic import atomic_write
    from crossfm.data.writers import write_tables

    n_rows, columns = 0, []

    def counted() -> Iterator[Any]:
        nonlocal n_rows, columns
        for table in tables:
            n_rows, columns = n_rows + table.num_rows, table.column_names
            yield table

    if out.suffix.lower() != ".txt":
        write_tables(out, counted())
        return n_rows, columns
    with atomic_write(out, "w") as file:
        for table in counted():
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                file.write(" ".join(str(value) for value in row) + "\n")
    return n_rows, columns


def _print(tables: Iterable[Any]) -> None:
    """Write CSV to standard output."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    for at, table in enumerate(tables):
        if at == 0:
            writer.writerow(table.column_names)
        for batch in table.to_batches(max_chunksize=10_000):
            writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    sys.stdout.flush()
