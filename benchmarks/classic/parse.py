"""Claim: text becomes Rows 10 times as fast as by scikit-learn and 8 times as by xLearn's conversion, on one thread.

The made click log of ``data.py`` as libsvm and libffm text (all values 1); and a fifth of its rows with ids in order,
without which scikit-learn does not read them, all values 1 or decimals.
Readers take turns, round by round. Times of one thread are processor seconds, which other work on the machine
disturbs least; those of several threads are by the wall clock, and their processor time is given beside that of one:
where it is the same, wall time on idle cores is its share. "parser" goes from text in memory to arrays, "file"
from the file (in the system's cache) to ``Rows``, as the readers beside it do: scikit-learn's
``load_svmlight_file``, and the conversions to binary files of xLearn and of libffm.

The limit: a parser must see the text twice (counting what to make room for, reading it) and write the arrays once;
that many bytes at the speed at which one thread copies memory here.

    python benchmarks/classic/setup_envs.py xlearn libffm       # once: the peers
    python benchmarks/classic/parse.py [--rows 1000000] [--rounds 5] [--threads 1 2] [--peers xlearn libffm]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paths  # noqa: F401
from about import machine
from environments import is_there, python_of
from report import RESULTS
from turns import HERE

import data
from crossfm.data.formats import Format
from crossfm.data.text import read_text
from crossfm.kernels.text import ParsedText, parse_text

PEERS = {"scikit-learn": ("libsvm",), "xlearn": ("libsvm", "libffm"), "libffm": ("libffm",)}
ORDERED = ("ordered", "decimals")
PART = 5  # one row in so many


def texts(n_rows: int) -> dict[str, Path]:
    """Make the files; their names end as their forms do."""
    npz = data.make(n_rows, max(n_rows // 10, 1)) / "train.npz"
    return {
        "libsvm, values 1": data.as_text(npz, "libsvm"),
        "libffm, values 1": data.as_text(npz, "libffm"),
        "libsvm, values 1, ids in order": in_order(npz, "ordered.libsvm", decimals=False),
        "libsvm, decimals, ids in order": in_order(npz, "decimals.libsvm", decimals=True),
    }


def in_order(npz: Path, name: str, *, decimals: bool) -> Path:
    """Write one row in ``PART`` with its ids sorted, as scikit-learn demands, unless that is there."""
    path = npz.with_name(name)
    if path.exists():
        return path
    with np.load(npz) as log:
        ids, y = np.sort(log["ids"][::PART], axis=1), log["y"][::PART]
    values = np.random.default_rng(0).random(ids.shape).round(4) if decimals else np.ones(ids.shape, np.uint8)
    half = path.with_suffix(".half")
    with half.open("w") as file:
        for label, row, row_values in zip(y.tolist(), ids, values, strict=True):
            tokens = (f"{i}:{x}" for i, x in zip(row.tolist(), row_values.tolist(), strict=True))
            file.write(f"{label} {' '.join(tokens)}\n")
    os.replace(half, path)
    return path


class Seconds(NamedTuple):
    """What one call took, by two clocks."""

    cpu: float
    wall: float


def timed(work: Callable[[], object]) -> Seconds:
    """Time one call; freeing what it returns is not counted."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    seconds = Seconds(time.process_time() - cpu, time.perf_counter() - wall)
    del result
    return seconds


def ours(path: Path, n_threads: int) -> dict[str, float]:
    """Seconds of our parser and of our reader."""
    form = path.suffix[1:]
    text = path.read_bytes()
    parser = timed(partial(parse_text, text, libffm=form == "libffm", n_threads=n_threads))
    del text
    reader = timed(partial(read_text, path, Format(form), n_threads=n_threads))
    if n_threads == 1:
        return {"parser": parser.cpu, "file": reader.cpu}
    return {
        f"parser, {n_threads} threads": parser.wall,
        f"file, {n_threads} threads": reader.wall,
        f"processor, {n_threads} threads": parser.cpu,
    }


def peer(name: str, path: Path) -> float:
    """Seconds of one peer, in a process of its own unless it is scikit-learn."""
    if name == "scikit-learn":
        from sklearn.datasets import load_svmlight_file

        return timed(partial(load_svmlight_file, str(path), zero_based=True)).cpu
    with tempfile.TemporaryDirectory(dir=data.FOLDER) as scratch:
        answer = Path(scratch) / "answer.json"
        command = [str(python_of(name)), str(HERE / f"parse_{name}.py"), str(path), scratch, str(answer)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: exit code {done.returncode}: {done.stderr.decode()[-600:]}")
        return float(json.loads(answer.read_text()))


def copy_speed() -> float:
    """Bytes read and written a second when one thread copies memory; the best of five."""
    source = np.ones(1 << 26, np.uint32)
    target = np.zeros_like(source)
    return 2 * source.nbytes / min(timed(partial(np.copyto, target, source)).cpu for _ in range(5))


def limit(path: Path, bytes_per_second: float) -> float:
    """Seconds that moving the text twice and the arrays once takes."""
    found: ParsedText = parse_text(path.read_bytes(), libffm=path.suffix == ".libffm")
    arrays = sum(array.nbytes for array in found[2:] if array is not None)
    return (2 * path.stat().st_size + arrays) / bytes_per_second


def measure(path: Path, options: argparse.Namespace) -> dict[str, float]:
    """MB/s of every reader on one file, medians of the rounds, and of the limit."""
    seconds: dict[str, list[float]] = {}
    for number in range(options.rounds):
        found = {}
        for n_threads in options.threads:
            found.update(ours(path, n_threads))
        for name in options.peers:
            if path.suffix[1:] in PEERS[name] and (name != "scikit-learn" or path.stem in ORDERED):
                found[name] = peer(name, path)
        for name, value in found.items():
            seconds.setdefault(name, []).append(value)
        print(f"{path.name}, round {number + 1}: " + ", ".join(f"{n} {s:.2f} s" for n, s in found.items()))
    megabytes = path.stat().st_size / 1e6
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    work = {
        name: middle.pop(name) / middle["parser"] for name in list(middle) if name.startswith("processor")
    }
    speeds = {name: megabytes / value for name, value in middle.items()}
    return {"MB": megabytes, **speeds, "limit": megabytes / limit(path, copy_speed()), **work}


def markdown(report: dict[str, Any]) -> str:
    """Render the report as a table."""
    about, results = report["machine"], report["results"]
    columns = list(dict.fromkeys(name for found in results.values() for name in found))
    columns.sort(key=lambda name: (name.startswith("processor"), name == "limit"))
    lines = [
        "# Text parsing, MB/s",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load_at_start']} at the start, Python "
        f'{about["python"]}; median of {report["rounds"]} rounds. "processor": time of that many threads, one = 1.',
        "",
        f"| text | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for text, found in results.items():
        cells = (_cell(found.get(name), 2 if name.startswith("processor") else 0) for name in columns)
        lines.append(f"| {text} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"


def run(n_rows: int, options: argparse.Namespace) -> None:
    """Measure, print and write the report."""
    files = texts(n_rows)
    about = machine()
    results = {text: measure(path, options) for text, path in files.items()}
    report = {"machine": about, "rounds": options.rounds, "results": results}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "parse.json").write_text(json.dumps(report, indent=2) + "\n")
    (RESULTS / "parse.md").write_text(markdown(report))
    print("\n" + markdown(report))


def main() -> None:
    """Read the command line."""
    there = [name for name in PEERS if name == "scikit-learn" or is_there(name)]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peers", nargs="*", default=there, choices=list(PEERS))
    options = parser.parse_args()
    run(options.rows, options)


if __name__ == "__main__":
    main()
