"""Each layer against its naive form, its gradient against finite differences, and its errors."""

import numpy as np
import pytest
import torch

import oracles
from crossfm.errors import CrossFMError, OptionError
from crossfm.neural import layers
from crossfm.neural.layers import (
    CIN,
    MLP,
    AttentionalPooling,
    BatchNorm,
    BiInteraction,
    BilinearFusion,
    BilinearInteraction,
    CrossNetwork,
    CrossNetworkMix,
    CrossNetworkV2,
    FactorizationMachine,
    FeatureGate,
    FieldAwareInteraction,
    FieldWeightedInteraction,
    InnerProduct,
    OuterProduct,
    SelfAttention,
    SENet,
    pieces,
)
from crossfm.neural.layers.dropout import Dropout
from crossfm.neural.layers.linear import Linear, takes
from networks import randomize, vectors

FIELDS, DIM, BATCH = 4, 3, 5
N_IN = 6


def heads_of(layer):
    """Return (W_query, W_key, W_value) of each head."""
    matrices = [layer.query, layer.key, layer.value]
    cut = [np.split(matrix.detach().numpy(), layer.n_heads) for matrix in matrices]
    return list(zip(*cut, strict=True))


def cube(W, n_fields):
    """A CIN layer's matrix as (maps, maps before, fields)."""
    return W.detach().numpy().reshape(len(W), -1, n_fields)


def numbers(*parameters):
    return [p.detach().numpy() for p in parameters]


def linear_layers(mlp):
    """Return (W, b, whether an activation follows) of an MLP without batch normalization."""
    modules = list(mlp.layers)
    return [
        (*numbers(module.weight, module.bias), at + 1 < len(modules))
        for at, module in enumerate(modules)
        if isinstance(module, torch.nn.Linear)
    ]


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


# name: (make, input shape without batch, naive form of (layer, one row))
OVER_FIELDS = {
    "fm": (FactorizationMachine, lambda m, v: [oracles.fm_pairs(v)]),
    "bi": (BiInteraction, lambda m, v: oracles.bi_interaction(v)),
    "fwfm": (lambda: FieldWeightedInteraction(FIELDS), lambda m, v: [oracles.fwfm_pairs(v, *numbers(m.r))]),
    "inner": (lambda: InnerProduct(FIELDS), lambda m, v: oracles.inner_products(v)),
    "outer": (lambda: OuterProduct(FIELDS, DIM), lambda m, v: oracles.outer_superposition(v)),
    "outer-kernel": (
        lambda: OuterProduct(FIELDS, DIM, form="kernel"),
        lambda m, v: oracles.outer_kernel(v, *numbers(m.K)),
    ),
    "afm": (
        lambda: AttentionalPooling(FIELDS, DIM, 2),
        lambda m, v: oracles.attentional_pooling(v, *numbers(m.W, m.b, m.h)),
    ),
    "attention": (
        lambda: SelfAttention(DIM, 2, n_heads=3),
        lambda m, v: oracles.self_attention(v, heads_of(m), *numbers(m.res)),
    ),
    "attention-scaled-no-residual": (
        lambda: SelfAttention(DIM, 4, n_heads=1, residual=False, scale=True),
        lambda m, v: oracles.self_attention(v, heads_of(m), scale=0.5),
    ),
    "cin": (lambda: CIN(FIELDS, [3, 2]), lambda m, v: oracles.cin(v, [cube(W, FIELDS) for W in m.W])),
    "cin-halves": (
        lambda: CIN(FIELDS, [4, 2, 3], split_half=True),
        lambda m, v: oracles.cin(v, [cube(W, FIELDS) for W in m.W], split_half=True),
    ),
    "senet": (lambda: SENet(FIELDS, 2), lambda m, v: oracles.senet(v, *numbers(m.W1, m.W2))),
    **{
        f"bilinear-{form}": (
            lambda form=form: BilinearInteraction(FIELDS, DIM, form=form),
            lambda m, v: oracles.bilinear(v, *numbers(m.W), m.form),
        )
        for form in ("all", "each", "interaction")
    },
}
OVER_FLAT = {
    "cross": (lambda: CrossNetwork(N_IN, 3), lambda m, x: oracles.cross(x, *numbers(m.w, m.b))),
    "cross-none": (lambda: CrossNetwork(N_IN, 0), lambda m, x: x),
    "cross2": (lambda: CrossNetworkV2(N_IN, 3), lambda m, x: oracles.cross_v2(x, *numbers(m.W, m.b))),
    "cross2-rank": (
        lambda: CrossNetworkV2(N_IN, 3, rank=2),
        lambda m, x: oracles.cross_v2(x, np.einsum("lnr,lmr->lnm", *numbers(m.U, m.V)), *numbers(m.b)),
    ),
    "cross-mix": (
        lambda: CrossNetworkMix(N_IN, 2, rank=2, n_experts=3),
        lambda m, x: oracles.cross_mix(x, *numbers(m.U, m.V, m.C, m.b, m.gate)),
    ),
    "mlp": (
        lambda: MLP(N_IN, [5, 4], n_out=2),
        lambda m, x: oracles.mlp(x, linear_layers(m), oracles.relu),
    ),
    "mlp-tanh-no-output": (
        lambda: MLP(N_IN, [5], activation="tanh", dropout=0.5),
        lambda m, x: oracles.mlp(x, linear_layers(m), np.tanh),
    ),
    "mlp-leaky": (
        lambda: MLP(N_IN, [3, 3], activation="leaky_relu"),
        lambda m, x: oracles.mlp(x, linear_layers(m), leaky),
    ),
    "mlp-nothing": (lambda: MLP(N_IN), lambda m, x: x),
    "gate": (
        lambda: FeatureGate(N_IN),
        lambda m, x: 2 * oracles.sigmoid(*numbers(m.g)) * x,
    ),
}
CASES = {
    **{name: (make, (FIELDS, DIM), naive) for name, (make, naive) in OVER_FIELDS.items()},
    **{name: (make, (N_IN,), naive) for name, (make, naive) in OVER_FLAT.items()},
    "ffm": (FieldAwareInteraction, (FIELDS, FIELDS, DIM), lambda m, v: [oracles.ffm_pairs(v)]),
}


def make_case(name):
    make, shape, naive = CASES[name]
    torch.manual_seed(1)
    return randomize(make().double()).eval(), vectors(BATCH, *shape), naive


@pytest.mark.parametrize("name", CASES)
def test_a_layer_equals_its_naive_form(name):
    layer, x, naive = make_case(name)
    expected = np.stack([naive(layer, row) for row in x.numpy()])
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradients_match_finite_differences(name):
    layer, x, _ = make_case(name)
    x = x[:2].requires_grad_()
    parameters = list(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *parameters), fast_mode=True)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_without_rows_gives_none(name):
    layer, x, _ = make_case(name)
    assert layer(x[:0]).shape == (0, *layer(x).shape[1:])


@pytest.mark.parametrize("name", CASES)
def test_the_wrong_number_of_axes_or_fields_is_said(name):
    layer, x, _ = make_case(name)
    with pytest.raises(OptionError, match=r"has shape .*, but it must be \(batch, "):
        layer(x.unsqueeze(0))


@pytest.mark.parametrize(
    "name", ["fwfm", "inner", "outer", "afm", "cin", "senet", "bilinear-all", "cross", "mlp"]
)
def test_the_wrong_size_is_said(name):
    layer, x, _ = make_case(name)
    with pytest.raises(OptionError, match=f"it must be .batch, n_(fields={FIELDS}|in={N_IN})"):
        layer(x[:, :-1])


@pytest.mark.parametrize("n_heads", [1, 2])
def test_fusion_equals_its_naive_form(n_heads):
    layer = randomize(BilinearFusion(4, 6, n_heads=n_heads).double())
    left, right = vectors(BATCH, 4), vectors(BATCH, 6, seed=1)
    weights = numbers(layer.w_left, layer.w_right, layer.W)
    expected = [
        [oracles.bilinear_fusion(a, b, *weights)] for a, b in zip(left.numpy(), right.numpy(), strict=True)
    ]
    np.testing.assert_allclose(layer(left, right).detach().numpy(), expected, rtol=1e-9)
    inputs = (left.requires_grad_(), right.requires_grad_(), *layer.parameters())
    assert torch.autograd.gradcheck(lambda a, b, *_: layer(a, b), inputs, fast_mode=True)


def test_a_gate_with_context_scales_each_input_by_0_to_2():
    gate = randomize(FeatureGate(N_IN, 2, hidden=[3]).double())
    x, context = vectors(BATCH, N_IN), vectors(BATCH, 2, seed=1)
    for row, c, out in zip(x.numpy(), context.numpy(), gate(x, context).detach().numpy(), strict=True):
        g = oracles.mlp(c, linear_layers(gate.mlp), oracles.relu)
        np.testing.assert_allclose(out, 2 * oracles.sigmoid(g) * row, rtol=1e-9)
    with pytest.raises(OptionError, match=r"needs a context \(batch, 2\)"):
        gate(x)


def test_a_new_gate_without_context_changes_nothing():
    x = vectors(BATCH, N_IN)
    assert torch.equal(FeatureGate(N_IN).double()(x), x)


def test_pairs_add_up_over_factors_and_do_not_shrink_with_their_number():
    v = vectors(BATCH, FIELDS, DIM)
    twice = torch.cat([v, v], dim=2)
    torch.testing.assert_close(FactorizationMachine()(twice), 2 * FactorizationMachine()(v))


@pytest.mark.parametrize("name", ["fm", "bi"])
def test_pairs_grow_with_the_square_of_the_values(name):
    layer, v, _ = make_case(name)
    torch.testing.assert_close(layer(3 * v), 9 * layer(v))


def test_attention_adds_up_to_one():
    layer = AttentionalPooling(FIELDS, DIM).double()
    np.testing.assert_allclose(layer.attention(vectors(BATCH, 6, DIM)).sum(dim=1).detach(), 1.0)


def test_attention_dropout_acts_in_training_only():
    layer, v = SelfAttention(DIM, dropout=0.5).double(), vectors(BATCH, FIELDS, DIM)
    assert not torch.equal(layer(v), layer(v))
    layer.eval()
    assert torch.equal(layer(v), layer(v))


def test_batch_norm_is_pytorchs_but_takes_running_moments_for_one_row():
    ours, theirs, x = BatchNorm(3).double(), torch.nn.BatchNorm1d(3).double(), vectors(8, 3)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x[:1]), theirs.eval()(x[:1]))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_mlp_normalizes_before_the_activation():
    mlp, x = randomize(MLP(N_IN, [4], batch_norm=True).double()), vectors(50, N_IN)
    linear, norm, _ = mlp.layers
    z = x.numpy() @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)
    gamma, beta = numbers(norm.weight, norm.bias)
    np.testing.assert_allclose(mlp(x).detach(), oracles.relu(gamma * z + beta), rtol=1e-9, atol=1e-9)


def test_mlp_has_a_dropout_rate_for_each_layer():
    mlp = MLP(N_IN, [4, 4, 4], dropout=[0.5, 0.0, 0.25])
    assert [m.p for m in mlp.layers if isinstance(m, torch.nn.Dropout)] == [0.5, 0.25]


def test_hidden_layers_keep_the_scale_of_their_input():
    torch.manual_seed(0)
    out = MLP(400, [400] * 5)(torch.randn(500, 400)).detach()
    assert 0.5 < float((out**2).mean()) < 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(0), "n_in=0"),
        (lambda: MLP(3, 64), "hidden=64, but it must be a list of widths"),
        (lambda: MLP(3, [4, 0]), "hidden=0"),
        (lambda: MLP(3, [4], dropout=1.0), "dropout=1.0, but it must be below 1"),
        (lambda: MLP(3, [4], dropout=[0.1, 0.2]), "has 2 numbers, but there are 1 layers"),
        (lambda: MLP(3, [], dropout=-0.1), "dropout=-0.1"),
        (lambda: MLP(3, [4], activation="swish"), "activation='swish', but it must be one of 'relu'"),
        (lambda: MLP(3, [4], batch_norm=1), "batch_norm=1, but it must be True or False"),
        (lambda: CIN(3, [3, 2], split_half=True), "split_half needs even numbers"),
        (lambda: BilinearFusion(4, 6, n_heads=4), "it must divide both streams' widths, 4 and 6"),
        (lambda: BilinearInteraction(3, 2, form="some"), "form='some'"),
        (lambda: OuterProduct(3, 2, form="some"), "form='some'"),
        (lambda: CrossNetwork(3, -1), "n_layers=-1"),
        (lambda: SelfAttention(3, 2, n_heads=0), "n_heads=0"),
    ],
)
def test_options_that_mean_nothing_are_said(make, message):
    with pytest.raises(CrossFMError, match=message):
        make()


def test_every_layer_is_documented_with_its_shapes():
    for name in layers.__all__:
        doc = getattr(layers, name).__doc__
        assert "->" in doc, name
        assert "(batch, n" in doc, name


@pytest.mark.parametrize(
    "layer",
    [AttentionalPooling(4, 3), CIN(4, (5, 6)), OuterProduct(4, 3, form="kernel")],
    ids=["attention", "cin", "outer"],
)
def test_a_batch_in_pieces_gives_what_it_gives_whole(layer, monkeypatch):
    layer = layer.double()
    v = vectors(11, 4, 3).requires_grad_()
    found = []
    for cells in (1 << 20, 1, 40):
        monkeypatch.setattr(pieces, "CELLS", cells)
        out = layer(v)
        gradients = torch.autograd.grad((out**2).sum(), [v, *layer.parameters()])
        found.append([out.detach(), *gradients])
    for other in found[1:]:
        for whole, part in zip(found[0], other, strict=True):
            torch.testing.assert_close(part, whole)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 1), (33, 17, 40)])
def test_a_linear_layer_in_float32_agrees_with_float64(shape, bias, relu):
    """In float32 it is oneDNN's, in float64 PyTorch's own."""
    batch, n_in, n_out = shape
    layer, x, g = Linear(n_in, n_out, bias=bias, relu=relu), vectors(batch, n_in), vectors(batch, n_out)
    assert takes(x.float(), layer.weight)
    found = []
    for dtype in (torch.float32, torch.float64):
        own, inputs = layer.to(dtype), x.to(dtype).requires_grad_()
        out = own(inputs)
        gradients = torch.autograd.grad(out, [inputs, *own.parameters()], g.to(dtype))
        found.append([one.double() for one in (out, *gradients)])
    naive = x @ layer.weight.T + (layer.bias if bias else 0.0)
    torch.testing.assert_close(found[1][0], naive.clamp(min=0) if relu else naive)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_layer_that_does_not_learn_gets_no_gradient():
    layer, x = Linear(3, 2, relu=True), vectors(4, 3).float()
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.full((500, 401), 2.0, requires_grad=True)  # 200,500 numbers, not whole words of 16 bits
    out = Dropout(p)(x)
    kept = out != 0
    assert abs(float((~kept).double().mean()) - p) < 5 * (p * (1 - p) / x.numel()) ** 0.5
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 2 / (1 - p)), rtol=1e-4, atol=0)
    assert (
        abs(float(kept[:, :-1].double().mul(kept[:, 1:]).mean()) - (1 - p) ** 2) < 0.01
    )  # neighbours are independent
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, out / 2)


def test_dropout_draws_by_the_seed_and_rests_in_evaluation():
    layer, x = Dropout(0.5), torch.ones(40, 3)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
