"""A text dump of a machine, for people and for other programs.

    # crossfm text dump, version 1
    # y = bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j
    # n_features=2 n_factors=3
    bias<TAB>0.1
    0<TAB>user=ann<TAB>-0.25<TAB>0.5 0.125 -1
    1<TAB>item=up<TAB>0<TAB>1 0 0.0625

One line a feature: id, name, w, v_1 ... v_k. Other machines have their formula and sizes in the header and more
cells: FFM a cell ``field: v_1 ... v_k`` for each field that the feature meets; HOFM a second cell, of the third degree;
FwFM and FmFM lines ``pair``, field, field and the weight or matrix (row after row) behind the features.

Numbers have the digits that bring back the same float32 (the
bias: float64). In names, backslash, tab, newline and carriage return are written ``\\\\``, ``\\t``, ``\\n``, ``\\r``,
and code points that UTF-8 cannot hold as ``\\udc80``.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from crossfm.atomic import atomic_write
from crossfm.core.field_params import FFMParams, FieldPairParams
from crossfm.core.params import FMParams
from crossfm.errors import DataError, ParseError

_TITLE = "# crossfm text dump, version "
_FORMULA = "# y = bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j"
_SIZES = re.compile(r"# n_features=(\d{1,10}) n_factors=(\d{1,6})")
_HEADER_LINES = 4
_SPECIAL = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped: char for char, escaped in _SPECIAL.items()}

File = str | os.PathLike[str] | TextIO


def dump_text(file: File, params: Any, feature_names: Sequence[str] | None = None) -> None:
    """Write the parameters of any machine as text to a path (whole or not at all) or to an open text file.

    ``feature_names`` (n_features,) default to the ids. Raises ``DataError`` when there are more or fewer
    names than features, and for a network.
    """
    if hasattr(params, "layers"):
        raise DataError(
            "a network has layers, which the text dump has no form for: the model file has them all"
        )
    names = [str(i) for i in range(params.n_features)] if feature_names is None else feature_names
    if len(names) != params.n_features:
        raise DataError(f"{len(names)} feature names for {params.n_features} features: one each is expected")
    if not isinstance(file, str | os.PathLike):
        file.writelines(_lines(params, names))
        return
    with atomic_write(file, "w") as out:
        out.writelines(_lines(params, names))


def read_dump(file: File) -> tuple[FMParams, list[str]]:
    """Read what ``dump_text`` wrote of a second-order machine: the same parameters, bit for bit, and the names.

    Raises ``ParseError`` naming file and line where the text departs from the format, ends early, or holds
    a number that is not finite.
    """
    with _opened(file) as (source, name):
        lines = _numbered(source, name)
        n_features, n_factors, bias = _read_header(lines, name)
        w, V, names = array("f"), array("f"), list[str]()
        for number, line in lines:
            if len(names) == n_features:
                raise _error(name, number, f"a line after the last of {n_features} features")
            label, weight, factors = _read_feature(line, len(names), n_factors, name, number)
            names.append(label)
            w.append(weight)
            V.extend(factors)
    if len(names) < n_features:
        raise _error(name, _HEADER_LINES + len(names), f"the end after {len(names)} of {n_features} features")
    params = FMParams(bias, np.array(w, np.float32), np.array(V, np.float32).reshape(n_features, n_factors))
    _check_finite(params, name)
    return params, names


def escape(name: str) -> str:
    """Write a name so that it fits between two tabs of one line."""
    return re.sub(r"[\\\t\n\r\ud800-\udfff]", lambda m: _SPECIAL.get(m[0]) or f"\\u{ord(m[0]):04x}", name)


def unescape(text: str) -> str:
    """Undo ``escape``; raises ``ValueError`` for a backslash that it does not write."""

    def plain(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[0] not in _PLAIN:
            raise ValueError(f"{match[0]!r} in a name")
        return _PLAIN[match[0]]

    return re.sub(r"\\u(d[89a-f][0-9a-f]{2})|\\.?", plain, text)


def _lines(params: Any, names: Sequence[str]) -> Iterator[str]:
    sizes = f"# n_features={params.n_features} n_factors={params.n_factors}"
    if hasattr(params, "n_fields"):
        sizes += f" n_fields={params.n_fields}"
    yield f"{_TITLE}1\n{_formula(params)}\n{sizes}\n"
    yield f"bias\t{float(params.bias)!r}\n"
    for i, (name, cells) in enumerate(zip(names, _factors(params), strict=True)):
        yield "\t".join([f"{i}\t{escape(str(name))}\t{params.w[i]:.9g}", *cells]) + "\n"
    if isinstance(params, FieldPairParams):
        fields = zip(*np.triu_indices(params.n_fields, 1), params.pairs, strict=True)
        for a, b, pair in fields:
            yield f"pair\t{a}\t{b}\t{_words(np.ravel(pair))}\n"


def _formula(params: Any) -> str:
    if isinstance(params, FMParams):
        return _FORMULA
    start = "# y = bias + sum_i w_i x_i + "
    if isinstance(params, FFMParams):
        return start + "sum_{i<j} <v_{i,f_j}, v_{j,f_i}> x_i x_j"
    if isinstance(params, FieldPairParams):
        middle = "v_i^T M_{f_i f_j} v_j" if params.pairs.ndim == 3 else "r_{f_i f_j} <v_i, v_j>"
        return f"{start}sum_{{i<j}} {middle} x_i x_j"
    return start + "sum_{i<j} <v_i, v_j> x_i x_j + sum_{i<j<l} sum_f u_if u_jf u_lf x_i x_j x_l"


def _factors(params: Any) -> Iterator[list[str]]:
    """Yield the cells behind w of each feature."""
    if isinstance(params, FFMParams):
        place = np.full((params.n_features, 2), -1, np.int64)
        for number, block in enumerate(params.blocks):
            place[block.ids, 0], place[block.ids, 1] = number, np.arange(len(block.ids))
        for number, row in place:
            block = params.blocks[number]
            yield (
                []
                if number < 0
                else [f"{field}: {_words(v)}" for field, v in zip(block.meets, block.V[row], strict=True)]
            )
        return
    parts = [params.V, params.V3] if hasattr(params, "V3") else [params.V]
    for i in range(params.n_features):
        yield [_words(part[i]) for part in parts]


def _words(numbers: Any) -> str:
    return " ".join([f"{number:.9g}" for number in numbers.tolist()])


def _read_header(lines: Iterator[tuple[int, str]], name: str) -> tuple[int, int, float]:
    """Check the lines before the features; return n_features, n_factors and the bias."""
    number, title = next(lines, (1, ""))
    version = title.removeprefix(_TITLE)
    if not title.startswith(_TITLE) or not version.isascii() or not version.isdigit():
        raise _error(name, number, f"{title[:40]!r}", f"{_TITLE + '1'!r}")
    if int(version[:9]) != 1:
        raise _error(name, number, f"version {version[:9]}", "version 1; upgrade crossfm to read newer ones")
    number, formula = next(lines, (2, ""))
    if formula != _FORMULA:
        raise _error(name, number, f"{formula[:80]!r}", f"{_FORMULA!r}")
    number, text = next(lines, (3, ""))
    sizes = _SIZES.fullmatch(text)
    if sizes is None:
        raise _error(name, number, f"{text[:80]!r}", "'# n_features=... n_factors=...'")
    number, text = next(lines, (4, ""))
    cells = text.split("\t")
    if len(cells) != 2 or cells[0] != "bias":
        raise _error(name, number, f"{text[:40]!r}", "'bias', a tab and a number")
    return int(sizes[1]), int(sizes[2]), _number(cells[1], name, number)


def _read_feature(
    line: str, feature: int, n_factors: int, name: str, number: int
) -> tuple[str, float, list[float]]:
    cells = line.split("\t")
    if len(cells) != 4:
        raise _error(name, number, f"{len(cells)} columns", "id, name, w and factors with tabs between")
    if cells[0] != str(feature):
        raise _error(name, number, f"feature {cells[0][:40]!r}", f"feature {feature}")
    try:
        label = unescape(cells[1])
    except ValueError as exc:
        raise _error(name, number, str(exc), "\\\\, \\t, \\n or \\r") from None
    texts = cells[3].split(" ") if cells[3] else []
    if len(texts) != n_factors:
        raise _error(name, number, f"{len(texts)} factors", f"{n_factors}, with one space between")
    return label, _number(cells[2], name, number), [_number(text, name, number) for text in texts]


def _number(text: str, name: str, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise _error(name, line, f"{text[:40]!r}", "a number") from None


def _check_finite(params: FMParams, name: str) -> None:
    bad = ~(np.isfinite(params.w) & np.isfinite(params.V).all(axis=1))
    if not np.isfinite(params.bias):
        raise _error(name, _HEADER_LINES, f"the bias {params.bias}", "a finite number")
    if bad.any():
        at = int(np.argmax(bad))
        raise _error(
            name, _HEADER_LINES + 1 + at, f"feature {at} with a number that is not", "finite float32"
        )


def _numbered(source: Iterable[str | bytes], name: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source, start=1):
        try:
            text = line if isinstance(line, str) else line.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise _error(name, number, f"bytes that are not UTF-8 ({exc.reason})", "UTF-8 text") from None
        yield number, text.removesuffix("\n")


def _error(name: str, line: int, seen: str, expected: str = "") -> ParseError:
    return ParseError(f"{name}, line {line}: {seen}" + (f", but {expected} is expected" if expected else ""))


@contextmanager
def _opened(file: File) -> Iterator[tuple[Iterable[str | bytes], str]]:
    if not isinstance(file, str | os.PathLike):
        yield file, str(getattr(file, "name", "text dump"))
        return
    try:
        with open(file, "rb") as source:  # decoded line by line, so that an error knows its line
            yield source, str(file)
    except OSError as exc:
        raise ParseError(f"{file} cannot be read: {exc.strerror or exc}. A text dump is expected.") from exc
