"""Blocks of rows: cut, put together, packed, and back again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_rows import any_rows, assert_equal
from crossfm.data import blocks
from crossfm.data.blocks import Layout, concat_rows, cut, decode_blocks, encode_block, slice_rows
from crossfm.data.rows import Rows


def parts_of(rows, ends):
    bounds = [0, *sorted({end for end in ends if 0 < end < rows.n_rows}), rows.n_rows]
    return [slice_rows(rows, a, b) for a, b in pairwise(bounds)]


@given(any_rows(), st.lists(st.integers(0, 12), max_size=3))
def test_slices_put_together_are_the_whole(rows, ends):
    assert_equal(concat_rows(parts_of(rows, ends)), rows)


@given(any_rows(), st.lists(st.integers(0, 12), max_size=3))
def test_blocks_come_back(rows, ends):
    parts = parts_of(rows, ends)
    layout = Layout()
    for part in parts:
        layout = layout.after(part)
    packed = [(np.frombuffer(encode_block(part), np.uint8), part.n_rows, part.nnz) for part in parts]
    assert_equal(decode_blocks(packed, layout), rows)


@given(any_rows(), any_rows())
def test_pieces_of_different_forms_fit_together(a, b):
    if (a.fields is None) != (b.fields is None):
        b = replace(b, fields=None)
        a = replace(a, fields=None)
    layout = Layout().after(a).after(b)
    packed = [(np.frombuffer(encode_block(rows), np.uint8), rows.n_rows, rows.nnz) for rows in (a, b)]
    both = decode_blocks(packed, layout)
    ones = (
        replace(a, weight=np.ones(a.n_rows, np.float32)) if a.weight is None and b.weight is not None else a
    )
    assert_equal(
        slice_rows(both, 0, a.n_rows),
        replace(ones, indptr=a.indptr if both.width else a.offsets(), width=both.width),
    )
    assert both.n_rows == a.n_rows + b.n_rows


def test_bytes_that_belong_to_other_rows_are_refused():
    rows = Rows(np.arange(6, dtype=np.uint32), 6, width=2, target=np.zeros(3))
    data = np.frombuffer(encode_block(rows), np.uint8)
    with pytest.raises(ValueError, match="lengths"):
        decode_blocks([(data, 3, 7)], Layout().after(rows))
    with pytest.raises(ValueError, match="cut off"):
        decode_blocks([(data[:-25], 3, 6)], Layout().after(rows))


@given(any_rows(40), st.lists(st.integers(0, 40), max_size=5), st.integers(1, 9), st.integers(1, 20))
def test_where_blocks_end_depends_on_the_rows_alone(rows, ends, most_rows, most_nonzeros):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ROWS", most_rows)
        patch.setattr(blocks, "BLOCK_NONZEROS", most_nonzeros)
        found = list(cut(parts_of(rows, ends)))
        whole = list(cut([rows]))
    assert [block.n_rows for block in found] == [block.n_rows for block in whole]
    assert_equal(concat_rows(found), rows)
    for block, after in zip(whole, [*whole[1:], None], strict=True):
        assert block.n_rows == 1 or (block.n_rows <= most_rows and block.nnz <= most_nonzeros)
        if after is not None:  # it could not have been longer
            first = after.offsets()[1]
            assert block.n_rows == most_rows or block.nnz + first > most_nonzeros


def test_one_hot_rows_take_the_bytes_of_their_ids_and_labels():
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(0, 200, 1000), 200 + rng.integers(0, 60_000, 1000)], 1).astype(np.uint32)
    rows = Rows(
        ids.ravel(),
        60_200,
        width=2,
        fields=np.array([0, 1], np.uint32),
        target=rng.integers(0, 2, 1000) * 1.0,
    )
    a_row = 1 + 2 + 4  # ids of one and two bytes, a float64 that is 0 or 1
    assert len(encode_block(rows)) < a_row * 1000 + 200
