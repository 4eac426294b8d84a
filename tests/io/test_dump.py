"""The text dump: bit-exact round trips, names of any kind, and errors that name the line."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossfm.core.params import FMParams
from crossfm.errors import DataError, ParseError
from crossfm.io import dump_text, read_dump
from crossfm.io.dump import escape, unescape

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
names = st.text(st.characters() | st.sampled_from("\\\t\n\rtnu"), max_size=6)

EXAMPLE = """\
# crossfm text dump, version 1
# y = bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j
# n_features=2 n_factors=3
bias\t0.1
0\tuser=ann\t-0.25\t0.5 0.125 -1
1\titem\\tup\t0\t1 0 0.0625
"""


def example() -> FMParams:
    V = np.array([[0.5, 0.125, -1], [1, 0, 0.0625]], np.float32)
    return FMParams(0.1, np.array([-0.25, 0], np.float32), V)


@st.composite
def machines(draw):
    shape = draw(st.tuples(st.integers(0, 4), st.integers(0, 3)))
    V = draw(hnp.arrays(np.float32, shape, elements=floats))
    w = draw(hnp.arrays(np.float32, shape[0], elements=floats))
    labels = draw(st.lists(names, min_size=shape[0], max_size=shape[0]))
    return FMParams(draw(st.floats(allow_nan=False, allow_infinity=False)), w, V), labels


@settings(max_examples=80, deadline=None)
@given(machines())
def test_a_dump_brings_back_the_same_bits_and_names(tmp_path_factory, machine):
    params, labels = machine
    path = tmp_path_factory.mktemp("dumps") / "model.txt"
    dump_text(path, params, labels)
    got, got_names = read_dump(path)
    assert got_names == labels
    assert np.float64(got.bias).tobytes() == np.float64(params.bias).tobytes()
    assert got.w.tobytes() == params.w.tobytes()
    assert got.V.tobytes() == params.V.tobytes()
    assert got.V.shape == params.V.shape


def test_every_kind_of_float32_has_digits_enough():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    w = bits[np.isfinite(bits)]
    file = io.StringIO()
    dump_text(file, FMParams(0.0, w, np.zeros((len(w), 0), np.float32)))
    file.seek(0)
    assert read_dump(file)[0].w.tobytes() == w.tobytes()


def test_a_dump_looks_as_documented():
    file = io.StringIO()
    dump_text(file, example(), ["user=ann", "item\tup"])
    assert file.getvalue() == EXAMPLE


def test_features_without_names_are_called_by_their_ids(tmp_path):
    dump_text(tmp_path / "d", example())
    assert read_dump(tmp_path / "d")[1] == ["0", "1"]


@given(names)
def test_an_escaped_name_fits_between_tabs_and_comes_back(name):
    text = escape(name)
    assert not set(text) & set("\t\n\r")
    text.encode()
    assert unescape(text) == name


def test_as_many_names_as_features_are_expected(tmp_path):
    with pytest.raises(DataError, match="1 feature names for 2 features"):
        dump_text(tmp_path / "d", example(), ["one"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# crossfm text", "# other text", "line 1: '# other"),
        ("version 1", "version 2", "line 1: version 2.*upgrade"),
        ("version 1", "version x", "line 1"),
        ("sum_i w_i", "sum_i v_i", "line 2"),
        ("n_features=2", "n_features=two", "line 3"),
        ("n_features=2", "n_features=3", "line 6: the end after 2 of 3"),
        ("n_features=2", "n_features=1", "line 6: a line after the last of 1"),
        ("n_factors=3", "n_factors=2", "line 5: 3 factors, but 2"),
        ("bias\t0.1", "bias 0.1", "line 4"),
        ("bias\t0.1", "bias\tx", "line 4: 'x', but a number"),
        ("bias\t0.1", "bias\tnan", "line 4: the bias nan"),
        ("1\titem", "2\titem", "line 6: feature '2', but feature 1"),
        ("-0.25", "a", "line 5: 'a', but a number"),
        ("0.0625", "1e39", "line 6: feature 1"),
        ("0.0625", "inf", "line 6: feature 1"),
        ("-0.25\t", "-0.25 ", "line 5: 3 columns"),
        ("0.5 0.125", "0.5  0.125", "line 5: 4 factors"),
        ("item\\tup", "item\\xup", "line 6: .*in a name"),
        ("item\\tup", "item\\", "line 6: .*in a name"),
    ],
)
def test_a_dump_that_departs_from_the_format_is_refused_with_its_line(tmp_path, old, new, message):
    assert old in EXAMPLE
    (tmp_path / "d").write_text(EXAMPLE.replace(old, new, 1), newline="\n")
    with pytest.raises(ParseError, match=message):
        read_dump(tmp_path / "d")


def test_a_dump_cut_short_at_any_line_is_refused(tmp_path):
    lines = EXAMPLE.splitlines(keepends=True)
    for n in range(len(lines)):
        (tmp_path / "d").write_text("".join(lines[:n]), newline="\n")
        with pytest.raises(ParseError, match=f"line {max(n, 1)}|line {n + 1}"):
            read_dump(tmp_path / "d")


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path):
    (tmp_path / "d").write_bytes(EXAMPLE.encode().replace(b"user", b"\xff"))
    with pytest.raises(ParseError, match=r"line 5: bytes that are not UTF-8"):
        read_dump(tmp_path / "d")


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(ParseError, match="No such file"):
        read_dump(tmp_path / "none")
    with pytest.raises(ParseError, match="directory"):
        read_dump(tmp_path)


def test_a_bias_of_a_numpy_type_is_written_as_a_plain_number():
    file = io.StringIO()
    dump_text(file, FMParams(np.float64(0.1), np.zeros(0, np.float32), np.zeros((0, 0), np.float32)))
    assert file.getvalue().endswith("bias\t0.1\n")
