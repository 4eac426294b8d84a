"""``crossfm train --share``: columns that use the vocabulary of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfm import Categorical, FMClassifier, MultiCategorical, load
from crossfm.cli.follow_lines import LineReader


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["item,before,last,click"]
    for _ in range(200):
        item, before, *last = (f"i{i}" for i in rng.integers(0, 6, 4))
        lines.append(f"{item},{before},{'|'.join(last)},{int(item in (before, *last))}")
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


SHARE = ("--share", "last=item", "--share", "before=item", "--epochs", "2")


@pytest.mark.parametrize(
    "more", [(), ("--memory-limit", "2GB"), ("--multi", "last:|", "--categorical", "before")]
)
def test_columns_share_whatever_else_is_said_of_them(
    crossfm: Any, visits: Path, more: tuple[str, ...]
) -> None:
    done = crossfm("train", visits, "-o", "m.crossfm", *SHARE, *more)
    assert done.exit_code == 0, done.output
    assert "shares the vocabulary of item" in done.output
    encoder = load("m.crossfm").encoder_
    before, last = Categorical("before", share="item"), MultiCategorical("last", share="item")
    assert list(encoder.columns) == [Categorical("item"), before, last]
    assert encoder.n_features == 2 + 6
    shown = crossfm("inspect", "m.crossfm")
    assert shown.exit_code == 0
    assert "share=item" in shown.output
    assert crossfm("predict", "m.crossfm", visits, "--out", "p.csv").exit_code == 0


def test_a_number_that_shares_becomes_a_category(crossfm: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i * 1.5},{i % 2}\n" for i in range(100))
    (tmp_path / "n.csv").write_text("item_id,price,y\n" + rows)
    assert crossfm("train", "n.csv", "-o", "m.crossfm", "--share", "price=item_id").exit_code == 0
    assert load("m.crossfm").encoder_.columns[1] == Categorical("price", share="item_id")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (("last",), "it must be column=other"),
        (("=item",), "it must be column=other"),
        (("lst=item",), "Did you mean 'last'?"),
        (("last=itm",), "the encoder has no such column. It has item, before, last"),
        (("last=last",), "must be the name of another column"),
        (("last=item", "last=before"), "say one thing about it"),
    ],
)
def test_sharing_that_cannot_be_is_one_line(
    crossfm: Any, visits: Path, share: tuple[str, ...], words: str
) -> None:
    options = [word for one in share for word in ("--share", one)]
    done = crossfm("train", visits, "-o", "m.crossfm", *options)
    assert done.exit_code == 2
    assert words in done.output


def test_a_column_is_not_dropped_and_shared(crossfm: Any, visits: Path) -> None:
    done = crossfm("train", visits, "-o", "m.crossfm", "--drop", "last", "--share", "last=item")
    assert done.exit_code == 2
    assert "say one thing about it" in done.output


def test_features_of_items_share_with_the_items(crossfm: Any, clicks: Path, tmp_path: Path) -> None:
    lines = "".join(f"i{i},i{(i + 1) % 12}|i{(i + 2) % 12}\n" for i in range(12))
    (tmp_path / "like.csv").write_text("item_id,like\n" + lines)
    items = ("--items", "like.csv", "--share", "like=item_id")
    done = crossfm("train", clicks, "--task", "recommendation", *items, "-o", "r.crossfm")
    assert done.exit_code == 0, done.output
    assert load("r.crossfm").items_.encoder.n_features == 2 + 12


def test_lines_of_a_column_that_shares_hashes_can_be_followed(tmp_path: Path) -> None:
    columns = [Categorical("item", hash_buckets=8), Categorical("before", share="item")]
    model = FMClassifier(2, columns=columns, max_iter=1).fit(
        {"item": ["a", "b"], "before": ["b", "a"]}, [0, 1]
    )
    reader = LineReader(model, tmp_path / "x.csv", "csv", target="y")
    batch, bad = reader.read([b"a,c,1"], ["item", "before", "y"])
    assert batch is not None
    assert batch.rows.n_rows == 1
    assert not bad
