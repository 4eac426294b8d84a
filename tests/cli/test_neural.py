"""Networks on the command line: ``crossfm train --model nfm`` and what follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfm import NFMClassifier, load
from crossfm.cli.errors import as_typed
from crossfm.cli.networks import model_options, rates, widths
from crossfm.cli.train import Machine
from crossfm.errors import OptionError
from crossfm.estimators.machines import ESTIMATORS, NETWORKS, machine_and_task

SMALL = ("--target", "click", "--hidden", "8", "-k", 4, "--batch-size", 64)


def refused(done: Any, *parts: str) -> None:
    assert done.exit_code == 2, done.output
    assert (done.stderr.startswith("error: "), done.stderr.count("\n")) == (True, 1)
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def nfm(crossfm: Any, clicks: Path) -> Path:
    """A trained network, and what it was trained on beside it."""
    done = crossfm("train", clicks, "--model", "nfm", *SMALL, "--epochs", 2, "-q", "-o", "nfm.crossfm")
    assert (done.exit_code, done.output) == (0, "")
    return clicks


@pytest.fixture
def fm(crossfm: Any, clicks: Path) -> Path:
    done = crossfm("train", clicks, "--target", "click", "-k", 4, "--epochs", 3, "-q", "-o", "fm.crossfm")
    assert done.exit_code == 0, done.output
    return clicks


def test_the_names_are_those_of_the_models() -> None:
    from crossfm.neural.models import MODELS

    assert set(NETWORKS) == MODELS.keys() - {"fm", "ffm", "fwfm"}
    assert {machine.value for machine in Machine} == {*ESTIMATORS, "linear"}
    for name, kinds in ESTIMATORS.items():
        for task, kind in kinds.items():
            assert machine_and_task(kind()) == (name, task)


@pytest.mark.parametrize("name", ["nfm", "deepfm", "dcnv2"])
def test_a_network_is_trained_and_used_as_the_others_are(crossfm: Any, clicks: Path, name: str) -> None:
    more = ("--option", "n_cross=1") if name == "dcnv2" else ()
    done = crossfm("train", clicks, "--model", name, *SMALL, *more, "--epochs", 6, "-o", "m.crossfm")
    assert done.exit_code == 0, done.output
    assert "540 rows, 60 rows held for validation" in done.stdout
    assert "batches of" not in done.stdout  # their size was given
    assert "for weights and the optimizer's state" in done.stderr
    model = load("m.crossfm")
    assert machine_and_task(model) == (name, "classification")
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
    assert crossfm("predict", "m.crossfm", clicks, "-o", "p.csv", "-q").exit_code == 0
    table = {column: load_csv(clicks)[column] for column in model.encoder_.fields}
    np.testing.assert_allclose(
        load_csv(Path("p.csv"))["probability"].to_numpy(), model.predict_proba(table)[:, 1], rtol=1e-12
    )
    words = ("--target", "click", "--json", "r.json", "-q")
    assert crossfm("evaluate", "m.crossfm", clicks, *words).exit_code == 0
    assert json.loads(Path("r.json").read_text())["evaluation"]["model"]["AUC"] > 0.5
    shown = crossfm("inspect", "m.crossfm", "--weights", 2)
    assert shown.exit_code == 0, shown.output
    for part in (f"network: {name}", "hidden=[8]", "weight 8 x ", "of layers", "history", "item_id"):
        assert part in shown.stdout


def load_csv(path: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(path)


def test_options_reach_the_estimator(crossfm: Any, clicks: Path) -> None:
    words = "-k 3 --hidden 6,5 --dropout 0.2,0.1 --no-batch-norm --activation tanh --batch-size 50 --l2-layers 0.01"
    more = "--learning-rate 0.002 --learning-rate-v 0.03 --learning-rate-w 0.04 --clip-norm 2 --warmup 3 --cowclip 1"
    last = "--precision bfloat16 --device cpu --option cin=[4,4] --option cin_activation=relu --solver adam --epochs 1"
    split = " ".join((words, more, last)).split()
    done = crossfm(
        "train", clicks, "--target", "price", "--model", "xdeepfm", *split, "-q", "-o", "m.crossfm"
    )
    assert done.exit_code == 0, done.output
    model = load("m.crossfm")
    assert machine_and_task(model) == ("xdeepfm", "regression")
    expected = {
        "n_factors": 3, "hidden": [6, 5], "dropout": [0.2, 0.1], "batch_norm": False, "activation": "tanh",
        "batch_size": 50, "l2_layers": 0.01, "learning_rate": 0.002, "learning_rate_V": 0.03, "learning_rate_w": 0.04,
        "clip_norm": 2.0, "warmup": 3, "cowclip": 1.0, "precision": "bfloat16", "device": "cpu", "solver": "adam",
        "model_options": {"cin": [4, 4], "cin_activation": "relu"},
    }  # fmt: skip
    assert {name: getattr(model, name) for name in expected} == expected


def test_texts_become_options() -> None:
    assert (widths(None), widths(""), widths("3, 4"), rates("0.5"), rates("0.1,0")) == (
        None, [], [3, 4], 0.5, [0.1, 0.0],
    )  # fmt: skip
    assert model_options(["a-b=1", "c=x=y", "d=NaN", "e=true"]) == {
        "a_b": 1, "c": "x=y", "d": "NaN", "e": True,
    }  # fmt: skip
    for bad in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(OptionError, match="--option"):
            model_options(bad)
    assert as_typed("learning_rate_V=1 and batch_norm=False, compile=True") == (
        "--learning-rate-v 1 and --no-batch-norm, --compile"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--hidden", "8"), "--hidden [8] means nothing for the task classification"),
        (("--model", "ffm", "--batch-norm"), "--batch-norm means nothing for the task classification"),
        (("--model", "nfm", "--l1-w", "1"), "--l1-w 1.0 means nothing"),
        (("--model", "nfm", "--normalize"), "--normalize means nothing"),
        (("--model", "nfm", "--solver", "ftrl"), "--solver 'ftrl', but it must be one of"),
        (("--model", "nfm", "--hidden", "a"), "--hidden a, but it must be widths"),
        (("--model", "nfm", "--dropout", "x"), "--dropout x, but it must be a share"),
        (("--model", "nfm", "--dropout", "2"), "dropout"),
        (("--model", "nfm", "--option", "n_cross=2"), "nfm has no option 'n_cross'; its options are"),
        (("--model", "afm", "--hidden", "8"), "afm has no option 'hidden'"),
        (("--model", "nfm", "--batch-size", "0"), "--batch-size 0, but it must be a whole number"),
        (("--model", "nfm", "--learning-rate-v", "-1"), "--learning-rate-v -1.0"),
        (("--model", "nfm", "-k", "0"), "--factors 0"),
        (("--model", "ffm", "--task", "ranking", "--group", "user_id"), "not for --model ffm"),
        (("--model", "nfm", "--task", "recommendation"), "--model nfm does not recommend"),
    ],
)
def test_what_means_nothing_is_refused(
    crossfm: Any, clicks: Path, words: tuple[str, ...], expected: str
) -> None:
    refused(crossfm("train", clicks, "-o", "m.crossfm", "-q", *words), expected)
    assert os.listdir() == ["clicks.csv"]


def test_a_network_learns_an_order(crossfm: Any, clicks: Path) -> None:
    words = ("--task", "ranking", "--group", "user_id", "--valid-fraction", 0.2, "--epochs", 3)
    done = crossfm("train", clicks, "--model", "nfm", *SMALL, *words, "--dropout", 0.1, "-o", "m.crossfm")
    assert done.exit_code == 0, done.output
    assert "pairs in order, inside groups" in done.stdout
    model = load("m.crossfm")
    assert (type(model).__name__, model.model, model.hidden) == ("NeuralFMRanker", "nfm", [8])
    done = crossfm("predict", "m.crossfm", clicks)
    assert done.stdout.splitlines()[0] == "score"
    assert crossfm("evaluate", "m.crossfm", clicks, "--target", "click", "--group", "user_id").exit_code == 0
    refused(crossfm("train", clicks, "--init", "m.crossfm", "-o", "n.crossfm"), "cannot be trained further")


def test_folds_are_judged(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--model", "nfm", *SMALL, "--epochs", 1, "--cv", 2)
    assert done.exit_code == 0, done.output
    assert "fold 2 of 2" in done.stderr


def test_a_stream_gives_the_network_of_memory(crossfm: Any, clicks: Path) -> None:
    words = ("train", clicks, "--model", "nfm", *SMALL, "--epochs", 1, "--no-early-stopping", "-q")
    assert crossfm(*words, "-o", "a.crossfm").exit_code == 0
    done = crossfm(*words, "-o", "b.crossfm", "--memory-limit", "4GB")
    assert done.exit_code == 0, done.output
    assert np.array_equal(load("a.crossfm").params_.V, load("b.crossfm").params_.V)


def test_numbered_features_and_batches_for_few_rows(crossfm: Any, libsvm: Path) -> None:
    done = crossfm("train", libsvm, "--model", "nfm", "-k", 4, "--epochs", 1, "-o", "m.crossfm")
    assert done.exit_code == 0, done.output
    assert "batches of 32 rows, for the rows are few; --batch-size says otherwise" in done.stdout
    assert load("m.crossfm").batch_size == 32
    assert crossfm("predict", "m.crossfm", libsvm).exit_code == 0
    assert "without names" in crossfm("inspect", "m.crossfm").stdout


@pytest.mark.parametrize("more", [(), ("--memory-limit", "4GB")], ids=["memory", "stream"])
def test_a_network_starts_at_a_factorization_machine(crossfm: Any, fm: Path, more: tuple[str, ...]) -> None:
    """Even on other rows: the vocabularies are the machine's, and what these rows lack is kept."""
    lines = fm.read_text().splitlines(keepends=True)
    Path("few.csv").write_text("".join(line for line in lines if not line.startswith("3,")))
    words = ("--model", "nfm", "--hidden", "8", "--target", "click", "--valid-fraction", 0, "--epochs", 1)
    rates = ("--learning-rate-v", 1e-9, "--learning-rate-w", 1e-9)
    done = crossfm("train", "few.csv", *words, *rates, *more, "--init", "fm.crossfm", "-o", "m.crossfm", "-q")
    assert done.exit_code == 0, done.output
    before, after = load("fm.crossfm"), load("m.crossfm")
    assert type(after).__name__ == "NFMClassifier"
    assert after.n_factors == 4
    assert after.encoder_.feature_names() == before.encoder_.feature_names()
    np.testing.assert_allclose(after.params_.V, before.params_.V, atol=1e-6)
    assert after.params_.V[before.encoder_.feature_names().index("user_id=3")].any()
    assert crossfm("predict", "m.crossfm", fm).exit_code == 0


def test_a_network_starts_at_a_machine_of_numbered_features(crossfm: Any, libsvm: Path) -> None:
    assert crossfm("train", libsvm, "-k", 4, "-q", "--n-features", 30, "-o", "fm.crossfm").exit_code == 0
    words = ("train", libsvm, "--model", "deepfm", "--epochs", 1, "-q", "--init", "fm.crossfm")
    for at, more in enumerate(((), ("--memory-limit", "4GB"))):
        done = crossfm(*words, *more, "-o", f"{at}.crossfm")
        assert done.exit_code == 0, done.output
        assert load(f"{at}.crossfm").params_.V.shape == (30, 4)


def test_training_goes_on_from_a_network(crossfm: Any, nfm: Path) -> None:
    done = crossfm(
        "train", nfm, "--target", "click", "--init", "nfm.crossfm", "--epochs", 1, "-q", "-o", "m.crossfm"
    )
    assert done.exit_code == 0, done.output
    assert [epoch["epoch"] for epoch in load("m.crossfm").history_] == [1, 2, 3]
    go_on = ("train", nfm, "--target", "click", "-q", "-o", "x.crossfm", "--init", "nfm.crossfm")
    refused(crossfm(*go_on, "--hidden", "9"), "--hidden [9], but nfm.crossfm has [8], which stays")
    refused(crossfm(*go_on, "-k", "9"), "--factors 9, but nfm.crossfm has 4, which stays")
    refused(
        crossfm(*go_on, "--model", "deepfm"), "--model deepfm, but the model in nfm.crossfm is nfm; a network"
    )
    refused(crossfm(*go_on, "--model", "fm"), "--model fm, but the model in nfm.crossfm is nfm")


def test_a_start_that_does_not_fit_is_refused(crossfm: Any, fm: Path, libsvm: Path) -> None:
    start = ("--model", "nfm", "--init", "fm.crossfm", "-q", "-o", "x.crossfm", "--epochs", 1)
    crossfm(
        "train", fm, "--target", "click", "--model", "linear", "--epochs", 1, "-q", "-o", "linear.crossfm"
    )
    refused(crossfm("train", fm, "--target", "click", *start, "-k", 5), "--factors 5, but fm.crossfm has 4")
    refused(crossfm("train", fm, "--target", "click", *start, "--drop", "price"), "stay as they are")
    refused(crossfm("train", fm, "--target", "price", *start, "--task", "regression"), "does classification")
    refused(crossfm("train", fm, "--target", "weight", *start), "the model's classes are 0, 1")
    refused(crossfm("train", libsvm, *start), "pass a table")
    refused(crossfm("train", libsvm, *start, "--memory-limit", "4GB"), "does not fit the model to start from")
    words = ("--model", "nfm", "--init", "linear.crossfm", "-q", "-o", "x.crossfm")
    refused(crossfm("train", fm, "--target", "click", *words), "linear.crossfm is a linear model")
    assert not Path("x.crossfm").exists()


def test_what_networks_cannot_do_is_said_before_anything_is_printed(crossfm: Any, nfm: Path) -> None:
    for words in (("--data", nfm), ("--dump", "x.txt")):
        done = crossfm("inspect", "nfm.crossfm", *words)
        refused(done, f"{words[0]} is for machines whose score is a sum of parts", "train an fm")
        assert done.stdout == ""
    refused(crossfm("recommend", "nfm.crossfm", "--user", "1"), "holds a NFMClassifier")
    refused(crossfm("convert", "nfm.crossfm", "--task", "classification", "-o", "x.crossfm"), "nfm.crossfm")
    assert sorted(os.listdir()) == ["clicks.csv", "nfm.crossfm"]


def test_a_network_follows_a_growing_file(crossfm: Any, nfm: Path) -> None:
    lines = nfm.read_text().splitlines(keepends=True)
    Path("log.csv").write_text("".join([*lines[:102], "99,new,a|b,1.5,1600000000,1,1\n"]))
    follow = (
        "follow",
        "log.csv",
        "--model",
        "nfm.crossfm",
        "--target",
        "click",
        "--once",
        "--batch-rows",
        101,
    )
    done = crossfm(*follow, "-o", "live.crossfm")  # batches of 101 rows and of one
    assert done.exit_code == 0, done.output
    assert "102 rows, log loss" in done.stdout
    model = load("live.crossfm")
    assert "item_id=new" in model.encoder_.feature_names()
    assert model.followed_["rows"] == 102


def test_ctrl_c_keeps_the_best_epoch(crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = NFMClassifier.save

    def save_and_interrupt(self: Any, *args: Any, **more: Any) -> None:
        save(self, *args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(NFMClassifier, "save", save_and_interrupt)
    done = crossfm("train", clicks, "--model", "nfm", *SMALL, "-o", "m.crossfm")
    assert done.exit_code == 130
    assert done.stderr.splitlines()[-1].startswith("interrupted: ")
    assert load("m.crossfm").n_iter_ == 1


def test_pytorch_that_is_missing_is_said(crossfm: Any, nfm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("crossfm.neural")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    for words in (
        ("train", nfm, "--target", "click", "--model", "nfm", "-o", "x.crossfm", "-q"),
        ("predict", "nfm.crossfm", nfm),
        ("inspect", "nfm.crossfm"),
    ):
        refused(crossfm(*words), "neural machines need torch", "pip install 'crossfm[neural]'")


def test_pytorch_is_loaded_for_networks_only(clicks: Path) -> None:
    code = """
import sys
from typer.testing import CliRunner
from crossfm.cli.app import app
for words in (["train", "--help"], ["train", sys.argv[1], "--target", "click", "--epochs", "1", "-o", "m.crossfm"]):
    assert CliRunner().invoke(app, words).exit_code == 0
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(clicks)],
        cwd=clicks.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
