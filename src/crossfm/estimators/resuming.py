"""``checkpoint=...``: which training a file belongs to, so that ``fit`` goes on from its own only."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import check_number
from crossfm.core.rules import ALS, MCMC
from crossfm.data.relation import Relation
from crossfm.data.rows import Rows
from crossfm.data.stream import RowStream
from crossfm.data.tables import as_table, is_table
from crossfm.errors import OptionError
from crossfm.solvers import epochs
from crossfm.solvers.resume import Resume, checksum, snapshot

LEFT_OUT = {"callbacks", "checkpoint", "checkpoint_seconds", "verbose"}  # may change on the way
SHOWN = 60  # letters of a setting that is no number


def resuming(model: Any) -> Resume | None:
    """Return the checkpoint of ``model``'s fit, refused where its settings differ; None where it has none."""
    seconds = check_number("checkpoint_seconds", model.checkpoint_seconds)
    if model.checkpoint is None:
        return None
    if not isinstance(model.checkpoint, (str, os.PathLike)) or not os.fspath(model.checkpoint):
        raise OptionError(f"checkpoint={model.checkpoint!r}, but it must be the path of a file, or None")
    resume = Resume(model.checkpoint, seconds, seed=_drawn(model.random_state))
    resume.belong({"estimator": type(model).__name__, **_settings(model)})
    return resume


def belong_rows(resume: Resume, rows: Rows, targets: Sequence[NDArray[Any]], name: str = "rows") -> None:
    """Refuse a checkpoint of other rows to train on, or to validate on."""
    resume.belong(
        {
            f"number of {name}": rows.n_rows,
            f"non-zeros of {name}": rows.nnz,
            f"features of {name}": rows.n_features,
        }
    )
    resume.belong(
        {
            f"ids of {name}": checksum(rows.indptr, rows.indices),
            f"values of {name}": checksum(rows.values, rows.fields),
            f"targets of {name}": checksum(*targets),
            f"weights of {name}": checksum(rows.weight),
            f"relations of {name}": checksum(*(part for one in rows.relations for part in _arrays(one))),
            "non-zeros a call": epochs.NONZEROS_A_CALL,
        }
    )


def _arrays(relation: Relation) -> list[NDArray[Any] | None]:
    rows = relation.rows
    return [relation.index, rows.indptr, rows.indices, rows.values, rows.fields]


def belong_stream(resume: Resume, rows: RowStream, name: str = "rows") -> None:
    """Refuse a checkpoint of another stream, or of one with other windows."""
    resume.belong({f"{fact} of {name}": value for fact, value in rows.facts().items()})
    resume.belong({"non-zeros a call": epochs.NONZEROS_A_CALL})


def belong_start(resume: Resume, model: Any) -> None:
    """Refuse a checkpoint whose training went on from another model."""
    arrays: list[NDArray[Any]] = []
    for machine in model._machines:
        own = snapshot(machine)[0] if hasattr(machine, "rule") else machine.to_arrays()
        arrays += [own[name] for name in sorted(own)]
    if model._chain is not None:
        own = model._chain.to_state()[0]
        arrays += [own[name] for name in sorted(own)]
    resume.belong({"epochs before": model._epochs_done(), "the model to go on with": checksum(*arrays)})


def _drawn(random_state: Any) -> int | None:
    """Return a seed where the user gave none: it is kept in the file."""
    if isinstance(random_state, (int, np.integer)):
        return None
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**63))
    return int(np.random.default_rng().integers(0, 2**63)) if random_state is None else None


def _settings(model: Any) -> dict[str, Any]:
    settings = {name: v for name, v in model.get_params(deep=False).items() if name not in LEFT_OUT}
    if settings.get("deterministic") or settings.get("solver") in (ALS.name, MCMC.name):
        settings.pop("n_threads", None)  # the same bits for any number of them
    return {name: _plain(value) for name, value in settings.items()}


def _table_checksum(table: Any) -> str:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return checksum(np.frombuffer(sink.getvalue(), np.uint8))


def _plain(value: Any) -> Any:
    """Return a setting as JSON that tells it from others."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return type(value).__name__
    if isinstance(value, dict):  # part by part: an array writes itself short
        value = {name: _plain(part) for name, part in value.items()}
    elif isinstance(value, (list, tuple)):
        value = (tuple if isinstance(value, tuple) else list)(map(_plain, value))
    elif is_table(value):  # cells may be lists
        return _table_checksum(as_table(value))
    elif hasattr(value, "__array__"):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return checksum(value) if value.dtype.kind in "biuf" else checksum(np.array(value.astype(str)))
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return text if len(text) <= SHOWN else checksum(np.frombuffer(text.encode(), np.uint8))
