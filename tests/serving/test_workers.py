"""What several workers tell each other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import orjson
import pytest

from crossfm.serving.json_text import dumps
from crossfm.serving.window import Window
from crossfm.serving.workers import drop_worker, leave_note, notes_of_others


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_windows_of_workers_are_together_what_one_would_have_seen(n_workers: int) -> None:
    now = [1_000.0]
    rng = np.random.default_rng(n_workers)
    whole = Window(clock=lambda: now[0])
    parts = [Window(clock=lambda: now[0]) for _ in range(n_workers)]
    for _ in range(400):
        now[0] += 1.5 * rng.random()
        part = parts[rng.integers(n_workers)]
        route, ms, status = f"GET /{rng.integers(3)}", float(rng.random()), int(rng.choice([200, 404, 500]))
        items, version, known = list(range(rng.integers(1, 12))), f"v{rng.integers(2)}", bool(rng.integers(2))
        for window in (whole, part):
            window.request(route, ms, status)
            window.answer(version, {"recall": ms}, {"catalogue": 50, "returned": len(items)}, items, known)
    told = [orjson.loads(dumps(part.state())) for part in parts]
    assert Window.merged(told, clock=lambda: now[0]).report(50) == whole.report(50)


def test_a_worker_reads_what_the_others_left_until_they_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = os.getpid()
    for pid in (me, 11, 12):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        leave_note(tmp_path, {"pid": pid, "at": 1})
        leave_note(tmp_path, {"pid": pid, "at": 2})
        (tmp_path / f"gauge_livesum_{pid}.db").write_bytes(b"")
    monkeypatch.setattr(os, "getpid", lambda: me)
    assert notes_of_others(tmp_path) == [{"pid": 11, "at": 2}, {"pid": 12, "at": 2}]
    drop_worker(tmp_path, 11)
    assert notes_of_others(tmp_path) == [{"pid": 12, "at": 2}]
    assert sorted(path.name for path in tmp_path.glob("*.db")) == sorted(
        [f"gauge_livesum_{me}.db", "gauge_livesum_12.db"]
    )
