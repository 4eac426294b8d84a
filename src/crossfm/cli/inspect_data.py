"""What ``crossfm inspect`` shows of a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossfm.cli.reading import Reading, is_rows
from crossfm.cli.show import number, print_table, say, size

HEAD = 3
WIDE = 40


def show(path: Path, reading: Reading) -> None:
    """Print format, number of rows, and the columns with what they would be taken for."""
    from crossfm.data.formats import detect_format

    data = reading.read(path)
    found = detect_format(path, format=reading.format, separator=reading.separator)
    packed = f", {found.compression}" if found.compression else ""
    bytes_ = f" ({size(path.stat().st_size)})" if path.is_file() else ""
    say(f"{path}{bytes_}: {found.name}{packed}, {len(data) if is_rows(data) else data.num_rows:,} rows")
    if is_rows(data):
        _show_rows(data)
    else:
        _show_table(data)


def _show_rows(rows: Any) -> None:
    lengths = np.diff(rows.offsets())
    say(
        f"features: {rows.n_features:,}, ids 0 to {rows.n_features - 1}; {len(np.unique(rows.indices)):,} occur"
    )
    say(
        f"non-zeros: {rows.nnz:,}, {lengths.min()} to {lengths.max()} a row; values "
        + ("all 1" if rows.values is None else f"from {rows.values.min():g} to {rows.values.max():g}")
    )
    fields = rows.field_of_each()
    if fields is not None:
        say(f"fields: {len(np.unique(fields))}")
    labels, counts = np.unique(rows.target, return_counts=True)
    if len(labels) <= 10:
        shares = [
            f"{label:g}: {count:,} ({count / len(rows):.1%})"
            for label, count in zip(labels, counts, strict=True)
        ]
        say(f"labels: {', '.join(shares)}")
    else:
        y = rows.target
        say(f"labels: {len(labels):,} different, from {y.min():g} to {y.max():g}, mean {y.mean():.4g}")


def _show_table(table: Any) -> None:
    from crossfm.cli.choosing import Overrides, choose, show_columns

    if table.num_rows:
        show_columns("columns, and what they would be taken for:", choose(table, Overrides()))
    rows = []
    for name in table.column_names:
        column = table[name]
        first = ", ".join(_short(value) for value in column.slice(0, HEAD).to_pylist())
        rows.append((name, str(column.type), number(column.null_count), first))
    print_table("", ("column", "type", "missing", f"first {HEAD} rows"), rows, left=4)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= WIDE else text[: WIDE - 3] + "..."
