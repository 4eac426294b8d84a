"""``crossfm convert`` with the program running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfm import load
from oracles import entries, fm_score

MODEL = "bias: 0.125\ni_0: -0.25\ni_1: 1.5\nv_0: 0.5 -1 \nv_1: 0.25 2 \n"


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_converted_model_predicts_what_the_text_says(crossfm: Any, tmp_path: Path, task: str) -> None:
    text, out = tmp_path / "model.txt", tmp_path / "model.crossfm"
    text.write_text(MODEL)
    result = crossfm("convert", text, "--task", task, "--out", out)
    assert result.exit_code == 0, result.output
    assert "xlearn: 2 features, 2 factors" in result.output
    X = np.array([[1.0, 0.5], [0.0, 1.0]])
    raw = [
        fm_score(entries(x), 0.125, np.array([-0.25, 1.5]), np.array([[0.5, -1.0], [0.25, 2.0]])) for x in X
    ]
    if task == "regression":
        np.testing.assert_allclose(load(out).predict(X), raw, rtol=1e-6)
    else:
        np.testing.assert_allclose(
            load(out).predict_proba(X)[:, 1], 1 / (1 + np.exp(-np.array(raw))), rtol=1e-6
        )


def test_no_model_is_written_from_a_file_that_is_none(crossfm: Any, clicks: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.crossfm"
    result = crossfm("convert", clicks, "--task", "regression", "--out", out)
    assert result.exit_code == 2
    assert "no text model of libFM" in result.output
    assert not out.exists()


def test_a_converted_field_aware_model_knows_of_normalised_rows(crossfm: Any, tmp_path: Path) -> None:
    text, out = tmp_path / "model.txt", tmp_path / "model.crossfm"
    text.write_text("n 2\nm 2\nk 1\nnormalization 1\nw0,0 1\nw0,1 2\nw1,0 3\nw1,1 4\n")
    assert crossfm("convert", text, "--task", "regression", "--out", out).exit_code == 0
    model = load(out)
    assert type(model).__name__ == "FFMRegressor"
    x = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(model.predict(x), 2.0 * 3.0 * 12.0 / 25.0, rtol=1e-6)


def test_a_converted_model_is_inspected_though_it_has_no_history(crossfm: Any, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text(MODEL)
    assert crossfm("convert", "model.txt", "--task", "regression", "--out", "m.crossfm").exit_code == 0
    done = crossfm("inspect", "m.crossfm", "--dump", "dump")
    assert done.exit_code == 0, done.output
    assert "history" not in done.stdout
    assert list(tmp_path.glob("dump*"))
