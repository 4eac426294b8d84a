"""``crossfm predict``: a model and a file of rows to a file of predictions, row by row."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
    EncodingOption,
    FormatOption,
    HeaderOption,
    NamesOption,
    Reading,
    SeparatorOption,
    check_column,
    check_out,
    features,
    is_rows,
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only; needs --out.")] = False,
) -> None:
    """Predict each row of a file, in its order.

    Two classes give the probability of the second one; more give a column a class.
    """
    import pyarrow as pa

    from crossfm.models import load

    if out is not None:
        check_out(out, [model, data])
    elif quiet:
        raise OptionError("--quiet leaves the predictions nowhere to go; name a file with --out")
    fitted = load(model)
    if type(fitted).__name__ == "Recommender":
        raise OptionError(f"{model} recommends lists: use crossfm recommend, or crossfm evaluate")
    rows = Reading(format, separator, header, column_names, encoding).read(data)
    X = features(fitted, rows, data)
    kept = names(keep)
    if kept and is_rows(rows):
        raise OptionError(f"--keep names columns, but {data} has numbered features")
    columns = {name: rows[check_column(rows, name, "--keep")] for name in kept}
    for name, values in predictions(fitted, X, None if output is None else output.value).items():
        columns[name if name not in columns else f"{name}_predicted"] = pa.array(values)
    table = pa.table(columns)
    if out is None:
        _print(table)
    else:
        _write(out, table)
        if not quiet:
            say(f"wrote {out}: {table.num_rows:,} rows, columns {', '.join(table.column_names)}")


def predictions(model: Any, X: Any, output: str | None) -> dict[str, Any]:
    """Return named columns of predictions (n_rows,)."""
    import numpy as np

    if type(model).__name__ == "FMClassifier":
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
    if type(model).__name__ == "FMRanker":
        return {"score": values}
    if output == "score":
        return {"score": np.log(values) if model.loss == "poisson" else values}
    return {"prediction": values}


def _write(out: Path, table: Any) -> None:
    from crossfm.atomic import atomic_write
    from crossfm.data.writers import write_table

    if out.suffix.lower() != ".txt":
        write_table(out, table)
        return
    with atomic_write(out, "w") as file:
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            file.write(" ".join(str(value) for value in row) + "\n")


def _print(table: Any) -> None:
    """Write CSV to standard output."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=10_000):
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    sys.stdout.flush()
