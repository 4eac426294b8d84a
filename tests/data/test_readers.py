"""``read``: rows of libsvm and libffm files, and what it says about bad ones."""

from __future__ import annotations

import gzip
import os
import re

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_svmlight_file

from crossfm.data.formats import Format
from crossfm.data.readers import read
from crossfm.data.text import read_text
from crossfm.errors import DataError, FeatureIndexError, MissingFileError, OptionError, ParseError
from realdata import shared_data


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.libsvm"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_libsvm_becomes_rows_of_fixed_width_where_it_can(file):
    rows = read(file("1 0:1 5:2\n-1 3:1 4:.5\n"))
    assert (rows.width, rows.indptr, rows.n_rows, rows.n_features) == (2, None, 2, 6)
    assert rows.indices.tolist() == [0, 5, 3, 4]
    assert rows.values.tolist() == [1, 2, 1, 0.5]
    assert rows.target.tolist() == [1, -1]
    ragged = read(file("1 0:1 5:1\n-1\n"))
    assert ragged.indptr.tolist() == [0, 2, 2]
    assert ragged.values is None


def test_libffm_keeps_fields_once_when_all_rows_have_the_same(file):
    rows = read(file("1 0:1:1 7:5:2\n0 0:9:1 7:8:1\n", "a.ffm"))
    assert rows.fields.tolist() == [0, 7]
    assert rows.field_of_each().tolist() == [0, 7, 0, 7]
    assert read(file("1 0:1:1 7:5:2\n0 1:9:1 7:8:1\n", "a.ffm")).fields.tolist() == [0, 7, 1, 7]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_packed_text_is_unpacked(file, codec):
    text = b"1 2:3\n" * 1000
    packed = gzip.compress(text) if codec == "gzip" else pa.compress(text, "zstd", asbytes=True)
    assert read(file(packed, "a.svm.x"), format="libsvm").n_rows == 1000


def test_many_threads_read_what_one_reads(file):
    rng = np.random.default_rng(0)
    lines = [f"{i} {' '.join(f'{j}:{j % 7}.5' for j in range(rng.integers(0, 9)))}" for i in range(150_000)]
    path = file("\n".join(lines))  # some MB: enough for several threads
    one, three = read(path, n_threads=1), read(path, n_threads=3)
    for name in ("indices", "indptr", "values", "target"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_text_read_in_many_pieces_is_what_one_piece_gives(file, monkeypatch, packed, n_threads):
    lines = ["", "# nothing", "1 qid:7 2:1 # longer than a piece " + "-" * 300]
    lines += [f"{i % 3} qid:{i} {i}:1 {i + 1}:{1 + i // 100}" for i in range(300)]  # ones only, at first
    text = "\n".join(lines).encode()
    path = file(gzip.compress(text) if packed else text)
    format = Format("libsvm", "gzip" if packed else None)
    whole = read_text(path, format)
    monkeypatch.setattr("crossfm.data.text._BYTES_A_THREAD", 64)
    parts = read_text(path, format, n_threads=n_threads)
    np.testing.assert_array_equal(parts.qid, whole.qid)
    for name in ("indices", "indptr", "values", "target"):
        np.testing.assert_array_equal(getattr(parts.rows, name), getattr(whole.rows, name))
    bad = file(text + b"\n1 qid:1 2\n" + text)
    with pytest.raises(ParseError, match=re.escape(f"{bad}:{len(lines) + 1}:9: saw '2', expected id:value")):
        read_text(bad, Format("libsvm"), n_threads=n_threads)


def test_query_ids_can_be_had(file):
    found = read_text(file("1 qid:4 2:3\n0 qid:5 2:3\n"), Format("libsvm"))
    assert found.qid.tolist() == [4, 5]


def test_ids_stay_unless_the_file_is_said_to_count_from_one(file):
    path = file("1 1:1 5:2\n")
    assert read(path).indices.tolist() == read(path, zero_based=True).indices.tolist() == [1, 5]
    shifted = read(path, zero_based=False)
    assert (shifted.indices.tolist(), shifted.n_features) == ([0, 4], 5)


def test_n_features_is_the_largest_id_plus_one_or_as_given(file):
    path = file("1 1:1\n0 5:2\n")
    assert read(path).n_features == 6
    assert read(path, n_features=9).n_features == 9
    with pytest.raises(FeatureIndexError, match=r"row 1 .*feature 5, but n_features=5.*n_features=6"):
        read(path, n_features=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 2:3\ncat 4:1\n",
            ":2:1: saw 'cat', expected a label: a number like 1, -0.5, .5 or 1e-3; write classes",
        ),
        ("1 2:3\n4:1\n", ":2:1: saw '4:1', expected a label before the features; start each line"),
        ("nan 4:1\n", ":1:1: saw 'nan', expected a finite label; drop"),
        ("1 4:1 5\n", ":1:7: saw '5', expected id:value; put the missing colon"),
        (
            "1 4:1:2\n",
            ":1:5: saw '1:2' in '4:1:2', expected id:value; if there are fields, pass format='libffm'",
        ),
        ("1 -4:1\n", ":1:3: saw '-4' in '-4:1', expected a feature id from 0 to 4294967294; number"),
        ("1 4294967295:1", ":1:3: saw '4294967295' in '4294967295:1', expected a feature id of 32 bits"),
        ("1 a:1\n", ":1:3: saw 'a' in 'a:1', expected a whole number as feature id; number"),
        ("1 4:x#y\n", ":1:5: saw 'x' in '4:x', expected a value: a number like"),
        ("1 4:\r\n", ":1:5: saw nothing after '4:', expected a value"),
        ("1 4:inf\n", ":1:5: saw 'inf' in '4:inf', expected a finite value"),
        ("1 4:1 4:2\n", ":1:7: saw '4:2', expected each feature once a row; keep one"),
        ("1 qid:1 4:1\n1\n", ":2:2: saw the end of the line, expected 'qid:' and a number"),
        (b"1 4:1\n1 5:1 caf\xe9\n", ":2:7: saw byte 0xe9 in 'caf\\xe9', expected text in UTF-8; check"),
        (b"1 4:1\n\x00\x01\x02", ":2:1: saw byte 0x00 in '\\x00\\x01\\x02', expected text in UTF-8"),
        ("\ufeff1 4:1 5\n", ":1:7: saw '5', expected id:value"),
        ("1 4:1 caf\u00e9\n", ":1:7: saw 'caf\u00e9', expected id:value"),
        ("1 " + "x" * 100, f":1:3: saw '{'x' * 37}...', expected id:value"),
    ],
)
def test_an_error_says_where_what_was_seen_and_what_was_expected(file, text, message):
    path = file(text)
    with pytest.raises(ParseError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path) + message)


def test_an_error_of_libffm_speaks_of_libffm(file):
    with pytest.raises(
        ParseError, match="saw '3:4', expected field:id:value; if this is libsvm, pass format"
    ):
        read(file("1 3:4\n", "a.ffm"))


@pytest.mark.parametrize("name", ["a.libsvm", "a.ffm", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.txt"])
def test_an_empty_file_is_an_error_in_every_format(file, name):
    with pytest.raises(DataError, match="is empty"):
        read(file(b"", name))


def test_text_without_rows_is_an_error(file):
    with pytest.raises(DataError, match="no rows, only blank lines or comments"):
        read(file("# nothing\n\n"))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_packed_data_that_is_cut_off_is_an_error(file, codec):
    text = os.urandom(150_000).hex().encode()
    packed = gzip.compress(text) if codec == "gzip" else pa.compress(text, "zstd", asbytes=True)
    with pytest.raises(DataError, match=f"broken or cut off {codec} data"):
        read(file(packed[:-10], "a.svm"))


def test_a_missing_file_and_a_directory_are_errors(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read(tmp_path / "a.libsvm")
    with pytest.raises(DataError, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"separator": "|", "header": False}, "separator, header: means nothing for libsvm files"),
        ({"zero_based": "maybe"}, "zero_based='maybe'"),
        ({"n_features": 0}, "n_features=0"),
        ({"n_threads": -2}, "n_threads=-2"),
    ],
)
def test_options_that_mean_nothing_are_refused(file, options, match):
    with pytest.raises(OptionError, match=match):
        read(file("1 2:3\n"), **options)


def test_text_options_are_refused_for_tables(file):
    with pytest.raises(OptionError, match="n_features: means nothing for csv files"):
        read(file("a,b\n1,2\n", "a.csv"), n_features=3)


def test_real_libsvm_reads_as_scikit_learn_reads_it():
    path = shared_data("frappe/frappe.test.libfm.gz")
    rows = read(path)
    X, y = load_svmlight_file(str(path), zero_based=True)
    assert (rows.n_rows, rows.width, rows.values) == (28_860, 10, None)
    assert (rows.target == 1).sum() == 9_536
    np.testing.assert_array_equal(rows.target, y)
    np.testing.assert_array_equal(rows.indices, X.indices)
    assert rows.n_features == X.shape[1]


def test_made_libsvm_reads_as_scikit_learn_reads_it(file):
    rng = np.random.default_rng(1)
    lines = []
    for _ in range(2000):
        ids = np.sort(rng.choice(1000, rng.integers(0, 20), replace=False)) + 1
        lines.append(" ".join([f"{rng.normal():.6g}", *(f"{i}:{rng.normal():.8g}" for i in ids)]))
    path = file("\n".join(lines) + "\n")
    rows = read(path, zero_based=False, n_features=1000)
    X, y = load_svmlight_file(str(path), n_features=1000, zero_based=False)
    np.testing.assert_array_equal(rows.target, y)
    np.testing.assert_array_equal(rows.offsets(), X.indptr)
    np.testing.assert_array_equal(rows.indices, X.indices)
    np.testing.assert_array_equal(rows.values, X.data.astype(np.float32))


def test_real_libffm_reads():
    rows = read(shared_data("criteo/xlearn_small_train.txt.gz"))
    assert rows.n_rows == 200
    assert len(np.unique(rows.field_of_each())) == 18
    assert rows.offsets()[-1] == rows.nnz
    assert rows.indices[:3].tolist() == [0, 1163, 8672]
    assert rows.values[0] == np.float32(0.3651)
