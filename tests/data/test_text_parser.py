"""The C++ parser of libsvm and libffm text, judged by Python's own split and float."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfm.data.text_errors import FAULTS
from crossfm.kernels import text as kernel

NAMES = [fault.name for fault in FAULTS]
TAIL = b"\n" * 200  # the last lines of a text are always read exactly; blank ones push others forward
ids = st.integers(0, 2**32 - 2) | st.integers(0, 50)
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
numbers = float32s.map(repr) | st.sampled_from(["1", "+2", "-.5", "5.", "1e-3", "1E+2", "007", "0.3651"])
labels = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.sampled_from(["0", "1", "-1", "+1"])
blanks = st.sampled_from([" ", "\t", "  ", " \t "])


def parse_text(data, **options):
    """Parse in all ways there are, and return what all of them say."""
    found = kernel.parse_text(data, exact=True, **options)
    for other in (kernel.parse_text(data, **options), kernel.parse_text(data + TAIL, **options)):
        same_answer(found, other)
    for to_come in (0, 1):
        same_answer(found, line_by_line(data, to_come, **options))
    return found


def line_by_line(data, to_come, *, n_threads=1, **options):
    """Parse a line at a time, told at first that more text is to come or not."""
    table, done = kernel.TextTable(**options), 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        fault, offset = table.add(line, n_threads=n_threads, to_come=to_come * (len(data) - done))
        if fault:
            return table.take()._replace(fault=fault, offset=done + offset)
        done += len(line)
    return table.take()


def same_answer(one, other):
    assert (one.fault, one.offset) == (other.fault, other.offset)
    if not one.fault:
        for a, b in zip(one[2:], other[2:], strict=True):
            assert (a is None) == (b is None)
            assert a is None or (a.dtype == b.dtype and a.tobytes() == b.tobytes())


@st.composite
def files(draw, libffm):
    """Return text and the rows that it means: (label, [(field, id, value text)])."""
    features = st.tuples(ids if libffm else st.just(0), ids, numbers)
    row = st.tuples(labels, st.lists(features, max_size=8, unique_by=lambda f: f[:2]))
    rows = draw(st.lists(row, max_size=12))
    text = ""
    for label, row_features in rows:
        tokens = [f"{f}:{i}:{x}" if libffm else f"{i}:{x}" for f, i, x in row_features]
        text += draw(st.sampled_from(["", "\n", "# a: comment: 1:2\n", " \t\r\n"]))
        text += draw(st.sampled_from(["", " "])) + draw(blanks).join([label, *tokens])
        text += draw(st.sampled_from(["\n", "\r\n", " \n", " # 7:7 é\n", "#\n"]))
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    return text, rows


def check(text, rows, *, libffm, n_threads):
    found = parse_text(text.encode(), libffm=libffm, n_threads=n_threads)
    features = [feature for _, row in rows for feature in row]
    values = [np.float32(float(x)) for _, _, x in features]
    assert found.fault == 0
    assert found.label.tolist() == [float(label) for label, _ in rows]
    assert found.indptr.tolist() == np.cumsum([0] + [len(row) for _, row in rows]).tolist()
    assert found.indices.tolist() == [i for _, i, _ in features]
    assert (found.fields is not None) == libffm
    if libffm:
        assert found.fields.tolist() == [f for f, _, _ in features]
    assert (found.values is None) == all(x == 1 for x in values)
    if found.values is not None:
        assert found.values.tolist() == values


@pytest.mark.parametrize("n_threads", [1, 3])
@given(file=files(libffm=False))
def test_libsvm_text_gives_the_rows_it_was_written_from(n_threads, file):
    check(*file, libffm=False, n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 3])
@given(file=files(libffm=True))
def test_libffm_text_gives_the_rows_it_was_written_from(n_threads, file):
    check(*file, libffm=True, n_threads=n_threads)


NUMBERS = [
    *(
        "0",
        "1",
        "-1",
        "+1",
        "5.",
        ".5",
        "-.5",
        "+5.e0",
        "1e-3",
        "1E3",
        "1e+3",
        "-1.5E-7",
        "00012",
        "0.0",
        "-0",
    ),
    *(
        "0.1",
        "0.3651",
        "3.14159265358979",
        "123456789012345678",
        "1234567890123456789012345",
        "9007199254740993",
    ),
    *("0." + "0" * 30 + "1", "1" + "0" * 30, "1.00000000000000000000000000000001", "179769313486231570e291"),
    *("2.2250738585072011e-308", "4.9e-324", "1e-400", "-1e-400", "0e999999999999999999999", "0.0000e400"),
    *(
        "1e-999999999999999999999",
        "0." + "0" * 400 + "1",
        "0." + "0" * 400 + "1e401",
        "1e0000000000000000001",
    ),
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_mean_what_they_mean_to_python(text):
    label = parse_text(text.encode(), libffm=False).label[0]
    assert label == float(text)
    assert math.copysign(1, label) == math.copysign(1, float(text))


@given(
    st.from_regex(
        r"\A[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?\Z", fullmatch=True
    )
)
@settings(max_examples=300)
def test_any_legal_decimal_is_rounded_as_python_rounds_it(text):
    found = parse_text(text.encode(), libffm=False)
    if math.isinf(float(text)):
        assert NAMES[found.fault] == "label_not_finite"
    else:
        assert found.label.tolist() == [float(text)]


def test_values_are_python_floats_rounded_to_single():
    texts = ["0.1", "16777217", "3.4028235e38", "1e-45", "1e-50", "0.30000001192092896"]
    found = parse_text(" ".join(["1", *(f"{i}:{x}" for i, x in enumerate(texts))]).encode(), libffm=False)
    assert found.values.tolist() == [np.float32(float(x)) for x in texts]


@pytest.mark.parametrize(
    ("line", "fault", "column"),
    [
        ("3:1 4:1", "label_missing", 1),
        ("cat 4:1", "label_malformed", 1),
        ("1,2 4:1", "label_malformed", 1),
        ("0x10 4:1", "label_malformed", 1),
        ("1_0", "label_malformed", 1),
        ("--1", "label_malformed", 1),
        ("+-1", "label_malformed", 1),
        ("-", "label_malformed", 1),
        (".", "label_malformed", 1),
        ("1e", "label_malformed", 1),
        ("1\r2", "label_malformed", 1),
        ("1\x0b2", "label_malformed", 1),
        ("NaN 1:1", "label_not_finite", 1),
        ("-inf 1:1", "label_not_finite", 1),
        ("1e400 1:1", "label_not_finite", 1),
        ("1 2:3 4", "no_colon", 7),
        ("1 2:3 4 :5", "no_colon", 7),
        ("1 2:3:4", "too_many_parts", 5),
        ("1 x:3", "id_malformed", 3),
        ("1 :3", "id_malformed", 3),
        ("1 1.0:3", "id_malformed", 3),
        ("1 +1:3", "id_malformed", 3),
        ("1 qid:3", "qid_unexpected", 3),
        ("1 2:1 -5:3", "id_negative", 7),
        ("1 4294967295:3", "id_too_large", 3),
        ("1 99999999999999999999999999:3", "id_too_large", 3),
        ("1 18446744073709551617:3", "id_too_large", 3),
        ("1 2:", "value_malformed", 5),
        ("1 2: 3", "value_malformed", 5),
        ("1 2:x", "value_malformed", 5),
        ("1 2:1,5", "value_malformed", 5),
        ("1 2:nan", "value_not_finite", 5),
        ("1 2:-Infinity", "value_not_finite", 5),
        ("1 2:1e39", "value_not_finite", 5),
        ("1 2:1 2:1", "duplicate", 7),
        ("1 5:1 2:1 5:2 2:7", "duplicate", 11),
        ("1 2:1 2:1 x:1", "duplicate", 7),
        ("1 2:1 x:1 2:1", "id_malformed", 7),
        ("1 2:1 \xff:1", "id_malformed", 7),
    ],
)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_each_libsvm_fault_is_found_where_it_is(line, fault, column, n_threads):
    before, after = b"0 1:1\n" * 5, b"\n" + b"0 1:1\n" * 5
    found = parse_text(before + line.encode("latin-1") + after, libffm=False, n_threads=n_threads)
    assert (NAMES[found.fault], found.offset) == (fault, len(before) + column - 1)


@pytest.mark.parametrize(
    ("line", "fault", "column"),
    [
        ("1 3", "no_colon", 3),
        ("1 2:3", "too_few_parts", 3),
        ("1 2:3:4:5", "too_many_parts", 7),
        ("1 x:3:4", "field_malformed", 3),
        ("1 -1:3:4", "field_negative", 3),
        ("1 4294967295:3:4", "field_too_large", 3),
        ("1 1:-3:4", "id_negative", 5),
        ("1 1:x:4", "id_malformed", 5),
        ("1 1:4294967295:4", "id_too_large", 5),
        ("1 1:1:x", "value_malformed", 7),
        ("1 1:1:inf", "value_not_finite", 7),
        ("1 1:5:1 2:5:1 1:5:1", "duplicate", 15),
        ("1 qid:5 1:5:1", "too_few_parts", 3),
    ],
)
def test_each_libffm_fault_is_found_where_it_is(line, fault, column):
    found = parse_text(b"0 0:1:1\n" + line.encode() + b"\n0 0:1:1\n", libffm=True)
    assert (NAMES[found.fault], found.offset) == (fault, 8 + column - 1)


def test_the_same_id_in_two_fields_is_not_a_duplicate():
    assert parse_text(b"1 2:5:1 1:5:1", libffm=True).indices.tolist() == [5, 5]


@pytest.mark.parametrize("n", [50, 512, 513, 2000])
def test_a_duplicate_in_a_long_row_out_of_order_is_found(n):
    ids = list(range(n, 0, -1))
    text = "1 " + " ".join(f"{i}:1" for i in ids)
    assert parse_text(text.encode(), libffm=False).indices.tolist() == ids
    found = parse_text(f"{text} 37:1 5:1".encode(), libffm=False)
    assert (NAMES[found.fault], found.offset) == ("duplicate", len(text) + 1)


@given(
    st.lists(st.sampled_from(["1 2:3", "x", "1 3", "", "1 2:nan", "-1 4:1"]), max_size=30), st.integers(1, 40)
)
def test_the_first_error_in_the_file_wins_whatever_the_number_of_threads(lines, n_threads):
    text = "\n".join(lines).encode()
    one, many = (parse_text(text, libffm=False, n_threads=n) for n in (1, n_threads))
    assert (one.fault, one.offset) == (many.fault, many.offset)
    bad = [i for i, line in enumerate(lines) if line in ("x", "1 3", "1 2:nan")]
    assert (one.fault != 0) == bool(bad)
    if bad:
        assert text[: one.offset].count(b"\n") == bad[0]


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_query_ids_are_kept(n_threads):
    text = b"# head\n\n3 qid:1 1:1\n2 qid:9223372036854775807\n1\tqid:2 2:.5 # x\n"
    found = parse_text(text, libffm=False, n_threads=n_threads)
    assert found.qid.tolist() == [1, 2**63 - 1, 2]
    assert found.indices.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "fault", "offset"),
    [
        (b"1 qid:1 1:1\n2 1:1\n", "qid_missing", 14),
        (b"1 qid:1 1:1\n2\n", "qid_missing", 13),
        (b"1\n2 qid:3\n", "qid_unexpected", 4),
        (b"1 qid:x 1:1\n", "qid_malformed", 6),
        (b"1 qid:-1 1:1\n", "qid_malformed", 6),
        (b"1 qid: 1:1\n", "qid_malformed", 6),
        (b"1 qid:9223372036854775808\n", "qid_malformed", 6),
    ],
)
def test_query_ids_are_for_all_rows_or_none(text, fault, offset):
    found = parse_text(text, libffm=False)
    assert (NAMES[found.fault], found.offset) == (fault, offset)


def test_ids_may_be_counted_from_one():
    found = parse_text(b"1 1:1 4294967295:1", libffm=False, first_id=1)
    assert found.indices.tolist() == [0, 2**32 - 2]
    found = parse_text(b"1 1:1 0:1", libffm=False, first_id=1)
    assert (NAMES[found.fault], found.offset) == ("id_zero", 6)


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\r\n", b"# only\n#", b"   ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("libffm", [False, True])
def test_text_without_rows_gives_none(text, libffm):
    found = parse_text(text, libffm=libffm, n_threads=3)
    assert found.fault == 0
    assert [len(found.label), found.indptr.tolist(), len(found.indices)] == [0, [0], 0]


def test_a_byte_order_mark_is_skipped():
    assert parse_text(b"\xef\xbb\xbf1 2:3\n", libffm=False).label.tolist() == [1]


def test_the_arrays_outlive_the_text():
    label = parse_text(b"1 2:3\n" * 1000, libffm=False).label
    assert label.tolist() == [1.0] * 1000
    label[0] = 2  # owned, so writable


def test_the_faults_have_the_same_names_in_cpp_and_python():
    source = Path(__file__).resolve().parents[2] / "cpp" / "text_table.hpp"
    names = re.search(r"enum class Fault : int \{(.*?)\}", source.read_text(), re.S).group(1)
    assert [name.strip() for name in names.split(",") if name.strip()] == NAMES


@given(st.binary(max_size=60) | st.text("0123456789:. \t\r\n#-+eEqidnaf", max_size=60).map(str.encode))
@settings(max_examples=300)
def test_junk_neither_crashes_nor_depends_on_threads(junk):
    for libffm in (False, True):
        one, many = (parse_text(junk, libffm=libffm, n_threads=n) for n in (1, 4))
        assert (one.fault, one.offset) == (many.fault, many.offset)
        assert one.offset <= len(junk)
        if not one.fault:
            assert one.label.tolist() == many.label.tolist()
            assert one.indices.tolist() == many.indices.tolist()
