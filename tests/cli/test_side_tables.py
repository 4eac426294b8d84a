"""``crossfm train --table``: what is known of users and items in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from crossfm import load
from crossfm.data.writers import write_table


def side_tables(folder: Path) -> tuple[str, ...]:
    """Tables of users and items, and the options that name them."""
    (folder / "people.csv").write_text(
        "user_id,age,town\n" + "".join(f"{i},{20 + i},{'abc'[i % 3]}\n" for i in range(14))
    )
    write_table(
        "things.parquet",
        pa.table({"item_id": [f"i{i}" for i in range(12)], "tags": [["x"], ["x", "y"], []] * 4}),
    )
    return "--table", "user_id=people.csv", "--table", "item_id=things.parquet"


@pytest.mark.parametrize("more", [(), ("--target", "price", "--solver", "mcmc"), ("--model", "ffm")])
def test_side_tables_join_what_is_known_of_users_and_items(
    crossfm: Any, clicks: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    options = side_tables(tmp_path)
    done = crossfm(
        "train", clicks, "--out", "m.crossfm", *options, "--drop", "time,genres", "--epochs", 3, *more
    )
    assert done.exit_code == 0, done.output
    assert "finds the rows of people.csv" in done.stdout
    assert "columns of things.parquet:" in done.stdout
    model = load("m.crossfm")
    assert {"user_id", "item_id", "age", "town", "tags"} <= set(model.encoder_.fields)
    for verb in (
        ["predict", "m.crossfm", clicks, "--out", "p.csv"],
        ["predict", "m.crossfm", clicks, "--memory-limit", "16GB", "--out", "q.csv"],
        ["inspect", "m.crossfm", "--weights", 5, "--data", clicks, "--dump", "d.txt"],
        ["evaluate", "m.crossfm", clicks, *more[: 2 * ("--target" in more)]],
    ):
        done = crossfm(*verb)
        assert done.exit_code == 0, done.output
    assert Path("p.csv").read_text() == Path("q.csv").read_text()
    table = csv.read_csv(clicks)
    expected = model.predict(table.select(list(model.feature_names_in_))) if "--target" in more else None
    if expected is not None:
        np.testing.assert_allclose(csv.read_csv("p.csv")["prediction"].to_numpy(), expected)
    inspected = crossfm("inspect", "m.crossfm").stdout
    assert "side table of user_id: 15 rows" in inspected  # 14 and one that only the rows have
    done = crossfm("train", clicks, *options, "--drop", "time,genres", "--cv", 2, "--epochs", 2, *more)
    assert done.exit_code == 0, done.output


def test_models_with_side_tables_go_on_with_the_same(crossfm: Any, clicks: Path, tmp_path: Path) -> None:
    assert (
        crossfm("train", clicks, "--out", "m.crossfm", *side_tables(tmp_path), "--epochs", 2, "-q").exit_code
        == 0
    )
    assert (
        crossfm("train", clicks, "--init", "m.crossfm", "--out", "n.crossfm", "--epochs", 2, "-q").exit_code
        == 0
    )
    assert load("n.crossfm").encoder_.fields == load("m.crossfm").encoder_.fields
    for words, reason in (
        (
            ("train", clicks, "--init", "m.crossfm", "--out", "o.crossfm", "--table", "user_id=people.csv"),
            "stay as they are",
        ),
        (
            ("train", clicks, "--init", "m.crossfm", "--out", "o.crossfm", "--memory-limit", "16GB"),
            "cannot join",
        ),
        (
            ("evaluate", "m.crossfm", clicks, "--memory-limit", "16GB"),
            "has side tables (of user_id, item_id)",
        ),
        (
            ("follow", clicks, "--model", "m.crossfm", "--target", "click", "--once"),
            "which follow cannot join",
        ),
    ):
        done = crossfm(*words)
        assert done.exit_code == 2
        assert reason in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--table", "user_id"], "must be column=file, such as user=users.csv"),
        (["--table", "user_id=people.csv", "--table", "user_id=things.parquet"], "--table user_id is given twice"),
        (["--table", "user=people.csv"], "--table names 'user', but the table has"),
        (["--table", "item_id=people.csv"], "--table item_id=people.csv names 'item_id', but the table has user_id"),
        (["--table", "user_id=people.csv", "--weight", "user_id"], "so it is no key"),
        (["--table", "user_id=nothing.csv"], "nothing.csv: no such file"),
        (["--table", "user_id=rows.libsvm"], "a table with named columns is needed"),
        (["--table", "user_id=prices.csv"], "column 'price' is in"),
        (["--table", "user_id=twice.csv"], "user_id=1 in 2 rows; keep one of each"),
        (["--table", "user_id=people.csv", "--categorical", "towns"], "Did you mean 'town'?"),
        (["--table", "user_id=people.csv", "--task", "ranking"], "but the model is a FMRanker"),
        (["--table", "user_id=people.csv", "--task", "recommendation"], "means nothing for --task recommendation"),
        (["--table", "user_id=people.csv", "--memory-limit", "16GB"], "--memory-limit cannot join a --table"),
    ],
)  # fmt: skip
def test_side_tables_that_do_not_fit_are_refused(
    crossfm: Any, clicks: Path, libsvm: Path, tmp_path: Path, options: list[str], reason: str
) -> None:
    side_tables(tmp_path)
    Path("prices.csv").write_text("user_id,price\n1,2\n2,4.5\n")
    Path("twice.csv").write_text("user_id,age\n1,2\n1,3\n2,4\n")
    done = crossfm("train", clicks, "--out", "m.crossfm", "--epochs", 1, *options)
    assert done.exit_code == 2
    assert reason in " ".join(done.stderr.split())
    assert not Path("m.crossfm").exists()


def test_side_tables_are_not_for_numbered_features(crossfm: Any, libsvm: Path, tmp_path: Path) -> None:
    done = crossfm("train", libsvm, "--out", "m.crossfm", *side_tables(tmp_path))
    assert done.exit_code == 2
    assert "--table names a column, but" in done.stderr
