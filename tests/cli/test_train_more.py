"""``crossfm train``: checkpoints, logs, class weights, calibrated probabilities."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from crossfm import FMClassifier, load
from crossfm.cli.checkpoint import Keeper

TRAIN = ("--target", "click", "--epochs", 4, "-q")


def interrupted(crossfm: Any, monkeypatch: pytest.MonkeyPatch, at: int, *words: Any) -> Any:
    """Run the command, and press Ctrl-C in a call of the kernel."""
    real, calls = FMClassifier._visit, []

    def visit(self: Any, *args: Any) -> float:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(self, *args)

    with monkeypatch.context() as broken:
        broken.setattr(FMClassifier, "_visit", visit)
        return crossfm(*words)


@pytest.mark.parametrize("more", [(), ("--memory-limit", "16GB")], ids=["memory", "stream"])
def test_the_same_command_goes_on_from_its_checkpoint(
    crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[Any, ...]
) -> None:
    monkeypatch.setattr("crossfm.solvers.epochs.NONZEROS_A_CALL", 1000)
    assert crossfm("train", clicks, *TRAIN, *more, "-o", "whole.crossfm").exit_code == 0
    words = (
        "train",
        clicks,
        *TRAIN,
        *more,
        "-o",
        "m.crossfm",
        "--checkpoint",
        "c",
        "--checkpoint-seconds",
        0,
    )
    done = interrupted(crossfm, monkeypatch, 6, *words)
    assert (done.exit_code, done.stderr) == (130, "interrupted: the same command goes on from c\n")
    other = crossfm(*words, "-k", 4)
    assert other.exit_code == 2
    assert "checkpoint c belongs to another training: --factors was 8, is 4; delete it" in other.stderr
    assert crossfm(*words).exit_code == 0
    assert not Path("c").exists()
    a, b = load("whole.crossfm"), load("m.crossfm")
    for name in ("w", "V"):
        assert np.array_equal(getattr(a.params_, name), getattr(b.params_, name))
    assert [epoch["train_loss"] for epoch in a.history_] == [epoch["train_loss"] for epoch in b.history_]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--checkpoint", "m.crossfm"), "--checkpoint m.crossfm is the model file too"),
        (("--checkpoint", "clicks.csv"), "is also what is read"),
        (("--checkpoint", "missing/c"), "does not exist; make it first"),
        (("--checkpoint-seconds", 5), "means nothing without --checkpoint"),
        (
            ("--checkpoint", "c", "--checkpoint-seconds", -1),
            "--checkpoint-seconds -1.0, but it must be a number",
        ),
        (("--checkpoint", "c", "--task", "ranking"), "--checkpoint 'c' means nothing for the task ranking"),
        (("--log-csv", "m.crossfm"), "--log-csv m.crossfm is the model file too"),
        (("--class-weight", "even"), "--class-weight 'even', but it must be None"),
        (("--class-weight", "balanced", "--task", "regression"), "--class-weight 'balanced' means nothing"),
        (("--calibrate", "--valid-fraction", 0), "--calibrate needs validation rows: pass --valid or"),
    ],
)
def test_what_means_nothing_is_refused(crossfm: Any, clicks: Path, words: Any, message: str) -> None:
    done = crossfm("train", clicks, "--target", "click", "-q", "-o", "m.crossfm", *words)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert [path.name for path in Path().iterdir()] == ["clicks.csv"]


def test_a_foreign_checkpoint_is_refused_and_stays(crossfm: Any, clicks: Path) -> None:
    Path("c").write_text("mine")
    done = crossfm("train", clicks, *TRAIN, "-o", "m.crossfm", "--checkpoint", "c")
    assert done.exit_code == 2
    assert "checkpoint c cannot be gone on from: c is a text file" in done.stderr
    assert Path("c").read_text() == "mine"
    assert (
        "means nothing with --cv" in crossfm("train", clicks, *TRAIN, "--cv", 3, "--checkpoint", "c").stderr
    )


def test_epochs_are_logged_as_csv(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, *TRAIN, "-o", "m.crossfm", "--log-csv", "log.csv")
    assert done.exit_code == 0, done.output
    with Path("log.csv").open(encoding="utf8", newline="") as file:
        found = [float(line["valid_loss"]) for line in csv.DictReader(file)]
    assert found == [epoch["valid_loss"] for epoch in load("m.crossfm").history_]


def test_mlflow_that_is_missing_is_said(crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    done = crossfm("train", clicks, *TRAIN, "-o", "m.crossfm", "--mlflow", "runs")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "crossfm[mlflow]" in done.stderr


def skewed(path: Path) -> Path:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 10, 6000), rng.integers(0, 10, 6000)
    y = rng.random(6000) < np.where((a + b) % 3 == 0, 0.12, 0.02)
    path.write_text("a,b,click\n" + "".join(f"a{i},b{j},{int(k)}\n" for i, j, k in zip(a, b, y, strict=True)))
    return path


def test_balanced_classes_and_calibrated_probabilities(crossfm: Any, tmp_path: Path) -> None:
    data = skewed(tmp_path / "clicks.csv")
    reports = {}
    for name, words in {"plain": (), "even": ("--class-weight", "balanced")}.items():
        for more in ((), ("--calibrate",)):
            out = f"{name}{len(more)}.crossfm"
            assert crossfm("train", data, *TRAIN, "-o", out, *words, *more).exit_code == 0
            assert (
                crossfm("evaluate", out, data, "--target", "click", "--json", "r.json", "-q").exit_code == 0
            )
            reports[out.removesuffix(".crossfm")] = json.loads(Path("r.json").read_text())["evaluation"][
                "model"
            ]
    assert reports["even0"]["ECE"] > 0.2
    assert reports["even1"]["ECE"] < 0.03
    assert reports["even1"]["log loss"] < reports["even0"]["log loss"] / 2
    assert reports["even1"]["accuracy"] == reports["even0"]["accuracy"]  # labels go by the raw scores
    assert abs(reports["plain1"]["ECE"] - reports["plain0"]["ECE"]) < 0.02
    model = load("even1.crossfm")
    assert (model.class_weight, model.calibrate) == ("balanced", True)


def test_sampling_does_as_many_iterations_as_it_needs_and_is_not_stopped_early(
    crossfm: Any, clicks: Path
) -> None:
    words = (
        "train",
        clicks,
        "--target",
        "price",
        "--task",
        "regression",
        "--solver",
        "mcmc",
        "-q",
        "--drop",
        "time",
    )
    result = crossfm(*words, "--out", "m.crossfm")
    assert result.exit_code == 0, result.output
    model = load("m.crossfm")
    assert len(model.history_) == 200
    assert "valid_loss" in model.history_[-1]
    assert crossfm("predict", "m.crossfm", clicks).exit_code == 0
    result = crossfm(*words, "--out", "m.crossfm", "--early-stopping")
    assert result.exit_code == 2
    assert "not stopped early" in result.output


@pytest.mark.parametrize(("target", "task"), [("price", "regression"), ("click", "classification")])
def test_variational_bayes_stops_early_and_predicts(
    crossfm: Any, clicks: Path, target: str, task: str
) -> None:
    words = ("train", clicks, "--target", target, "--task", task, "--solver", "vb", "--drop", "time")
    result = crossfm(*words, "--out", "m.crossfm")
    assert result.exit_code == 0, result.output
    assert "ELBO" in result.stderr
    model = load("m.crossfm")
    assert model.early_stopping
    assert "elbo" in model.history_[-1]
    assert crossfm("predict", "m.crossfm", clicks).exit_code == 0
    assert "elbo" in crossfm("inspect", "m.crossfm").output


def test_levels_are_learnt_judged_and_predicted(crossfm: Any, clicks: Path) -> None:
    from crossfm import read

    table = read(clicks)
    stars = np.digitize(table["price"].to_numpy(), [3.0, 6.0, 9.0]) + 1
    data = Path("stars.csv")
    pacsv.write_csv(table.append_column("stars", pa.array(stars)), data)
    words = ("train", data, "--target", "stars", "--drop", "time,price", "--task", "ordinal")
    result = crossfm(*words, "--epochs", 12, "--out", "m.crossfm")
    assert result.exit_code == 0, result.output
    assert "ordinal of 'stars'" in result.output
    assert "RMSE" in result.output
    model = load("m.crossfm")
    assert type(model).__name__ == "FMOrdinalRegressor"
    assert model.classes_.tolist() == [1, 2, 3, 4]
    assert "levels: 1, 2, 3, 4" in crossfm("inspect", "m.crossfm").output
    assert crossfm("predict", "m.crossfm", data).exit_code == 0
    assert crossfm("evaluate", "m.crossfm", data, "--target", "stars").exit_code == 0
    assert crossfm(*words[:4], "--init", "m.crossfm", "--epochs", 3, "--out", "m.crossfm").exit_code == 0
    assert len(load("m.crossfm").history_) == 15
    for more, message in (
        (("--model", "ffm"), "--task ordinal is for --model fm or linear"),
        (("--early-stopping",), "--task ordinal draws samples"),
        (("--learning-rate", 0.1), "--learning-rate 0.1 means nothing for the task ordinal"),
        (("--solver", "als"), "--solver 'als', but"),
    ):
        result = crossfm(*words, "--out", "n.crossfm", *more)
        assert result.exit_code == 2
        assert message in result.output.replace("\n", " ")


def test_the_link_of_sampled_classes(crossfm: Any, clicks: Path) -> None:
    words = ("train", clicks, "--target", "click", "--drop", "time", "--epochs", 5, "--out", "m.crossfm")
    assert crossfm(*words, "--solver", "mcmc", "--link", "logistic").exit_code == 0
    assert load("m.crossfm").link == "logistic"
    result = crossfm(*words, "--link", "logistic")
    assert result.exit_code == 2
    assert "--link 'logistic', but it needs --solver" in result.output.replace("\n", " ")


def test_a_chain_has_its_options_and_says_how_well_its_mean_does(
    crossfm: Any, clicks: Path, tmp_path: Path
) -> None:
    columns = ("--categorical", "user_id,item_id", "--drop", "genres,time,click,weight")
    words = ("train", clicks, "--target", "price", "--task", "regression", "--solver", "mcmc", *columns)
    options = ("--iterations", 9, "--burn-in", 2, "--keep-samples", 4, "--groups", "none")
    result = crossfm(*words, *options, "--out", "m.crossfm")
    assert result.exit_code == 0, result.output
    model = load("m.crossfm")
    assert (model.max_iter, model.burn_in, model.keep_samples, model.groups) == (9, 2, 4, None)
    assert model.trace_["precision"].shape[1] == 1
    lines = [line for line in result.output.splitlines() if line.startswith("training: ")]
    assert [line.endswith("s  burn-in") for line in lines] == [True] * 2 + [False] * 7
    said = float(lines[-1].split("valid RMSE ")[1].split()[0])
    assert said == pytest.approx(model._target[1] * np.sqrt(2 * model.history_[-1]["valid_loss"]), abs=1e-5)
    on = crossfm(
        "train", clicks, "--target", "price", "--init", "m.crossfm", "--iterations", 2, "--out", "o.crossfm"
    )
    assert on.exit_code == 0, on.output
    assert len(load("o.crossfm").history_) == 11
    result = crossfm(*words, "--keep-samples", 0, "--out", "m.crossfm")
    assert "--keep-samples 0 would leave a model file that cannot predict" in result.output
    result = crossfm(*words, "--burn-in", 200, "--out", "m.crossfm")
    assert "--burn-in 200, but it must be below --epochs 200" in result.output
    result = crossfm(*words, *options, "--memory-limit", "16GB", "--valid", clicks, "--out", "n.crossfm")
    assert result.exit_code == 0, result.output
    again = crossfm(*words, *options, "--valid", clicks, "--out", "m.crossfm")
    assert again.exit_code == 0, again.output
    streamed, in_memory = (load(name).trace_["alpha"] for name in ("n.crossfm", "m.crossfm"))
    assert np.array_equal(streamed, in_memory)


def test_a_chain_is_saved_from_time_to_time_not_after_each_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    keeper = Keeper(tmp_path / "m")
    monkeypatch.setattr(keeper, "save", lambda model: saved.append(model))
    keep, epoch = keeper.callback(), SimpleNamespace(best=True, epoch=3)
    for _ in range(3):
        keep(epoch, SimpleNamespace(_chain=object()))
    assert len(saved) == 1
    monkeypatch.setattr("crossfm.cli.checkpoint.CHAIN_SECONDS", 0.0)
    keep(epoch, SimpleNamespace(_chain=object()))
    for _ in range(3):
        keep(epoch, SimpleNamespace(_chain=None))
    assert len(saved) == 5
