"""CSV, TSV, Parquet and Arrow files through ``read``."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from crossfm.data.readers import read
from crossfm.errors import ColumnError, DataError, OptionError, ParseError
from realdata import shared_data


@pytest.fixture
def csv(tmp_path):
    def write(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_csv_becomes_a_table_with_types(csv):
    table = read(csv('a,b,c\n1,x,.5\n2,"y, z",\n'))
    assert table.to_pydict() == {"a": [1, 2], "b": ["x", "y, z"], "c": [0.5, None]}


def test_tsv_packed_or_named_csv_is_read(csv):
    expected = {"a": [1], "b": ["x"]}
    assert read(csv("a\tb\n1\tx\n", "a.tsv")).to_pydict() == expected
    assert read(csv("a\tb\r\n1\tx\r\n")).to_pydict() == expected
    assert read(csv(gzip.compress(b"\xef\xbb\xbfa\tb\n1\tx"), "a.txt.gz")).to_pydict() == expected


@pytest.mark.parametrize("separator", ["|", ";", "::", "\u00a6"])
def test_any_separator_can_be_named(csv, separator):
    path = csv(f'1{separator}"Q" is{separator}x:y\n'.replace('"Q"', "Q"), "a.dat")
    table = read(path, separator=separator, column_names=["i", "t", "k"])
    assert table.to_pydict() == {"i": [1], "t": ["Q is"], "k": ["x:y"]}


def test_newlines_inside_quotes_belong_to_the_cell(csv):
    n = 200_000  # more than one block of the CSV reader
    table = read(csv("a,b\n" + '1,"x\n\n\ny"\n' * n))
    assert (table.num_rows, table["b"].unique().to_pylist()) == (n, ["x\n\n\ny"])


def test_missing_values_have_several_spellings(csv):
    table = read(csv("a,b\n1,x\nNA,NA\nNaN,null\n,\n"))
    assert table.to_pydict() == {"a": [1, None, None, None], "b": ["x", None, None, None]}
    assert read(csv("a\nx\nNA\n?\n"), null_values=["?"]).to_pydict() == {"a": ["x", "NA", None]}


def test_types_can_be_given(csv):
    path = csv("zip,n\n01234,1\n")
    assert read(path).to_pydict() == {"zip": [1234], "n": [1]}
    table = read(path, column_types={"zip": "string", "n": pa.float32()})
    assert (table["zip"].to_pylist(), table.schema.field("n").type) == (["01234"], pa.float32())
    with pytest.raises(
        ColumnError, match=r"column_types names \['zap'\], but the columns are \['zip', 'n'\]"
    ):
        read(path, column_types={"zap": "string"})
    with pytest.raises(OptionError, match="use pyarrow's names"):
        read(path, column_types={"zip": "text"})
    with pytest.raises(ParseError, match=r"invalid value 'x'.*column_types"):
        read(csv("a\n1\nx\n"), column_types={"a": "int64"})


def test_a_file_without_header_is_not_robbed_of_its_first_row(csv):
    path = csv("1,x\n2,y\n")
    with pytest.raises(
        ParseError, match="saw '1' in the first line, expected column names; pass header=False"
    ):
        read(path)
    assert read(path, header=False).to_pydict() == {"f0": [1, 2], "f1": ["x", "y"]}
    assert read(path, header="auto").column_names == ["f0", "f1"]
    assert read(path, column_names=["n", "s"]).to_pydict() == {"n": [1, 2], "s": ["x", "y"]}
    assert read(path, header=True).to_pydict() == {"1": [2], "x": ["y"]}
    assert read(csv("n,s\n1,x\n"), header="auto").to_pydict() == {"n": [1], "s": ["x"]}
    assert read(csv("x,x\ny,z\n"), header="auto").num_rows == 2


def test_header_options_that_contradict_are_refused(csv):
    path = csv("1,x\n")
    with pytest.raises(OptionError, match="column_names is for a file without a header"):
        read(path, header=True, column_names=["a", "b"])
    with pytest.raises(OptionError, match="'a' more than once"):
        read(path, column_names=["a", "a"])
    with pytest.raises(OptionError, match="header='no'"):
        read(path, header="no")
    with pytest.raises(ParseError, match=r":1:1: the header has 'a' more than once"):
        read(csv("a,a\n1,2\n"))
    for separator in ("", '"', "\n"):
        with pytest.raises(OptionError, match="cannot separate columns"):
            read(path, separator=separator)


@pytest.mark.parametrize("n_threads", [0, 1])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n\n3\n4,5\n", ":4:1: saw 1 columns in '3', expected 2; correct the line"),
        ("a,b\r\n31,3\r\n1,3,4\r\n1,3\r\n", ":3:1: saw 3 columns in '1,3,4', expected 2"),
        ('a,b\n"x\ny",3\n1\n', ":4:1: saw 1 columns in '1', expected 2"),
        ("a,b\n" + "1,2\n" * 400_000 + "1,2,3\n", ":400002:1: saw 3 columns in '1,2,3', expected 2"),
    ],
)
def test_a_wrong_column_count_names_the_line(csv, text, message, n_threads):
    path = csv(text)
    with pytest.raises(ParseError) as caught:
        read(path, n_threads=n_threads)
    assert str(caught.value).startswith(str(path) + message)


def test_too_few_column_names_are_a_wrong_column_count(csv):
    with pytest.raises(ParseError, match=r":1:1: saw 2 columns in '1,2', expected 3"):
        read(csv("1,2\n"), column_names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a,b\n1,x\n2,caf\xe9\n", ":3:6: saw byte 0xe9"),
        (b"a,b\xe9\n1,x\n", ":1:4: saw byte 0xe9"),
        (b"a\n" + b"1\n" * 700_000 + b"\xe9\n", ":700002:1: saw byte 0xe9"),
    ],
)
def test_text_that_is_not_utf8_names_the_place_and_the_remedy(csv, content, place):
    path = csv(content)
    with pytest.raises(ParseError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path) + place)
    assert "pass encoding='latin-1'" in str(caught.value)
    assert read(path, encoding="latin-1").num_rows > 0


def test_other_encodings_can_be_named(csv):
    text = "a,b\n1,é\n"
    assert read(csv(text.encode("utf-16")), encoding="utf-16").to_pydict() == {"a": [1], "b": ["é"]}
    with pytest.raises(ParseError, match="pass encoding='utf-16'"):
        read(csv(text.encode("utf-16")))
    with pytest.raises(OptionError, match="encoding='klingon'"):
        read(csv(text), encoding="klingon")
    with pytest.raises(ParseError, match="byte 6 is not ascii"):
        read(csv(text), encoding="ascii")


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "a,b\n\n"])
def test_a_header_without_rows_is_an_error(csv, content):
    with pytest.raises(DataError, match=r"has columns \(a, b\) but no rows"):
        read(csv(content))


def test_blank_lines_only_are_an_error(csv):
    with pytest.raises(DataError, match="only blank lines"):
        read(csv("\n\n"))


def test_parquet_and_arrow_are_read_whatever_the_name(tmp_path):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    parquet.write_table(table, tmp_path / "p.csv")
    feather.write_feather(table, tmp_path / "f.bin")
    with pa.OSFile(str(tmp_path / "s.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "p.gz").write_bytes(gzip.compress((tmp_path / "p.csv").read_bytes()))
    for name in ("p.csv", "f.bin", "s.arrow", "p.gz"):
        assert read(tmp_path / name).equals(table)


def test_a_directory_of_parquet_files_is_one_table(tmp_path):
    for part in range(2):
        parquet.write_table(pa.table({"a": [part]}), tmp_path / f"part-{part}.parquet")
    assert sorted(read(tmp_path)["a"].to_pylist()) == [0, 1]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_binary_files_that_are_cut_off_or_have_no_rows_are_errors(tmp_path, name):
    write = parquet.write_table if name == "a.parquet" else feather.write_feather
    write(pa.table({"a": list(range(100))}), tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])
    with pytest.raises(DataError, match=f"broken {name[2:]} data"):
        read(tmp_path / name)
    write(pa.table({"a": pa.array([], pa.int64())}), tmp_path / name)
    with pytest.raises(DataError, match=r"has columns \(a\) but no rows"):
        read(tmp_path / name)


def test_csv_options_are_refused_for_parquet(tmp_path):
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(OptionError, match="encoding: means nothing for parquet files"):
        read(tmp_path / "a.parquet", encoding="utf8")


def test_real_tables_are_read():
    ratings = read(shared_data("ml-100k/u.data.gz"), column_names=["user", "item", "rating", "time"])
    assert (ratings.num_rows, ratings["user"][0].as_py()) == (100_000, 196)
    adult = read(shared_data("adult/adult.data.gz"), header="auto")
    assert (adult.num_rows, adult.num_columns) == (32_561, 15)
    items = read(shared_data("ml-100k/u.item.gz"), separator="|", header=False, encoding="latin-1")
    assert (items.num_rows, items.num_columns) == (1_682, 24)
    with pytest.raises(ParseError, match="encoding='latin-1'"):
        read(shared_data("ml-100k/u.item.gz"), separator="|", header=False)
    movies = read(shared_data("ml-1m/movies.dat.gz"), separator="::", header=False, encoding="latin-1")
    assert (movies.num_rows, movies["f1"][0].as_py()) == (3_883, "Toy Story (1995)")
    frappe = read(shared_data("frappe/frappe.csv.gz"))
    assert (frappe.num_rows, frappe.column_names[:2]) == (96_203, ["user", "item"])
