"""``crossfm demo --serve``: what it trains, and that a real process answers and stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossfm.cli.demo_serve import with_context
from crossfm.errors import DownloadError


def test_the_clock_gives_part_and_kind_of_day() -> None:
    moments = ["1998-04-20T23:59:59", "1998-04-25T06:00:00", "1998-04-26T05:59:59", "1970-01-01T12:30:00"]
    seconds = np.array(moments, "datetime64[s]").astype(np.int64)
    table = with_context(pa.table({"timestamp": seconds}))
    assert table["part_of_day"].to_pylist() == ["evening", "morning", "night", "afternoon"]
    assert table["day"].to_pylist() == ["weekday", "weekend", "weekend", "weekday"]


def test_it_serves_films_with_context(tmp_path: Path) -> None:
    from crossfm import datasets

    try:
        datasets.load("movielens-100k")
    except DownloadError as exc:
        pytest.skip(f"MovieLens-100K is not to be had: {exc}")
    words = ["demo", "--serve", "--no-open", "--port", "0", "--output", str(tmp_path)]
    code = "from crossfm.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = next(line for line in process.stdout if line.startswith("open ")).split()[1].rstrip("/")
        lists = [
            _ask(address, {"user": 196, "n": 20, "context": {"part_of_day": part}})
            for part in ("night", "morning")
        ]
        assert lists[0][0]["attributes"]["title"]
        assert [each["score"] for each in lists[0]] != [each["score"] for each in lists[1]]
        with urllib.request.urlopen(f"{address}/") as page:
            assert b"crossfm" in page.read()
    finally:
        process.send_signal(signal.SIGTERM)
        with process.stdout:
            rest = process.stdout.read()
    assert process.wait(30) == 0, rest


def _ask(address: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{address}/v1/recommend", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, Any]] = json.load(answer)["items"]
    return found
