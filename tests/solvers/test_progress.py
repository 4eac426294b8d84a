from __future__ import annotations

import sys
from typing import Any

from crossfm.solvers.callbacks import Epoch
from crossfm.solvers.progress import describe, progress


def test_lines_say_what_there_is_to_say(capsys: Any) -> None:
    lines = progress("learning")
    lines.on_start(10, 2)
    lines.on_rows(10)
    lines.on_epoch(Epoch(1, 0.25, 0.5, 0.1), None)
    lines.on_epoch(Epoch(2, 1.5, 0.25, 0.1, valid_loss=0.75, valid_auc=0.875, best=False), None)
    lines.on_end()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "learning: epoch 1  train loss 0.50000  0.25 s",
        "learning: epoch 2  train loss 0.25000  valid loss 0.75000  valid AUC 0.87500  1.50 s",
    ]


def test_the_best_epoch_is_marked_where_there_is_validation() -> None:
    assert describe(Epoch(3, 1.0, 0.5, 0.1, valid_loss=0.5)).endswith("  best")
    assert not describe(Epoch(3, 1.0, 0.5, 0.1)).endswith("best")


def test_a_terminal_gets_a_bar(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = progress("learning")
    bar.on_start(10, 2)
    bar.on_rows(10)
    bar.on_epoch(Epoch(1, 0.25, 0.5, 0.1), None)
    assert bar.bar.tasks[0].completed == 10
    assert bar.bar.tasks[0].total == 20
    bar.on_end()
    bar.on_end()
    assert bar.bar is None


def test_a_bar_that_never_started_can_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress().on_end()
