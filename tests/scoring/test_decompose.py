"""Recall vectors against the oracle's split of the score."""

import numpy as np
import pytest

from crossfm.scoring.decompose import item_vectors, query_vectors
from machines import as_rows, random_params, random_rows
from oracles import fm_score, recall_vectors


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
