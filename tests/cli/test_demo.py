"""``crossfm demo`` on a small made-up stand-in for its data sets."""

from __future__ import annotations

import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

import crossfm
from crossfm.cli import demo_lists, demo_person, demo_ratings
from crossfm.cli import demo_words as words
from crossfm.cli.app import app
from crossfm.datasets import BreastCancer, MovieLens
from crossfm.errors import DataError, DownloadError

DAY = 86_400


def small_movies() -> MovieLens:
    """60 users and 90 movies over 90 days; users 41 to 60 come only in the last fifth."""
    rng = np.random.default_rng(5)
    user = np.concatenate([rng.integers(1, 41, 1600), rng.integers(21, 61, 400)])
    item = np.minimum(rng.geometric(0.04, 2000), 90)
    pairs, first = np.unique(np.stack([user, item]), axis=1, return_index=True)
    user, item = pairs[:, np.argsort(first)]
    n = len(user)
    rating = np.clip(np.round(3 + (user + item) % 3 - 1 + rng.normal(0, 0.7, n)), 1, 5)
    ratings = {
        "user_id": pa.array(user, pa.int32()),
        "item_id": pa.array(item, pa.int32()),
        "rating": pa.array(rating, pa.float32()),
        "timestamp": pa.array(880_000_000 + np.linspace(0, 90 * DAY, n).astype(np.int64)),
    }
    users = {
        "user_id": pa.array(range(1, 61), pa.int32()),
        "age": pa.array(rng.integers(15, 70, 60), pa.int32()),
        "gender": pa.array(rng.choice(["F", "M"], 60)),
        "occupation": pa.array(rng.choice(["artist", "doctor", "student"], 60)),
        "zip_code": pa.array(["00000"] * 60),
    }
    items = {
        "item_id": pa.array(range(1, 91), pa.int32()),
        "title": pa.array(["<b>Tag & Co</b>, The", *(f"Movie {i}" for i in range(2, 91))]),
        "year": pa.array([None if i == 7 else 1950 + i % 48 for i in range(1, 91)], pa.int32()),
        "genres": pa.array(rng.choice(["Drama", "Comedy|Drama", "Action"], 90)),
    }
    return MovieLens(pa.table(ratings), pa.table(users), pa.table(items))


def small_cancer() -> BreastCancer:
    rng = np.random.default_rng(6)
    X = rng.normal(3, 2, (90, 3))
    y = (X[:, 0] + rng.normal(0, 1, 90) > 3).astype(np.int64)
    names = ("radius", "texture", "area")
    return BreastCancer(pa.table(dict(zip(names, X.T, strict=True))), y, names, ("malignant", "benign"))


@pytest.fixture(scope="module")
def stand_in() -> Any:
    """The small sets in the place of the real ones, and shorter trainings."""
    sets = {"movielens-100k": small_movies(), "breast-cancer": small_cancer()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfm.datasets.load", sets.__getitem__)
        patch.setitem(demo_lists.SETTINGS, "max_iter", 4)
        yield sets


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def made(stand_in: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    return folder, run("--output", str(folder)).stdout


@pytest.fixture(scope="module")
def report(made: tuple[Path, str]) -> dict[str, Any]:
    return dict(json.loads((made[0] / "report.json").read_text()))


def timeless(value: Any) -> Any:
    """Return a report without the seconds and the list of files."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name not in ("seconds", "files")}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in numbers_in(one)]
    return [value] if isinstance(value, (int, float)) else []


def test_the_five_parts_are_printed_in_order(made: tuple[Path, str]) -> None:
    places = [made[1].index(f"({letter}) ") for letter in "abcde"]
    assert places == sorted(places)
    assert "crossfm recommend" in made[1]


def test_the_report_has_all_parts_and_only_finite_numbers(report: dict[str, Any]) -> None:
    assert {"rating_prediction", "recommendation", "explanation", "classification"} < set(report)
    assert {"seed", "machine", "data", "seconds", "files"} < set(report)
    assert [s["name"] for s in report["rating_prediction"]["systems"]] == ["bias", "mf", "fm"]
    assert [s["name"] for s in report["classification"]["systems"]] == ["scikit-learn", "linear", "fm"]
    found = numbers_in(report)
    assert len(found) > 500
    assert all(math.isfinite(number) for number in found)


def test_the_report_names_neither_machine_nor_user(made: tuple[Path, str], report: dict[str, Any]) -> None:
    assert set(report["machine"]) == {
        *("crossfm", "cores", "instruction_set", "architecture", "system", "python"),
        *("numpy", "scipy", "pyarrow", "scikit-learn"),
    }
    assert str(made[0].parent) not in (made[0] / "report.json").read_text()
    assert str(made[0].parent) not in (made[0] / "index.html").read_text()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(
    stand_in: Any, made: tuple[Path, str], report: dict[str, Any], tmp_path: Path
) -> None:
    run("--output", str(tmp_path / "again"))
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert timeless(again) == timeless(report)
    for model in made[0].glob("*.crossfm"):
        assert (tmp_path / "again" / model.name).read_bytes() == model.read_bytes() or _same(
            crossfm.load(model), crossfm.load(tmp_path / "again" / model.name)
        )
    run("--output", str(tmp_path / "other"), "--seed", "3")
    other = json.loads((tmp_path / "other" / "report.json").read_text())
    assert other["rating_prediction"]["systems"] != again["rating_prediction"]["systems"]
    assert other["classification"]["systems"] != again["classification"]["systems"]


def _same(one: Any, other: Any) -> bool:
    """Whether two models have equal arrays; their files differ in the seconds of their history."""
    a, b = one.to_state()[0], other.to_state()[0]
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_without_output_nothing_is_written(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: tuple[Path, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run().stdout
    assert list(tmp_path.iterdir()) == []
    assert "--output" in printed
    end = "(e) "
    assert printed[: printed.index(end)] == made[1][: made[1].index(end)]


def test_the_saved_models_give_the_numbers_of_the_report(
    stand_in: Any, made: tuple[Path, str], report: dict[str, Any]
) -> None:
    found = crossfm.load(made[0] / "recommender.crossfm").recommend(
        report["explanation"]["user"]["user_id"], 10
    )
    shown = report["explanation"]["recommended"]
    assert found["item_id"].to_pylist() == [row["item_id"] for row in shown]
    np.testing.assert_allclose(found["score"].to_numpy(), [row["score"] for row in shown], rtol=1e-6)
    table = demo_ratings.with_features(stand_in["movielens-100k"])
    _, test = demo_ratings.random_split(table.num_rows, 0.1, 0)
    test_table = table.take(test)
    predicted = crossfm.load(made[0] / "ratings-fm.crossfm").predict(test_table)
    error = float(np.sqrt(np.mean((predicted - np.asarray(test_table["rating"])) ** 2)))
    assert error == pytest.approx(report["rating_prediction"]["systems"][2]["rmse"], rel=1e-6)
    cancer = stand_in["breast-cancer"]
    assert crossfm.load(made[0] / "breast-cancer.crossfm").score(cancer.X, cancer.y) > 0.6


def test_the_parts_of_a_score_add_up_to_it_and_the_shares_to_one(report: dict[str, Any]) -> None:
    assert report["explanation"]["adds_up"] is True
    for row in report["explanation"]["recommended"]:
        assert sum(part["points"] for part in row["parts"]) == pytest.approx(row["score"], rel=1e-4)
        assert sum(part["share"] for part in row["parts"]) == pytest.approx(1, rel=1e-4)
        assert any(len(part["columns"]) == 2 for part in row["parts"])


def test_the_curve_at_the_kept_epoch_is_the_validation_error(report: dict[str, Any]) -> None:
    for system in report["rating_prediction"]["systems"]:
        kept = next(epoch for epoch in system["epochs"] if epoch["epoch"] == system["best_epoch"])
        assert kept["valid_rmse"] == pytest.approx(system["valid_rmse"], rel=1e-3)


def test_test_interactions_have_no_say_in_the_half_life(stand_in: Any, report: dict[str, Any]) -> None:
    movies = stand_in["movielens-100k"]
    times = movies.ratings["timestamp"].to_numpy()
    train, test = demo_lists.time_split(times, demo_lists.TEST_FRACTION)
    items = movies.ratings["item_id"].to_numpy().copy()
    items[test] = items[test][::-1]
    where = movies.ratings.column_names.index("item_id")
    changed = MovieLens(
        movies.ratings.set_column(where, "item_id", pa.array(items)), movies.users, movies.items
    )
    numbers, _, _ = demo_lists.recommend(changed, 0)
    assert numbers["half_life"] == report["recommendation"]["half_life"]
    assert numbers["rows"] != report["recommendation"]["rows"]
    assert len(train) == numbers["n_train"]


def test_the_longest_half_life_within_one_standard_error_is_taken() -> None:
    def candidate(days: int, value: float) -> dict[str, Any]:
        return {"days": days, "ndcg@20": value, "standard_error": 0.02}

    listed = [candidate(7, 0.37), candidate(14, 0.36), candidate(30, 0.349), candidate(60, 0.30)]
    assert demo_lists.longest_near_best(listed) == 14
    assert demo_lists.longest_near_best([*listed, candidate(90, 0.355)]) == 90


def test_the_user_in_the_middle_is_chosen() -> None:
    before = [(1, 25)] * 25 + [(2, 1)] * 40 + [(3, 1)] * 30 + [(4, 1)] * 30 + [(5, 1)] * 5
    rows = [(user, 1) for user, _ in before] + [(user, 9) for user in (1, 2, 3, 5)]
    table = pa.table({"user_id": [user for user, _ in rows], "timestamp": [time for _, time in rows]})
    assert (
        demo_person.choose_user(table, 9) == 3
    )  # of 1 (25 ratings), 3 (30) and 2 (40); 4 does not come back
    with pytest.raises(DataError, match="nobody"):
        demo_person.choose_user(table, 1)


class Page(HTMLParser):
    """Collects tags with their attributes, and complains about tags that do not close in order."""

    VOID = frozenset({"meta", "br", "path", "use"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def read_page(folder: Path) -> tuple[str, Page]:
    text = (folder / "index.html").read_text(encoding="utf8")
    parsed = Page()
    parsed.feed(text)
    assert parsed.open == []
    return text, parsed


def test_the_page_has_all_sections_and_plots_and_needs_no_other_file(made: tuple[Path, str]) -> None:
    pytest.importorskip("matplotlib", reason="the page has plots only with matplotlib")
    text, parsed = read_page(made[0])
    tags = [tag for tag, _ in parsed.seen]
    assert [attrs["id"] for tag, attrs in parsed.seen if tag == "section"] == list("abcde")
    assert tags.count("svg") == 8
    assert not {"script", "link", "img", "iframe", "a"} & set(tags)
    for _, attrs in parsed.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#")
    assert not re.findall(r"url\((?!#)|@import", text)


def test_text_of_the_data_is_escaped_on_the_page(made: tuple[Path, str], report: dict[str, Any]) -> None:
    report = json.loads(json.dumps(report))
    report["explanation"]["recommended"][0]["title"] = "<b>Tag & Co</b>, The"
    from crossfm.cli.report import page

    text = page(report)
    assert "<b>Tag" not in text
    assert "The &lt;b&gt;Tag &amp; Co&lt;/b&gt;" in text


def test_without_matplotlib_the_page_says_how_to_get_plots(
    report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossfm.cli.report import page

    for name in [
        name for name in sys.modules if name.startswith(("crossfm.plots", "crossfm.cli.report_plots"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = page(report)
    assert "crossfm[plots]" in text
    assert "<svg" not in text
    assert 'id="d"' in text


def test_a_set_that_cannot_be_had_is_one_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> Any:
        raise DownloadError(f"{name} is not in the cache and could not be fetched")

    monkeypatch.setattr("crossfm.datasets.load", fail)
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "error: movielens-100k is not in the cache" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "taken")])
    assert result.exit_code == 2
    assert "which is a file" in result.stderr
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("title", "year", "written"),
    [
        ("Graduate, The", 1967, "The Graduate (1967)"),
        ("Beautiful Thing, A", 1996, "A Beautiful Thing (1996)"),
        ("Thea", 2000, "Thea (2000)"),
        ("unknown", None, "unknown"),
    ],
)
def test_titles_read_as_people_say_them(title: str, year: int | None, written: str) -> None:
    assert words.movie({"title": title, "year": year}) == written


@pytest.mark.parametrize(("folder", "quoted"), [("my demo", "'my demo/recommender.crossfm'"), ("x", "x/rec")])
def test_commands_can_be_pasted_into_a_shell(folder: str, quoted: str) -> None:
    assert quoted in words.next_commands(7, folder)[0]
