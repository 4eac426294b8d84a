from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import csv

from crossfm import FMClassifier, load
from crossfm.cli.judge import class_numbers, pairs_in_order
from crossfm.cli.stage_report import page
from crossfm.cli.stage_view import show_stages
from crossfm.errors import DataError, LabelError
from crossfm.metrics import auc, gauc, log_loss
from crossfm.recommender.evaluation.stages import evaluate_stages
from realdata import shared_data


def test_classifiers_are_judged_beside_the_constant(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--group", "user_id", "--json", "r.json")
    assert done.exit_code == 0, done.output
    found = json.loads(Path("r.json").read_text())["evaluation"]
    table, model = csv.read_csv(clicks), load("m.crossfm")
    y, p = np.asarray(table["click"]), model.predict_proba(model.encoder_.transform(table))[:, 1]
    expected = {
        "log loss": log_loss(y, p),
        "AUC": auc(y, p),
        "GAUC": gauc(y, p, np.asarray(table["user_id"])),
    }
    assert {name: found["model"][name] for name in expected} == pytest.approx(expected)
    assert set(found["model"]) == {*expected, "ECE", "accuracy"}
    assert found["baseline"]["log loss"] == pytest.approx(log_loss(y, np.full(len(y), y.mean())))
    assert f"{expected['AUC']:.4f}" in done.stdout


def test_regressors_are_judged_beside_the_mean(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "price", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--target", "price", "--json", "r.json")
    found = json.loads(Path("r.json").read_text())["evaluation"]
    price = np.asarray(csv.read_csv(clicks)["price"])
    assert found["baseline"]["RMSE"] == pytest.approx(price.std())
    assert set(found["model"]) == {"RMSE", "MAE"}
    assert "RMSE" in done.stdout


def test_many_classes_have_log_loss_and_accuracy(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "--target", "genres", "-q")
    done = crossfm("evaluate", "m.crossfm", clicks, "--target", "genres", "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["accuracy"] > 0.9


def test_rows_of_one_class_have_no_area(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    lines = clicks.read_text().splitlines()
    Path("ones.csv").write_text("\n".join([lines[0], *(line for line in lines[1:] if line.endswith(",1"))]))
    done = crossfm("evaluate", "m.crossfm", "ones.csv", "--json", "r.json")
    assert "there is no AUC" in done.stdout
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["AUC"] is None


def naive_pairs_in_order(y: Any, score: Any, groups: Any) -> float:
    won, total = 0.0, 0
    for i, j in itertools.permutations(range(len(y)), 2):
        if groups[i] == groups[j] and y[i] > y[j]:
            total += 1
            won += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return won / total


@pytest.mark.parametrize("seed", range(5))
def test_pairs_in_order_equal_the_count_over_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, score, groups = rng.integers(0, 4, 40), rng.integers(0, 6, 40), rng.choice(list("abc"), 40)
    assert pairs_in_order(y, score, groups) == pytest.approx(naive_pairs_in_order(y, score, groups))


def test_pairs_in_order_need_two_labels_in_a_group() -> None:
    with pytest.raises(DataError, match="no group has two different labels"):
        pairs_in_order(np.array([0, 1]), np.array([0.0, 1.0]), np.array(["a", "b"]))


def test_labels_are_compared_by_what_they_say() -> None:
    model = FMClassifier()
    model.classes_ = np.array([0, 1])
    for y in (np.array([0.0, 1.0]), np.array(["0", "1"]), np.array([False, True])):
        assert class_numbers(model, y).tolist() == [0, 1]
    with pytest.raises(LabelError, match=r"row 1 has label 2.0, but the model's classes are 0, 1"):
        class_numbers(model, np.array([1.0, 2.0]))


def test_frappe_from_the_command_line_reaches_the_published_area(crossfm: Any) -> None:
    folder = shared_data("frappe")
    train, valid, test = (folder / f"frappe.{p}.libfm.gz" for p in ("train.resampled", "validation", "test"))
    assert crossfm("train", train, "--valid", valid, "-k", 10, "--out", "m.crossfm", "-q").exit_code == 0
    crossfm("evaluate", "m.crossfm", test, "--json", "r.json")
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["AUC"] > 0.96


@pytest.fixture
def recommender(crossfm: Any, clicks: Path, tables: tuple[Path, Path]) -> str:
    words = ("--user", "user_id", "--item", "item_id", "--epochs", 3, "--time", "time", "--half-life", 3)
    done = crossfm("train", clicks, *words, "--items", tables[1], "--out", "lists.crossfm", "-q")
    assert done.exit_code == 0, done.output
    lines = [f"{user},i{item},1700000000" for user in range(5, 25) for item in (user % 12, 3, 40)]
    Path("later.csv").write_text("\n".join(["user_id,item_id,time", *lines]) + "\n")
    return "lists.crossfm"


def test_a_recommender_is_judged_stage_by_stage_and_a_page_is_written(crossfm: Any, recommender: str) -> None:
    done = crossfm("evaluate", recommender, "later.csv", "--report", "page.html", "--json", "r.json")
    assert done.exit_code == 0, done.output
    for part in (
        "end to end",
        "recall, by the number",
        "ranking alone",
        "by segment",
        "lists of 20",
        "item-kNN",
        "EASE",
    ):
        assert part in done.stdout
    assert "wrote page.html" in done.stdout
    found = json.loads(Path("r.json").read_text())["evaluation"]
    assert found["systems"] == ["recall", "popularity", "recent popularity", "item-kNN", "EASE"]
    ndcg = next(
        r for r in found["rows"] if (r["system"], r["metric"], r["segment"]) == ("recall", "ndcg@20", "all")
    )
    page = Path("page.html").read_text()
    assert f"<b>{ndcg['mean']:.3f}</b>" in page
    assert "2023-11-14" in page  # of the later interactions
    for title in (
        "End to end",
        "Stage by stage",
        "For whom, and of what",
        "What the lists are like",
        "How it was measured",
    ):
        assert title in page


def test_the_page_needs_nothing_else_and_has_figures(crossfm: Any, recommender: str) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra: pip install 'crossfm[plots]'")
    assert crossfm("evaluate", recommender, "later.csv", "--report", "page.html", "-q").stdout == ""
    page = Path("page.html").read_text()
    assert page.count("<svg") == 9
    assert "http" not in page
    assert "<script" not in page


def test_channels_are_compared_unless_told(crossfm: Any, recommender: str) -> None:
    done = crossfm("evaluate", recommender, "later.csv", "--report", "page.html", "--json", "r.json")
    assert re.search(r"Recall against channels: (better|worse|no difference)", done.stdout)
    assert re.search(r"recall and channels, \d+ candidates in all", done.stdout)
    told = json.loads(Path("r.json").read_text())["evaluation"]["channels"]
    assert told["channels"] == ["popular", "item-kNN"]
    for note in ("latest is left out: the channel latest needs item_time", "tags is left out"):
        assert note in " ".join(done.stdout.split())
        assert note in Path("page.html").read_text()
    page = Path("page.html").read_text()
    assert "One list, or several channels?" in page
    n = max(told["totals"])
    for part in told["parts"]:
        if part["total"] == n:
            assert f"{part['loss']['mean']:+.3f}<small>" in page
            assert f">{part['verdict']}<" in page
    done = crossfm(
        "evaluate", recommender, "later.csv", "--no-channels", "--report", "page.html", "--json", "r.json"
    )
    assert "Recall against channels" not in done.stdout
    assert "One list, or several channels?" not in Path("page.html").read_text()
    assert json.loads(Path("r.json").read_text())["evaluation"]["channels"] is None


class Second:
    """A second stage that turns the order of recall round, and is sure of everything."""

    name = "Second"

    def scores_of(
        self, queries: Any, past: Any, items: Any, positions: Any, recalled: Any, by: Any
    ) -> np.ndarray:
        return np.where(positions >= 0, -recalled, -np.inf).astype(np.float32)

    def probability(self, score: Any) -> Any:
        return np.full(np.shape(score), 0.75)


def test_a_second_stage_is_compared_with_recall_and_its_chances_with_what_happened(
    crossfm: Any, recommender: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(recommender)
    model.ranking_ = Second()
    found = evaluate_stages(model, csv.read_csv("later.csv"))
    show_stages(found)
    text = page(found, {"crossfm": "0"}, {"model": "m", "later interactions": "l"})
    for shown in (capsys.readouterr().out, text):
        assert re.search(r"Two stages against recall: (better|worse|no difference)", shown)
        assert "75.00% predicted on average" in " ".join(shown.split())
    assert "Do the chances mean what they say?" in text
    assert "second stage: Second" in text


def test_names_in_the_page_are_escaped(crossfm: Any, recommender: str) -> None:
    Path("later.csv").rename("<b>.csv")
    crossfm("evaluate", recommender, "<b>.csv", "--report", "page.html", "-q")
    assert "&lt;b&gt;.csv" in Path("page.html").read_text()
    assert "<b>.csv" not in Path("page.html").read_text()


def test_the_baselines_are_those_asked_for(crossfm: Any, recommender: str) -> None:
    crossfm("evaluate", recommender, "later.csv", "--baselines", "EASE", "--json", "r.json", "-q")
    assert json.loads(Path("r.json").read_text())["evaluation"]["systems"] == ["recall", "EASE"]
    done = crossfm("evaluate", recommender, "later.csv", "--baselines", "none", "--report", "page.html")
    assert done.exit_code == 0, done.output
    assert "EASE" not in done.stdout
    done = crossfm("evaluate", recommender, "later.csv", "--baselines", "BPR")
    assert done.exit_code == 2
    assert done.stderr == "error: baselines has 'BPR', but there are popularity, item-kNN, EASE\n"


def test_options_of_recommenders_are_refused_elsewhere(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, "--out", "m.crossfm", "-q")
    for option, value in (("--report", "page.html"), ("--baselines", "EASE")):
        done = crossfm("evaluate", "m.crossfm", clicks, option, value)
        assert done.exit_code == 2
        assert f"error: {option} is for recommenders" in done.stderr
    done = crossfm("evaluate", "m.crossfm", clicks, "--report", "nowhere/page.html")
    assert "the folder" in done.stderr
    assert not Path("page.html").exists()
