"""Downloads: what the network and pip can answer. The network is a file: URL, pip is a fake process."""

from __future__ import annotations

import io
import subprocess
import sys
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest

from crossfm.datasets import sources
from crossfm.datasets.sources import SourceError, download, pip_download


class Response(io.BytesIO):
    """An HTTP response with a body and, if given, a Content-Length."""

    def __init__(self, body: bytes, length: int | None = None) -> None:
        super().__init__(body)
        self.headers = Message()
        if length is not None:
            self.headers["Content-Length"] = str(length)


def answer(monkeypatch: pytest.MonkeyPatch, response: object) -> None:
    def urlopen(url: str, timeout: float) -> object:
        assert 0 < timeout <= 10
        if isinstance(response, Exception):
            raise response
        return response

    monkeypatch.setattr(sources, "urlopen", urlopen)


@pytest.mark.parametrize("length", [None, 200_000])
def test_a_download_arrives_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int | None
) -> None:
    body = bytes(range(250)) * 800
    answer(monkeypatch, Response(body, length))
    download("https://host/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == body


def test_a_download_that_breaks_off_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer(monkeypatch, Response(b"abc", 10))
    with pytest.raises(SourceError, match="broke off after 3 of 10 bytes"):
        download("https://host/a.zip", tmp_path / "a.zip")


def test_a_download_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    answer(monkeypatch, Response(b"a" * 1001))
    with pytest.raises(SourceError, match="more than 1000 bytes"):
        download("https://host/a.zip", tmp_path / "a.zip")


@pytest.mark.parametrize(
    "error", [URLError("no such host"), TimeoutError("no such host"), ValueError("no such host")]
)
def test_a_network_error_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    answer(monkeypatch, error)
    with pytest.raises(SourceError, match=r"https://host/a\.zip could not be read: no such host"):
        download("https://host/a.zip", tmp_path / "a.zip")


def test_a_disk_error_is_not_blamed_on_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer(monkeypatch, Response(b"abc"))
    with pytest.raises(IsADirectoryError):
        download("https://host/a.zip", tmp_path)


def test_off_a_terminal_a_download_is_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, Response(b"a" * 200_000, 200_000))
    download("https://host/a.zip", tmp_path / "a.zip")
    assert capsys.readouterr() == ("", "Downloading https://host/a.zip\n")


def test_on_a_terminal_a_download_shows_a_bar_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    answer(monkeypatch, Response(b"a" * 200_000, 200_000))
    download("https://host/a.zip", tmp_path / "a.zip")
    out, err = capsys.readouterr()
    assert out == ""
    assert "200.0/200.0 kB" in err


def pip(
    monkeypatch: pytest.MonkeyPatch, wheels: tuple[str, ...] = (), stderr: str = "", code: int = 0
) -> list[list[str]]:
    """Replace the pip process; return the commands it gets."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        commands.append(command)
        for wheel in wheels:
            (Path(command[command.index("--dest") + 1]) / wheel).write_bytes(b"wheel")
        return SimpleNamespace(returncode=code, stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_pip_is_asked_for_one_wheel_and_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (commands,) = [pip(monkeypatch, ("a-1-py3-none-any.whl",))]
    path = pip_download("a==1", tmp_path)
    assert path == tmp_path / "a-1-py3-none-any.whl"
    assert path.read_bytes() == b"wheel"
    ((python, *rest),) = commands
    assert python == sys.executable
    assert rest[:3] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} < set(rest)
    assert rest[-1] == "a==1"


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "WARNING: old\nERROR: No matching distribution found for a==1\n",
            "ERROR: No matching distribution found",
        ),
        ("/usr/bin/python: No module named pip\n", "No module named pip"),
        ("", "no wheel, and no message"),
    ],
)
def test_the_last_line_of_pip_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stderr: str, reason: str
) -> None:
    pip(monkeypatch, stderr=stderr, code=1)
    with pytest.raises(SourceError, match=reason):
        pip_download("a==1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_pip_that_hangs_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **options: float) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SourceError, match="took more than 180 s"):
        pip_download("a==1", tmp_path)
