"""Formats are recognised by magic bytes, name and first lines, in this order."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from crossfm.data.formats import Format, detect_format
from crossfm.errors import DataError, MissingFileError, OptionError
from realdata import shared_data


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.libsvm", b"1 2:3\n", "libsvm"),
        ("a.svm", b"1 2:3\n", "libsvm"),
        ("a.libfm", b"1 2:3\n", "libsvm"),
        ("a.libffm", b"1 2:3:4\n", "libffm"),
        ("A.FFM", b"1 2:3:4\n", "libffm"),
        ("a.csv", b"a,b\n", "csv"),
        ("a.csv", b"a\n1\n", "csv"),
        ("a.csv", b"a\tb\n", "tsv"),
        ("a.tsv", b"a\tb\n", "tsv"),
        ("a.txt", b"1 2:3\n0 1:1 4:.5 # x y\n1\n", "libsvm"),
        ("a.dat", b"\xef\xbb\xbf1\t2:3\r\n", "libsvm"),
        ("a.txt", b"# only words\n3 qid:1 2:3\n", "libsvm"),
        ("a.txt", b"1 2:3:4 1:1:1\n", "libffm"),
        ("a.data", b"1\t2\t3\n", "tsv"),
        ("a", b"x,y\n1,2\n", "csv"),
        ("noise.parquet.bak", b"PAR1junk", "parquet"),
        ("a.csv", b"PAR1junk", "parquet"),
        ("a.csv", b"ARROW1\0\0", "arrow"),
        ("a.feather", b"FEA1", "arrow"),
        ("a.bin", b"\xff\xff\xff\xff\0\0", "arrow"),
    ],
)
def test_name_and_content_tell_the_format(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    assert detect_format(path) == Format(expected)
    for suffix, codec in ((".gz", "gzip"), (".zst", "zstd")):
        packed = tmp_path / (name + suffix)
        packed.write_bytes(
            pa.compress(content, codec, asbytes=True) if codec == "zstd" else gzip.compress(content)
        )
        assert detect_format(packed) == Format(expected, codec)


def test_compression_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"a,b\n")
    (tmp_path / "b.csv").write_bytes(gzip.compress(b"a,b\n"))
    assert detect_format(tmp_path / "a.csv.gz") == Format("csv")
    assert detect_format(tmp_path / "b.csv") == Format("csv", "gzip")


def test_a_line_cut_by_the_first_bytes_does_not_mislead(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1 1:1\n0 " + b"123:1 " * 20_000)
    assert detect_format(tmp_path / "a.txt") == Format("libsvm")


def test_a_directory_of_parquet_files_is_parquet(tmp_path):
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "part-0.parquet")
    assert detect_format(tmp_path) == Format("parquet")


def test_a_given_format_or_separator_decides(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1::2::3\n")
    assert detect_format(tmp_path / "a.txt", format="libsvm") == Format("libsvm")
    assert detect_format(tmp_path / "a.txt", separator="::") == Format("csv")
    with pytest.raises(OptionError, match="format='xls', but it is one of libsvm"):
        detect_format(tmp_path / "a.txt", format="xls")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"one\ntwo\n", r"unknown format \(neither.*Say which with format= \(libsvm, libffm"),
        (b"1::2::3\n", r"unknown format.*separator='::'"),
        (b"1|2|3\n", r"unknown format.*separator='\|'"),
        (b"a\0b,c\n", "unknown format"),
        (b"PK\x03\x04zip", "zip archive.*Unpack"),
        (b"BZh9", "bzip2"),
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "empty once unpacked"),
        (gzip.compress(bytes(range(256)) * 99)[:-20], "broken or cut off gzip data"),
    ],
)
def test_what_cannot_be_recognised_is_said(tmp_path, content, match):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        detect_format(path)


def test_missing_files_and_directories_are_said(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        detect_format(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError):
        detect_format(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a directory, but a file was expected"):
        detect_format(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"not it")
    with pytest.raises(DataError, match="named like Parquet"):
        detect_format(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frappe/frappe.test.libfm.gz", "libsvm"),
        ("frappe/frappe.csv.gz", "tsv"),
        ("criteo/xlearn_small_train.txt.gz", "libffm"),
        ("criteo/criteo_train_head10k.txt.gz", "tsv"),
        ("criteo/deepctr_criteo_sample.txt.gz", "csv"),
        ("xlearn_demos/agaricus_train.txt.gz", "libsvm"),
        ("xlearn_demos/titanic_train.txt.gz", "tsv"),
        ("ml-100k/u.data.gz", "tsv"),
        ("adult/adult.data.gz", "csv"),
    ],
)
def test_real_files_are_recognised(name, expected):
    assert detect_format(shared_data(name)) == Format(expected, "gzip")
