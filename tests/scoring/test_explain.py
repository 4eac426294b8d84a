"""Parts of a score against the sum over all pairs."""

import numpy as np
import pytest

from crossfm.core.params import FMParams
from crossfm.data.rows import Rows, join_rows
from crossfm.errors import DataError
from crossfm.scoring.explain import MAX_COLUMNS, explain_rows
from machines import as_lists, as_rows, random_params, random_rows
from oracles import fm_score, score_parts

N_FEATURES, N_FIELDS = 12, 5


def sample(n_factors, *, values=True, seed=0):
    """Rows with several features in a field, fields that stay empty, an empty row; and a machine."""
    rng = np.random.default_rng(seed)
    rows = as_rows(random_rows(rng, 9, N_FEATURES, values=values, longest=8), N_FEATURES, values=values)
    fields = (rows.indices % (N_FIELDS - 1)).astype(np.uint32)  # the last field never occurs
    rows = Rows(rows.indices, N_FEATURES, rows.indptr, rows.values, fields)
    return rows, random_params(rng, N_FEATURES, n_factors)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("n_factors", [0, 1, 8, 13])
def test_parts_are_the_sums_over_all_pairs_of_their_fields(n_factors, values):
    rows, params = sample(n_factors, values=values)
    explained = explain_rows(rows, params, [f"c{i}" for i in range(N_FIELDS)])
    offsets = rows.offsets()
    for n, row in enumerate(as_lists(rows)):
        fields = rows.fields[offsets[n] : offsets[n + 1]].tolist()
        columns, pairs = score_parts(row, fields, N_FIELDS, params.w, params.V)
        np.testing.assert_allclose(explained.columns[n], columns, atol=1e-6)
        for p, (a, b) in enumerate(explained.pair_of.tolist()):
            assert explained.pairs[n, p] == pytest.approx(pairs[a, b], abs=1e-6)
        score = fm_score(row, params.bias, params.w, params.V)
        assert explained.score()[n] == pytest.approx(score, abs=1e-6)
        assert sum(value for _, value in explained.row(n)) == pytest.approx(score, abs=1e-6)


def test_a_row_lists_its_parts_by_size_and_by_name():
    rows, params = sample(4)
    explained = explain_rows(rows, params, list("abcde"))
    parts = explained.row(3)
    assert [abs(value) for _, value in parts] == sorted((abs(value) for _, value in parts), reverse=True)
    named = dict(parts)
    assert named["bias"] == params.bias
    assert named["b"] == explained.columns[3, 1]
    assert named["a x c"] == explained.pairs[3, explained.pair_names.index(("a", "c"))]


def test_importance_is_the_deviation_over_the_rows():
    rows, params = sample(4)
    explained = explain_rows(rows, params, list("abcde"))
    importance = explained.importance()
    values = [value for _, value in importance]
    assert values == sorted(values, reverse=True)
    assert dict(importance)["b"] == pytest.approx(explained.columns[:, 1].std())
    assert dict(importance)["a x b"] == pytest.approx(explained.pairs[:, 0].std())
    assert dict(importance)["e"] == 0.0


def test_without_fields_each_feature_that_occurs_is_a_column():
    rows = as_rows([[(1, 2.0), (4, 1.0)], [], [(4, -1.0)]], 6)
    params = random_params(np.random.default_rng(0), 6, 3)
    explained = explain_rows(rows, params)
    assert explained.names == ["feature 1", "feature 4"]
    assert explain_rows(rows, params, list("uvwxyz")).names == ["v", "y"]
    np.testing.assert_allclose(
        explained.columns, np.outer([2, 0, 0], [params.w[1], 0]) + np.outer([1, 0, -1], [0, params.w[4]])
    )
    np.testing.assert_allclose(explained.pairs[:, 0], [2 * params.V[1] @ params.V[4], 0, 0], rtol=1e-6)


@pytest.mark.parametrize("n_rows", [0, 1, 1025])
def test_any_number_of_rows_is_explained(n_rows):
    rows = Rows(np.tile(np.array([0, 2], np.uint32), n_rows), 3, width=2, fields=np.array([0, 1], np.uint32))
    params = FMParams(0.5, np.array([1, 2, 3], np.float32), np.array([[1], [9], [2]], np.float32))
    explained = explain_rows(rows, params, ["a", "b"])
    assert explained.score().tolist() == [0.5 + 1 + 3 + 2] * n_rows
    assert explained.columns.shape == (n_rows, 2)
    assert dict(explained.importance()) == {"a": 0.0, "b": 0.0, "a x b": 0.0}


def test_too_many_columns_are_refused():
    wide = as_rows([[(i, 1.0) for i in range(MAX_COLUMNS + 1)]], MAX_COLUMNS + 1)
    params = random_params(np.random.default_rng(0), MAX_COLUMNS + 1, 2)
    with pytest.raises(DataError, match=f"{MAX_COLUMNS + 1} columns make"):
        explain_rows(wide, params)
    narrow = as_rows([[(i, 1.0) for i in range(MAX_COLUMNS)]], MAX_COLUMNS + 1)
    assert len(explain_rows(narrow, params).names) == MAX_COLUMNS


def test_a_field_without_a_name_is_refused():
    rows, params = sample(2)
    with pytest.raises(DataError, match="field 3, but there are only 2 names"):
        explain_rows(rows, params, ["a", "b"])


def test_joined_rows_count_fields_on_from_where_they_are_told():
    """The last field of the left rows is an empty cell everywhere: the right ones must not move into its place."""
    left = Rows(np.array([0, 1], np.uint32), 4, np.array([0, 1, 2]), fields=np.array([0, 0], np.uint32))
    right = Rows(np.array([2, 3], np.uint32), 4, np.array([0, 1, 2]), fields=np.array([0, 0], np.uint32))
    assert join_rows(left, right, left_fields=3).field_of_each().tolist() == [0, 3, 0, 3]
    assert join_rows(left, right).field_of_each().tolist() == [0, 1, 0, 1]
