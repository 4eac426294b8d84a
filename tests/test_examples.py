"""The snippets of the README are files that run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SNIPPETS = re.findall(
    r"```python\n# (examples/\S+)\n(.*?)```", (ROOT / "README.md").read_text("utf8"), re.DOTALL
)


@pytest.mark.parametrize(("name", "text"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_the_readme_shows_what_is_in_the_file(name: str, text: str) -> None:
    assert (ROOT / name).read_text("utf8") == text


@pytest.mark.parametrize("name", [name for name, _ in SNIPPETS])
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, ROOT / name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "DownloadError" in out.stderr:
        pytest.skip("the data set cannot be fetched here")
    assert out.returncode == 0, out.stderr
    assert out.stdout
