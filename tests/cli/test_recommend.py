from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv

from crossfm import load
from realdata import shared_data

TRAIN = ("--user", "user_id", "--item", "item_id", "--epochs", 4, "--out", "m.crossfm")


def test_a_log_and_tables_of_features_become_a_recommender(
    crossfm: Any, clicks: Path, tables: tuple[Path, Path]
) -> None:
    sides = ("--users", tables[0], "--items", tables[1], "--context", "weight")
    done = crossfm(
        "train", clicks, *TRAIN, *sides, "--time", "time", "--valid-fraction", 0.1, "--half-life", 3
    )
    assert done.exit_code == 0, done.output
    for part in (
        "user columns:",
        "item columns:",
        "context columns:",
        "540 interactions, 60 held",
        "popularity",
    ):
        assert part in done.stdout
    model = load("m.crossfm")
    assert model.field_names() == ["user_id", "age", "weight", "item_id", "title"]
    assert model.half_life == 3
    assert model.retriever_.max_iter == 4


def test_columns_of_the_sides_are_taken_as_asked_for(
    crossfm: Any, clicks: Path, tables: tuple[Path, Path]
) -> None:
    sides = ("--users", tables[0], "--items", tables[1], "--categorical", "age", "--drop", "title")
    assert crossfm("train", clicks, *TRAIN, *sides).exit_code == 0
    model = load("m.crossfm")
    assert [column.kind for column in model.users_.encoder.columns] == ["categorical", "categorical"]
    assert model.items_.encoder.fields == ["item_id"]


def test_a_list_is_printed_with_titles_and_exact_parts(
    crossfm: Any, clicks: Path, tables: tuple[Path, Path]
) -> None:
    crossfm("train", clicks, *TRAIN, "-q")
    words = ("--user", 3, "-n", 2, "--items", tables[1], "--include-seen", "--explain")
    done = crossfm("recommend", "m.crossfm", *words)
    assert done.exit_code == 0, done.output
    assert "Title" in done.stdout
    found = re.findall(r"i\d+: (-?[\d.]+) = (.*), the rest ([+-][\d.]+)", done.stdout)
    assert len(found) == 2
    for score, parts, rest in found:
        total = sum(float(part.rpartition(" ")[2]) for part in parts.split(", ")) + float(rest)
        assert total == pytest.approx(float(score), abs=0.004)  # of rounding


def test_lists_are_written_for_a_table_of_users(
    crossfm: Any, clicks: Path, tables: tuple[Path, Path]
) -> None:
    crossfm("train", clicks, *TRAIN, "--users", tables[0], "-q")
    words = ("--users", tables[0], "-n", 3, "--include-seen", "--exclude", "i1,i2", "--out", "l.csv")
    assert crossfm("recommend", "m.crossfm", *words).exit_code == 0
    table = csv.read_csv("l.csv")
    assert table.num_rows == 45
    assert not {"i1", "i2"} & set(table["item_id"].to_pylist())
    expected = (
        load("m.crossfm").recommend([4], 3, exclude_seen=False, exclude=["i1", "i2"])["item_id"].to_pylist()
    )
    mine = [row["item_id"] for row in table.to_pylist() if row["user_id"] == 4]
    assert mine == expected


def test_a_stranger_gets_popular_items_and_is_told(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, *TRAIN, "-q")
    assert "nothing is known about this user" in crossfm("recommend", "m.crossfm", "--user", "x").stdout


def test_context_changes_the_list_and_must_be_known(crossfm: Any, clicks: Path) -> None:
    crossfm("train", clicks, *TRAIN, "--context", "genres", "-q")
    lists = [
        crossfm(
            "recommend", "m.crossfm", "--user", 1, "--include-seen", "--context", f"genres={value}"
        ).stdout
        for value in ("a|b", "c")
    ]
    assert lists[0] != lists[1]
    done = crossfm("recommend", "m.crossfm", "--user", 1, "--context", "place=home")
    assert done.exit_code == 2
    assert done.stderr == "error: --context names 'place', but the context columns are genres\n"


def test_movielens_is_judged_beside_popularity_with_intervals(crossfm: Any) -> None:
    folder = shared_data("ml-100k")
    names = ("--no-header", "--column-names", "user_id,item_id,rating,time")
    words = (
        "--task",
        "recommendation",
        "--time",
        "time",
        "--valid-fraction",
        0.2,
        "--out",
        "m.crossfm",
        "-q",
    )
    assert crossfm("train", folder / "u.data.gz", *names, *words).exit_code == 0
    crossfm("evaluate", "m.crossfm", folder / "u.data.gz", *names, "--json", "r.json")
    rows = json.loads(Path("r.json").read_text())["evaluation"]["rows"]
    for segment in ("all", "warm", "new"):
        ndcg = {r["system"]: r for r in rows if (r["metric"], r["segment"]) == ("ndcg@20", segment)}
        assert set(ndcg) == {"recall", "popularity", "item-kNN", "EASE", "ideal ranking"}
        assert all(0 < row["low"] < row["mean"] < row["high"] < 1 for row in ndcg.values())


@pytest.mark.parametrize("loss", ["bpr", "warp", "softmax"])
def test_ftrl_keeps_its_own_schedule(crossfm: Any, clicks: Path, loss: str) -> None:
    words = (
        "--task",
        "recommendation",
        "--user",
        "user_id",
        "--item",
        "item_id",
        "--solver",
        "ftrl",
        "--loss",
        loss,
    )
    assert crossfm("train", clicks, *words, "--out", "m.crossfm", "--epochs", 1, "-q").exit_code == 0


def test_a_later_log_without_its_columns_is_refused_before_training(
    crossfm: Any, clicks: Path, tmp_path: Path
) -> None:
    (tmp_path / "later.csv").write_text("who,item_id\n1,2\n")
    words = ("--task", "recommendation", "--user", "user_id", "--item", "item_id", "--valid", "later.csv")
    done = crossfm("train", clicks, *words, "--out", "m.crossfm")
    assert done.exit_code == 2
    assert "names 'user_id', but the table has who, item_id" in done.stderr
    assert not (tmp_path / "m.crossfm").exists()
