"""``crossfm demo`` on the real data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfm.cli.app import app
from crossfm.datasets import list_datasets


def test_on_the_real_sets_the_fm_beats_its_baselines(tmp_path: Path) -> None:
    if not all(entry.cached or entry.bundled for entry in list_datasets()):
        pytest.skip("MovieLens-100K is not in the cache; get it with: crossfm datasets get movielens-100k")
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    rmse = {system["name"]: system["rmse"] for system in report["rating_prediction"]["systems"]}
    assert rmse["fm"] < rmse["mf"] < rmse["bias"] - 0.02
    assert rmse["fm"] < 0.90
    assert report["recommendation"]["intervals_apart"] is True
    assert report["explanation"]["adds_up"] is True
    assert all(system["auc"] > 0.99 for system in report["classification"]["systems"])
    assert report["seconds"] < 180
