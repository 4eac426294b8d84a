"""Text models of other programs, as ``FMParams`` or ``FFMParams``.

libFM (``-save_model``; the sections that ``-dim`` switches off are left out):

    #global bias W0
    0.1
    #unary interactions Wj
    -0.25                  one line a feature
    #pairwise interactions Vj,f
    0.5 0.125              one line a feature

xLearn (``-t``), LR, FM and FFM:

    bias: 0.1
    i_0: -0.25             one line a feature
    v_0: 0.5 0.125         one line a feature, FM only
    v_0_1: 0.5 0.125       one line a feature and field, FFM only

libffm (its text format; newer versions write a binary one, which is not read):

    n 2                    features
    m 3                    fields
    k 4                    factors
    normalization 1
    w0,0 0.5 0.1 0 0.25    one line a feature and field

libFM scores bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j. So does xLearn's FM, where it was told ``--no-norm``.
The field-aware machines score ``FFMParams``' formula, libffm without bias and linear part; rows are scaled to length 1
unless normalization is 0 (libffm) or ``--no-norm`` was given (xLearn).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossfm.core.field_params import FFMParams, FieldBlock
from crossfm.core.params import FMParams
from crossfm.errors import MissingFileError, ParseError

PROGRAMS = ("libfm", "xlearn", "libffm")
_SECTIONS = {"#global bias W0": "bias", "#unary interactions Wj": "w", "#pairwise interactions Vj,f": "V"}
_XLEARN = re.compile(r"(bias|[iv]_(\d{1,10})(?:_(\d{1,10}))?):(.*)")
_LIBFFM = re.compile(r"w(\d{1,10}),(\d{1,10})((?: .*)?)")

File = str | os.PathLike[str]


Params = FMParams | FFMParams


def read_foreign(path: File, program: str | None = None) -> tuple[str, Params, bool]:
    """Return the program whose model this is, its parameters, and whether the file says that rows are normalised.

    ``program`` is one of ``PROGRAMS``; None recognises it by the first line. Raises ``MissingFileError``, and
    ``ParseError`` naming file and line where the text departs from the format.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file. Check the path (now in {Path.cwd()})")
    lines = path.read_text(encoding="utf8", errors="replace").splitlines()
    if program is None:
        first = lines[0].strip() if lines else ""
        program = "libfm" if first in _SECTIONS else "xlearn" if _XLEARN.match(first) else None
        program = "libffm" if re.fullmatch(r"n \d+", first) else program
    if program is None:
        raise ParseError(
            f"{path}, line 1: this is no text model of libFM (-save_model), of xLearn (-t) or of libffm; "
            "xLearn's other model file is binary: train with -t to get the text"
        )
    readers: dict[str, Callable[[Path, list[str]], Params]] = {
        "libfm": _libfm,
        "xlearn": _xlearn,
        "libffm": _libffm,
    }
    params = readers[program](path, lines)
    return program, params, program == "libffm" and lines[3].split()[1] != "0"


def _libfm(path: Path, lines: list[str]) -> FMParams:
    found: dict[str, list[list[float]]] = {}
    section = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            section = _SECTIONS.get(line.strip(), "")
            if not section or section in found:
                raise _error(path, number, line, "one each of " + ", ".join(map(repr, _SECTIONS)))
            found[section] = []
            continue
        if not section:
            raise _error(path, number, line, "a section such as '#global bias W0'")
        found[section].append(_numbers(path, number, line, None if section == "V" else 1))
        if section == "V" and len(found["V"][-1]) != len(found["V"][0]):
            raise _error(path, number, line, f"{len(found['V'][0])} numbers, as in the lines before")
    bias, w, V = (found.get(name) for name in ("bias", "w", "V"))
    if bias is not None and len(bias) != 1:
        raise _error(path, len(lines), f"{len(bias)} lines of bias", "one")
    n_features = len(V) if V is not None else len(w or [])
    if w and len(w) != n_features:
        raise _error(
            path, len(lines), f"{len(w)} unary and {n_features} pairwise lines", "one each a feature"
        )
    return _params(bias[0][0] if bias else 0.0, w or [[0.0]] * n_features, V or [[]] * n_features)


def _xlearn(path: Path, lines: list[str]) -> Params:
    bias, w, V = 0.0, list[list[float]](), list[list[float]]()
    pairs: list[list[list[float]]] = []  # of each feature, of each field
    for number, line in enumerate(lines, 1):
        match = _XLEARN.fullmatch(line)
        if match is None or (match[3] and line[0] != "v"):
            raise _error(path, number, line, "'bias: ...', 'i_<feature>: ...' or 'v_<feature>: ...'")
        name, feature, field, rest = match.groups()
        if name == "bias":
            bias = _numbers(path, number, rest, 1)[0]
        elif field is not None:
            if V:
                raise _error(path, number, name, "'v_<feature>' as before")
            _append(path, number, pairs, int(feature), int(field), rest)
        else:
            rows = w if name[0] == "i" else V
            if int(feature) != len(rows):
                raise _error(path, number, name, f"{name[0]}_{len(rows)}, the next feature")
            rows.append(_numbers(path, number, rest, 1 if rows is w else len(V[0]) if V else None))
    if pairs:
        return _field_params(path, lines, bias, w, pairs)
    if V and len(V) != len(w):
        raise _error(path, len(lines), f"{len(w)} lines i_... and {len(V)} lines v_...", "one each a feature")
    return _params(bias, w, V or [[]] * len(w))


def _libffm(path: Path, lines: list[str]) -> Params:
    sizes = {}
    for number, name in enumerate(("n", "m", "k", "normalization"), 1):
        words = lines[number - 1].split() if number <= len(lines) else []
        if len(words) != 2 or words[0] != name or not words[1].isdecimal():
            raise _error(path, number, " ".join(words), f"'{name}' and a whole number")
        sizes[name] = int(words[1])
    pairs: list[list[list[float]]] = []
    for number, line in enumerate(lines[4:], 5):
        match = _LIBFFM.fullmatch(line)
        if match is None:
            raise _error(path, number, line, "'w<feature>,<field> ...'")
        _append(path, number, pairs, int(match[1]), int(match[2]), match[3])
    params = _field_params(path, lines, 0.0, [[0.0]] * sizes["n"], pairs)
    if (params.n_fields, params.n_factors) != (sizes["m"], sizes["k"]):
        seen = f"{params.n_fields} fields and {params.n_factors} factors"
        raise _error(path, len(lines), seen, f"{sizes['m']} and {sizes['k']}, as its first lines say")
    return params


def _append(
    path: Path, number: int, pairs: list[list[list[float]]], feature: int, field: int, text: str
) -> None:
    """Add the vector of ``feature`` for ``field``, which must be the next one."""
    if field == 0 and feature == len(pairs):
        pairs.append([])
    if feature != len(pairs) - 1 or field != len(pairs[-1]):
        raise _error(path, number, f"feature {feature}, field {field}", "the next of either, without gaps")
    first = pairs[0][0] if pairs[0] else None
    pairs[-1].append(_numbers(path, number, text, None if first is None else len(first)))


def _field_params(
    path: Path, lines: list[str], bias: float, w: list[list[float]], pairs: list[list[list[float]]]
) -> FFMParams:
    fields = {len(vectors) for vectors in pairs}
    if len(pairs) != len(w) or len(fields) != 1:
        seen = f"vectors of {len(pairs)} features for {sorted(fields)} fields, and {len(w)} features"
        raise _error(path, len(lines), seen, "a vector for every feature and field")
    V = np.array(pairs, np.float32)
    every = np.arange(V.shape[1])
    block = FieldBlock(every, every, np.arange(len(V)), V)
    return FFMParams(bias, np.array(w, np.float32).reshape(len(w)), V.shape[1], V.shape[2], [block])


def _params(bias: float, w: list[list[float]], V: list[list[float]]) -> FMParams:
    n_factors = len(V[0]) if V else 0
    return FMParams(
        bias, np.array(w, np.float32).reshape(len(w)), np.array(V, np.float32).reshape(len(V), n_factors)
    )


def _numbers(path: Path, number: int, text: str, count: int | None) -> list[float]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        raise _error(path, number, text, "numbers") from None
    if count is not None and len(values) != count:
        raise _error(path, number, text, "one number" if count == 1 else f"{count} numbers")
    if not np.isfinite(np.array(values, np.float32)).all():
        raise _error(path, number, text, "finite numbers; this training diverged")
    return values


def _error(path: Path, number: int, seen: str, expected: str) -> ParseError:
    return ParseError(f"{path}, line {number}: {seen.strip()[:60]!r}, but expected {expected}")
