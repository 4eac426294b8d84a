"""The cases that fuzzing found worth keeping (tests/fuzz/text_corpus.txt), each read in every way there is."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from crossfm.kernels.text import parse_text

PACKED = Path(__file__).parents[1] / "fuzz" / "text_corpus.txt"
CASES = [ast.literal_eval(line) for line in PACKED.read_text().splitlines()]
TAIL = b"\n" * 200  # makes the last lines usual ones


def arrays(found):
    """Return label, indptr, indices, values, fields and query ids, where there are some."""
    values = np.ones(len(found.indices), np.float32) if found.values is None else found.values
    return [found.label, found.indptr, found.indices, values, found.fields, found.qid]


def same(one, other):
    if one.fault or other.fault:
        return (one.fault, one.offset) == (other.fault, other.offset)
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all((a is None and b is None) or a.tobytes() == b.tobytes() for a, b in pairs)


def joined(first, second):
    """Return the arrays of two parts as those of one text."""
    if not len(second.label):
        return arrays(first)
    if not len(first.label):
        return arrays(second)
    label, indptr, *others = zip(arrays(first), arrays(second), strict=True)
    return [
        np.concatenate(label),
        np.concatenate([indptr[0], indptr[0][-1] + indptr[1][1:]]),
        *(None if a is None else np.concatenate([a, b]) for a, b in others),
    ]


def test_every_kept_case_has_one_answer():
    for case in CASES:
        text = case[1:]
        options = {"libffm": bool(case[0] & 1), "first_id": case[0] >> 1 & 1}
        exact = parse_text(text, exact=True, **options)
        assert exact.offset <= len(text), case
        assert same(exact, parse_text(text, **options)), case
        assert same(exact, parse_text(text + TAIL, **options)), case
        assert same(exact, parse_text(text, n_threads=1 + (case[0] >> 2 & 3), **options)), case


def test_every_kept_case_that_is_right_may_be_cut_at_each_line():
    cut = 0
    for case in CASES:
        text = case[1:]
        options = {"libffm": bool(case[0] & 1), "first_id": case[0] >> 1 & 1}
        whole = parse_text(text, **options)
        for at in [] if whole.fault else [i + 1 for i, byte in enumerate(text) if byte == 10][:20]:
            parts = joined(parse_text(text[:at], **options), parse_text(text[at:], **options))
            for a, b in zip(arrays(whole), parts, strict=True):
                assert (a is None and b is None) or a.tobytes() == b.tobytes(), case
            cut += 1
    assert cut > 50


def test_the_kept_cases_reach_every_kind_of_fault():
    from crossfm.data.text_errors import FAULTS

    found = {
        parse_text(case[1:], libffm=bool(case[0] & 1), first_id=case[0] >> 1 & 1).fault for case in CASES
    }
    assert found == set(range(len(FAULTS)))
