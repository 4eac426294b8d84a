from __future__ import annotations

import csv

import numpy as np
import pytest

from crossfm import FMClassifier
from crossfm.errors import DataError
from crossfm.solvers.callbacks import Epoch
from crossfm.solvers.csv_log import HEADER, NAMES, CSVLog


def fit(log, **settings):
    X = np.random.default_rng(0).random((200, 5))
    y = X[:, 0] > X[:, 1]
    return FMClassifier(max_iter=3, random_state=0, callbacks=[log], **settings).fit(X, y)


def lines(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("settings", [{"early_stopping": True, "monitor": "auc"}, {"solver": "vb"}])
def test_every_epoch_is_a_line_with_what_the_history_has(tmp_path, settings):
    model = fit(CSVLog(tmp_path / "log.csv"), **settings)
    found = lines(tmp_path / "log.csv")
    assert [{**line, "best": line["best"] == "True"} for line in found] == [
        dict.fromkeys(NAMES, "") | {n: value if n == "best" else str(value) for n, value in epoch.items()}
        for epoch in model.history_
    ]
    assert [float(line["train_loss"]) for line in found] == [e["train_loss"] for e in model.history_]


def test_lines_are_there_when_their_epoch_ends(tmp_path):
    seen = []
    log = CSVLog(tmp_path / "log.csv")
    model = FMClassifier(max_iter=3, callbacks=[log, lambda e, m: seen.append(len(lines(log.path)))])
    model.fit(np.eye(4), [0, 1, 0, 1])
    assert seen == [1, 2, 3]
    assert lines(log.path)[0]["valid_loss"] == ""


def test_another_training_goes_on_below(tmp_path):
    for _ in range(2):
        fit(CSVLog(tmp_path / "log.csv"))
    assert [line["epoch"] for line in lines(tmp_path / "log.csv")] == ["1", "2", "3"] * 2


@pytest.mark.parametrize(
    ("before", "done", "left"),
    [
        ([1, 2, 3], 2, [1, 2]),
        ([1, 2, 3], 3, [1, 2, 3]),
        ([1, 2], 0, []),
        ([1, 2, 3, 1, 2, 3], 1, [1, 2, 3, 1]),
        ([1, 2, 3, 1], 0, [1, 2, 3]),
    ],
)
def test_a_training_that_goes_on_takes_away_what_it_does_again(tmp_path, before, done, left):
    log = CSVLog(tmp_path / "log.csv")
    log.on_start(1, 9)
    for number in before:
        log.on_epoch(Epoch(number, 0.1, 0.5, 0.05), None)
    log.on_resume([Epoch(number, 0.1, 0.5, 0.05) for number in range(1, done + 1)], 1, None)
    assert [int(line["epoch"]) for line in lines(log.path)] == left


def test_a_warm_start_that_goes_on_leaves_the_lines_before_it(tmp_path):
    def stop(epoch, model):
        if epoch.epoch == 4:
            raise KeyboardInterrupt

    log = CSVLog(tmp_path / "log.csv")
    X, y = np.eye(4), [0, 1, 0, 1]

    def model(*more):
        first = FMClassifier(max_iter=2, random_state=0, warm_start=True, n_factors=2).fit(X, y)
        return first.set_params(checkpoint=tmp_path / "c", checkpoint_seconds=0, callbacks=[log, *more])

    first = FMClassifier(max_iter=2, random_state=0, callbacks=[log]).fit(X, y)
    assert first.n_iter_ == 2
    with pytest.raises(KeyboardInterrupt):
        model(stop).fit(X, y)
    assert [line["epoch"] for line in lines(log.path)] == ["1", "2", "3", "4"]
    model().fit(X, y)
    assert [line["epoch"] for line in lines(log.path)] == ["1", "2", "3", "4"]


def test_the_log_of_a_killed_training_is_that_of_a_whole_one(tmp_path):
    def stop(epoch, model):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    log = CSVLog(tmp_path / "log.csv")
    X, y = np.eye(4), [0, 1, 0, 1]
    model = FMClassifier(max_iter=4, random_state=0, checkpoint=tmp_path / "c", callbacks=[log, stop])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert [line["epoch"] for line in lines(log.path)] == ["1", "2"]
    model.set_params(callbacks=[log]).fit(X, y)
    assert [line["epoch"] for line in lines(log.path)] == ["1", "2", "3", "4"]
    assert [float(line["train_loss"]) for line in lines(log.path)] == [
        e["train_loss"] for e in model.history_
    ]


def test_other_files_and_places_are_refused_and_stay(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.bin").write_bytes(b"\xff\x00")
    for name, message in (
        ("x.csv", f"is another file: a log begins with {HEADER}"),
        ("x.bin", "is another file"),
        ("", "no log can be written"),
        ("missing/x.csv", "the folder does not exist; make it first"),
    ):
        with pytest.raises(DataError, match=message):
            CSVLog(tmp_path / name)
    assert (tmp_path / "x.csv").read_text() == "a,b\n1,2\n"
