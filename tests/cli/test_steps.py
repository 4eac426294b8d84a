"""Progress of a command's steps."""

from __future__ import annotations

import sys

import pytest

from crossfm.cli.steps import Steps


def test_without_a_terminal_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps("ratings", 2) as steps:
        for name in ("fit", "judge"):
            with steps(name):
                pass
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" (")[0] for line in err.splitlines()] == ["ratings: fit", "ratings: judge"]
    assert list(steps.seconds) == ["fit", "judge"]


def test_a_step_that_fails_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), Steps("ratings", 1) as steps, steps("fit"):
        raise ValueError("broken")
    assert capsys.readouterr().err == ""
    assert steps.seconds == {}


def test_on_a_terminal_a_bar_counts_the_steps_and_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Steps("ratings", 1) as steps, steps("fit"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/1" in err
    assert err.endswith("\x1b[2K")  # the bar's line is wiped
