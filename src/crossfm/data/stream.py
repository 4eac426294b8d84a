"""``RowStream``: rows that do not fit into memory, window by window."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfm.core.memory import resident, show_size
from crossfm.data.ahead import ahead
from crossfm.data.cache import BlockCache, CacheError
from crossfm.data.encode import Encoder
from crossfm.data.rows import Rows
from crossfm.data.split import chosen_rows
from crossfm.errors import DataError, OptionError

WINDOW = 32_000_000  # bytes, or this share of the limit where that is less:
SHARE = 1 / 20
WINDOWS = 2  # alive at a time, see ``ahead``
AN_EPOCH = 8  # windows at least, so that all but the first are read while others are trained on
SLACK = 1.06  # of what arrays are said to take: freed memory that the process keeps

Index = NDArray[np.int64]


class Window(NamedTuple):
    """Some rows of a stream in memory; ``chosen`` are those that belong to it (positions), None is all of them."""

    rows: Rows
    chosen: Index | None

    def taken(self) -> Rows:
        """Return the chosen rows."""
        return self.rows if self.chosen is None else self.rows.take(self.chosen)

    @property
    def n_chosen(self) -> int:
        """Number of chosen rows."""
        return self.rows.n_rows if self.chosen is None else len(self.chosen)


class _Share(NamedTuple):
    """A hash-chosen share of the rows, or the others."""

    fraction: float
    seed: int
    held: bool


class RowStream:
    """Rows of a file larger than memory; made by ``crossfm.stream``.

    Estimators take it in the place of ``X`` in ``fit``, ``partial_fit``, ``predict`` and ``eval_set``. Iterating gives
    ``Rows``, one window after another, in the order of the file, as often as you like.

    Attributes
    ----------
    n_rows, nnz, n_features : int
        ``nnz`` is that of the whole file, also for a part of it.
    encoder : Encoder or None
        How the columns of a table became features; None for libsvm and libffm.
    memory_limit : int or None
        Bytes that the whole process shall not exceed.
    """

    def __init__(
        self,
        open_cache: Callable[[], BlockCache],
        *,
        encoder: Encoder | None = None,
        memory_limit: int | None = None,
        share: _Share | None = None,
    ) -> None:
        self._open = open_cache
        self._share = share
        self._kept: Window | None = None
        self.cache = open_cache()
        self.encoder = encoder
        self.memory_limit = memory_limit
        self.nnz, self.n_features = self.cache.layout.nnz, self.cache.layout.n_features
        self.n_rows = self.cache.layout.n_rows
        if share is not None:
            self.n_rows = sum(len(self._chosen([at])) for at in range(len(self.cache)))

    def __len__(self) -> int:
        return self.n_rows

    def __iter__(self) -> Iterator[Rows]:
        for window in self.windows():
            rows = window.taken()
            del window
            yield rows
            del rows

    def split(self, fraction: float, seed: int) -> tuple[RowStream, RowStream]:
        """Return the rows to train on and those to validate on, about ``fraction`` of them.

        A row's side depends on its number and ``seed`` alone. Raises ``DataError`` when a side would be empty.
        """
        if self._share is not None:
            raise DataError("this stream is a part already; split the whole")
        if not isinstance(fraction, (float, np.floating)) or not 0 < fraction < 1:
            raise OptionError(f"fraction is {fraction!r}, but must lie between 0 and 1")
        sides = [
            RowStream(
                self._open,
                encoder=self.encoder,
                memory_limit=self.memory_limit,
                share=_Share(float(fraction), seed, held),
            )
            for held in (False, True)
        ]
        if not all(side.n_rows for side in sides):
            raise DataError(
                f"{self.n_rows} rows are too few to hold back {fraction:g} of them; pass eval_set"
            )
        return sides[0], sides[1]

    def windows(self, rng: np.random.Generator | None = None) -> Iterator[Window]:
        """Yield all rows once, the next window being read while one is worked on.

        ``rng`` draws which blocks come together in a window, and when; a window's rows come in the order of their
        blocks. What fits into a window as a whole is read once and kept, in the order of the file.
        """
        groups = self._groups(rng)
        if len(groups) == 1:
            if self._kept is None:
                self._kept = self._read(groups[0])
            yield self._kept
            return
        self._kept = None
        yield from ahead(self._read(group) for group in groups)

    def targets(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32] | None]]:
        """Yield target and weight of all rows, as many at a time as ``windows`` gives, in the order of the file."""
        for group in self._groups(None):
            parts = [self._healed(partial(self._read_targets, at)) for at in group]
            chosen: Any = slice(None) if self._share is None else self._chosen(group)
            target = np.concatenate([target for target, _ in parts])[chosen]
            weights = [weight for _, weight in parts if weight is not None]
            yield target, np.concatenate(weights)[chosen] if weights else None

    def labels(self, target: NDArray[np.float64]) -> NDArray[Any]:
        """Return targets as the file has them: whole numbers, booleans or text where they are kept as numbers."""
        kind, texts = self.cache.meta.get("target", "f"), self.cache.meta.get("labels")
        if texts is not None:
            return np.asarray(np.array(texts)[target.astype(np.int64)])
        return target if kind == "f" else target.astype({"i": np.int64, "u": np.uint64, "b": bool}[kind])

    def labels_of(self, rows: Rows) -> NDArray[Any]:
        """Return the targets of rows of this stream, as the file has them."""
        assert rows.target is not None
        return self.labels(rows.target)

    def all_labels(self) -> NDArray[Any]:
        """Return the targets of all rows, in the order of the file."""
        return self.labels(np.concatenate([target for target, _ in self.targets()]))

    def facts(self) -> dict[str, Any]:
        """Return what tells these rows, and the windows they come in, from others; JSON."""
        share = "" if self._share is None else repr(tuple(self._share))
        return {
            "number": self.n_rows,
            "features": self.n_features,
            "bytes of a window": int(self._window()),
            "contents": f"crc {zlib.crc32(share.encode(), self.cache.checksum):08x}",
        }

    def need(self, lasting: float, passing: float = 0, *, layers: float = 0) -> None:
        """Raise ``OptionError`` when what the process has and will need exceeds the limit.

        ``lasting`` bytes stay beside the windows, and those of a network's ``layers`` and its batches; ``passing`` ones
        come and go while there are none.
        """
        if self.memory_limit is None:
            return
        lasting += layers
        now, taken = resident(), max(WINDOWS * self._window(), passing)
        if now + SLACK * (lasting + taken) <= self.memory_limit:
            return
        fixed = now + SLACK * lasting
        share = min(fixed / (1 - SLACK * WINDOWS * SHARE), fixed + SLACK * WINDOWS * WINDOW)
        least = max(share, fixed + SLACK * max(WINDOWS * max(self._sizes()), passing))
        of_it = f" ({show_size(layers)} for layers and a batch in them)" if layers else ""
        remedy = "take a smaller batch_size or hidden, " if layers else ""
        raise OptionError(
            f"memory_limit={show_size(self.memory_limit)} is too small: the program has {show_size(now)}, the model "
            f"takes {show_size(lasting)} more{of_it} and reading {show_size(taken)}; about {show_size(1.02 * least)} "
            f"are needed. Raise it, {remedy}lower n_factors, or have fewer features (hash_buckets, min_count)."
        )

    # ------------------------------------------------------------------ windows

    def _sizes(self) -> list[int]:
        """Return the bytes of each block in memory."""
        each = zip(self.cache.rows.tolist(), self.cache.nnz.tolist(), strict=True)
        return [self.cache.layout.row_bytes(rows, nnz) for rows, nnz in each]

    def _window(self) -> float:
        """Return how many bytes a window may have: by the file and the limit alone, so that runs can be repeated."""
        sizes = self._sizes()
        wanted = WINDOW if self.memory_limit is None else min(WINDOW, SHARE * self.memory_limit)
        return max(wanted, *sizes)

    def _groups(self, rng: np.random.Generator | None) -> list[list[int]]:
        """Return the blocks of each window."""
        sizes, most = self._sizes(), self._window()
        if sum(sizes) <= most:
            return [list(range(len(sizes)))]
        most = min(most, sum(sizes) / AN_EPOCH)
        groups: list[list[int]] = []
        room = 0.0
        for at in (np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))).tolist():
            if not groups or sizes[at] > room:
                groups.append([])
                room = most
            groups[-1].append(at)
            room -= sizes[at]
        return groups

    def _read(self, group: list[int]) -> Window:
        rows = self._healed(lambda: self.cache.read(group))
        return Window(rows, None if self._share is None else self._chosen(group))

    def _read_targets(self, at: int) -> Any:
        return self.cache.read_targets(at)

    def _healed(self, read: Callable[[], Any]) -> Any:
        """Return ``read()``; where the cache turns out to be broken, write it again and read once more."""
        try:
            return read()
        except CacheError:
            before = self.cache.layout
            self.cache.path.unlink(missing_ok=True)
            self.cache = self._open()
            if self.cache.layout != before:
                raise DataError(f"{self.cache.path}: the source has changed while it was used") from None
            return read()

    def _chosen(self, group: list[int]) -> Index:
        """Return the positions of this share's rows in the blocks of ``group``, one after another."""
        assert self._share is not None
        fraction, seed, held = self._share
        start, found = 0, []
        for at in group:
            n_rows = int(self.cache.rows[at])
            mask = chosen_rows(int(self.cache.first_row[at]), n_rows, fraction, seed)
            found.append(start + np.flatnonzero(mask == held))
            start += n_rows
        return np.concatenate(found)
