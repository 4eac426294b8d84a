"""What the workers of one server tell each other: a file of each in a folder that is gone when the server ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import multiprocess

from crossfm.serving.json_text import dumps
from crossfm.serving.metrics import SHARED

EVERY = 1.0  # seconds between two notes of a worker


def shared_folder() -> Path | None:
    """Return the folder of a server with several workers; None where there is one."""
    return Path(os.environ[SHARED]) if SHARED in os.environ else None


def leave_note(folder: Path, note: Mapping[str, Any]) -> None:
    """Put this worker's note in the place of its last one; who reads meanwhile finds either."""
    temporary = folder / f"worker-{os.getpid()}.new"
    temporary.write_bytes(dumps(note))  # not synced: it is old in a second
    os.replace(temporary, folder / f"worker-{os.getpid()}.json")


def notes_of_others(folder: Path) -> list[dict[str, Any]]:
    """Return the notes of the other workers, by process id."""
    notes = []
    for path in sorted(folder.glob("worker-*.json")):
        if path.stem == f"worker-{os.getpid()}":
            continue
        try:
            notes.append(orjson.loads(path.read_bytes()))
        except FileNotFoundError:  # it ended just now
            continue
    return notes


def drop_worker(folder: Path, pid: int) -> None:
    """Forget a worker that has ended: its note, and its part of the gauges of /metrics."""
    for path in (folder / f"worker-{pid}.json", folder / f"worker-{pid}.new"):
        path.unlink(missing_ok=True)
    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
