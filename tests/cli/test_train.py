from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import csv

from crossfm import Categorical, MultiCategorical, Numeric, load
from crossfm.data import readers
from crossfm.data.writers import write_table


def test_a_table_becomes_a_model_with_reasons_metrics_and_next_steps(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm")
    assert done.exit_code == 0
    assert "'click' has two values" in done.stdout
    assert "left out" in done.stdout  # the time, with its reason
    assert "540 rows, 60 rows held for validation" in done.stdout
    assert "AUC" in done.stdout
    assert "crossfm predict m.crossfm" in done.stdout
    assert "epoch 1" in done.stderr
    model = load("m.crossfm")
    assert type(model).__name__ == "FMClassifier"
    assert model.encoder_.fields == ["user_id", "item_id", "genres", "price", "weight"]


def test_quiet_prints_nothing(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--quiet")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize("name", ["x.parquet", "x.tsv", "x.csv.gz", "x.csv.zst", "x.arrow"])
def test_every_table_format_gives_the_same_model(crossfm: Any, clicks: Path, name: str) -> None:
    write_table(name, csv.read_csv(clicks))
    for data, out in ((clicks, "a.crossfm"), (name, "b.crossfm")):
        assert crossfm("train", data, "--out", out, "-q", "--epochs", 2).exit_code == 0
    assert np.array_equal(load("a.crossfm").params_.V, load("b.crossfm").params_.V)


def test_libsvm_and_libffm_files_are_taken(crossfm: Any, libsvm: Path, tmp_path: Path) -> None:
    ffm = tmp_path / "rows.ffm"
    lines = [line.split() for line in libsvm.read_text().splitlines()]
    ffm.write_text("".join(f"{y} 0:{a} 1:{b}\n" for y, a, b in lines))
    for data, out in ((libsvm, "a.crossfm"), (ffm, "b.crossfm")):
        assert crossfm("train", data, "--out", out, "-q").exit_code == 0
    assert np.array_equal(load("a.crossfm").params_.V, load("b.crossfm").params_.V)


@pytest.mark.parametrize(("words", "n_threads"), [([], 0), (["--threads", 1], 1), (["--threads", 3], 3)])
def test_threads_are_for_reading_too(
    crossfm: Any, libsvm: Path, monkeypatch: pytest.MonkeyPatch, words: list[Any], n_threads: int
) -> None:
    asked = []

    def read(*args: Any, **options: Any) -> Any:
        asked.append(options["n_threads"])
        return real(*args, **options)

    real = readers.read
    monkeypatch.setattr(readers, "read", read)
    assert crossfm("train", libsvm, "--out", "a.crossfm", "-q", *words).exit_code == 0
    assert set(asked) == {n_threads}


def test_options_reach_the_estimator(crossfm: Any, clicks: Path) -> None:
    words = "-k 3 --solver ftrl --epochs 4 --learning-rate 0.2 --l2-w 0.1 --l2-v 0.2 --l1-w 0.01 --l1-v 0.02"
    more = "--init-scale 0.05 --threads 2 --deterministic --patience 2 --monitor auc --valid-fraction 0.2 --seed 5"
    more += " --precision bfloat16"
    assert crossfm("train", clicks, "--out", "m.crossfm", *words.split(), *more.split()).exit_code == 0
    own = load("m.crossfm").get_params()
    expected = {
        "n_factors": 3, "solver": "ftrl", "max_iter": 4, "learning_rate": 0.2, "l2_w": 0.1, "l2_V": 0.2, "l1_w": 0.01,
        "l1_V": 0.02, "random_state": 5, "init_scale": 0.05, "n_threads": 2, "deterministic": True,
        "n_iter_no_change": 2, "monitor": "auc", "early_stopping": True, "precision": "bfloat16",
    }  # fmt: skip
    assert {name: own[name] for name in expected} == expected


def test_columns_are_taken_as_asked_for(crossfm: Any, clicks: Path) -> None:
    words = "--categorical price --numeric user_id --multi genres:| --drop weight,time"
    done = crossfm("train", clicks, "--out", "m.crossfm", *words.split())
    assert done.stdout.count("as asked for") == 5
    columns = load("m.crossfm").encoder_.columns
    expected = (Numeric("user_id"), Categorical("item_id"), MultiCategorical("genres"), Categorical("price"))
    assert columns == expected


def test_the_weight_is_no_feature_and_changes_the_model(crossfm: Any, clicks: Path) -> None:
    common = ("train", clicks, "-q", "--epochs", 2)
    assert crossfm(*common, "--out", "a.crossfm", "--drop", "weight").exit_code == 0
    assert crossfm(*common, "--out", "b.crossfm", "--weight", "weight").exit_code == 0
    plain, weighted = load("a.crossfm"), load("b.crossfm")
    assert weighted.encoder_.fields == plain.encoder_.fields
    assert not np.array_equal(plain.params_.w, weighted.params_.w)


def test_numbers_are_regressed_and_counts_may_be_poisson(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--target", "price")
    assert "'price' has" in done.stdout
    assert "RMSE" in done.stdout
    assert type(load("m.crossfm")).__name__ == "FMRegressor"
    counts = ("--target", "weight", "--task", "regression", "--loss", "poisson")
    assert "Poisson deviance" in crossfm("train", clicks, "--out", "m.crossfm", *counts).stdout


def test_text_is_classes(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--target", "genres", "--drop", "click")
    assert "holds text" in done.stdout
    assert load("m.crossfm").classes_.tolist() == ["a|b", "b|c", "c"]


def test_a_ranker_learns_from_groups(crossfm: Any, clicks: Path) -> None:
    words = "--task ranking --group user_id --valid-fraction 0.2 --epochs 10"
    done = crossfm("train", clicks, "--out", "m.crossfm", *words.split())
    assert done.exit_code == 0, done.output
    assert "pairs in order, inside groups" in done.stdout
    model = load("m.crossfm")
    assert type(model).__name__ == "FMRanker"
    assert "user_id" not in model.encoder_.fields


def test_linear_has_no_factors(crossfm: Any, clicks: Path) -> None:
    assert crossfm("train", clicks, "--out", "m.crossfm", "--model", "linear", "-q").exit_code == 0
    assert load("m.crossfm").params_.V.shape[1] == 0


def test_a_validation_file_may_have_ids_that_training_lacks(
    crossfm: Any, libsvm: Path, tmp_path: Path
) -> None:
    valid = tmp_path / "valid.libsvm"
    valid.write_text("1 3:1 25:1\n-1 4:1 12:1\n1 4:1 13:1\n")
    assert crossfm("train", libsvm, "--valid", valid, "--out", "m.crossfm", "-q").exit_code == 0
    params = load("m.crossfm").params_
    assert params.V.shape[0] == 26
    assert not params.V[25].any()


def test_training_goes_on_from_a_model(crossfm: Any, clicks: Path) -> None:
    common = ("train", clicks, "--no-early-stopping", "--epochs", 2, "-q")
    assert crossfm(*common, "--out", "a.crossfm").exit_code == 0
    assert crossfm(*common, "--out", "b.crossfm", "--init", "a.crossfm").exit_code == 0
    first, second = load("a.crossfm"), load("b.crossfm")
    assert [epoch["epoch"] for epoch in second.history_] == [1, 2, 3, 4]
    assert second.history_[-1]["train_loss"] < first.history_[-1]["train_loss"]


def test_without_validation_all_rows_train_and_every_epoch_runs(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--valid-fraction", 0, "--epochs", 3)
    assert "600 rows\n" in done.stdout
    assert load("m.crossfm").n_iter_ == 3


def test_a_file_without_header_gets_names(crossfm: Any, clicks: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.txt"
    bare.write_text("\n".join(line.replace(",", ";") for line in clicks.read_text().splitlines()[1:]))
    words = ("--separator", ";", "--column-names", "u,i,g,p,t,w,label")
    assert crossfm("train", bare, "--out", "m.crossfm", *words, "-q").exit_code == 0
    assert load("m.crossfm").encoder_.fields[:2] == ["u", "i"]


def test_the_file_holds_the_best_epoch(crossfm: Any, clicks: Path) -> None:
    words = ("--learning-rate", 1, "--epochs", 30, "--valid-fraction", 0.3)
    done = crossfm("train", clicks, "--out", "m.crossfm", *words)
    history = load("m.crossfm").history_
    best = 1 + int(np.argmin([epoch["valid_loss"] for epoch in history]))
    assert best < len(history) < 30
    assert f"trained {len(history)} epochs, best epoch {best}" in done.stdout


def test_epochs_are_logged_for_tensorboard(crossfm: Any, clicks: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    result = crossfm("train", clicks, "-o", tmp_path / "m.crossfm", "--epochs", 2, "--tensorboard", folder)
    assert result.exit_code == 0, result.output
    assert [path.stat().st_size > 0 for path in folder.glob("events.out.tfevents.*")] == [True]


def test_going_on_from_a_file_with_state_is_going_on_without_a_pause(crossfm: Any, clicks: Path) -> None:
    options = ("--no-early-stopping", "--valid-fraction", 0, "--epochs", 2, "-q")
    assert crossfm("train", clicks, *options, "--with-state", "-o", "with.crossfm").exit_code == 0
    assert crossfm("train", clicks, *options, "-o", "without.crossfm").exit_code == 0
    for start in ("with", "without"):
        done = crossfm("train", clicks, *options, "--init", f"{start}.crossfm", "-o", f"{start}2.crossfm")
        assert done.exit_code == 0, done.output
    table = csv.read_csv(clicks)
    fresh = load("with.crossfm")
    fresh = type(fresh)(**fresh.get_params() | {"columns": fresh.encoder_.columns, "warm_start": True})
    X, y = table.select([column.name for column in fresh.columns]), table["click"].to_numpy()
    fresh.fit(X, y).fit(X, y)  # without a file in between
    assert np.array_equal(load("with2.crossfm").params_.V, fresh.params_.V)
    assert not np.array_equal(load("without2.crossfm").params_.V, fresh.params_.V)


def test_a_recommender_and_a_ranker_have_no_state_to_keep(crossfm: Any, clicks: Path) -> None:
    for words in (("--user", "user_id", "--item", "item_id"), ("--task", "ranking", "--group", "user_id")):
        done = crossfm("train", clicks, *words, "--with-state", "-o", "m.crossfm")
        assert done.exit_code == 2
        assert "--with-state" in done.stderr


@pytest.mark.parametrize(("words", "expected"), [((), None), (("--l2-v", 0), 0.0)])
def test_the_penalty_on_factors_is_the_solvers_own_unless_given(
    crossfm: Any, clicks: Path, words: tuple[Any, ...], expected: float | None
) -> None:
    assert crossfm("train", clicks, "--out", "m.crossfm", "-q", "--epochs", 1, *words).exit_code == 0
    assert load("m.crossfm").get_params()["l2_V"] == expected
