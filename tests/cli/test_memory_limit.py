"""``--memory-limit``: files larger than memory on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from crossfm import FMClassifier, load
from crossfm.data import blocks
from crossfm.data.writers import write_table

LIMIT = ("--memory-limit", "2GB")


def bits(path: str) -> Any:
    params = load(path).params_
    return [params.bias, params.w.tolist(), params.V.tolist()]


@pytest.mark.parametrize("kind", ["clicks", "libsvm"])
def test_a_file_that_fits_gives_the_model_of_training_in_memory(
    crossfm: Any, clicks: Path, libsvm: Path, kind: str
) -> None:
    words = ("train", clicks if kind == "clicks" else libsvm, "--epochs", 2, "--no-early-stopping", "-q")
    assert crossfm(*words, "--out", "a.crossfm").exit_code == 0
    assert crossfm(*words, "--out", "b.crossfm", *LIMIT).exit_code == 0
    assert bits("a.crossfm") == bits("b.crossfm")


def test_it_says_what_it_does_and_where_the_cache_is(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--weight", "weight", *LIMIT, "--cache", "kept")
    assert done.exit_code == 0
    assert "columns, by the first 600 rows:" in done.stdout
    assert "block cache: kept/clicks.csv." in done.stdout
    assert "held for validation" in done.stdout
    assert "AUC" in done.stdout
    assert len(list(Path("kept").iterdir())) == 1
    assert load("m.crossfm").encoder_.fields == ["user_id", "item_id", "genres", "price"]


def test_quiet_prints_nothing(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--out", "m.crossfm", "--quiet", *LIMIT)
    assert (done.exit_code, done.output) == (0, "")


def test_options_reach_the_stream_and_the_estimator(crossfm: Any, clicks: Path, libsvm: Path) -> None:
    words = "-k 3 --solver ftrl --epochs 3 --valid-fraction 0.2 --patience 2 --monitor auc --seed 5"
    more = "--categorical price --multi genres:| --drop weight,time"
    done = crossfm("train", clicks, "--out", "m.crossfm", *words.split(), *more.split(), *LIMIT)
    assert done.exit_code == 0
    model = load("m.crossfm")
    assert model.get_params()["n_factors"] == 3
    assert model.encoder_.fields == ["user_id", "item_id", "genres", "price"]
    assert model.history_[0]["valid_auc"] > 0
    assert crossfm("train", libsvm, "--out", "n.crossfm", "--n-features", 50, "-q", *LIMIT).exit_code == 0
    assert load("n.crossfm").n_features_in_ == 50


def test_a_file_to_validate_on_is_a_stream_too(
    crossfm: Any, clicks: Path, libsvm: Path, tmp_path: Path
) -> None:
    wider = tmp_path / "v.libsvm"
    wider.write_text(libsvm.read_text() + "1 3:1 44:1\n")
    for data, valid in ((clicks, clicks), (libsvm, wider)):
        done = crossfm("train", data, "--valid", valid, "--out", "m.crossfm", "--epochs", 2, *LIMIT)
        assert done.exit_code == 0, done.stderr
        assert load("m.crossfm").history_[0]["valid_loss"] > 0
    assert load("m.crossfm").n_features_in_ == 45


@pytest.mark.parametrize("kind", ["clicks", "libsvm"])
def test_training_goes_on_from_a_model(crossfm: Any, clicks: Path, libsvm: Path, kind: str) -> None:
    data = clicks if kind == "clicks" else libsvm
    assert crossfm("train", data, "--out", "a.crossfm", "--epochs", 2, "-q").exit_code == 0
    done = crossfm("train", data, "--init", "a.crossfm", "--out", "b.crossfm", "--epochs", 2, *LIMIT)
    assert done.exit_code == 0, done.stderr
    assert load("b.crossfm").n_iter_ == 4
    assert bits("a.crossfm") != bits("b.crossfm")


@pytest.mark.parametrize("kind", ["clicks", "libsvm"])
@pytest.mark.parametrize("out", ["p.csv", "p.parquet", "p.arrow", "p.txt", None])
def test_predictions_are_those_of_the_whole_file(
    crossfm: Any, clicks: Path, libsvm: Path, kind: str, out: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfm.data.pieces.PIECE", 2000)
    data, keep = (clicks, ("--keep", "user_id,click")) if kind == "clicks" else (libsvm, ())
    assert crossfm("train", data, "--out", "m.crossfm", "--epochs", 1, "-q").exit_code == 0
    results = []
    for limit in ((), LIMIT):
        words = () if out is None else ("--out", out)
        done = crossfm("predict", "m.crossfm", data, *keep, *words, *limit)
        assert done.exit_code == 0, done.stderr
        found = done.stdout
        if out == "p.parquet":
            found += str(parquet.read_table(out).to_pydict())
        elif out is not None:
            found += str(Path(out).read_bytes() if out != "p.arrow" else feather.read_table(out).to_pydict())
        results.append(found)
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["clicks", "libsvm"])
def test_evaluation_is_that_of_the_whole_file(crossfm: Any, clicks: Path, libsvm: Path, kind: str) -> None:
    data = clicks if kind == "clicks" else libsvm
    assert crossfm("train", data, "--out", "m.crossfm", "--epochs", 1, "-q").exit_code == 0
    for at, limit in enumerate(((), LIMIT)):
        done = crossfm("evaluate", "m.crossfm", data, "--json", f"{at}.json", *limit)
        assert done.exit_code == 0, done.stderr
    assert json.loads(Path("0.json").read_text()) == json.loads(Path("1.json").read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--memory-limit", "much"), "memory_limit='much'"),
        (("--memory-limit", "30MB"), "--memory-limit 30 MB is too small: the program has"),
        (("--cache", "x"), "--cache is where --memory-limit"),
        ((*LIMIT, "--task", "ranking"), "--memory-limit is for classification and regression"),
        ((*LIMIT, "--group", "user_id"), "--memory-limit is for classification and regression"),
        ((*LIMIT, "--user", "user_id", "--item", "item_id"), "not for --task recommendation"),
        ((*LIMIT, "--with-state"), "--with-state .* cannot be used with --memory-limit"),
        ((*LIMIT, "--cv", "3"), "--memory-limit means nothing with --cv|--out means nothing with --cv"),
        ((*LIMIT, "--solver", "sgda"), "choose another solver for a stream"),
        ((*LIMIT, "--target", "clic"), "--target names 'clic'.*Did you mean 'click'"),
        ((*LIMIT, "--weight", "weigth"), "--weight names 'weigth'"),
        ((*LIMIT, "--drop", "nothing"), "--drop names 'nothing'"),
        ((*LIMIT, "--drop", "user_id,item_id,genres,price,time,weight"), "no column .* is left"),
        ((*LIMIT, "--valid", "clicks.csv", "--valid-fraction", "0.1"), "give one of them"),
        ((*LIMIT, "--n-features", "5"), "n_features|--n-features"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(crossfm: Any, clicks: Path, words: Any, message: str) -> None:
    import re

    done = crossfm("train", clicks, "--out", "m.crossfm", "-q", *words)
    assert done.exit_code == 2
    assert re.search(message.replace("memory_limit=", "--memory-limit "), done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("m.crossfm").exists()


def test_columns_are_refused_for_numbered_features(crossfm: Any, libsvm: Path) -> None:
    done = crossfm("train", libsvm, "--out", "m.crossfm", "--target", "y", *LIMIT)
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: --target names a column, but {libsvm} has numbered features\n",
    )


def test_ctrl_c_keeps_the_best_epoch(crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = FMClassifier.save

    def save_and_interrupt(self: Any, *args: Any, **more: Any) -> None:
        save(self, *args, **more)
        if self.n_iter_ == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(blocks, "BLOCK_ROWS", 50)
    monkeypatch.setattr("crossfm.data.stream.WINDOW", 2000)
    monkeypatch.setattr(FMClassifier, "save", save_and_interrupt)
    done = crossfm("train", clicks, "--out", "m.crossfm", "--epochs", 9, "--no-early-stopping", *LIMIT)
    assert done.exit_code == 130
    assert "kept the model of epoch" in done.stderr
    assert load("m.crossfm").n_iter_ == 2


def test_a_file_larger_than_the_free_memory_gets_a_hint(
    crossfm: Any, clicks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfm.core.memory.available", lambda: 1000)
    done = crossfm("train", clicks, "--out", "m.crossfm", "--epochs", 1)
    assert "more than the 1 KB of memory that are free; --memory-limit" in done.stdout


CHILD = """
import pathlib, sys
from crossfm import FMClassifier, stream
from crossfm.core.memory import resident
path, target, room = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
model = FMClassifier(4, random_state=0, max_iter=2, early_stopping=True)
limit = resident() + room
model.fit(stream(path, target=target, memory_limit=limit))
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024, limit)  # ru_maxrss would count what this process was forked from
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak")
@pytest.mark.parametrize(("name", "room"), [("a.libsvm", 40), ("a.csv", 70)])
def test_the_limit_is_kept(tmp_path: Path, name: str, room: int) -> None:
    """Some MB above the program itself, for a file that takes more than that in memory when it is read whole."""
    ids = np.random.default_rng(0).integers(0, 500, (20_000, 12)) + 500 * np.arange(12)
    times = 12
    if name == "a.libsvm":
        lines = (f"{at % 2} {':1 '.join(map(str, row))}:1\n" for at, row in enumerate(ids.tolist()))
        (tmp_path / name).write_text("".join(lines) * times)
    else:
        columns = {f"c{at}_id": np.tile(ids[:, at], times) for at in range(12)}
        write_table(tmp_path / name, pa.table({**columns, "y": np.arange(20_000 * times) % 2}))
    target = "" if name == "a.libsvm" else "y"
    words = [sys.executable, "-c", CHILD, str(tmp_path / name), target, str(room * 1_000_000)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak, limit = map(int, done.stdout.split())
    assert peak <= limit, f"{peak / 1e6:.0f} MB, not {limit / 1e6:.0f}"


def test_reading_csv_piece_by_piece_needs_no_second_file(crossfm: Any, clicks: Path) -> None:
    """Types that only later cells tell are settled before the first prediction is printed."""
    table = csv.read_csv(clicks)
    assert crossfm("train", clicks, "--out", "m.crossfm", "--epochs", 1, "-q").exit_code == 0
    with clicks.open("a") as file:
        file.write("x,i0,a,1.5,1,1,0\n" * 10)
    done = crossfm("predict", "m.crossfm", clicks, "--keep", "user_id", *LIMIT)
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == table.num_rows + 11
