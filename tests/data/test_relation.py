"""Side tables stored once."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack

from crossfm import Rows, relate
from crossfm.data.relation import expand
from crossfm.errors import DataError, FeatureIndexError


def parts():
    rng = np.random.default_rng(0)
    X, users, items = (csr_matrix(np.round(rng.random(shape), 1)) for shape in ((7, 2), (3, 4), (5, 3)))
    return X, users, np.array([0, 2, 1, 1, 0, 2, 2]), items, np.array([4, 4, 0, 1, 2, 0, 4])


def test_written_out_the_columns_stand_side_by_side():
    X, users, user, items, item = parts()
    rows = relate(X, (users, user), (items, item))
    assert (rows.n_rows, rows.n_features, rows.nnz) == (7, 9, X.nnz)
    whole = hstack([X, users[user], items[item]]).toarray()
    np.testing.assert_allclose(expand(rows).to_csr().toarray(), whole, rtol=1e-6)
    alone = relate(None, (users, user))
    np.testing.assert_allclose(expand(alone).to_csr().toarray(), users[user].toarray(), rtol=1e-6)
    assert alone.n_rows == 7


def test_rows_without_relations_are_written_out_already():
    rows = relate(parts()[0], (parts()[1], parts()[2]))
    plain = expand(rows)
    assert expand(plain) is not rows
    assert np.array_equal(expand(plain).indices, plain.indices)


def test_fields_of_rows_are_those_of_the_whole():
    side = Rows(np.array([2, 3], np.uint32), 4, width=1, fields=np.array([1], np.uint32))
    main = Rows(np.array([0, 1, 0], np.uint32), 4, width=1, fields=np.array([0], np.uint32))
    plain = expand(relate(main, (side, [1, 0, 1])))
    assert plain.indices.tolist() == [0, 3, 1, 2, 0, 3]
    assert plain.field_of_each().tolist() == [0, 1] * 3


def test_some_of_the_rows_keep_their_entities():
    X, users, user, items, item = parts()
    rows = relate(X, (users, user), (items, item)).with_target(np.arange(7.0))
    some = rows.take([5, 0])
    assert some.target.tolist() == [5, 0]
    assert np.array_equal(expand(some).to_csr().toarray(), expand(rows).to_csr().toarray()[[5, 0]])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([0, 1, 2], r"relation 0 has an index of uint32 and shape \(3,\)"),
        ([0, 1, 2, 3, 0, 0, 0], "relation 0: row 3 has entity 3, but there are 3, from 0"),
        ([0, -1, 2, 2, 0, 0, 0], "relation 0: row 1 has entity -1"),
        ([0.0] * 7, "index of float64"),
        ([[0]] * 7, "whole number for each row"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(index, message):
    with pytest.raises(DataError, match=message):
        relate(parts()[0], (parts()[1], index))


def test_no_relation_and_ids_outside_are_refused():
    X, users, user, *_ = parts()
    for bad in ((), (users,), ((users, user, user),)):
        with pytest.raises(DataError, match="relate needs pairs"):
            relate(X, *bad)
    with pytest.raises(DataError, match="index of int64 and shape"):
        relate(None, (users, 3))
    with pytest.raises(DataError, match="relate takes sparse matrices"):
        relate(X, (np.array([["a"], ["b"]]), user))
    rows = relate(X, (users, user))
    with pytest.raises(FeatureIndexError, match="has feature"):
        rows.check_ids(4)
