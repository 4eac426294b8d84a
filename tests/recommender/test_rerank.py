"""The last step of a list: likeness counts against an item, caps are kept, and freshness fades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.recommender.rerank import freshened, reorder, standardised
from oracles import mmr


@st.composite
def candidates(draw: Any) -> tuple[Any, Any, list[list[list[int]]]]:
    """Falling scores without ties, vectors, and for two attributes the codes of each candidate, none to several."""
    n = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    score = np.sort(rng.permutation(60)[:n].astype(np.float32) / 7)[::-1].copy()
    vectors = rng.standard_normal((n, 3)).astype(np.float32)
    codes = [
        [sorted(set(rng.integers(0, 4, rng.integers(0, 3)).tolist())) for _ in range(n)] for _ in range(2)
    ]
    return score, vectors, codes


def arrays(codes: list[list[int]]) -> list[Any]:
    return [np.array(each, np.int64) for each in codes]


@given(candidates(), st.sampled_from([0.0, 0.2, 0.7, 1.0]), st.integers(1, 3), st.integers(1, 14))
def test_lists_are_those_of_the_formula(parts: Any, diversity: float, most: int, n: int) -> None:
    score, vectors, codes = parts
    caps = [(arrays(each), most + at) for at, each in enumerate(codes)]
    found = reorder(score, n, vectors=vectors, diversity=diversity, caps=caps)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(float)
    assert found.tolist() == mmr(score, unit, n, diversity, codes, [most, most + 1])


@given(candidates(), st.sampled_from([0.0, 0.5]), st.integers(1, 2))
def test_caps_hold_and_no_item_that_fits_is_left_out(parts: Any, diversity: float, most: int) -> None:
    score, vectors, codes = parts
    n = len(score)
    found = reorder(score, n, vectors=vectors, diversity=diversity, caps=[(arrays(codes[0]), most)])
    assert len(set(found.tolist())) == len(found)
    taken = [code for at in found for code in codes[0][at]]
    assert all(taken.count(code) <= most for code in taken)
    for at in set(range(n)) - set(found.tolist()):
        assert any(taken.count(code) == most for code in codes[0][at])


@given(candidates(), st.integers(1, 14))
def test_without_wishes_the_order_stays(parts: Any, n: int) -> None:
    score, vectors, _ = parts
    assert reorder(score, n, vectors=vectors).tolist() == list(range(min(n, len(score))))


def test_twins_of_what_stands_above_come_last() -> None:
    score = np.array([3.0, 2.9, 2.8, 2.7], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    assert reorder(score, 4, vectors=vectors, diversity=0.9).tolist() == [0, 3, 2, 1]


def test_items_without_a_vector_are_like_nothing() -> None:
    score = np.array([3.0, 2.0], np.float32)
    assert reorder(score, 2, vectors=np.zeros((2, 2), np.float32), diversity=0.5).tolist() == [0, 1]


def test_new_items_gain_in_deviations_and_half_as_much_a_half_life_later() -> None:
    score = np.array([4.0, 2.0, 0.0, 0.0], np.float32)
    age = np.array([0.0, 10.0, np.nan, -5.0])
    gain = freshened(score, age, 2.0, 10.0) - standardised(score)
    np.testing.assert_allclose(gain, [2.0, 1.0, 0.0, 2.0], atol=1e-6)


@pytest.mark.parametrize("score", [[5.0, 5.0], [1.0]])
def test_equal_scores_have_no_deviations(score: list[float]) -> None:
    assert standardised(np.array(score, np.float32)).tolist() == [0.0] * len(score)
