"""Where one paper's model is exactly another's: the cheapest proof that a formula is right."""

import pytest
import torch

from crossfm.neural.features import Features
from crossfm.neural.layers import FactorizationMachine, FeatureEmbedding, OuterProduct
from crossfm.neural.models import (
    AFM,
    DCN,
    FFM,
    FM,
    FNN,
    IPNN,
    NFM,
    OPNN,
    AutoInt,
    DCNv2,
    DeepFM,
    FiBiNET,
    FinalMLP,
    FwFM,
    WideDeep,
    XDeepFM,
)
from networks import one_hot_batch, ragged_batch, randomize, vectors

FIELDS, FACTORS, DENSE, ROWS = 4, 3, 2, 6
PAIRS = FIELDS * (FIELDS - 1) // 2


@pytest.fixture
def x():
    """All parts of Features, of random rows with one feature a field and values that are not 1."""
    table = randomize(FeatureEmbedding(5 * FIELDS, FACTORS).double())
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, (ROWS, FIELDS), generator=generator) + 5 * torch.arange(FIELDS)
    batch = one_hot_batch(ids, vectors(ROWS, FIELDS))
    everything = {"embedded", "weights", "pooled", "pair", "dense"}
    return Features(
        *(part.detach() for part in table.features(batch, everything, vectors(ROWS, DENSE, seed=1)))
    )


def make(cls, *sizes, seed=0, **options):
    """Return a model in float64 whose parameters have left their start."""
    torch.manual_seed(seed)
    return randomize(cls(*(sizes or (FIELDS, FACTORS)), **options).double()).eval()


def set_to(parameter, value):
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(value, dtype=parameter.dtype).expand_as(parameter))


def same_bias(*models):
    for model in models:
        set_to(model.bias, 0.7)


def assert_same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def fm(x):
    model = FM(FIELDS, FACTORS).double()
    same_bias(model)
    return model(x)


def test_fm_from_the_pooled_pairs_equals_fm(x):
    assert_same(0.7 + x.linear + x.pooled.sum(dim=1), fm(x))
    assert_same(0.7 + x.linear + FactorizationMachine()(x.embedded).squeeze(1), fm(x))


def test_nfm_without_hidden_layers_and_h_of_ones_is_fm(x):
    nfm = NFM(FIELDS, FACTORS, hidden=(), batch_norm=False).double()
    same_bias(nfm)
    assert_same(nfm(x), fm(x))  # as it starts
    set_to(nfm.h, [1.0, 2.0, 3.0])
    assert_same(nfm(x), 0.7 + x.linear + x.pooled @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))


def test_nfm_with_an_identity_layer_is_fm(x):
    nfm = make(NFM, hidden=(FACTORS,), batch_norm=False, activation="identity")
    same_bias(nfm)
    set_to(nfm.mlp.layers[0].weight, torch.eye(FACTORS))
    set_to(nfm.mlp.layers[0].bias, 0.0)
    set_to(nfm.h, 1.0)
    assert_same(nfm(x), fm(x))


def test_deepfm_without_its_deep_part_is_fm(x):
    deepfm = make(DeepFM, n_dense=DENSE, hidden=())
    same_bias(deepfm)
    assert_same(deepfm(x), fm(x))


def test_deepfm_is_fm_and_wide_and_deep_added(x):
    deepfm, wide = make(DeepFM, n_dense=DENSE, hidden=(5,)), make(WideDeep, n_dense=DENSE, hidden=(5,))
    same_bias(deepfm, wide)
    assert_same(deepfm(x), wide(x) + x.pair)


def test_wide_and_deep_without_its_deep_part_is_linear(x):
    wide = make(WideDeep, n_dense=DENSE, hidden=())
    same_bias(wide)
    assert_same(wide(x), 0.7 + x.linear)


def test_fnn_of_one_linear_layer_can_be_the_linear_model(x):
    fnn = make(FNN, hidden=())
    same_bias(fnn)
    weight = torch.zeros(1, FIELDS * (1 + FACTORS))
    weight[0, :: 1 + FACTORS] = 1
    set_to(fnn.deep.layers[0].weight, weight)
    assert_same(fnn(x), 0.7 + x.linear)


def test_ffm_whose_vectors_are_the_same_for_all_fields_is_fm(x):
    ffm = make(FFM)
    same_bias(ffm)
    assert FFM.embedding_dim(FIELDS, FACTORS) == FIELDS * FACTORS
    assert_same(ffm(x._replace(embedded=x.embedded.repeat(1, 1, FIELDS))), fm(x))


def test_ffm_meets_each_field_with_the_vector_for_it(x):
    embedded = torch.zeros(ROWS, 2, 2 * FACTORS, dtype=torch.float64)
    embedded[:, 0, FACTORS:], embedded[:, 1, :FACTORS] = (
        2.0,
        3.0,
    )  # for the other field; those for their own are 0
    ffm = make(FFM, 2, FACTORS)
    same_bias(ffm)
    assert_same(ffm(x._replace(embedded=embedded)), 0.7 + x.linear + 6.0 * FACTORS)


def test_ffm_with_one_field_has_no_pairs(x):
    ffm = make(FFM, 1, FACTORS)
    same_bias(ffm)
    assert_same(ffm(x._replace(embedded=x.embedded[:, :1])), 0.7 + x.linear)


def test_fwfm_with_weights_of_one_is_fm(x):
    fwfm = FwFM(FIELDS, FACTORS).double()
    same_bias(fwfm)
    assert_same(fwfm(x), fm(x))


def test_fm_lets_features_of_one_field_meet_and_the_field_machines_do_not():
    table = randomize(FeatureEmbedding(3, FACTORS).double())
    rows = [[(0, 0, 1.0), (0, 1, 2.0), (1, 2, 1.0)]]
    x = table.features(ragged_batch(rows, 2))
    inside = 2.0 * (table.V[0] @ table.V[1])
    assert_same(FM(2, FACTORS).double()(x), FwFM(2, FACTORS).double()(x) + inside)


def test_afm_with_equal_attention_and_p_of_ones_is_fm_with_the_mean_of_its_pairs(x):
    afm = make(AFM)
    same_bias(afm)
    set_to(afm.pooling.h, 0.0)
    set_to(afm.p, 1.0)
    assert_same(afm(x), 0.7 + x.linear + x.pair / PAIRS)
    set_to(afm.p, PAIRS)
    assert_same(afm(x), fm(x))


def test_xdeepfm_without_cin_is_wide_and_deep(x):
    xdeepfm, wide = (
        make(cls, n_dense=DENSE, hidden=(5,), **o) for cls, o in ((XDeepFM, {"cin": ()}), (WideDeep, {}))
    )
    same_bias(xdeepfm, wide)
    assert_same(xdeepfm(x), wide(x))


def test_xdeepfm_with_one_map_of_ones_above_the_diagonal_is_fm(x):
    xdeepfm = make(XDeepFM, hidden=(), cin=(1,))
    same_bias(xdeepfm)
    cin, out = xdeepfm.cin
    set_to(cin.W[0], torch.ones(FIELDS, FIELDS).triu(1).reshape(1, -1))
    set_to(out.weight, 1.0)
    assert_same(xdeepfm(x), fm(x))


def flat(x):
    return torch.cat([x.embedded.flatten(1), x.dense], dim=1)


@pytest.mark.parametrize("cls", [DCN, DCNv2])
def test_dcn_without_cross_layers_and_deep_part_is_linear_in_its_inputs(cls, x):
    dcn = make(cls, n_dense=DENSE, hidden=(), n_cross=0)
    same_bias(dcn)
    assert_same(dcn(x), 0.7 + flat(x) @ dcn.out.layers[0].weight[0])


def test_dcn_v2_with_equal_rows_in_its_matrices_is_dcn(x):
    # x_0 * (1 w^T x + c) = x_0 <w, x> + c x_0: the constants of the two differ, so they are 0 here.
    one, two = (
        make(DCN, n_dense=DENSE, hidden=(5,), batch_norm=False),
        make(DCNv2, n_dense=DENSE, hidden=(5,)),
    )
    same_bias(one, two)
    set_to(one.cross.b, 0.0)
    set_to(two.cross.b, 0.0)
    set_to(two.cross.W, one.cross.w.detach().unsqueeze(1))
    two.out.load_state_dict(one.out.state_dict())
    two.deep.load_state_dict(one.deep.state_dict())
    assert_same(two(x), one(x))


def test_dcn_v2_stacked_on_no_cross_layers_is_parallel_without_its_cross_output(x):
    parallel, stacked = (make(DCNv2, hidden=(5,), n_cross=0, structure=s) for s in ("parallel", "stacked"))
    same_bias(parallel, stacked)
    stacked.deep.load_state_dict(parallel.deep.state_dict())
    set_to(parallel.out.layers[0].weight, 0.0)
    assert_same(stacked(x), parallel(x))


def test_ipnn_of_one_linear_layer_that_reads_the_products_is_fm(x):
    ipnn = make(IPNN, hidden=(), linear=True)
    same_bias(ipnn)
    set_to(
        ipnn.deep.layers[0].weight, torch.cat([torch.zeros(1, FIELDS * FACTORS), torch.ones(1, PAIRS)], dim=1)
    )
    assert_same(ipnn(x), fm(x))


def test_opnn_with_identity_kernels_is_ipnn(x):
    ipnn, opnn = make(IPNN, n_dense=DENSE), make(OPNN, n_dense=DENSE)
    same_bias(ipnn, opnn)
    set_to(opnn.product.K, torch.eye(FACTORS))
    opnn.deep.load_state_dict(ipnn.deep.state_dict())
    assert_same(opnn(x), ipnn(x))


def test_the_trace_of_the_superposition_is_twice_fm_plus_the_squares(x):
    v = x.embedded
    outer = OuterProduct(FIELDS, FACTORS)(v).reshape(ROWS, FACTORS, FACTORS)
    assert_same(outer.diagonal(dim1=1, dim2=2).sum(dim=1), 2 * x.pair + (v * v).sum(dim=(1, 2)))


def test_autoint_without_attention_is_linear_in_the_embeddings(x):
    autoint = make(AutoInt, n_attention=0, hidden=())
    same_bias(autoint)
    assert_same(autoint(x), 0.7 + x.embedded.flatten(1) @ autoint.out.layers[0].weight[0])


def test_autoint_with_queries_of_zero_takes_the_mean_over_the_fields(x):
    autoint = make(AutoInt, n_attention=1, hidden=(), residual=False, n_heads=1, attention_dim=2)
    same_bias(autoint)
    layer = autoint.attention[0]
    set_to(layer.query, 0.0)
    mean = torch.relu(x.embedded.mean(dim=1) @ layer.value.T).repeat(1, FIELDS)
    assert_same(autoint(x), 0.7 + mean @ autoint.out.layers[0].weight[0])


def test_fibinet_with_identity_matrices_and_one_linear_layer_is_fm(x):
    fibinet = make(FiBiNET, hidden=(), bilinear="all")
    same_bias(fibinet)
    set_to(fibinet.plain.W, torch.eye(FACTORS))
    n = PAIRS * FACTORS
    set_to(fibinet.deep.layers[0].weight, torch.cat([torch.ones(1, n), torch.zeros(1, n)], dim=1))
    assert_same(fibinet(x), fm(x))


def test_finalmlp_without_hidden_layers_and_gates_can_be_fm(x):
    # o^T W o with W the identity between the vectors of all pairs of fields.
    final = make(FinalMLP, hidden=(), gates=False, linear=True)
    same_bias(final)
    set_to(final.fusion.w_left, 0.0)
    set_to(final.fusion.w_right, 0.0)
    set_to(final.fusion.W, torch.kron(torch.ones(FIELDS, FIELDS).triu(1), torch.eye(FACTORS)).unsqueeze(0))
    assert_same(final(x), fm(x))
