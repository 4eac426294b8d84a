"""``stream``: any file of rows as a ``RowStream``, by way of its block cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossfm.atomic import atomic_write
from crossfm.core.memory import keep_tidy, parse_size, resident
from crossfm.data.ahead import ahead
from crossfm.data.blocks import BLOCK_NONZEROS, BLOCK_ROWS, cut
from crossfm.data.cache import BlockCache, CacheError, CacheWriter, write_cache
from crossfm.data.columns import Column
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.pieces import Source
from crossfm.data.rows import Rows
from crossfm.data.stream import RowStream
from crossfm.data.targets import target_values, weight_values
from crossfm.errors import ColumnError, DataError, LabelError, OptionError

SUFFIX = ".crossfm-cache"
LABELS = 100_000  # different texts that a target may have


def stream(
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    weight: str | None = None,
    columns: Sequence[Column] | None = None,
    encoder: Encoder | None = None,
    memory_limit: int | str | None = None,
    cache: str | os.PathLike[str] | None = None,
    n_threads: int = 1,
    **options: Any,
) -> RowStream:
    """Open a file of rows, of any size and format, for training in bounded memory.

    The first time, the file is read once (text) or twice (tables: vocabularies first) and written as a block cache,
    beside it or in ``cache``; from then on rows come from there. The cache is written again when the file, a
    setting or the format has changed, and when anything in it is broken.

    Parameters
    ----------
    path : path
        What ``crossfm.read`` takes.
    target : str or None
        Table: column to predict; needed there. libsvm and libffm have labels.
    weight : str or None, default=None
        Table: column of sample weights.
    columns : list of columns or None, default=None
        Table: how to encode it. None infers them from the first rows.
    encoder : Encoder or None, default=None
        Table: a fitted encoder to use, as for rows to validate on; instead of ``columns``.
    memory_limit : int, str or None, default=None
        What the process shall not exceed, such as "500MB": bytes of resident memory, the program itself included.
    cache : path or None, default=None
        Folder for the block cache; None: beside the file.
    n_threads : int, default=1
        Of the text parser.
    **options
        Those of ``crossfm.read``: ``format``, ``n_features``, ``separator``, ...

    Returns
    -------
    RowStream

    Raises
    ------
    OptionError
        An option that means nothing, or a limit below what is needed; the message says how much that is.
    DataError and its kin
        As ``crossfm.read``.
    """
    limit = None if memory_limit is None else parse_size(memory_limit)
    if limit is not None:
        keep_tidy()
    job = _Job(Source.of(path, options), target, weight, columns, encoder, limit, n_threads)
    job.check()
    key = job.key()
    place = job.place(cache, key)

    def open_cache() -> BlockCache:
        with suppress(CacheError):
            return BlockCache(place, key)
        job.build(place, key)
        return BlockCache(place, key)

    found = RowStream(open_cache, memory_limit=limit)
    found.encoder = _encoder_of(found.cache)
    return found


def _encoder_of(cache: BlockCache) -> Encoder | None:
    if "encoder" not in cache.meta:
        return None
    return Encoder.from_state(cache.arrays, cache.meta["encoder"])


@dataclass
class _Job:
    """What to make a cache of."""

    source: Source
    target: str | None
    weight: str | None
    columns: Sequence[Column] | None
    encoder: Encoder | None
    limit: int | None
    n_threads: int
    labels: dict[str, int] = field(default_factory=dict)
    kind: str = "f"
    at_a_time: int = 0  # bytes of the source

    def check(self) -> None:
        """Refuse options that mean nothing for the format."""
        given = {
            "target": self.target,
            "weight": self.weight,
            "columns": self.columns,
            "encoder": self.encoder,
        }
        named = [name for name, value in given.items() if value is not None]
        if self.source.is_text and named:
            raise OptionError(f"{named[0]} is for tables, but {self.source.path} has numbered features")
        if not self.source.is_text and self.target is None:
            raise OptionError(
                f"{self.source.path} is a table: say with target= which column is to be predicted"
            )
        if self.columns is not None and self.encoder is not None:
            raise OptionError("columns and encoder: give one of them")

    def key(self) -> dict[str, Any]:
        """Return what the cache depends on."""
        columns: Any = None if self.columns is None else [column.to_json() for column in self.columns]
        if self.encoder is not None:
            arrays, columns = self.encoder.to_state()
            digest = hashlib.sha256()
            for name in sorted(arrays.keys() - {"feature_counts"}):
                digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
            columns = {**columns, "digest": digest.hexdigest()}
        settings = [
            self.source.format.name,
            self.source.format.compression,
            self.target,
            self.weight,
            columns,
        ]
        options = {name: str(value) for name, value in sorted(self.source.options.items())}
        form = [BLOCK_ROWS, BLOCK_NONZEROS, sys.byteorder]
        text = json.dumps([settings, options, form])
        return {"source": self.source.fingerprint(), "settings": hashlib.sha256(text.encode()).hexdigest()}

    def place(self, cache: str | os.PathLike[str] | None, key: Mapping[str, Any]) -> Path:
        """Return where the cache lies; other settings make another file."""
        path = self.source.path.resolve()
        tag = key["settings"][:8]
        if cache is None:
            folder = path.parent
        else:
            folder = Path(cache)
            folder.mkdir(parents=True, exist_ok=True)
            tag = hashlib.sha256(f"{path} {tag}".encode()).hexdigest()[:8]
        return folder / f"{path.name}.{tag}{SUFFIX}"

    def build(self, place: Path, key: Mapping[str, Any]) -> None:
        """Write the cache."""
        if not os.access(place.parent, os.W_OK):
            raise OptionError(
                f"{place.parent} cannot be written to; say with cache= where the block cache may be"
            )
        if self.source.is_text:
            write_cache(place, cut(self._pieces()), key)
        else:
            from crossfm.data.table_pieces import settled

            options = self.source.options
            before = dict(options)
            try:
                encoder = self.encoder or settled(options, self._learn)
                settled(options, lambda: self._encode(encoder, place, key))
            finally:
                options.clear()
                options.update(before)
        if self.source.fingerprint() != key["source"]:
            place.unlink(missing_ok=True)
            raise DataError(f"{self.source.path} has changed while it was read; start again")

    def _pieces(self) -> Iterator[Any]:
        self.at_a_time = self.at_a_time or self.source.piece_bytes(self.limit)
        return ahead(self.source.pieces(self.at_a_time, n_threads=self.n_threads))

    def _learn(self) -> Encoder:
        from crossfm.data.learn import Learner

        learner: Learner | None = None
        for table in self._pieces():
            if learner is None:
                room = np.inf if self.limit is None else 0.5 * (self.limit - resident())
                learner = Learner(self.columns or self._inferred(table), room)
            learner.add(table)
        assert learner is not None  # no rows have raised
        return learner.encoder()

    def _inferred(self, table: Any) -> Sequence[Column]:
        self._column(table, str(self.target))
        exclude = [name for name in (self.target, self.weight) if name is not None]
        columns = infer_columns(table, exclude=exclude)
        if not columns:
            reasons = "; ".join(f"{name}: {why}" for name, why in columns.reasons.items())
            raise DataError(
                f"no column of the table is worth learning from ({reasons}). Pass columns to decide."
            )
        return columns

    def _encode(self, encoder: Encoder, place: Path, key: Mapping[str, Any]) -> None:
        self.labels, self.kind = {}, "f"
        encoder.feature_counts[:] *= self.encoder is not None  # those of a given encoder stay as they are
        with atomic_write(place) as file:
            writer = CacheWriter(file)
            for rows in cut(self._encoded(encoder)):
                writer.add(rows)
            arrays, meta = encoder.to_state()
            labels = list(self.labels) or None
            writer.finish(key, {"encoder": meta, "target": self.kind, "labels": labels}, arrays)

    def _encoded(self, encoder: Encoder) -> Iterator[Rows]:
        first = 0
        for table in self._pieces():
            rows = encoder.transform(table).with_target(*self._targets(table, first))
            if self.encoder is None:
                encoder.count(rows)
            first += rows.n_rows
            yield rows

    def _targets(self, table: Any, first: int) -> tuple[Any, Any]:
        """Return target and weight of a piece; text and its labels become numbers."""
        y = target_values(table, self._column(table, str(self.target)), first_row=first)
        self.kind = y.dtype.kind
        if self.kind == "U":
            names, inverse = np.unique(y, return_inverse=True)
            for name in names.tolist():
                self.labels.setdefault(name, len(self.labels))
            if len(self.labels) > LABELS:
                raise LabelError(f"column {self.target!r} has more than {LABELS} different texts: no classes")
            y = np.array([self.labels[name] for name in names.tolist()])[inverse.ravel()]
        elif self.kind in "iu" and len(y) and np.abs(y).max() > 2**53:
            raise LabelError(f"column {self.target!r} has numbers beyond 2**53, which cannot be a target")
        if self.weight is None:
            return y, None
        return y, weight_values(table, self._column(table, self.weight), first_row=first)

    def _column(self, table: Any, name: str) -> str:
        if name not in table.column_names:
            raise ColumnError(
                f"the table has no column {name!r}. It has {', '.join(table.column_names[:10])}."
            )
        return name
