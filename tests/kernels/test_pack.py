"""Packed words come back as they were, in as few bytes as they need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.kernels.pack import TAIL, constant_size, pack, pack_columns, unpack


@st.composite
def matrices(draw):
    """Matrices of words, each column with numbers of a size of its own."""
    n_rows, width = draw(st.integers(0, 20)), draw(st.integers(1, 5))
    low = draw(st.lists(st.sampled_from([0, 7, 2**31]), min_size=width, max_size=width))
    above = [0, 255, 256, 65535, 65536, 2**24 - 1, 2**24, 2**31 - 1]
    high = draw(st.lists(st.sampled_from(above), min_size=width, max_size=width))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    columns = [
        rng.integers(a, a + b, n_rows, np.uint32, endpoint=True) for a, b in zip(low, high, strict=True)
    ]
    return np.stack(columns, axis=1), width


@given(matrices())
def test_words_come_back(matrix):
    words, width = matrix
    packed = pack(words.ravel(), width)
    out = np.empty(words.size, np.uint32)
    more = np.concatenate([packed, np.full(3, 77, np.uint8)])  # what follows is not looked at
    assert unpack(more, width, out) == len(packed)
    np.testing.assert_array_equal(out.reshape(words.shape), words)


@given(matrices())
def test_cut_off_words_are_refused(matrix):
    words, width = matrix
    packed = pack(words.ravel(), width)
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="cut off"):
            unpack(packed[:length], width, np.empty(words.size, np.uint32))


@pytest.mark.parametrize(
    ("span", "bits"),
    [(0, 0), (1, 1), (2, 2), (255, 8), (256, 9), (2**17 - 1, 17), (2**31, 32), (2**32 - 1, 32)],
)
def test_a_column_takes_the_bits_of_its_largest_word_less_its_smallest(span, bits):
    words = np.tile(np.array([2**32 - 1 - span, 2**32 - 1], np.uint32), 4)
    assert len(pack(words, 1)) == constant_size(1) + bits


def test_the_bytes_are_smallest_words_bits_rows_and_a_tail():
    packed = pack(np.array([5, 300, 5, 301, 5, 307], np.uint32), 2)
    rows = 0b111_001_000
    assert packed.tolist() == [5, 0, 0, 0, 44, 1, 0, 0, 0, 3, rows & 255, rows >> 8] + [0] * TAIL


def test_columns_that_never_change_take_no_room_for_rows():
    words = np.array([3, 2**32 - 1], np.uint32)
    out = np.empty(2000, np.uint32)
    assert unpack(pack_columns(words), 2, out) == constant_size(2)
    np.testing.assert_array_equal(out.reshape(1000, 2), np.tile(words, (1000, 1)))


def test_more_than_32_bits_are_refused():
    packed = np.append(pack(np.array([1, 2], np.uint32), 1), np.zeros(99, np.uint8))
    packed[4] = 33
    with pytest.raises(ValueError, match="cut off"):
        unpack(packed, 1, np.empty(2, np.uint32))
