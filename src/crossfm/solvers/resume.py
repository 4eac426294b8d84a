"""Training that goes on after a kill: all that the epoch loop knows, in one file that is written again and again."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import ModelFileError, OptionError
from crossfm.io.model_file import read_model, write_model
from crossfm.io.parts import part
from crossfm.solvers.callbacks import Epoch

Arrays = dict[str, NDArray[Any]]
KIND = "checkpoint"
CRC = "crc "
ARRAYS = ("data", "bias", "pairs", "penalty")  # of the tables that say nothing else


@dataclass
class Loop:
    """Where the epoch loop stands: complete epochs, the best of them, and what is done of the one that runs.

    Attributes
    ----------
    epochs : list of Epoch
    best : (merit, tables) or None
        As they were after the best epoch; kept for early stopping only.
    since_best : int
        Epochs since then.
    at_best : bool
        Whether the tables in training are still the same.
    parts, total, seconds
        Of the running epoch: calls of ``visit`` that are done, their summed loss, and how long they took.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: tuple[float, list[Any]] | None = None
    since_best: int = 0
    at_best: bool = False
    parts: int = 0
    total: float = 0.0
    seconds: float = 0.0


def snapshot(table: Any) -> tuple[Arrays, dict[str, Any]]:
    """Return all that training moves in ``table``: arrays (views will do) and JSON.

    A table that is not made of the arrays below says it itself: see ``kernels.machine.Resumable``.
    """
    if hasattr(table, "snapshot"):
        arrays, meta = table.snapshot()
        return dict(arrays), dict(meta)
    return _moved(table), {"visited": int(getattr(table, "visited", 0))}


def restore(table: Any, arrays: Arrays, meta: dict[str, Any]) -> None:
    """Put back what ``snapshot`` returned, into a table of the same shape; ``ModelFileError`` for another one."""
    if hasattr(table, "restore"):
        table.restore(arrays, meta)
        return
    own = _moved(table)
    if {name: array.shape for name, array in own.items()} != {n: array.shape for n, array in arrays.items()}:
        raise ModelFileError("it holds tables of another shape")
    for name, array in own.items():
        array[...] = arrays[name]
    if hasattr(table, "visited"):
        table.visited = int(meta["visited"])


def _moved(table: Any) -> Arrays:
    """Return the arrays themselves, not copies."""
    arrays = {name: getattr(table, name) for name in ARRAYS if getattr(table, name, None) is not None}
    kinds = getattr(table, "kinds", ())  # of FFM
    return arrays | {f"kinds.{number}": kind.data for number, kind in enumerate(kinds)}


class Resume:
    """The file of one training.

    Parameters
    ----------
    path : path
        Written at the end of each epoch and, in an epoch, when ``seconds`` have passed; always whole.
    seconds : float
    seed : int or None
        Drawn for this training where the user gave none; kept, and that of the file where there is one.

    Attributes
    ----------
    generators : dict of name to Generator
    states : dict of name to object
        What else training moves, with ``snapshot`` and ``restore`` as in ``kernels.machine.Resumable``.
    each_epoch : bool
        False where epochs are short beside a writing: then ``seconds`` alone count.

    Raises
    ------
    ModelFileError
        There is a file at ``path`` which is cut short, damaged or no checkpoint.
    """

    def __init__(
        self, path: str | os.PathLike[str], seconds: float = 60.0, *, seed: int | None = None
    ) -> None:
        self.path, self.seconds = Path(path), seconds
        self.found = self._read()[1] if self.path.exists() else None  # without arrays: they take memory
        self.seed = seed if self.found is None else self.found["seed"]
        self.generators: dict[str, np.random.Generator] = {}
        self.states: dict[str, Any] = {}
        self.each_epoch = True
        self._belongs: dict[str, Any] = {}
        self._order: Any = None
        self._written = time.monotonic()

    def belong(self, facts: dict[str, Any]) -> None:
        """Say what training this is: names with JSON. Raises ``OptionError`` where the file says something else."""
        self._belongs |= facts
        if self.found is None:
            return
        before = self.found["belongs"]
        apart = [
            _differs(name, before.get(name), now) for name, now in facts.items() if before.get(name) != now
        ]
        if apart:
            raise OptionError(
                f"checkpoint {self.path} belongs to another training: {', '.join(apart)}; delete it or give another "
                "path"
            )

    def start(self, loop: Loop, tables: Sequence[Any], order: np.random.Generator) -> bool:
        """Put ``loop``, ``tables`` and all generators where the file left them; False when there is none.

        ``order`` draws the order of the rows of an epoch: it is put to the beginning of the one that was running.
        """
        self.generators["order"] = order
        self._written = time.monotonic()
        if self.found is None:
            return False
        arrays, meta = self._read()
        try:
            _take_tables(tables, arrays, "table", meta["tables"])
            for name, generator in self.generators.items():
                generator.bit_generator.state = meta["generators"][name]
            for name, state in self.states.items():
                state.restore(part(arrays, f"state.{name}."), meta["states"][name])
            loop.epochs = [Epoch(**{n: _number(v) for n, v in epoch.items()}) for epoch in meta["epochs"]]
            loop.since_best, loop.parts = int(meta["since_best"]), int(meta["parts"])
            loop.total, loop.seconds = _number(meta["total"]), _number(meta["seconds"])
            if meta["best"] is not None:
                loop.best = _number(meta["best"]["merit"]), [table.copy() for table in tables]
                if meta["best"]["tables"] is not None:
                    _take_tables(loop.best[1], arrays, "best", meta["best"]["tables"])
        except (KeyError, TypeError, ValueError, IndexError) as exc:  # a ModelFileError is a ValueError too
            raise ModelFileError(
                f"checkpoint {self.path} does not fit this training: {exc}. Delete it or give another path."
            ) from exc
        self.found = None
        return True

    def epoch_begins(self) -> None:
        """Remember where the order of the rows begins."""
        self._order = self.generators["order"].bit_generator.state

    def epoch_ends(self, loop: Loop, tables: Sequence[Any]) -> None:
        """Write the file, unless epochs are short."""
        if self.each_epoch:
            self.keep(loop, tables)

    def keep_if_due(self, loop: Loop, tables: Sequence[Any]) -> None:
        """Write the file when it is old enough."""
        if time.monotonic() - self._written >= self.seconds:
            self.keep(loop, tables)

    def keep(self, loop: Loop, tables: Sequence[Any]) -> None:
        """Write the file; the old one stays until the new one is complete."""
        arrays: Arrays = {}
        generators = {name: draws.bit_generator.state for name, draws in self.generators.items()}
        if loop.parts:
            generators["order"] = self._order
        states = {}
        for name, state in self.states.items():
            own, states[name] = state.snapshot()
            arrays |= {f"state.{name}.{of}": array for of, array in own.items()}
        best = None
        if loop.best is not None:
            same = loop.at_best and not loop.parts
            tables_of_best = None if same else _add_tables(arrays, "best", loop.best[1])
            best = {"merit": _plain(loop.best[0]), "tables": tables_of_best}
        meta = {
            "kind": KIND,
            "seed": self.seed,
            "belongs": self._belongs,
            "tables": _add_tables(arrays, "table", tables),
            "generators": generators,
            "states": states,
            "epochs": [{n: _plain(v) for n, v in asdict(epoch).items()} for epoch in loop.epochs],
            "since_best": loop.since_best,
            "best": best,
            "parts": loop.parts,
            "total": _plain(loop.total),
            "seconds": _plain(loop.seconds),
        }
        write_model(self.path, arrays, meta)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Take the file away: the training is over."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _read(self) -> tuple[Arrays, dict[str, Any]]:
        try:
            arrays, meta = read_model(self.path)
        except ModelFileError as exc:
            raise ModelFileError(
                f"checkpoint {self.path} cannot be gone on from: {exc} Delete it or give another path."
            ) from exc
        if meta.get("kind") != KIND:
            raise ModelFileError(
                f"checkpoint {self.path} is a model file ({meta.get('kind')}), which training would overwrite. Give "
                "another path."
            )
        return arrays, meta


def checksum(*arrays: NDArray[Any] | None) -> str:
    """Return a fact about arrays of which only equality means something."""
    crc = 0
    for array in arrays:
        data = b"none" if array is None else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        crc = zlib.crc32(data, crc)
    return f"{CRC}{crc:08x}"


def _differs(name: str, before: Any, now: Any) -> str:
    if isinstance(now, str) and now.startswith(CRC):
        return f"{name} not the same"
    return f"{name} was {before!r}, is {now!r}"


def _add_tables(arrays: Arrays, prefix: str, tables: Sequence[Any]) -> list[dict[str, Any]]:
    """Put the arrays of ``tables`` into ``arrays``; return what else they say."""
    metas = []
    for number, table in enumerate(tables):
        own, meta = snapshot(table)
        arrays |= {f"{prefix}.{number}.{name}": array for name, array in own.items()}
        metas.append(meta)
    return metas


def _take_tables(tables: Sequence[Any], arrays: Arrays, prefix: str, metas: list[dict[str, Any]]) -> None:
    for number, (table, meta) in enumerate(zip(tables, metas, strict=True)):
        restore(table, part(arrays, f"{prefix}.{number}."), meta)


def _plain(value: Any) -> Any:
    """Write a number for JSON, which has no NaN and no infinity, without losing a bit."""
    if isinstance(value, (float, np.floating)):
        return float(value).hex()
    return value.item() if isinstance(value, np.generic) else value


def _number(value: Any) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value
