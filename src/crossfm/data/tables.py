"""Tables of any library become one: ``pyarrow.Table``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from numbers import Number
from typing import TYPE_CHECKING, Any

from crossfm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def is_table(X: Any) -> bool:
    """Tell whether ``as_table`` understands ``X``; imports no table library.

    True for whatever has named columns and speaks one of the table protocols (``__arrow_c_stream__``,
    ``__arrow_c_array__``, ``__dataframe__``): pandas, polars, pyarrow, DuckDB and others; and for a dict
    with string keys. False for single columns, NumPy arrays and SciPy matrices.
    """
    if _is_mapping(X):
        return bool(X) and all(isinstance(name, str) for name in X)
    kind = type(X)
    protocols = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
    return any(hasattr(kind, p) for p in protocols) and (hasattr(kind, "columns") or hasattr(kind, "schema"))


def as_table(X: Any) -> pa.Table:
    """Return ``X`` as a ``pyarrow.Table``.

    ``X`` is a pandas or polars DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, a dict of
    columns (arrays or lists of one length), or any other table with an Arrow C stream. A pandas index
    never becomes a column, and names that are not strings become strings. Cells that are dicts of numbers become
    maps. Other columns are taken as they are, nested ones too: those that no crossfm column can read raise where
    they are used.

    Raises
    ------
    DataError
        Not a table, no columns, columns of unequal length, one name twice, a column of mixed types.
    """
    table = _convert(X)
    if table.num_columns == 0:
        raise DataError("the table has no columns, but at least one is needed")
    _check_names(table.column_names)
    return table.replace_schema_metadata(None)


def _is_mapping(X: Any) -> bool:
    return isinstance(X, Mapping) and not hasattr(X, "shape")  # SciPy's DOK matrices are mappings too


def _check_names(names: Any) -> None:
    twice = [str(name) for name, count in Counter(str(name) for name in names).items() if count > 1]
    if twice:
        raise DataError(
            f"column name {twice[0]!r} is there more than once; rename the columns so that each is unique"
        )


def _convert(X: Any) -> pa.Table:
    """Dispatch on what ``X`` is; the libraries themselves are never imported, except pyarrow."""
    import pyarrow as pa

    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if _is_mapping(X):
        return _from_mapping(X)
    module = type(X).__module__.partition(".")[0]
    if module == "polars" and hasattr(X, "collect"):
        raise DataError("this is a polars LazyFrame, but a table is needed; call .collect() on it")
    if not is_table(X):
        raise DataError(
            f"a table is needed, but this is {type(X).__name__}; pass a pandas or polars DataFrame, "
            "a pyarrow Table, or a dict of columns"
        )
    try:
        if module == "pandas":
            _check_names(X.columns)  # before pyarrow, whose own message is longer
            return _from_pandas(X)
        if module == "polars":
            return X.to_arrow()
        return pa.RecordBatchReader.from_stream(X).read_all()
    except (pa.ArrowException, TypeError, ValueError) as exc:
        if isinstance(exc, DataError):
            raise
        raise DataError(f"the {module} table cannot be read as Arrow: {_words(exc)}") from exc


def _from_pandas(frame: Any) -> pa.Table:
    """Make a table of a pandas DataFrame; cells that are dicts of numbers become maps."""
    import pyarrow as pa

    objects = [at for at, kind in enumerate(frame.dtypes) if str(kind) == "object"]
    found = {at: _map_array(frame.iloc[:, at]) for at in objects}
    maps = {at: array for at, array in found.items() if array is not None}
    if not maps:
        return pa.Table.from_pandas(frame, preserve_index=False)
    others = [at for at in range(frame.shape[1]) if at not in maps]
    plain = pa.Table.from_pandas(frame.iloc[:, others], preserve_index=False)
    arrays = dict(zip(others, plain.columns, strict=True)) | maps
    return pa.table({str(name): arrays[at] for at, name in enumerate(frame.columns)})


def _map_array(cells: Iterable[Any]) -> pa.Array | None:
    """Return an Arrow map column where ``cells`` are dicts of numbers, or missing; None where they are not."""
    import pyarrow as pa

    if not isinstance(next((cell for cell in cells if not _is_missing(cell)), None), dict):
        return None  # without a look at the others
    known = [None if _is_missing(cell) else cell for cell in cells]
    if not all(cell is None or isinstance(cell, dict) for cell in known):
        return None
    numbers = [number for cell in known for number in (cell or {}).values()]
    if not all(number is None or isinstance(number, Number) for number in numbers):
        return None
    keys = pa.array(
        [key for cell in known for key in cell or ()], None if numbers else pa.string(), from_pandas=True
    )
    ends = [0, *accumulate(len(cell or ()) for cell in known)]
    starts = [None if cell is None else start for start, cell in zip(ends, known, strict=False)]
    offsets = pa.array([*starts, ends[-1]], pa.int32())
    return pa.MapArray.from_arrays(offsets, keys, pa.array(numbers, pa.float64(), from_pandas=True))


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell) or type(cell).__name__ == "NAType"


def _from_mapping(columns: Mapping[Any, Any]) -> pa.Table:
    """Make a table of a dict of columns, and name the column that does not fit."""
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise DataError(f"column name {name!r} is {type(name).__name__}, but names are strings")
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise DataError(
                f"column {name!r} is a single {type(values).__name__}, but a column is a list or array"
            )
        try:
            if isinstance(values, (pa.Array, pa.ChunkedArray)):
                arrays[name] = values
                continue
            maps = _map_array(values) if isinstance(values, list) else None
            arrays[name] = pa.array(values, from_pandas=True) if maps is None else maps
        except (pa.ArrowException, TypeError, ValueError) as exc:
            raise DataError(f"column {name!r} cannot be read: {_words(exc)}") from exc
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}; each needs one value a row")
    return pa.table(arrays)


def _words(exc: BaseException) -> str:
    """Flatten pyarrow's tuple-like messages to one line."""
    return "; ".join(str(arg) for arg in exc.args) or type(exc).__name__
