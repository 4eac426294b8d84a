"""Text models of other programs, as ``FMParams``.

libFM (``-save_model``; the sections that ``-dim`` switches off are left out):

    #global bias W0
    0.1
    #unary interactions Wj
    -0.25                  one line a feature
    #pairwise interactions Vj,f
    0.5 0.125              one line a feature

xLearn (``-t``), LR and FM; a field-aware model has ``v_<feature>_<field>`` and is refused:

    bias: 0.1
    i_0: -0.25             one line a feature
    v_0: 0.5 0.125         one line a feature, FM only

Both score bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j, xLearn where it was told ``--no-norm``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossfm.core.params import FMParams
from crossfm.errors import MissingFileError, ParseError

PROGRAMS = ("libfm", "xlearn")
_SECTIONS = {"#global bias W0": "bias", "#unary interactions Wj": "w", "#pairwise interactions Vj,f": "V"}
_XLEARN = re.compile(r"(bias|[iv]_(\d{1,10})):(.*)")

File = str | os.PathLike[str]


def read_foreign(path: File, program: str | None = None) -> tuple[str, FMParams]:
    """Return the program whose model this is, and its parameters.

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
    if program is None:
        raise ParseError(
            f"{path}, line 1: this is no text model of libFM (-save_model) or of xLearn (-t); "
            "xLearn's other model file is binary: train with -t to get the text"
        )
    readers: dict[str, Callable[[Path, list[str]], FMParams]] = {"libfm": _libfm, "xlearn": _xlearn}
    return program, readers[program](path, lines)


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


def _xlearn(path: Path, lines: list[str]) -> FMParams:
    bias, w, V = 0.0, list[list[float]](), list[list[float]]()
    for number, line in enumerate(lines, 1):
        match = _XLEARN.fullmatch(line)
        if match is None:
            hint = "a field-aware model, which is not read yet" if re.match(r"v_\d+_\d+:", line) else line
            raise _error(path, number, hint, "'bias: ...', 'i_<feature>: ...' or 'v_<feature>: ...'")
        name, feature, rest = match.groups()
        if name == "bias":
            bias = _numbers(path, number, rest, 1)[0]
            continue
        rows = w if name[0] == "i" else V
        if int(feature) != len(rows):
            raise _error(path, number, name, f"{name[0]}_{len(rows)}, the next feature")
        rows.append(_numbers(path, number, rest, 1 if rows is w else len(V[0]) if V else None))
    if V and len(V) != len(w):
        raise _error(path, len(lines), f"{len(w)} lines i_... and {len(V)} lines v_...", "one each a feature")
    return _params(bias, w, V or [[]] * len(w))


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
