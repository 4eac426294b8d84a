"""``crossfm follow``: learning from a file that grows, through pauses, rotation and bad lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfm import load
from crossfm.cli import follow_run
from crossfm.cli.follow_lines import LineReader
from crossfm.cli.follow_run import Follower
from crossfm.data.tail import Tail
from crossfm.errors import DivergenceError

TRAIN = ("--valid-fraction", 0, "--epochs", 2, "-q")


@pytest.fixture
def log(clicks: Path) -> tuple[list[str], Path]:
    """The lines of ``clicks.csv``, and a growing file with the header only."""
    header, *lines = clicks.read_text().splitlines(keepends=True)
    path = clicks.with_name("live.csv")
    path.write_text(header)
    return lines, path


def append(path: Path, lines: list[str]) -> None:
    with path.open("a") as file:
        file.writelines(lines)


@pytest.fixture
def model(crossfm: Any, clicks: Path) -> str:
    head = clicks.with_name("head.csv")
    head.write_text("".join(clicks.read_text().splitlines(keepends=True)[:201]))
    assert crossfm("train", head, "-o", "m.crossfm", "--drop", "time", *TRAIN).exit_code == 0
    return "m.crossfm"


def test_pauses_and_restarts_leave_nothing_out_and_learn_nothing_twice(
    crossfm: Any, log: Any, model: str, tmp_path: Path
) -> None:
    lines, path = log
    once = ("--once", "--batch-rows", 100)
    append(path, lines[200:])
    whole = crossfm("follow", path, "-m", model, "-o", "whole.crossfm", *once)
    assert whole.exit_code == 0, whole.output
    assert "400 rows, log loss 0." in whole.stdout
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    start = model
    for part in (lines[200:300], [], [*lines[300:500], lines[500][:7]], [lines[500][7:], *lines[501:]]):
        append(path, part)
        done = crossfm("follow", path, "-m", start, "-o", "parts.crossfm", *once)
        assert done.exit_code == 0, done.output
        start = "parts.crossfm"
    ours, theirs = load("parts.crossfm"), load("whole.crossfm")
    assert ours.params_.V.tobytes() == theirs.params_.V.tobytes()
    assert ours.params_.w.tobytes() == theirs.params_.w.tobytes()
    assert ours.followed_ == theirs.followed_
    assert ours.followed_["rows"] == 400
    assert "from byte 0" not in done.stdout
    again = crossfm("follow", path, "-m", start, "--once")
    assert "rows" not in again.stdout.split("\n", 1)[1]  # nothing to learn, nothing to write


def test_what_is_learnt_predicts_better(crossfm: Any, log: Any, model: str) -> None:
    lines, path = log
    append(path, lines[200:] * 10)
    assert crossfm("follow", path, "-m", model, "--once", "-q").output == ""
    before = crossfm("evaluate", "m.crossfm", path, "--json", "a.json")
    assert before.exit_code == 0
    assert load(model).history_[-1]["train_loss"] < load(model).history_[0]["train_loss"]
    assert len(load(model).history_) <= follow_run.HISTORY


def test_new_categories_join(crossfm: Any, log: Any, model: str) -> None:
    lines, path = log
    append(path, [line.replace(",i3,", ",brand-new,") for line in lines[200:]])
    assert "item_id=brand-new" not in load(model).encoder_.feature_names()
    assert crossfm("follow", path, "-m", model, "--once").exit_code == 0
    grown = load(model)
    at = grown.encoder_.feature_names().index("item_id=brand-new")
    assert grown.params_.w[at] != 0


def test_text_that_looks_like_numbers_for_a_while_stays_text(crossfm: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = ["007", "42", "x9", "1.0"]
    rows = [f"{codes[i]},{i % 2}\n" for i in rng.integers(0, 4, 300)]
    Path("a.csv").write_text("code,click\n" + "".join(rows))
    assert crossfm("train", "a.csv", "-o", "m.crossfm", "--categorical", "code", *TRAIN).exit_code == 0
    Path("b.csv").write_text("code,click\n" + "".join(r for r in rows if "x" not in r))
    assert crossfm("follow", "b.csv", "-m", "m.crossfm", "--once").exit_code == 0
    names = load("m.crossfm").encoder_.feature_names()
    assert sorted(names[2:]) == sorted(f"code={code}" for code in codes)


def test_bad_lines_are_skipped_counted_and_named(crossfm: Any, log: Any, model: str) -> None:
    lines, path = log
    bad = [
        "1,2\n",
        lines[0].replace(lines[0].split(",")[3], "much"),
        lines[1][:-2] + "7\n",
        "\n",
        '"a,b\n',
        lines[2][:-2] + "\n",
    ]
    append(path, [*lines[200:250], *bad, *lines[250:300]])
    done = crossfm("follow", path, "-m", model, "--once", "-o", "n.crossfm")
    assert done.exit_code == 0, done.output
    assert f"skipped {path}:52: " in done.stderr
    assert "; 4 more" in done.stderr  # the blank line is none
    assert "100 rows" in done.stdout
    assert "5 lines skipped" in done.stdout
    assert load("n.crossfm").followed_["skipped"] == 5
    clean = path.with_name("clean.csv")
    clean.write_text(path.read_text().splitlines(keepends=True)[0] + "".join(lines[200:300]))
    assert crossfm("follow", clean, "-m", model, "--once", "-o", "c.crossfm").exit_code == 0
    assert load("c.crossfm").params_.V.tobytes() == load("n.crossfm").params_.V.tobytes()


def test_strict_stops_at_a_bad_line_and_keeps_what_came_before(crossfm: Any, log: Any, model: str) -> None:
    lines, path = log
    append(path, [*lines[200:250], "1,2\n", *lines[250:300]])
    for _ in range(2):  # also when started again
        done = crossfm("follow", path, "-m", model, "--once", "--strict", "--batch-rows", 20)
        assert done.exit_code == 2
        assert f"error: {path}:52: " in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert load(model).followed_["rows"] == 40
    fixed = path.read_text().replace("1,2\n", "")
    path.write_text(fixed)  # the lines before it are the same: it goes on there
    assert crossfm("follow", path, "-m", model, "--once", "--strict").exit_code == 0
    assert load(model).followed_["rows"] == 100


def test_libsvm_and_libffm_with_larger_ids(crossfm: Any, libsvm: Path) -> None:
    lines = libsvm.read_text().splitlines(keepends=True)
    assert crossfm("train", libsvm, "-o", "m.crossfm", *TRAIN).exit_code == 0
    for name, more in (("x.libsvm", "1 3:1 33:0.5\n-1 25:1\n"), ("x.ffm", "1 0:3:1 1:33:0.5\n-1 0:25:1\n")):
        rows = "".join(lines) if name == "x.libsvm" else ""
        Path(name).write_text(rows + "# a comment\n" + more + "-1 no\n")
        done = crossfm("follow", name, "-m", "m.crossfm", "-o", f"{name}.crossfm", "--once")
        assert done.exit_code == 0, done.output
        grown = load(f"{name}.crossfm")
        assert grown.n_features_in_ == 34
        assert grown.params_.w[33] != 0
        assert grown.followed_["skipped"] == 1
        assert f"skipped {name}:{rows.count(chr(10)) + 4}:4: saw 'no'" in done.stderr


def test_regression_without_a_header(crossfm: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"u{a}|i{b}|{a + b / 2}\n" for a, b in rng.integers(0, 5, (300, 2))]
    path = tmp_path / "ratings.txt"
    path.write_text("".join(rows))
    how = ("--format", "csv", "--separator", "|", "--column-names", "user,item,rating")
    assert crossfm("train", path, "-o", "m.crossfm", *how, *TRAIN).exit_code == 0
    done = crossfm("follow", path, "-m", "m.crossfm", "--once", *how)
    assert done.exit_code == 0, done.output
    assert "300 rows, RMSE" in done.stdout


def follower(path: Path, model: str, **options: Any) -> Follower:
    fitted = load(model).set_params(verbose=0)
    tail = Tail(path, header=True)
    return Follower(fitted, tail, LineReader(fitted, path, "csv"), Path(model), **options)


def test_lines_that_come_while_it_runs_are_learnt_and_the_model_written_in_time(
    log: Any, model: str, capsys: Any
) -> None:
    lines, path = log
    clock = [0.0]
    written = []
    steps = iter([lines[200:250], [], lines[250:280], [lines[280][:5]], [lines[280][5:]]])

    def pause(seconds: float) -> None:
        clock[0] += 20.0
        written.append(getattr(load(model), "followed_", {}).get("rows", 0))
        part = next(steps, None)
        if part is None:
            run.stopped = True
        else:
            append(path, part)

    run = follower(path, model, every_seconds=30.0, clock=lambda: clock[0], pause=pause)
    run.run()
    run.tail.close()
    assert load(model).followed_["rows"] == 81
    assert written == [0, 0, 50, 50, 80, 80]
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("50 rows, log loss 0.")
    assert "last 30 rows" in out


def test_the_model_is_written_after_so_many_rows(log: Any, model: str) -> None:
    lines, path = log
    append(path, lines)
    run = follower(path, model, every_rows=200, batch_rows=50, once=True, quiet=True)
    saved: list[int] = []
    save = run.model.save
    run.model.save = lambda *args, **options: (saved.append(run.rows), save(*args, **options))
    run.run()
    run.tail.close()
    assert saved == [200, 400, 600]


def test_rotation_is_told_and_both_files_are_learnt(log: Any, model: str, capsys: Any) -> None:
    lines, path = log
    header = path.read_text()
    append(path, lines[200:300])

    def pause(seconds: float) -> None:
        if run.rows == 150:
            run.stopped = True
        elif not path.with_name("old").exists():
            path.rename(path.with_name("old"))
            path.write_text(header + "".join(lines[300:350]))

    run = follower(path, model, pause=pause)
    run.tail._tell = print
    run.run()
    run.tail.close()
    assert run.rows == 150
    assert "was replaced by another file" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_writes_the_model(log: Any, model: str, number: int) -> None:
    lines, path = log
    append(path, lines[200:350])
    code = "from crossfm.cli.app import main; main()"
    words = [sys.executable, "-u", "-c", code, "follow", str(path), "-m", model, "--poll-seconds", "0.05"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": ""},
    )
    assert process.stdout is not None
    assert "Ctrl-C writes the model" in process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert load(model).followed_["rows"] == 150
    assert f"wrote {model}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("live.csv", "--batch-rows", "0"), "--batch-rows 0"),
        (("live.csv", "--poll-seconds", "0"), "--poll-seconds 0"),
        (("live.csv", "--target", "clicked"), "clicked"),
        (("live.csv", "--weight", "heavy"), "heavy"),
        (("live.csv", "--column-names", "a,b,c,d,e,f,g", "--target", "g"), "the model names 'user_id'"),
        (("rows.libsvm",), "fitted on columns user_id"),
        (("packed.csv.gz",), "gzip"),
        (("live.csv", "-o", "live.csv"), "also what is read"),
        (("live.csv", "-m", "lists.crossfm"), "cannot go on learning"),
    ],
)
def test_what_cannot_be_followed_is_one_line(
    crossfm: Any, log: Any, model: str, libsvm: Path, clicks: Path, words: tuple[str, ...], message: str
) -> None:
    import gzip

    lines, path = log
    append(path, lines[:9])
    Path("packed.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    if "lists.crossfm" in words:
        lists = ("--user", "user_id", "--item", "item_id", "-o", "lists.crossfm", "-q", "--epochs", 1)
        assert crossfm("train", clicks, *lists).exit_code == 0
    before = Path(model).read_bytes()
    done = crossfm("follow", *words, "--once", *(() if "-m" in words else ("-m", model)))
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert Path(model).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words"), [("new.csv", ()), ("new.log", ("--format", "csv")), ("new.log", ("--separator", ","))]
)
def test_a_file_may_still_be_empty(
    crossfm: Any, log: Any, model: str, name: str, words: tuple[str, ...]
) -> None:
    lines, path = log
    Path(name).touch()
    assert crossfm("follow", name, "-m", model, "--once", *words).exit_code == 0
    Path(name).write_text(path.read_text() + "".join(lines[200:300]))
    assert crossfm("follow", name, "-m", model, "--once", *words).exit_code == 0
    assert load(model).followed_["rows"] == 100


def test_an_empty_file_of_unknown_format_is_refused(crossfm: Any, model: str) -> None:
    Path("new.log").touch()
    done = crossfm("follow", "new.log", "-m", model, "--once")
    assert done.exit_code == 2
    assert "pass --format" in done.stderr


def test_training_that_diverges_leaves_the_file_as_it_was(crossfm: Any, clicks: Path, log: Any) -> None:
    lines, path = log
    how = ("--target", "price", "--drop", "click,weight,time", "--solver", "sgd")
    assert crossfm("train", clicks, "-o", "m.crossfm", *how, *TRAIN).exit_code == 0
    append(path, lines)
    run = follower(path, "m.crossfm", batch_rows=100, every_rows=100, once=True, quiet=True)
    run.reader.target = "price"
    before = Path("m.crossfm").read_bytes()
    run.model.set_params(learning_rate=1e9)
    with pytest.raises(DivergenceError, match="is as it was when it was last written"):
        run.run()
    run.tail.close()
    assert Path("m.crossfm").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--target", "genres", "--drop", "click,time"), "log loss"),
        (("--target", "price", "--drop", "click,time", "--loss", "poisson"), "Poisson deviance"),
    ],
)
def test_many_classes_and_counts_have_their_own_loss(
    crossfm: Any, clicks: Path, log: Any, words: tuple[str, ...], name: str
) -> None:
    lines, path = log
    assert crossfm("train", clicks, "-o", "m.crossfm", *words, *TRAIN).exit_code == 0
    append(path, lines)
    done = crossfm("follow", path, "-m", "m.crossfm", "--once", "--target", words[1], "--weight", "weight")
    assert done.exit_code == 0, done.output
    assert f"600 rows, {name} " in done.stdout
