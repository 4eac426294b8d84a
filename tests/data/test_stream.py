"""Any file as a stream of rows, by way of its block cache."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_rows import assert_equal
from crossfm import (
    Categorical,
    Encoder,
    MultiCategorical,
    Numeric,
    Rows,
    RowStream,
    infer_columns,
    read,
    stream,
)
from crossfm.data import blocks, pieces
from crossfm.data import stream as windows
from crossfm.data.blocks import concat_rows
from crossfm.data.learn import Learner
from crossfm.data.pieces import Source
from crossfm.data.table_pieces import settled
from crossfm.data.writers import write_libffm, write_libsvm, write_table
from crossfm.errors import (
    ColumnError,
    DataError,
    FeatureIndexError,
    LabelError,
    MissingFileError,
    OptionError,
    ParseError,
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 50 rows, windows of a few of them, files read some hundred bytes at a time."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 50)
    monkeypatch.setattr(windows, "WINDOW", 10_000)
    monkeypatch.setattr(pieces, "PIECE", 700)


def made_rows(n_rows=400, fixed=True, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.full(n_rows, 3) if fixed else rng.integers(0, 5, n_rows)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.concatenate([np.sort(rng.choice(60, n, replace=False)) for n in lengths]).astype(np.uint32)
    values = None if fixed else rng.integers(1, 9, len(ids)).astype(np.float32) / 4
    fields = rng.integers(0, 4, len(ids), np.uint32) if not fixed else None
    shape = {"width": 3} if fixed else {"indptr": indptr}
    return Rows(
        ids,
        int(ids.max()) + 1,
        values=values,
        fields=fields,
        target=rng.integers(0, 2, n_rows) * 1.0,
        **shape,
    )


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.libsvm"
    write_libsvm(path, made_rows())
    return path


def made_table(n_rows=300):
    rng = np.random.default_rng(3)
    return pa.table(
        {
            "user": [f"u{i}" for i in rng.integers(0, 40, n_rows)],
            "tags": [["a|b", "b", None, "c|a"][i] for i in rng.integers(0, 4, n_rows)],
            "price": np.round(rng.gamma(2, 3, n_rows), 3),
            "weight": rng.integers(1, 3, n_rows),
            "click": rng.integers(0, 2, n_rows),
        }
    )


COLUMNS = [Categorical("user"), MultiCategorical("tags"), Numeric("price")]


def whole(found):
    return concat_rows(list(found))


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("name", ["a.libsvm", "a.libffm", "a.libffm.gz"])
def test_a_stream_of_text_has_the_rows_that_read_gives(tmp_path, name, fixed):
    rows = made_rows(fixed=fixed)
    if rows.fields is None:
        rows = Rows(
            rows.indices, rows.n_features, width=3, fields=np.array([5, 0, 7], np.uint32), target=rows.target
        )
    (write_libsvm if "libsvm" in name else write_libffm)(tmp_path / name, rows)
    found = stream(tmp_path / name)
    assert len(found.cache) == 8
    assert_equal(whole(found), read(tmp_path / name))
    assert (found.n_rows, found.n_features, found.nnz) == (400, rows.n_features, rows.nnz)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.arrow", "parts"])
def test_a_stream_of_a_table_has_the_rows_of_an_encoder(tmp_path, name):
    table = made_table()
    if name == "parts":
        (tmp_path / name).mkdir()
        for at in range(3):
            write_table(tmp_path / name / f"{at}.parquet", table.slice(100 * at, 100))
    else:
        write_table(tmp_path / name, table)
    found = stream(tmp_path / name, target="click", weight="weight", columns=COLUMNS)
    encoder = Encoder(COLUMNS).fit(table)
    expected = encoder.transform(table).with_target(table["click"], table["weight"])
    rows = whole(found)
    np.testing.assert_array_equal(rows.indices, expected.indices)
    np.testing.assert_array_equal(rows.field_of_each(), expected.field_of_each())
    np.testing.assert_allclose(rows.values, expected.values, rtol=1e-6)
    np.testing.assert_array_equal(found.labels_of(rows), table["click"])
    np.testing.assert_array_equal(rows.weight, expected.weight)
    assert found.labels_of(rows).dtype == np.int64
    assert found.encoder.feature_names() == encoder.feature_names()
    np.testing.assert_array_equal(found.encoder.feature_counts, encoder.feature_counts)


def test_columns_are_inferred_from_the_first_rows(tmp_path):
    write_table(tmp_path / "t.parquet", made_table())
    found = stream(tmp_path / "t.parquet", target="click", weight="weight")
    assert list(found.encoder.columns) == infer_columns(made_table(), exclude=("click", "weight"))


def test_text_csv_and_parquet_give_the_same_stream(tmp_path):
    table = made_table()
    write_table(tmp_path / "t.csv", table)
    write_table(tmp_path / "t.parquet", table)
    a, b = (stream(tmp_path / name, target="click", columns=COLUMNS) for name in ("t.csv", "t.parquet"))
    assert_equal(whole(a), whole(b))
    order = [np.random.default_rng(0), np.random.default_rng(0)]
    for one, other in zip(a.windows(order[0]), b.windows(order[1]), strict=True):
        assert_equal(one.rows, other.rows)


@pytest.mark.parametrize("late", ["7.5", "true", "x", "2020-01-01", "10:00:00", "2020-01-01 10:00:00", ""])
@pytest.mark.parametrize("early", ["1", "", "true", "2020-01-01", "2020-01-01 10:00:00.5", "2.5", "y"])
def test_a_column_of_csv_has_the_type_that_all_cells_allow(tmp_path, early, late):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + f"{early},1\n" * 200 + f"{late},1\n" * 200)
    source = Source.of(path, {})
    table = settled(source.options, lambda: pa.concat_tables(source.pieces(700)))
    expected = read(path)
    assert table.schema == expected.schema
    assert table.equals(expected)


def test_types_that_were_asked_for_stay(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,0\n" * 300 + "x,1\n")
    found = stream(tmp_path / "t.csv", target="y", columns=[Categorical("a")], column_types={"a": "string"})
    assert found.encoder.feature_names() == ["a=<missing>", "a=<unseen>", "a=1", "a=x"]
    with pytest.raises(ParseError, match=r"conversion error to int64.*column_types"):
        stream(tmp_path / "t.csv", target="y", columns=[Categorical("a")], column_types={"a": "int64"})


@pytest.mark.parametrize("kind", ["text", "bool", "int"])
def test_targets_come_back_as_they_were(tmp_path, kind):
    y = {"text": ["no", "yes", "maybe"], "bool": [True, False, True], "int": [3, -1, 7]}[kind] * 70
    write_table(tmp_path / "t.parquet", pa.table({"a": list(range(210)), "y": y}))
    found = stream(tmp_path / "t.parquet", target="y", columns=[Numeric("a")])
    assert found.all_labels().tolist() == y
    assert found.all_labels().dtype.kind == {"text": "U", "bool": "b", "int": "i"}[kind]


def test_rows_to_validate_on_are_encoded_as_those_trained_on(tmp_path):
    write_table(tmp_path / "t.csv", made_table())
    write_table(tmp_path / "v.csv", made_table(60).slice(20))
    train = stream(tmp_path / "t.csv", target="click", columns=COLUMNS)
    valid = stream(tmp_path / "v.csv", target="click", encoder=train.encoder)
    expected = train.encoder.transform(read(tmp_path / "v.csv"))
    np.testing.assert_array_equal(whole(valid).indices, expected.indices)
    np.testing.assert_array_equal(valid.encoder.feature_counts, train.encoder.feature_counts)


# ------------------------------------------------------------------ order


def numbered(path, n_rows=400):
    """Rows whose target is their number."""
    rows = made_rows(n_rows)
    write_libsvm(path, rows.with_target(np.arange(n_rows)))
    return stream(path)


def epoch(found, seed):
    rng = np.random.default_rng(seed)
    return [window.rows.target.astype(int).tolist() for window in found.windows(rng)]


def test_every_epoch_has_every_row_once_and_mixes_blocks(tmp_path):
    found = numbered(tmp_path / "a.libsvm", 1600)
    one, same, other = epoch(found, 1), epoch(found, 1), epoch(found, 2)
    assert one == same != other
    assert len(one) > 3
    for windows_of in (one, other):
        assert sorted(at for window in windows_of for at in window) == list(range(1600))
    assert any(abs(a - b) > 1 for window in one for a, b in pairwise(window))


def test_without_shuffling_rows_come_in_the_order_of_the_file(tmp_path):
    found = numbered(tmp_path / "a.libsvm")
    assert whole(found).target.tolist() == list(range(400))
    assert np.concatenate([target for target, _ in found.targets()]).tolist() == list(range(400))


def test_what_fits_into_one_window_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 1_000_000)
    found = numbered(tmp_path / "a.libsvm")
    first, second = next(found.windows()), next(found.windows(np.random.default_rng(0)))
    assert first.rows is second.rows
    assert first.rows.target.tolist() == list(range(400))


def test_a_split_is_by_row_and_seed_alone(tmp_path):
    found = numbered(tmp_path / "a.libsvm")
    train, held = found.split(0.3, seed=1)
    sides = [np.concatenate([rows.target for rows in side]).astype(int) for side in (train, held)]
    assert sorted(np.concatenate(sides)) == list(range(400))
    assert (train.n_rows, held.n_rows) == tuple(len(side) for side in sides)
    assert 80 < held.n_rows < 160
    for side, expected in zip((train, held), sides, strict=True):
        shuffled = [window.rows.target[window.chosen] for window in side.windows(np.random.default_rng(0))]
        assert sorted(np.concatenate(shuffled)) == sorted(expected)
        assert np.concatenate([target for target, _ in side.targets()]).tolist() == expected.tolist()
    longer = numbered(tmp_path / "b.libsvm", 500).split(0.3, seed=1)[1]
    assert whole(longer).target[: len(sides[1])].tolist() == sides[1].tolist()
    assert whole(found.split(0.3, seed=2)[1]).target.tolist() != sides[1].tolist()
    with pytest.raises(DataError, match="a part already"):
        train.split(0.5, 0)
    with pytest.raises(OptionError, match="between 0 and 1"):
        found.split(1.0, 0)
    with pytest.raises(DataError, match="too few"):
        numbered(tmp_path / "c.libsvm", 2).split(0.001, 0)


# ------------------------------------------------------------------ the cache


def cache_of(found):
    return found.cache.path, found.cache.path.stat().st_mtime_ns


def test_the_cache_is_used_again_until_the_file_or_a_setting_changes(text):
    first = cache_of(stream(text))
    assert cache_of(stream(text)) == first
    other = stream(text, n_features=99)
    assert other.cache.path != first[0]
    assert other.n_features == 99
    with text.open("a") as file:
        file.write("1 5:1\n")
    found = stream(text)
    assert found.n_rows == 401
    assert cache_of(found) != first
    before = cache_of(found)
    os.utime(text, ns=(1, 1))
    assert cache_of(stream(text)) != before


def test_the_cache_may_lie_elsewhere(text, tmp_path):
    found = stream(text, cache=tmp_path / "new" / "folder")
    assert found.cache.path.parent == tmp_path / "new" / "folder"
    assert list(tmp_path.glob("*.crossfm-cache")) == []
    (tmp_path / "sub").mkdir()
    write_libsvm(tmp_path / "sub" / "a.libsvm", made_rows(seed=5))
    other = stream(tmp_path / "sub" / "a.libsvm", cache=tmp_path / "new" / "folder")
    assert other.cache.path != found.cache.path  # files of one name do not share a cache


@pytest.mark.parametrize("damage", ["cut", "flipped block", "flipped index", "empty", "text"])
def test_a_broken_cache_is_written_again(text, damage):
    path = stream(text).cache.path
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped block":
        data[200] ^= 1
    elif damage == "flipped index":
        data[-50] ^= 1
    path.write_bytes({"empty": b"", "text": b"a,b\n1,2\n" * 99}.get(damage, data))
    assert_equal(whole(stream(text)), read(text))
    assert_equal(whole(stream(text)), read(text))


def test_a_cache_that_breaks_while_it_is_used_is_written_again(text):
    found = stream(text)
    with found.cache.path.open("r+b") as file:  # the very file that is mapped
        file.seek(300)
        file.write(b"broken")
    assert_equal(whole(found), read(text))
    assert np.concatenate([target for target, _ in found.targets()]).tolist() == read(text).target.tolist()


def test_a_source_that_changed_under_a_broken_cache_is_told(text):
    found = stream(text)
    with found.cache.path.open("r+b") as file:
        file.seek(300)
        file.write(b"broken")
    with text.open("a") as file:
        file.write("1 5:1\n")
    with pytest.raises(DataError, match=r"changed while it was used|changed while it was read"):
        whole(found)


def test_a_source_that_changes_while_it_is_read_is_told(text, monkeypatch):
    original = Source.pieces

    def growing(self, *args, **options):
        yield from original(self, *args, **options)
        with text.open("a") as file:
            file.write("1 5:1\n")

    monkeypatch.setattr(Source, "pieces", growing)
    with pytest.raises(DataError, match="changed while it was read"):
        stream(text)
    assert list(text.parent.glob("*cache")) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_told(text):
    text.parent.chmod(0o500)
    with pytest.raises(OptionError, match="cache="):
        stream(text)
    text.parent.chmod(0o700)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("1 0:1\n" * 300 + "1 0:x\n", ParseError, "a.libsvm:301:5: saw 'x'"),
        ("# c\n\n" + "1 0:1\n" * 300 + "cat 0:1", ParseError, "a.libsvm:303:1: saw 'cat'"),
        ("1 qid:1 0:1\n" * 200 + "1 0:1\n" * 200, ParseError, "expected 'qid:'"),
        ("1 0:1\n" * 200 + "1 qid:1 0:1\n" * 200, ParseError, "expected no query id"),
        ("# nothing\n" * 200, DataError, "has no rows"),
    ],
)
def test_bad_text_is_told_where_it_is(tmp_path, content, error, message):
    path = tmp_path / "a.libsvm"
    path.write_text(content)
    with pytest.raises(error, match=message):
        stream(path, format="libsvm")
    assert list(tmp_path.glob("*cache")) == []


def test_query_ids_are_asked_of_all_pieces(tmp_path):
    path = tmp_path / "a.libsvm"
    line = "1 qid:1 0:1\n"
    path.write_text(line * (700 // len(line)) + "1 0:1\n" * 200)
    with pytest.raises(DataError, match="query id"):
        for _ in Source.of(path, {}).pieces(len(line) * (700 // len(line))):
            pass


def test_an_id_beyond_the_asked_features_is_told_with_its_row(tmp_path):
    path = tmp_path / "a.libsvm"
    path.write_text("1 0:1\n" * 300 + "1 9:1\n")
    with pytest.raises(FeatureIndexError, match=r"row 300 .*feature 9, but n_features=5"):
        stream(path, n_features=5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,y\n" + "1,0\n" * 300 + ",\n1,\n", "column 'y' has no value in row 300"),
        ("a,y\n" + "1,0\n" * 300 + "1,2,3\n", "Expected 2 columns, got 3"),
        ("a,y\n", "no rows"),
        ("a,b\n1,2\n", "no column 'y'"),
    ],
)
def test_bad_tables_are_told(tmp_path, rows, message):
    (tmp_path / "t.csv").write_text(rows)
    with pytest.raises((DataError, ColumnError, LabelError), match=message):
        stream(tmp_path / "t.csv", target="y", columns=[Numeric("a")])


def test_options_that_mean_nothing_are_refused(text, tmp_path):
    write_table(tmp_path / "t.csv", made_table())
    for options, message in (
        ({"target": "y"}, "target is for tables"),
        ({"columns": COLUMNS}, "columns is for tables"),
        ({"separator": ","}, "separator: means nothing for libsvm"),
        ({"memory_limit": "much"}, "memory_limit='much'"),
        ({"zero_based": 7}, "zero_based=7"),
    ):
        with pytest.raises(OptionError, match=message):
            stream(text, **options)
    encoder = Encoder(COLUMNS).fit(made_table())
    for options, message in (
        ({}, "say with target="),
        ({"target": "click", "n_features": 3}, "n_features: means nothing"),
        ({"target": "click", "columns": COLUMNS, "encoder": encoder}, "give one of them"),
        ({"target": "click", "separator": "::"}, "only one ASCII character"),
    ):
        with pytest.raises(OptionError, match=message):
            stream(tmp_path / "t.csv", **options)
    with pytest.raises(MissingFileError):
        stream(tmp_path / "nothing.libsvm")
    (tmp_path / "t.parquet.gz").write_bytes(gzip.compress(b"PAR1" * 9))
    with pytest.raises(OptionError, match="packed"):
        stream(tmp_path / "t.parquet.gz", target="y", format="parquet")


def test_a_limit_below_the_program_is_told_with_what_is_needed(text, tmp_path):
    with pytest.raises(OptionError, match=r"memory_limit=20 MB is too small: the program has [\d,]+ MB"):
        stream(text, memory_limit="20MB")
    found = stream(text)
    found.memory_limit = 20_000_000
    with pytest.raises(OptionError, match=r"takes 5 MB more .* about [\d,]+ MB are needed"):
        found.need(5e6)


def test_values_that_are_too_many_to_count_are_told(tmp_path):
    learner = Learner([Categorical("a"), Categorical("b")], memory=20_000)
    learner.add(pa.table({"a": ["x"] * 100, "b": ["y"] * 100}))
    with pytest.raises(OptionError, match=r"values of column 'b'.*hash_buckets"):
        learner.add(pa.table({"a": ["x"] * 1000, "b": [f"value {i}" for i in range(1000)]}))


# ------------------------------------------------------------------ learning in pieces


@given(
    st.lists(st.sampled_from(["a", "b", "cc", None, ""]), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(1, 3),
    st.sampled_from([None, 1, 2]),
)
def test_vocabularies_learnt_in_pieces_are_those_of_the_whole(cells, ends, min_count, max_size):
    column = Categorical("a", min_count=min_count, max_size=max_size)
    learnt = learn(column, pa.array(cells, pa.string()), ends)
    whole_table = pa.table({"a": pa.array(cells, pa.string())})
    assert learnt.feature_names() == Encoder([column]).fit(whole_table).feature_names()


@given(
    st.lists(st.floats(-1e6, 1e6, width=32) | st.none(), min_size=1, max_size=200),
    st.lists(st.integers(0, 200), max_size=4),
    st.sampled_from(["standard", "none", "log", "quantile", "log2"]),
)
def test_numbers_learnt_in_pieces_are_those_of_the_whole(cells, ends, transform):
    column = Numeric("a", transform=transform)
    array = pa.array(cells, pa.float64())
    arrays, _ = learn(column, array, ends).to_state()
    expected, _ = Encoder([column]).fit(pa.table({"a": array})).to_state()
    for name in set(expected) - {"feature_counts"}:
        np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-9, atol=1e-9)


def learn(column, array, ends):
    learner = Learner([column])
    bounds = [0, *sorted(min(end, len(array)) for end in ends), len(array)]
    for a, b in pairwise(bounds):
        learner.add(pa.table({"a": array[a:b]}))
    return learner.encoder()


def test_quantiles_of_many_values_come_from_a_sample(monkeypatch):
    from crossfm.data import learn as module

    monkeypatch.setattr(module, "SAMPLE", 2000)
    values = np.random.default_rng(0).random(50_000)
    edges = []
    for size in (50_000, 777):
        learner = Learner([Numeric("a", "quantile", n_buckets=4)])
        for start in range(0, len(values), size):
            learner.add(pa.table({"a": values[start : start + size]}))
        edges.append(learner.encoder().to_state()[0]["column0.edges"])
    np.testing.assert_allclose(edges[0], [0.25, 0.5, 0.75], atol=0.05)
    assert len(learner._learners[0].values) == 2000


def test_counts_are_merged_when_new_ones_are_many(monkeypatch):
    from crossfm.data import learn as module

    monkeypatch.setattr(module, "_MERGE", 10)
    learner = Learner([Categorical("a")])
    for start in range(20):
        learner.add(pa.table({"a": [f"v{i}" for i in range(start, start + 5)] + ["common"]}))
        assert sum(map(len, learner._learners[0].new)) <= max(10, len(learner._learners[0].merged)) + 6
    names = learner.encoder().feature_names()
    assert names[2] == "a=common"
    assert len(names) == 2 + 1 + 24


def test_a_table_without_a_column_to_learn_from_is_told(tmp_path):
    write_table(tmp_path / "t.csv", pa.table({"a": [1] * 30, "y": [0, 1] * 15}))
    with pytest.raises(DataError, match=r"no column of the table is worth learning from .a: constant"):
        stream(tmp_path / "t.csv", target="y")


def test_the_public_class_is_what_stream_gives(text):
    assert isinstance(stream(text), RowStream)
