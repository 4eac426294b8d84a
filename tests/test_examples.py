"""The snippets of the README and of pages in docs are files that run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from realdata import shared_data

ROOT = Path(__file__).resolve().parents[1]
SNIPPETS = [
    snippet
    for page in (
        "README.md",
        "docs/designs.md",
        "docs/keras.md",
        "docs/ranking.md",
        "docs/recall.md",
        "docs/state.md",
    )
    for snippet in re.findall(
        r"```python\n# (examples/\S+)\n(.*?)```", (ROOT / page).read_text("utf8"), re.DOTALL
    )
]
DATA = {  # the folder that an example takes
    "examples/designs_ratings.py": "ml-100k",
    "examples/designs_next_item.py": "ml-100k",
    "examples/designs_context.py": "frappe",
}


def need(*packages: str) -> None:
    """Skip the test where a package is not installed."""
    missing = [package for package in packages if not list(distributions(name=package))]
    if missing:
        pytest.skip(f"needs what is not installed: {', '.join(missing)}")


@pytest.mark.parametrize(("name", "text"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_the_page_shows_what_is_in_the_file(name: str, text: str) -> None:
    assert (ROOT / name).read_text("utf8") == text


@pytest.mark.parametrize("name", [name for name, _ in SNIPPETS])
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    if "keras" in name:
        need("keras", "torch", *(["onnx", "onnxruntime"] if "export" in name else []))
    if "neural" in name:
        need("torch", "lightning-fabric")
    if "state" in name:
        need("sqlalchemy")
    out = subprocess.run(
        [sys.executable, ROOT / name, *([shared_data(DATA[name])] if name in DATA else [])],
        cwd=tmp_path,
        env={"OMP_NUM_THREADS": "1", **os.environ},  # small steps: two threads that spin take longer than one
        capture_output=True,
        text=True,
        check=False,
    )
    if "DownloadError" in out.stderr:
        pytest.skip("the data set cannot be fetched here")
    assert out.returncode == 0, out.stderr
    assert out.stdout
