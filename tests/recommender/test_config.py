"""The configuration of two stages: written for people, read with care."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossfm.data.columns import Categorical, MultiCategorical, Numeric
from crossfm.errors import DataError, OptionError
from crossfm.recommender.config import Config, column_of, make_ranker, make_recommender, read_config
from crossfm.recommender.roles import Roles, guess_roles
from crossfm.recommender.write_config import config_text

LEAST = '[data]\ninteractions = "log.csv"\n[roles]\nuser = "u"\nitem = "i"\n'


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "recommender.toml"
    path.write_text(text, encoding="utf8")
    return read_config(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "user_id": rng.integers(0, 9, 99),
            "item": rng.integers(0, 9, 99),
            "ts": 1_600_000_000 + np.arange(99),
            'odd "name"\\é': ["a", "b", "c"] * 33,
            "click": rng.integers(0, 2, 99),
        }
    )
    roles = guess_roles(table)
    files = {"interactions": "my log.csv", "separator": "|", "items": "items.csv"}
    columns = {'odd "name"\\é': ("multi:|", "it has # in it"), "plain": ("drop", "")}
    config = read(tmp_path, config_text(files, roles, columns, True))
    assert config.data.interactions == "my log.csv"
    assert (config.data.separator, config.data.items, config.data.users) == ("|", "items.csv", "")
    assert (config.roles.user, config.roles.item, config.roles.time) == ("user_id", "item", "ts")
    assert config.roles.context == ['odd "name"\\é']
    assert config.columns == {'odd "name"\\é': "multi:|", "plain": "drop"}
    assert config.ranking.train_on == "impressions"
    assert config.recall.history == 20


def test_channels_are_written_as_a_comment_that_can_be_taken_in(tmp_path: Path) -> None:
    text = config_text({"interactions": "x.csv"}, Roles("u", "i", item_time="born"), {}, False)
    assert read(tmp_path, text).recall.channels == {}
    assert read(tmp_path, text).evaluation.channels
    config = read(tmp_path, text.replace("# channels =", "channels ="))
    assert config.recall.channels == {"popular": 20, "item-kNN": 50, "tags": 20, "latest": 10}
    assert make_recommender(config, None).channels == config.recall.channels
    plain = config_text({"interactions": "x.csv"}, Roles("u", "i"), {}, False)
    assert "latest" not in read(tmp_path, plain.replace("# channels =", "channels =")).recall.channels


def test_without_a_time_nothing_ages() -> None:
    text = config_text({"interactions": "x.csv"}, Roles("u", "i"), {}, False)
    assert "history = 0" in text
    assert "half_life = 0.0" in text
    assert 'train_on = "recalled"' in text


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("[recal]\nhistory = 3", "unknown setting recal; did you mean 'recall'"),
        ("[recall]\nhistroy = 3", "unknown setting recall.histroy; did you mean 'history'"),
        ('[recall]\nhistory = "many"', "recall.history is 'many', but int is expected"),
        ("recall = 3", "recall is a table of settings"),
        ("[recall]\nchannels = 3", "recall.channels is 3, but dict is expected"),
        (
            "[recall]\nchannels = { tag = 3 }",
            r"\[recall\] channels: there is no channel 'tag'.*did you mean 'tags'",
        ),
        ("[recall]\nchannels = { latest = 3 }", r"\[recall\] channels: the channel latest needs item_time"),
        ("[recall]\nn_candidates = 9\nchannels = { tags = 10 }", "add up to 10, but n_candidates is 9"),
        ('[columns]\nage = "number"', r"\[columns\] age is 'number', but kinds are categorical"),
        ('[ranking]\ntrain_on = "hope"', "train_on is 'hope'"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, more: str, match: str) -> None:
    text = f"{more}\n{LEAST}" if more.startswith("recall =") else LEAST + more
    with pytest.raises(OptionError, match=match):
        read(tmp_path, text)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not TOML"):
        read(tmp_path, "[data")
    with pytest.raises(DataError, match="No such file"):
        read_config(tmp_path / "nothing.toml")
    with pytest.raises(OptionError, match="interactions names no file"):
        read(tmp_path, "")
    with pytest.raises(OptionError, match=r"\[roles\] item names no column"):
        read(tmp_path, '[data]\ninteractions = "x"\n[roles]\nuser = "u"')


def test_settings_reach_the_machines(tmp_path: Path) -> None:
    more = (
        "seed = 5\nthreads = 2\n"
        + LEAST
        + 'time = "t"\ncontext = ["c"]\n[recall]\nhistory = 7\nn_candidates = 50\n'
        'half_life = 3\nchannels = { popular = 5, "item-kNN" = 9 }\noptions = { n_factors = 4, l2_V = 0.5 }\n'
        '[ranking]\nmachine = "ffm"\nshare = 0.5\nnegatives = 3\noptions = { max_iter = 2 }\n'
    )
    model = make_recommender(read(tmp_path, more), None)
    assert (model.user, model.item, model.time, model.context) == ("u", "i", "t", ("c",))
    assert (model.history, model.n_candidates, model.half_life) == (7, 50, 3.0)
    assert model.channels == {"popular": 5, "item-kNN": 9}
    assert (model.retriever.n_factors, model.retriever.l2_V, model.retriever.random_state) == (4, 0.5, 5)
    assert (model.ranker_share, model.ranker_negatives) == (0.5, 3)
    ranker: Any = model.ranker
    assert (type(ranker).__name__, ranker.n_factors, ranker.max_iter, ranker.n_threads) == (
        "FFMClassifier",
        4,
        2,
        2,
    )


@pytest.mark.parametrize("name", ["none", "fm", "ffm", "fwfm", "nfm", "deepfm"])
def test_machines_go_by_their_names(name: str) -> None:
    config = Config()
    config.ranking.machine = name
    made = make_ranker(config, 8)
    assert (made is None) == (name == "none")
    if made is not None:
        assert made.n_factors == 8


def test_options_that_a_machine_lacks_are_named(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST + "[recall]\noptions = { n_factor = 4 }")
    with pytest.raises(OptionError, match=r"recall.options has 'n_factor'.*did you mean 'n_factors'"):
        make_recommender(config, None)


def test_kinds_of_columns() -> None:
    assert column_of("a", "numeric") == Numeric("a")
    assert column_of("a", "categorical") == Categorical("a")
    assert column_of("a", "multi") == MultiCategorical("a", combiner="sqrtn")
    assert column_of("a", "multi:;") == MultiCategorical("a", separator=";", combiner="sqrtn")
