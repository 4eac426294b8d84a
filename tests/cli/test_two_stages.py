"""``crossfm init`` and ``crossfm fit-recommender``: from a file of clicks to a version that can be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts import visits
from crossfm.recommender.config import read_config


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Log, users and items as CSV files."""
    log, users, items = visits()
    items["title"] = [f"The {kind} of {at}" for at, kind in enumerate(items.kind)]
    log["when"] = log["when"].astype(int) + 1_600_000_000
    log.to_csv(tmp_path / "log.csv", index=False)
    users.to_csv(tmp_path / "users.csv", index=False)
    items.to_csv(tmp_path / "items.csv", index=False)
    return tmp_path


def test_from_files_to_a_version(crossfm: Any, shop: Path) -> None:
    done = crossfm("init", "log.csv", "--users", "users.csv", "--items", "items.csv")
    assert done.exit_code == 0, done.stderr
    assert "user      user_id" in done.stdout
    assert "context   part" in done.stdout
    config = read_config(shop / "recommender.toml")
    assert (config.roles.time, config.roles.title) == ("when", "title")
    assert config.columns["tags"] == "multi:|"
    assert config.columns["title"] == "drop"
    done = crossfm("fit-recommender", "recommender.toml")
    assert done.exit_code == 0, done.stderr
    assert "900 interactions of 'user_id' with 'item_id'" in done.stdout
    assert "NDCG@20" in done.stdout
    assert "next: crossfm serve models" in done.stdout
    version = (shop / "models" / "CURRENT").read_text().strip()
    manifest = json.loads((shop / "models" / version / "manifest.json").read_text())
    assert any(name.endswith("ndcg@20") for name in manifest["metrics"])


def test_a_log_that_has_everything_needs_no_other_file(crossfm: Any, shop: Path) -> None:
    log, users, items = visits()
    log["when"] = log["when"].astype(int) + 1_600_000_000
    log = log.merge(users, on="user_id").merge(items, on="item_id")
    log["clicked"] = np.arange(len(log)) % 3 > 0
    log.astype({"clicked": int}).to_csv(shop / "all.csv", index=False)
    assert crossfm("init", "all.csv", "-o", "all.toml").exit_code == 0
    text = (shop / "all.toml").read_text()
    assert 'item_columns = ["kind", "tags"]' in text
    assert 'user_columns = ["taste", "age"]' in text
    assert 'train_on = "impressions"' in text
    (shop / "all.toml").write_text(
        text.replace('machine = "none"', 'machine = "fm"\noptions = { max_iter = 2 }')
    )
    done = crossfm("fit-recommender", "all.toml", "--no-judge")
    assert done.exit_code == 0, done.stderr
    assert "600 interactions of" in done.stdout
    assert "impressions: 900 rows" in done.stdout


def test_rows_without_a_user_an_item_or_a_time_are_left_out_and_told(crossfm: Any, shop: Path) -> None:
    lines = (shop / "log.csv").read_text().splitlines()
    head = lines[0].split(",")
    for row, name in ((5, "user_id"), (6, "item_id"), (7, "when"), (7, "user_id")):
        cells = lines[row].split(",")
        cells[head.index(name)] = ""
        lines[row] = ",".join(cells)
    (shop / "log.csv").write_text("\n".join(lines) + "\n")
    assert crossfm("init", "log.csv", "--users", "users.csv", "--items", "items.csv").exit_code == 0
    done = crossfm("fit-recommender", "recommender.toml", "--no-judge")
    assert done.exit_code == 0, done.stderr
    assert "3 rows are left out: they have no user_id, or no item_id, or no when" in done.stdout
    assert "897 interactions" in done.stdout
    assert "memory: about" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('user = "user_id"', 'user = "usr_id"'), "names 'usr_id'"),
        (('label = ""', 'label = "clicked"'), "names 'clicked'"),
        (("history = 20", "histori = 20"), "did you mean 'history'"),
        (('taste = "categorical"', 'tast = "categorical"'), "tast is no column"),
        (('interactions = "log.csv"', 'interactions = "lag.csv"'), "lag.csv"),
        (('train_on = "recalled"', 'train_on = "impressions"'), "names none and [roles] no label"),
    ],
)
def test_what_is_wrong_is_one_line(crossfm: Any, shop: Path, change: Any, message: str) -> None:
    crossfm("init", "log.csv", "--users", "users.csv", "--items", "items.csv")
    path = shop / "recommender.toml"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    done = crossfm("fit-recommender", "recommender.toml")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (shop / "models").exists()


def test_a_configuration_is_not_written_over(crossfm: Any, shop: Path) -> None:
    assert crossfm("init", "log.csv").exit_code == 0
    done = crossfm("init", "log.csv")
    assert (done.exit_code, "--force" in done.stderr) == (2, True)
    assert crossfm("init", "log.csv", "--force").exit_code == 0
    done = crossfm("init", "log.csv", "--out", "log.csv", "--force")
    assert (done.exit_code, "destroy" in done.stderr) == (2, True)
    done = crossfm("init", "log.csv", "--user", "usr_id", "--force")
    assert (done.exit_code, "Did you mean 'user_id'" in done.stderr) == (2, True)
