"""Bad input: exit code 2, one line that says what was seen, and nothing written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crossfm import load
from crossfm.cli.errors import as_typed

OUT = ("--out", "m.crossfm")


def refused(done: Any, *parts: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.output
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "words", "expected"),
    [
        ("empty.csv", b"", (), "is empty"),
        ("header.csv", b"user,label\n", (), "row"),
        ("nan.libsvm", b"1 1:nan\n0 2:1\n", (), "nan.libsvm:1"),
        ("inf.libsvm", b"1 1:1\n0 2:inf\n", (), "inf.libsvm:2"),
        ("naan.libsvm", b"nan 1:1\n0 2:1\n", (), "naan.libsvm:1"),
        ("minus.libsvm", b"1 -1:1\n0 2:1\n", (), "minus.libsvm:1"),
        ("huge.libsvm", b"1 99999999999:1\n0 2:1\n", (), "huge.libsvm:1"),
        ("twice.libsvm", b"1 1:1 1:2\n0 2:1\n", (), "twice.libsvm:1"),
        ("wide.csv", b"user,label\na,1\nb,0,7\n", (), "wide.csv:3"),
        ("latin.csv", "user,label\nJos\xe9,1\nb,0\n".encode("latin-1"), (), "--encoding"),
        ("count.csv", b"user,label\na,-1\nb,2\nc,3\n", ("--loss", "poisson"), "poisson loss expects counts"),
        ("nolabel.csv", b"user,label\na,1\nb,\n", (), "no value in row 1"),
        ("naninf.csv", b"user,x,label\na,1,1\nb,inf,0\nc,2,1\n", ("--valid-fraction", "0", "--numeric", "x"), "inf"),
        ("one.csv", b"user,label\na,1\nb,1\n", (), "nothing to learn"),
        ("none.csv", b"user,score\na,1\nb,0\n", (), "pass --target (there are user, score)"),
        ("half.csv", b"user,label\na,1.5\nb,0\nc,2\n", ("--task", "classification"), "no classes"),
        ("bare.tsv", b"1\t2\n3\t4\n", (), "--no-header"),
    ],
)  # fmt: skip
def test_broken_files_are_refused(
    crossfm: Any, name: str, content: bytes, words: tuple[str, ...], expected: str
) -> None:
    Path(name).write_bytes(content)
    refused(crossfm("train", name, *OUT, *words), expected)
    assert os.listdir() == [name]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere.csv", *OUT), "nowhere.csv: no such file"),
        ((".", *OUT), "is a directory"),
        (("clicks.csv", "--out", "."), "is a directory"),
        (("clicks.csv", "--out", "missing/m.crossfm"), "does not exist; make it first"),
        (("clicks.csv", "--out", "clicks.csv"), "would destroy it"),
        (("clicks.csv", *OUT, "--target", "clik"), "Did you mean 'click'?"),
        (("clicks.csv", *OUT, "--drop", "prise"), "Did you mean 'price'?"),
        (("clicks.csv", *OUT, "--drop", "price", "--numeric", "price"), "say one thing about it"),
        (("clicks.csv", *OUT, "--solver", "magic"), "--solver 'magic', but the solvers are"),
        (
            ("clicks.csv", *OUT, "--learning-rate", "-1"),
            "--learning-rate -1.0, but it must be a number above 0",
        ),
        (("clicks.csv", *OUT, "-k", "-1"), "--factors -1"),
        (("clicks.csv", *OUT, "--l1-w", "1"), '--solver "ftrl"'),
        (("clicks.csv", *OUT, "--model", "linear", "-k", "4"), "--model linear has no factors"),
        (("clicks.csv", *OUT, "--model", "linear", "--l2-v", "3"), "no factors, but --l2-v is 3"),
        (("clicks.csv", *OUT, "--loss", "poisson"), "means nothing for the task classification"),
        (("clicks.csv", *OUT, "--valid", "clicks.csv", "--valid-fraction", "0.1"), "give one of them"),
        (("clicks.csv", *OUT, "--early-stopping", "--valid-fraction", "0"), "needs validation rows"),
        (("clicks.csv", *OUT, "--valid-fraction", "1.5"), "--valid-fraction 1.5, but it must be at least 0"),
        (("clicks.csv", *OUT, "--users", "clicks.csv"), "--users is for --task recommendation"),
        (("clicks.csv", *OUT, "--user", "user_id", "--weight", "weight"), "--weight means nothing"),
        (("clicks.csv", *OUT, "--format", "xls"), "--format 'xls'"),
        (("clicks.csv", *OUT, "--seed", "-1"), "--seed -1, but it must be a whole number of at least 0"),
        (
            ("clicks.csv", *OUT, "--patience", "2", "--valid-fraction", "0"),
            "--patience 2 means nothing without early stopping",
        ),
        (("clicks.csv", *OUT, "--target", "price", "--group", "user_id"), "--group is for ranking"),
        (("clicks.csv", *OUT, "--init", "clicks.csv"), "not a crossfm model file"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    crossfm: Any, clicks: Path, words: tuple[str, ...], expected: str
) -> None:
    before = clicks.read_bytes()
    refused(crossfm("train", *words), expected)
    assert os.listdir() == ["clicks.csv"]
    assert clicks.read_bytes() == before


def test_options_that_are_not_there_are_usage_errors(crossfm: Any, clicks: Path) -> None:
    refused(crossfm("train", clicks, *OUT, "--sovler", "sgd"), "--sovler", "crossfm train --help")
    refused(crossfm("train", clicks), "--out is missing")
    refused(crossfm("fly"), "No such command 'fly'", "crossfm --help")
    refused(crossfm("train", clicks, *OUT, "-k", "x"), "'-k'")


def test_data_that_does_not_fit_the_model_is_refused(crossfm: Any, clicks: Path, libsvm: Path) -> None:
    crossfm("train", clicks, "--out", "table.crossfm", "-q")
    crossfm("train", libsvm, "--out", "numbered.crossfm", "-q")
    Path("other.csv").write_text("user,item_id,genres,price,weight\n1,i1,a,1,1\n")
    Path("wide.libsvm").write_text("1 30:1\n0 2:1\n")
    refused(crossfm("predict", "table.crossfm", "other.csv"), "no column 'user_id'", "item_id")
    refused(crossfm("predict", "table.crossfm", libsvm), "pass a table")
    refused(crossfm("predict", "numbered.crossfm", clicks), "pass such a file")
    refused(crossfm("predict", "numbered.crossfm", "wide.libsvm"), "row 0 has feature 30")
    refused(crossfm("predict", "table.crossfm", clicks, "--out", "p.xls"), "does not tell the format")
    refused(crossfm("predict", clicks, clicks), "not a crossfm model file")
    refused(crossfm("predict", "table.crossfm", clicks, "--keep", "nothing"), "--keep names 'nothing'")
    refused(crossfm("evaluate", "table.crossfm", clicks, "--target", "price"), "row 0 has label")
    refused(crossfm("recommend", "table.crossfm", "--user", "1"), "--task recommendation")
    refused(crossfm("inspect", clicks, "--weights", "3"), "is for models")
    refused(crossfm("inspect", "nowhere"), "no such file")
    assert not list(Path().glob("p.*"))


def test_divergence_is_one_line_with_a_remedy(crossfm: Any, clicks: Path) -> None:
    words = ("--target", "price", "--solver", "sgd", "--learning-rate", "1e6", "-q")
    refused(
        crossfm("train", clicks, *OUT, *words), "diverged", "Lower --learning-rate", "no file was written"
    )


def test_a_full_disk_leaves_the_older_model(
    crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossfm("train", clicks, *OUT, "-q")
    before = Path("m.crossfm").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused(crossfm("train", clicks, *OUT, "-q"), "no space left on the disk")
    refused(crossfm("predict", "m.crossfm", clicks, "--out", "p.csv"), "no space left on the disk")
    assert Path("m.crossfm").read_bytes() == before
    assert sorted(os.listdir()) == ["clicks.csv", "m.crossfm"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_place_for_a_file(crossfm: Any, clicks: Path) -> None:
    os.mkfifo("pipe")
    refused(crossfm("train", clicks, "--out", "pipe"), "pipe is a device or a pipe")
    assert Path("pipe").is_fifo()


def test_a_damaged_model_file_is_refused(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, *OUT, "-q")
    whole = Path("m.crossfm").read_bytes()
    Path("m.crossfm").write_bytes(whole[:-10])
    refused(crossfm("predict", "m.crossfm", clicks), "damaged")


def test_messages_speak_the_language_of_the_command_line() -> None:
    assert as_typed("Lower learning_rate (now 1)") == "Lower --learning-rate (now 1)"
    assert as_typed("pass header=False or column_names=[...]") == "pass --no-header or --column-names a,b,c"
    assert as_typed("pass separator='|'") == "pass --separator '|'"
    assert (
        as_typed("the mean loss is nan and the format is csv") == "the mean loss is nan and the format is csv"
    )


def command(*words: Any) -> list[str]:
    return [sys.executable, "-c", "from crossfm.cli.app import main; main()", *map(str, words)]


def test_the_real_command_exits_with_2_and_one_line(clicks: Path) -> None:
    done = subprocess.run(
        command("train", "nowhere.csv", *OUT), cwd=clicks.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_reader_that_goes_away_is_no_error(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, *OUT, "-q")
    Path("long.csv").write_text(clicks.read_text() + "".join(clicks.read_text().splitlines(True)[1:]) * 20)
    with subprocess.Popen(
        command("predict", "m.crossfm", "long.csv"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"probability\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background: they, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("task", ["classification", "recommendation"])
def test_ctrl_c_keeps_the_last_checkpoint(clicks: Path, task: str) -> None:
    words = ("train", clicks, *OUT, "--task", task, "--epochs", 1_000_000)
    rest = () if task == "recommendation" else ("--no-early-stopping", "--valid-fraction", 0)
    with subprocess.Popen(
        command(*words, *rest),
        cwd=clicks.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 3 " in line:
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert lines[-1].startswith("interrupted: kept the model of epoch ")
    model = load(clicks.parent / "m.crossfm")
    kept = int(lines[-1].split(" epoch ")[1].split()[0])
    assert len((model.retriever_ if task == "recommendation" else model).history_) == kept >= 3
    assert sorted(os.listdir(clicks.parent)) == ["clicks.csv", "m.crossfm"]


def test_ctrl_c_before_the_first_epoch_says_that_nothing_was_written(
    crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfm.FMClassifier.fit", interrupt)
    done = crossfm("train", clicks, *OUT)
    assert done.exit_code == 130
    assert done.stderr == "interrupted: no epoch was complete, no file was written\n"


VERBS = ("train", "predict", "evaluate", "recommend", "inspect", "datasets list", "datasets get")


@pytest.mark.parametrize("name", VERBS)
def test_help_shows_examples(crossfm: Any, name: str) -> None:
    assert f"$ crossfm {name}" in crossfm(*name.split(), "--help").stdout


def test_the_command_starts_without_heavy_libraries(crossfm: Any) -> None:
    assert crossfm("--version").stdout.startswith("crossfm 0.")
    code = "import sys; import crossfm.cli.app; print([m for m in ('numpy', 'pyarrow', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_too_little_memory_says_what_takes_less(
    crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfm.core.memory.available", lambda: 1000)
    done = crossfm("train", clicks, "--out", "m.crossfm", "--epochs", 1)
    assert done.exit_code == 2
    assert "Take fewer n_factors" in done.stderr or "Take fewer --factors" in done.stderr
