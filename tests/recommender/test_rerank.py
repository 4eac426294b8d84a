"""The last step of a list: likeness counts against an item, caps are kept, and freshness fades."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from crossfm.recommender.rerank import chances_of, drawn, freshened, reorder, standardised
from oracles import mmr, place_chances


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


def units(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(float)


@given(
    candidates(), st.sampled_from([0.0, 0.6]), st.sampled_from([0.3, 2.0]), st.integers(1, 2), st.randoms()
)
def test_chances_are_those_of_the_formula(
    parts: Any, diversity: float, temperature: float, most: int, random: Any
) -> None:
    score, vectors, codes = parts
    order = random.sample(range(len(score)), random.randint(1, len(score)))
    caps = [(arrays(each), most + at) for at, each in enumerate(codes)]
    found = chances_of(score, order, temperature, vectors=vectors, diversity=diversity, caps=caps)
    expected = place_chances(score, units(vectors), order, temperature, diversity, codes, [most, most + 1])
    cut = expected.index(0.0) if 0.0 in expected else len(expected)  # below what cannot come nothing can
    np.testing.assert_allclose(found[:cut], expected[:cut], rtol=1e-4)
    assert not found[cut:].any()


@pytest.mark.parametrize("diversity", [0.0, 0.5])
@pytest.mark.parametrize("capped", [False, True])
def test_lists_are_drawn_as_often_as_their_chances_say(diversity: float, capped: bool) -> None:
    score = np.array([3.0, 2.0, 1.8, 0.0, -1.0], np.float32)
    vectors = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    wishes = {
        "vectors": vectors,
        "diversity": diversity,
        "caps": [(arrays([[0], [0], [1], [1], [0, 1]]), 1)] if capped else [],
    }
    chance = {
        order: float(np.prod(chances_of(score, order, 0.8, **wishes)))
        for order in itertools.permutations(range(5), 2)
    }
    alone = float(chances_of(score, [4], 0.8, **wishes)[0]) if capped else 0.0  # it has both values
    assert sum(chance.values()) + alone == pytest.approx(1.0)
    rng, seen = np.random.default_rng(0), dict.fromkeys(chance, 0)
    n = 3_000
    for _ in range(n):
        order, chances = drawn(score, 2, 0.8, rng, **wishes)
        np.testing.assert_allclose(chances, chances_of(score, order.tolist(), 0.8, **wishes))
        if len(order) == 2:
            seen[tuple(order.tolist())] += 1
    possible = [order for order in chance if chance[order] > 0]
    counts = [*(seen[order] for order in possible), n - sum(seen.values())]
    expected = [*(n * chance[order] for order in possible), n * alone]
    assert sum(seen[order] for order in chance if not chance[order]) == 0
    kept = slice(None, None if capped else -1)
    assert chisquare(counts[kept], expected[kept]).pvalue > 0.001


@given(candidates(), st.sampled_from([0.0, 0.5]), st.integers(1, 14))
def test_without_warmth_a_list_is_by_score_and_nothing_else_has_a_chance(
    parts: Any, diversity: float, n: int
) -> None:
    score, vectors, codes = parts
    wishes = {"vectors": vectors, "diversity": diversity, "caps": [(arrays(codes[0]), 2)]}
    order = reorder(score, n, **wishes).tolist()
    assert chances_of(score, order, 0.0, **wishes).tolist() == [1.0] * len(order)
    for least in (1e-9, 5e-324):
        found, chances = drawn(score, n, least, np.random.default_rng(0), **wishes)
        assert found.tolist() == order
        assert chances.tolist() == [1.0] * len(order)
    if len(order) > 1:
        assert chances_of(score, order[::-1], 0.0, **wishes)[0] == 0.0


def test_no_candidate_stands_twice_and_no_stranger_at_all() -> None:
    score = np.array([2.0, 1.0, 0.0], np.float32)
    assert chances_of(score, [0, 0, 1], 1.0).round(3).tolist() == [0.725, 0.0, 0.0]
    assert chances_of(score, [-1, 0], 1.0).tolist() == [0.0, 0.0]
    empty = np.zeros(0, np.float32)
    assert chances_of(empty, [-1], 1.0, caps=[([], 1)]).tolist() == [0.0]
    assert drawn(empty, 3, 1.0, np.random.default_rng(0), caps=[([], 1)])[0].tolist() == []
