"""Settings: options before the environment before the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfm.errors import MissingFileError, OptionError
from crossfm.serving.settings import EventRule, Settings, read_settings

TOML = """
port = 9001
host = "localhost"
positive = ["buy", "stars>=4.5"]
[[experiments]]
name = "pop"
variants = [{name = "a"}, {name = "b", weight = 2, popularity = 0.5}]
"""


def test_options_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(TOML)
    assert read_settings(file).port == 9001
    monkeypatch.setenv("CROSSFM_SERVE_PORT", "9002")
    told = read_settings(file, host=None)
    assert (told.port, told.host) == (9002, "localhost")
    assert told.experiments[0].variants[1].popularity == 0.5
    assert read_settings(file, port=9003).port == 9003
    assert read_settings().port == 9002


def test_yaml_is_read_too(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "serve.yaml").write_text("port: 9001\nallowed_hosts: [a.example]\n")
    assert read_settings(tmp_path / "serve.yaml").allowed_hosts == ("a.example",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 99999", "^port: "),
        ("prot = 1", "^prot: "),
        ('positive = ["a b"]', "is no rule for events"),
        ('[[experiments]]\nname = "x"\nvariants = []', r"^experiments\.0\.variants"),
        ("port = [", "could not be read"),
    ],
)
def test_what_means_nothing_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(OptionError, match=words):
        read_settings(tmp_path / "s.toml")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "s.ini").write_text("")
    with pytest.raises(OptionError, match=r"\.toml"):
        read_settings(tmp_path / "s.ini")


@pytest.mark.parametrize(
    ("rule", "kind", "value", "expected"),
    [
        ("click", "click", 0.0, True),
        ("click", "clicks", 1.0, False),
        ("rating>=4", "rating", 4.0, True),
        ("rating>=4", "rating", 3.9, False),
        ("dwell > 30", "dwell", 30.0, False),
        ("rating==1", "rating", 1.0, True),
        ("rating<=-1", "rating", -2.0, True),
        ("rating<2", "rating", 2.0, False),
    ],
)
def test_rules_for_events(rule: str, kind: str, value: float, expected: bool) -> None:
    assert EventRule.parse(rule).matches(kind, value) == expected


def test_settings_go_to_a_worker_as_text_and_come_back() -> None:
    told = read_settings(bundle=Path("x"), workers=2)
    assert Settings.model_validate_json(told.model_dump_json()) == told
