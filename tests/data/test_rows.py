"""``Rows``: making, cutting and checking them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix, csc_matrix, csr_array, csr_matrix

from crossfm.data.rows import Rows, join_rows, rows_from_csr, rows_from_dense, shift_ids
from crossfm.errors import DataError, FeatureIndexError
from machines import as_lists, as_rows

DENSE = np.array([[0, 2.5, 0, 1], [0, 0, 0, 0], [1, 0, -3, 0], [1, 1, 1, 1]], float)


def fixed():
    """Three rows of two non-zeros, with all there is."""
    return Rows(
        indices=np.array([0, 3, 1, 4, 2, 5], np.uint32),
        n_features=6,
        values=np.arange(1, 7, dtype=np.float32),
        fields=np.array([7, 8], np.uint32),
        target=np.array([0.5, 1.5, 2.5]),
        weight=np.array([1, 2, 3], np.float32),
        width=2,
    )


def csr():
    """The same rows with offsets and a field for each non-zero."""
    return Rows(
        **{
            **vars(fixed()),
            "indptr": np.array([0, 2, 4, 6]),
            "width": 0,
            "fields": np.array([7, 8] * 3, np.uint32),
        }
    )


def test_fixed_width_and_csr_rows_say_the_same():
    for rows in (fixed(), csr()):
        assert (len(rows), rows.n_rows, rows.nnz) == (3, 3, 6)
        assert rows.offsets().tolist() == [0, 2, 4, 6]
        assert rows.offsets().dtype == np.int64
        assert rows.field_of_each().tolist() == [7, 8, 7, 8, 7, 8]
        assert rows.value_of_each().tolist() == [1, 2, 3, 4, 5, 6]
        assert rows.to_csr().toarray()[1].tolist() == [0, 3, 0, 0, 4, 0]


def test_rows_without_values_and_fields_say_so():
    rows = Rows(indices=np.array([1, 2], np.uint32), n_features=3, width=1)
    assert rows.value_of_each().tolist() == [1.0, 1.0]
    assert rows.value_of_each().dtype == np.float32
    assert rows.field_of_each() is None


def test_no_rows_are_rows_too():
    for rows in (
        Rows(indices=np.zeros(0, np.uint32), n_features=3, indptr=np.zeros(1, np.int64)),
        Rows(indices=np.zeros(0, np.uint32), n_features=3, width=2),
    ):
        assert rows.n_rows == rows.nnz == 0
        assert rows.offsets().tolist() == [0]
        assert rows.to_csr().shape == (0, 3)
        assert rows.take([]).n_rows == 0
        rows.check_ids(1)


@pytest.mark.parametrize("make", [fixed, csr])
@pytest.mark.parametrize(
    "index", [[2, 0], [1], [0, 0, 2, 1], [], np.array([True, False, True]), np.array([2], np.uint8)]
)
def test_taking_rows_takes_all_that_belongs_to_them(make, index):
    rows = make()
    taken = rows.take(index)
    positions = np.arange(3)[np.asarray(index) if len(index) else np.zeros(0, int)]
    assert as_lists(taken) == [as_lists(rows)[n] for n in positions]
    assert taken.target.tolist() == rows.target[positions].tolist()
    assert taken.weight.tolist() == rows.weight[positions].tolist()
    assert taken.field_of_each().tolist() == [7, 8] * len(positions)
    assert taken.n_features == 6


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6), st.data())
def test_taking_rows_of_any_length_keeps_their_entries(lists, data):
    rows = as_rows([[(i, float(n)) for n, i in enumerate(row, 1)] for row in lists], 5)
    fields = (rows.indices * 10).astype(np.uint32)
    rows = Rows(**{**vars(rows), "fields": fields})
    index = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8)) if lists else []
    taken = rows.take(index)
    assert as_lists(taken) == [as_lists(rows)[n] for n in index]
    assert taken.field_of_each().tolist() == (taken.indices * 10).tolist()


@pytest.mark.parametrize("make", [fixed, csr])
@pytest.mark.parametrize("index", [[3], [0, 7], [-1]])
def test_taking_a_row_that_is_not_there_is_an_error(make, index):
    with pytest.raises(DataError, match=r"row -?\d is asked for, but there are 3 rows"):
        make().take(index)


@pytest.mark.parametrize("make", [fixed, csr])
@pytest.mark.parametrize("mask", [[True], [True] * 4])
def test_a_mask_must_have_one_entry_a_row(make, mask):
    with pytest.raises(DataError, match=f"mask of {len(mask)} entries, but there are 3 rows"):
        make().take(np.array(mask))


def test_targets_and_weights_are_set_with_their_types():
    rows = fixed().with_target([1, 0, 1], [1, 2, 3])
    assert (rows.target.dtype, rows.weight.dtype) == (np.float64, np.float32)
    assert rows.target.tolist() == [1, 0, 1]
    assert rows.with_target(None).target is None
    assert rows.with_target([1, 2, 3]).weight is None
    assert rows.target.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("target", "weight", "name"), [([1, 2], None, "target"), ([1, 2, 3], [1.0], "weight")]
)
def test_targets_of_another_length_are_refused(target, weight, name):
    with pytest.raises(DataError, match=rf"{name} has shape .*, but there are 3 rows"):
        fixed().with_target(target, weight)


@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix, coo_matrix, csr_array])
def test_sparse_matrices_of_any_format_keep_their_numbers(kind):
    rows = rows_from_csr(kind(DENSE))
    assert rows.to_csr().toarray().tolist() == DENSE.tolist()
    assert (rows.indices.dtype, rows.values.dtype, rows.indptr.dtype) == (np.uint32, np.float32, np.int64)


def test_dense_arrays_drop_their_zeros():
    rows = rows_from_dense(DENSE)
    assert rows.nnz == 8
    assert rows.to_csr().toarray().tolist() == DENSE.tolist()


def test_stored_duplicates_are_summed_and_explicit_zeros_left_out():
    matrix = csr_matrix((np.array([1.0, 2.0, 0.0, 4.0]), [2, 2, 0, 1], [0, 3, 4]), shape=(2, 3))
    before = matrix.data.copy()
    rows = rows_from_csr(matrix)
    assert as_lists(rows) == [[(2, 3.0)], [(1, 4.0)]]
    np.testing.assert_array_equal(matrix.data, before)  # the caller's matrix stays as it was
    cancelled = csr_matrix((np.array([1.0, -1.0]), [0, 0], [0, 2]), shape=(1, 1))
    assert rows_from_csr(cancelled).nnz == 0


def test_values_that_are_zero_in_float32_are_left_out_as_well():
    assert rows_from_csr(csr_matrix(np.array([[1e-60, 1.0]]))).indices.tolist() == [1]


def test_ones_need_no_values_and_equal_lengths_no_offsets():
    rows = rows_from_dense(np.eye(3))
    assert rows.values is None
    assert rows.indptr is None
    assert rows.width == 1
    uneven = rows_from_dense(np.tri(3))
    assert uneven.values is None
    assert uneven.indptr.tolist() == [0, 1, 3, 6]
    assert rows_from_dense(np.zeros((2, 3))).n_rows == 2


def test_the_field_of_each_feature_goes_to_its_non_zeros():
    rows = rows_from_csr(csr_matrix(DENSE), fields=[5, 5, 6, 7])
    assert rows.fields.tolist() == [5, 7, 5, 6, 5, 5, 6, 7]
    assert rows.fields.dtype == np.uint32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("read", [rows_from_dense, lambda X: rows_from_csr(csc_matrix(X))])
def test_values_that_are_not_finite_are_named_with_row_and_feature(read, bad):
    X = DENSE.copy()
    X[2, 3] = bad
    with pytest.raises(DataError, match=r"row 2, feature 3: the value is .*only finite numbers"):
        read(X)


def test_too_many_features_are_refused():
    with pytest.raises(DataError, match="4294967296 features, but ids are 32-bit"):
        rows_from_csr(csr_matrix((1, 2**32)))


def test_the_largest_id_survives():
    matrix = csr_matrix(([2.0], ([0], [2**32 - 2])), shape=(1, 2**32 - 1))
    rows = rows_from_csr(matrix)
    assert rows.indices.tolist() == [2**32 - 2]
    assert rows.to_csr().indices.tolist() == [2**32 - 2]


@pytest.mark.parametrize("make", [fixed, csr])
def test_an_id_the_model_does_not_know_is_named_with_its_row(make):
    make().check_ids(6)
    with pytest.raises(FeatureIndexError, match=r"row 1 has feature 4, but .* 4 features \(0 to 3\)"):
        make().check_ids(4)


def test_empty_rows_before_the_bad_id_are_counted():
    rows = as_rows([[], [(1, 1.0)], [], [(9, 1.0)]], 10)
    with pytest.raises(FeatureIndexError, match="row 3 has feature 9"):
        rows.check_ids(9)


def test_shifted_ids_form_a_second_feature_space():
    rows = shift_ids(fixed(), 10)
    assert rows.indices.tolist() == [10, 13, 11, 14, 12, 15]
    assert rows.indices.dtype == np.uint32
    assert rows.n_features == 16
    rows.check_ids(16)


@given(st.data())
def test_joined_rows_have_the_entries_of_both(data):
    n_rows = data.draw(st.integers(0, 5))
    entry = st.tuples(st.integers(0, 4), st.sampled_from([0.5, 1.0, 2.0]))
    sides = st.lists(st.lists(entry, max_size=3), min_size=n_rows, max_size=n_rows)
    left, right = data.draw(sides), data.draw(sides)
    joined = join_rows(as_rows(left, 5), shift_ids(as_rows(right, 5), 5))
    assert as_lists(joined) == [a + [(5 + i, x) for i, x in b] for a, b in zip(left, right, strict=True)]
    assert joined.n_features == 10


def test_joined_fixed_width_rows_keep_their_width_target_and_fields():
    right = Rows(
        indices=np.array([0, 1, 2], np.uint32), n_features=3, fields=np.array([0], np.uint32), width=1
    )
    joined = join_rows(fixed(), shift_ids(right, 6))
    assert (joined.width, joined.indptr) == (3, None)
    assert joined.indices.tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert joined.values.tolist() == [1, 2, 1, 3, 4, 1, 5, 6, 1]
    assert joined.field_of_each().tolist() == [7, 8, 9] * 3
    assert joined.target.tolist() == [0.5, 1.5, 2.5]
    assert joined.weight.tolist() == [1, 2, 3]


def test_rows_of_another_number_cannot_be_joined():
    with pytest.raises(DataError, match="3 rows cannot be joined with 2 rows"):
        join_rows(fixed(), fixed().take([0, 1]))


@pytest.mark.parametrize("bad", [-1, 3, 4000])
def test_an_id_outside_the_matrix_is_named(bad):
    X = csr_matrix(np.eye(3))
    X.indices[1] = bad
    with pytest.raises(FeatureIndexError, match=f"row 1 has feature {bad}, but the matrix has 3 columns"):
        rows_from_csr(X)


def test_offsets_that_do_not_fit_the_matrix_are_refused():
    X = csr_matrix(np.eye(3))
    X.indptr[1] = 3
    with pytest.raises(DataError, match="the sparse matrix is broken"):
        rows_from_csr(X)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"indptr": np.array([0, 2, 4_000_000])}, "offsets"),
        ({"indptr": np.array([0, -2, 4])}, "offsets"),
        ({"indptr": np.array([1, 2, 4])}, "offsets"),
        ({"indices": np.zeros(4, np.int64)}, "indices of the rows is int64"),
        ({"values": np.ones(1, np.float32)}, "values of the rows has 1 entries"),
        ({"values": np.ones(4)}, "values of the rows is float64"),
        ({"values": np.full(4, np.nan, np.float32)}, "the value is nan"),
        ({"fields": np.zeros(3, np.uint32)}, "fields of the rows has 3 entries"),
        ({"weight": np.ones(7, np.float32)}, r"weight has shape \(7,\)"),
    ],
)
def test_rows_whose_parts_do_not_fit_each_other_are_refused(parts, expected):
    whole = {"indices": np.zeros(4, np.uint32), "n_features": 2, "indptr": np.array([0, 2, 4])}
    Rows(**whole).check_ids(2)
    with pytest.raises(DataError, match=expected):
        Rows(**whole | parts).check_ids(2)
