"""FeatureEmbedding, the plain PyTorch form of what every engine computes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossfm.errors import FeatureIndexError, OptionError
from crossfm.neural.features import USES, Batch
from crossfm.neural.layers import BiInteraction, FactorizationMachine, FeatureEmbedding
from networks import one_hot_batch, ragged_batch, randomize
from oracles import row_features

N_FEATURES, N_FIELDS, DIM = 7, 3, 4


@pytest.fixture
def table():
    return randomize(FeatureEmbedding(N_FEATURES, DIM).double())


entry = st.tuples(
    st.integers(0, N_FIELDS - 1), st.integers(0, N_FEATURES - 1), st.sampled_from([1.0, -2.0, 0.5, 0.0])
)


@given(st.lists(st.lists(entry, max_size=6), max_size=4))
def test_features_equal_their_definitions(rows):
    table = randomize(FeatureEmbedding(N_FEATURES, DIM).double())
    x = table.features(ragged_batch(rows, N_FIELDS))
    w, V = table.w.detach().numpy(), table.V.detach().numpy()
    for r, row in enumerate(rows):
        for name, expected in row_features(row, N_FIELDS, w, V).items():
            np.testing.assert_allclose(
                getattr(x, name)[r].detach().numpy(), expected, atol=1e-9, err_msg=name
            )
    assert x.embedded.shape == (len(rows), N_FIELDS, DIM)
    assert x.pair.shape == x.linear.shape == (len(rows),)


def test_one_feature_a_field_gives_the_same_by_both_ways(table):
    ids, values = torch.tensor([[0, 3, 6], [1, 1, 5]]), torch.tensor([[1.0, 2.0, -1.0], [0.5, 1.0, 0.0]])
    x = table.features(one_hot_batch(ids, values))
    v = table(ids, values)
    torch.testing.assert_close(x.embedded, v)
    torch.testing.assert_close(x.weights, table.weights(ids, values))
    torch.testing.assert_close(x.linear, table.weights(ids, values).sum(dim=1))
    torch.testing.assert_close(x.pooled, BiInteraction()(v))
    torch.testing.assert_close(x.pair, FactorizationMachine()(v).squeeze(1))


def test_values_of_none_are_ones(table):
    ids = torch.tensor([[0, 3, 6]])
    assert torch.equal(table(ids), table(ids, torch.ones(1, 3)))
    with_ones = table.features(one_hot_batch(ids, torch.ones(1, 3)))
    assert all(map(torch.equal, table.features(one_hot_batch(ids))[:5], with_ones[:5]))


def test_parts_that_are_not_asked_for_are_none(table):
    ids, dense = torch.tensor([[0, 3, 6]]), torch.ones(1, 2)
    for name in USES:
        x = table.features(one_hot_batch(ids), {name}, dense)
        assert [part for part in USES if getattr(x, part) is not None] == [name]
        assert x.linear.shape == (1,)


def test_gradients_match_finite_differences(table):
    batch = ragged_batch([[(0, 1, 2.0), (0, 2, 1.0), (2, 1, -1.0)], [], [(1, 0, 1.0)]], N_FIELDS)

    def parts(V, w):
        return [p for p in table.features(batch) if p is not None]

    assert torch.autograd.gradcheck(parts, (table.V, table.w))


def test_embeddings_start_small_and_weights_at_zero():
    table = FeatureEmbedding(2000, 8)
    assert 0.009 < float(table.V.detach().std()) < 0.011
    assert not table.w.any()


def test_the_padding_feature_is_nothing_and_stays_so():
    table = FeatureEmbedding(N_FEATURES, DIM, padding_idx=0)
    ids = torch.tensor([[0, 3, 0]])
    assert not table(ids)[0, [0, 2]].any()
    x = table.features(one_hot_batch(ids), {"embedded", "weights"})
    (x.embedded.sum() + x.linear.sum() + table(ids).sum()).backward()
    assert not table.V.grad[0].any()
    assert not table.w.grad[0]
    assert table.V.grad[3].all()
    assert table.w.grad[3]


def test_pretrained_vectors_are_copied_and_may_be_frozen():
    vectors = np.arange(6, dtype=np.float64).reshape(3, 2)
    table = FeatureEmbedding(3, 2, pretrained=vectors, freeze=True)
    vectors[:] = 0
    assert table.V.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert [name for name, p in table.named_parameters() if p.requires_grad] == ["w"]


def test_without_linear_weights_there_is_no_linear_part():
    table = FeatureEmbedding(N_FEATURES, DIM, linear=False)
    ids = torch.tensor([[0, 3, 6]])
    x = table.features(one_hot_batch(ids))
    assert x.linear.tolist() == [0.0]
    assert x.weights.tolist() == [[0.0, 0.0, 0.0]]
    with pytest.raises(OptionError, match="linear=True"):
        table.weights(ids)


@pytest.mark.parametrize(("bad", "seen"), [(7, 7), (-1, -1), (2**40, 2**40)])
def test_an_unknown_id_is_named(table, bad, seen):
    ids = torch.tensor([[0, bad]])
    message = f"feature {seen}, but there are 7 features"
    for call in (table, table.weights, lambda ids: table.features(one_hot_batch(ids))):
        with pytest.raises(FeatureIndexError, match=message):
            call(ids)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(torch.tensor([[0.0]])), "dtype torch.float32, but they must be torch.int64"),
        (lambda t: t(torch.tensor([0])), r"shape \(1,\), but it must be \(batch, n_fields\)"),
        (lambda t: t(torch.tensor([[0]]), torch.ones(1)), r"values have shape \(1,\), but ids have \(1, 1\)"),
        (
            lambda t: t.features(one_hot_batch(torch.tensor([[0]])), {"pairs"}),
            "must be among embedded, weights",
        ),
        (
            lambda t: t.features(Batch(*(torch.zeros(1, 1, dtype=torch.int64),) * 3, None, 1, 1)),
            r"must be \(nnz,\)",
        ),
        (lambda t: FeatureEmbedding(3, 2, pretrained=np.zeros((2, 2))), r"pretrained has shape \(2, 2\)"),
        (lambda t: FeatureEmbedding(3, 2, padding_idx=3), "padding_idx=3"),
        (lambda t: FeatureEmbedding(0, 2), "n_features=0"),
        (lambda t: FeatureEmbedding(2, 0), "dim=0"),
        (lambda t: FeatureEmbedding(2, 1, freeze=1), "freeze=1"),
    ],
)
def test_inputs_that_mean_nothing_are_said(table, call, message):
    with pytest.raises(OptionError, match=message):
        call(table)
