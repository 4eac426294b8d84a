"""Small made-up files, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from crossfm.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def crossfm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``crossfm("train", "clicks.csv", ...)`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """600 rows: a user, an item, genres, a price, a time, a weight; click depends on user and item."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 15, 600), rng.integers(0, 12, 600)
    click = (rng.random(600) < np.where((user + item) % 3 == 0, 0.9, 0.1)).astype(int)
    price = rng.gamma(2, 3, 600)
    lines = ["user_id,item_id,genres,price,time,weight,click"]
    for t in range(600):
        genres = ["a|b", "b|c", "c"][item[t] % 3]
        lines.append(
            f"{user[t]},i{item[t]},{genres},{price[t]:.3f},{1_600_000_000 + 1000 * t},{1 + t % 2},{click[t]}"
        )
    path = tmp_path / "clicks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def libsvm(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    pairs = zip(rng.integers(0, 10, 400), rng.integers(10, 20, 400), strict=True)
    path = tmp_path / "rows.libsvm"
    path.write_text("".join(f"{1 if (i + j) % 2 else -1} {i}:1 {j}:1\n" for i, j in pairs))
    return path


@pytest.fixture
def tables(clicks: Path) -> tuple[Path, Path]:
    users, items = clicks.with_name("users.csv"), clicks.with_name("items.csv")
    users.write_text("user_id,age\n" + "".join(f"{i},{20 + i}\n" for i in range(15)))
    items.write_text("item_id,title\n" + "".join(f"i{i},Title {i}\n" for i in range(12)))
    return users, items
