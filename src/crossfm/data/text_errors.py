"""The sentences for what the text parser could not read."""

from __future__ import annotations

import re
from typing import NamedTuple

from crossfm.data.rows import MAX_FEATURES
from crossfm.errors import ParseError

_EXCERPT = 40  # characters shown


class Fault(NamedTuple):
    """One way a line can be wrong; ``{form}`` stands for the format's shape of a feature."""

    name: str
    expected: str
    remedy: str


_MAX = MAX_FEATURES - 1
_NUMBER = "a number like 1, -0.5, .5 or 1e-3"
# The same names, in the same order, are in cpp/text_table.hpp.
FAULTS = (
    Fault("none", "", ""),
    Fault("label_missing", "a label before the features", "start each line with one (0 where it is unknown)"),
    Fault(
        "label_malformed",
        f"a label: {_NUMBER}",
        "write classes as numbers, or read a table with format='csv'",
    ),
    Fault("label_not_finite", "a finite label", "drop the row or give it a label"),
    Fault("qid_malformed", "a whole number from 0 to 2**63-1 after 'qid:'", "number the queries"),
    Fault("qid_unexpected", "no query id, as the first row has none", "give every row a query id, or none"),
    Fault(
        "qid_missing",
        "'qid:' and a number after the label, as in the first row",
        "give every row one, or none",
    ),
    Fault("no_colon", "{form}", "put the missing colon, or '#' before a comment"),
    Fault("too_few_parts", "{form}", "if this is libsvm, pass format='libsvm'"),
    Fault(
        "too_many_parts", "{form}", "if there are fields, pass format='libffm'; else take out the extra colon"
    ),
    Fault("field_malformed", "a whole number as field", "number the fields from 0"),
    Fault("field_negative", f"a field from 0 to {_MAX}", "number the fields from 0"),
    Fault("field_too_large", f"a field from 0 to {_MAX}", "number the fields from 0"),
    Fault("id_malformed", "a whole number as feature id", "number the features, or hash their names"),
    Fault("id_negative", f"a feature id from 0 to {_MAX}", "number the features from 0"),
    Fault(
        "id_too_large",
        f"a feature id of 32 bits (up to {_MAX})",
        "number the features, or hash them to fewer",
    ),
    Fault("id_zero", "ids from 1, as zero_based=False says", "pass zero_based=True"),
    Fault("value_malformed", f"a value: {_NUMBER}", "correct it, or leave the feature out"),
    Fault("value_not_finite", "a finite value (float32: up to 3.4e38)", "leave the feature out, or scale it"),
    Fault("duplicate", "each feature once a row", "keep one of them, or add their values up"),
)
_PART = (
    "field_malformed",
    "field_negative",
    "field_too_large",
    "id_malformed",
    "id_negative",
    "id_too_large",
    "id_zero",
)


def parse_error(
    path: object, data: bytes, fault: int, offset: int, *, form: str, lines_before: int = 0
) -> ParseError:
    """Make the error for ``fault`` at byte ``offset`` of ``data``: place, what was seen, expected, to do.

    ``lines_before`` is the number of the file's lines before ``data``.
    """
    _, expected, remedy = FAULTS[fault]
    line_start = data.rfind(b"\n", 0, offset) + 1
    line = data.count(b"\n", 0, line_start) + 1
    if lines_before + line == 1 and data.startswith(b"\xef\xbb\xbf"):
        line_start = 3
    seen, odd = _seen(data, line_start, offset, FAULTS[fault].name in _PART)
    if odd:
        expected, remedy = (
            "text in UTF-8",
            "check that the file is what its name says, or save it as plain text",
        )
    place = f"{path}:{lines_before + line}:{offset - line_start + 1}"
    return ParseError(f"{place}: saw {seen}, expected {expected.format(form=form)}; {remedy}")


def _seen(data: bytes, line_start: int, offset: int, part_only: bool) -> tuple[str, bool]:
    """Return the text at ``offset`` and its token for display, and whether it is not text at all."""
    before = re.split(rb"[ \t]", data[max(line_start, offset - _EXCERPT) : offset])[-1]
    after = re.split(rb"[ \t#]|\r?\n|\r?\Z", data[offset : offset + 4 * _EXCERPT], maxsplit=1)[0]
    seen = after.split(b":")[0] if part_only else after
    for i, byte in enumerate(before + after):
        if byte < 32 or byte == 127 or (byte > 127 and not _is_utf8(before + after)):
            return f"byte 0x{(before + after)[i]:02x} in {_show(before + after)}", True
    if not after:
        return f"nothing after {_show(before)}" if before.endswith(b":") else "the end of the line", False
    if seen == before + after:
        return _show(seen), False
    return f"{_show(seen)} in {_show(before + after)}", False


def _is_utf8(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError as exc:
        return exc.start >= 3 * _EXCERPT  # the excerpt may cut a character in two
    return True


def _show(token: bytes) -> str:
    text = token.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...").replace("\\\\x", "\\x")
