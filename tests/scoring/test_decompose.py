"""Recall vectors against the oracle's split of the score."""

from dataclasses import replace

import numpy as np
import pytest

from crossfm.core.field_params import FFMParams, FieldPairParams, pair_count
from crossfm.core.params import FMParams, HOFMParams
from crossfm.data.relation import Relation
from crossfm.data.rows import Rows, join_rows
from crossfm.errors import DataError, OptionError
from crossfm.scoring import field_weighted
from crossfm.scoring.decompose import FactorWeighted, item_vectors, query_vectors, recall_machine
from crossfm.scoring.field_weighted import FieldWeighted
from field_rows import as_rows as field_rows
from machines import as_rows, random_params, random_rows
from oracles import field_pair_score, fm_score, recall_vectors


@pytest.mark.parametrize("n_factors", [0, 1, 8, 13])
def test_constant_plus_inner_product_is_the_score_of_the_joined_row(n_factors):
    rng = np.random.default_rng(n_factors)
    params = random_params(rng, 6 + 9, n_factors)
    queries = random_rows(rng, 5, 6, values=True)
    items = [[(6 + i, x) for i, x in row] for row in random_rows(rng, 8, 9, values=True)]
    q, const = query_vectors(as_rows(queries, 15), params)
    t = item_vectors(as_rows(items, 15), params)
    whole = [[fm_score(a + b, params.bias, params.w, params.V) for b in items] for a in queries]
    np.testing.assert_allclose(const[:, None] + q @ t.T, whole, rtol=1e-5, atol=1e-5)
    for n, query in enumerate(queries):
        for m, item in enumerate(items):
            parts = recall_vectors(query, item, params.bias, params.w, params.V)
            for got, expected in zip((const[n], q[n], t[m]), parts, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_a_weight_for_each_factor_goes_into_both_sides(sign):
    """Positive, negative, or of both signs with a zero among them."""
    rng = np.random.default_rng(sign + 1)
    params = random_params(rng, 15, 6)
    h = np.append(rng.normal(size=5), 0.0) if sign == 0 else sign * rng.uniform(0.2, 2, 6)
    machine = FactorWeighted(params, h.astype(np.float32))
    queries = random_rows(rng, 5, 6, values=True)
    items = [[(6 + i, x) for i, x in row] for row in random_rows(rng, 8, 9, values=True)]
    q, const = query_vectors(as_rows(queries, 15), machine)
    t = item_vectors(as_rows(items, 15), machine)
    assert q.dtype == t.dtype == const.dtype == np.float32
    assert t.shape[1] == q.shape[1] <= 7
    complex_V = params.V * np.emath.sqrt(h)  # h_f v_if v_jf, whatever the sign

    def score(row):
        pairs = fm_pairs(row, complex_V)
        return params.bias + sum(params.w[i] * x for i, x in row) + pairs

    whole = [[score(a + b) for b in items] for a in queries]
    np.testing.assert_allclose(const[:, None] + q @ t.T, whole, rtol=1e-5, atol=1e-5)


def fm_pairs(row, V):
    """The pairs alone, of factors that may be imaginary."""
    pairs = (V[i] @ V[j] * x * y for at, (i, x) in enumerate(row) for j, y in row[at + 1 :])
    return float(np.real(sum(pairs, 0.0)))


def sides(rng, n_query_fields, n_item_fields, *, n_rows=(4, 7), per_field=3):
    """Rows of (field, feature, value) of both sides with several features in a field, and fields that stay empty."""
    made = []
    for side, (n_fields, first) in enumerate(((n_query_fields, 0), (n_item_fields, n_query_fields))):
        rows = [[]]  # the first has nothing
        while len(rows) < n_rows[side] and n_fields:
            some = rng.random((n_fields, per_field)) < 0.4
            rows.append(
                [
                    (int(f), int((first + f) * per_field + i), float(np.float32(rng.normal())))
                    for f, i in zip(*np.nonzero(some), strict=True)
                ]
            )
        made.append(rows)
    return made


@pytest.mark.parametrize("kind", ["fwfm", "fmfm", "fwfm without pairs in a field"])
@pytest.mark.parametrize(
    ("n_query_fields", "n_item_fields"), [(2, 4), (4, 2), (3, 3), (1, 1), (0, 2), (2, 0)]
)
def test_a_weight_for_each_pair_of_fields_makes_a_block_for_each_field_of_the_smaller_side(
    kind, n_query_fields, n_item_fields, monkeypatch
):
    monkeypatch.setattr(field_weighted, "NUMBERS_AT_ONCE", 40)  # a few rows at once
    rng = np.random.default_rng(10 * n_query_fields + n_item_fields)
    n_fields, k = n_query_fields + n_item_fields, 5
    plain = random_params(rng, 3 * n_fields, k)
    shape = (pair_count(n_fields), k, k) if kind == "fmfm" else (pair_count(n_fields),)
    pairs = rng.normal(size=shape).astype(np.float32)
    params = FieldPairParams(plain.bias, plain.w, plain.V, n_fields, pairs)
    within = 0.0 if "without" in kind else 1.0
    machine = recall_machine(
        params if within else FieldWeighted.of_pairs(params), n_query_fields=n_query_fields
    )
    queries, items = sides(rng, n_query_fields, n_item_fields)
    q, const = query_vectors(field_rows(queries, 3 * n_fields), machine)
    t = item_vectors(field_rows(items, 3 * n_fields), machine)
    assert q.dtype == t.dtype == const.dtype == np.float32
    assert q.shape[1] == t.shape[1] == k * min(n_query_fields, n_item_fields) + 1

    for n, query in enumerate(queries):
        for m, item in enumerate(items):
            row = query + [(f + n_query_fields, i, x) for f, i, x in item]
            expected = field_pair_score(row, params.bias, params.w, params.V, params.between)
            if not within:
                expected -= sum(
                    params.V[i] @ params.V[j] * x * y
                    for at, (a, i, x) in enumerate(row)
                    for b, j, y in row[at + 1 :]
                    if a == b
                )
            assert const[n] + q[n] @ t[m] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_fields_are_needed_and_have_to_be_those_of_the_side():
    params = random_params(np.random.default_rng(0), 6, 2)
    pairs = FieldPairParams(0.0, params.w, params.V, 3, np.ones(3, np.float32))
    with pytest.raises(OptionError, match="needs n_query_fields"):
        recall_machine(pairs)
    with pytest.raises(OptionError, match="n_query_fields=4, but the machine knows 3 fields"):
        recall_machine(pairs, n_query_fields=4)
    machine = recall_machine(pairs, n_query_fields=1)
    with pytest.raises(DataError, match="field 1, but this side of the machine has 1"):
        query_vectors(field_rows([[(1, 2, 1.0)]], 6), machine)
    with pytest.raises(DataError, match="no fields"):
        item_vectors(Rows(np.array([4], np.uint32), 6, width=1), machine)


def test_machines_that_do_not_split_are_refused_with_the_reason():
    w, V = np.zeros(4, np.float32), np.zeros((4, 2), np.float32)
    assert recall_machine(FMParams(0.0, w, V)).V is V
    for params, reason in [
        (FFMParams(0.0, w, 2, 2, []), "a vector for each pair of fields"),
        (HOFMParams(0.0, w, V, V), "triples"),
        ([FMParams(0.0, w, V)] * 3, "3 machines, one for each class"),
        (object(), "the score of object does not split"),
    ]:
        with pytest.raises(OptionError, match=f"{reason}.*Recall with fm, fwfm"):
            recall_machine(params)


def test_relations_are_counted_in_plain_vectors_and_refused_with_fields():
    rng = np.random.default_rng(0)
    params = random_params(rng, 6, 3)
    own = as_rows([[(0, 1.0)], [(1, 2.0)]], 6)
    related = as_rows([[(4, 1.0), (5, 0.5)]], 6)
    rows = replace(own, relations=(Relation(related, np.array([0, 0], np.uint32)),))
    written = join_rows(own, related.take(np.array([0, 0])))
    np.testing.assert_allclose(item_vectors(rows, params), item_vectors(written, params), rtol=1e-6)
    pairs = FieldPairParams(0.0, params.w, params.V, 2, np.ones(1, np.float32))
    with pytest.raises(DataError, match="the rows have relations"):
        item_vectors(rows, recall_machine(pairs, n_query_fields=1))
