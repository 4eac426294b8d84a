from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import csv, parquet

from crossfm import load
from crossfm.data.writers import write_table


def column(path: str) -> Any:
    if path.endswith(".txt"):
        return [float(line) for line in Path(path).read_text().splitlines()]
    if path.endswith(".parquet"):
        return parquet.read_table(path)["probability"]
    tab = csv.ParseOptions(delimiter="\t" if path.endswith(".tsv") else ",")
    return csv.read_csv(path, parse_options=tab)["probability"]


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet", "p.txt"])
def test_predictions_are_written_row_by_row_in_every_format(crossfm: Any, clicks: Path, name: str) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    model = load("m.crossfm")
    expected = model.predict_proba(model.encoder_.transform(csv.read_csv(clicks)))[:, 1]
    done = crossfm("predict", "m.crossfm", clicks, "--out", name)
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(np.asarray(column(name)), expected)


def test_without_out_they_are_printed(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    done = crossfm("predict", "m.crossfm", clicks, "--keep", "item_id,time")
    lines = done.stdout.splitlines()
    assert lines[0] == "item_id,time,probability"
    assert lines[1].split(",")[1] == "1600000000"
    assert len(lines) == 601


def test_many_classes_have_a_column_each(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "genres", "-q")
    crossfm("predict", "m.crossfm", clicks, "--out", "p.csv")
    table = csv.read_csv("p.csv")
    assert table.column_names == ["probability_a|b", "probability_b|c", "probability_c"]
    values = np.stack([np.asarray(part) for part in table.columns], axis=1)
    np.testing.assert_allclose(values.sum(axis=1), 1.0)
    labels = crossfm("predict", "m.crossfm", clicks, "--output", "label").stdout.splitlines()[1:]
    assert labels == [["a|b", "b|c", "c"][i] for i in values.argmax(axis=1)]


def test_a_file_needs_no_target_and_no_order_of_columns(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    table = csv.read_csv(clicks).select(["price", "weight", "genres", "item_id", "user_id"])
    write_table("new.csv", table)
    both = [crossfm("predict", "m.crossfm", path).stdout for path in (clicks, "new.csv")]
    assert both[0] == both[1]


def test_scores_of_a_poisson_model_are_logs(crossfm: Any, clicks: Path) -> None:
    counts = ("--target", "weight", "--task", "regression", "--loss", "poisson", "-q")
    crossfm("train", clicks, "--out", "m.crossfm", *counts)
    crossfm("predict", "m.crossfm", clicks, "--out", "p.csv")
    crossfm("predict", "m.crossfm", clicks, "--output", "score", "--out", "s.csv")
    scores, means = csv.read_csv("s.csv")["score"], csv.read_csv("p.csv")["prediction"]
    np.testing.assert_allclose(np.exp(scores), means)


def test_quiet_predictions_and_evaluations_print_nothing(crossfm: Any, clicks: Path) -> None:
    assert crossfm("train", clicks, "-o", "m.crossfm", "--epochs", 2, "-q").exit_code == 0
    lists = ("--user", "user_id", "--item", "item_id", "-o", "l.crossfm", "-q", "--epochs", 1)
    Path("head.csv").write_text("".join(clicks.read_text().splitlines(keepends=True)[:200]))
    assert crossfm("train", "head.csv", *lists).exit_code == 0
    for words, file in (
        (("predict", "m.crossfm", clicks, "-o", "p.csv"), "p.csv"),
        (("evaluate", "m.crossfm", clicks, "--json", "e.json"), "e.json"),
        (("evaluate", "l.crossfm", clicks, "--json", "l.json"), "l.json"),
    ):
        done = crossfm(*words, "--quiet")
        assert (done.exit_code, done.output) == (0, "")
        assert Path(file).stat().st_size > 0
    for words in (("predict", "m.crossfm", clicks), ("evaluate", "m.crossfm", clicks)):
        done = crossfm(*words, "-q")
        assert done.exit_code == 2
        assert "nowhere to go" in done.stderr
