"""What every model of the table promises."""

import inspect
import json
import math

import pytest
import torch

from crossfm.errors import OptionError
from crossfm.neural.features import USES
from crossfm.neural.model import Model
from crossfm.neural.models import MODELS, find_model
from networks import random_features, randomize

FIELDS, FACTORS, DENSE, ROWS = 5, 4, 3, 64

# Options that change how a model is built; every model is also tested with its defaults.
VARIANTS = {
    "nfm": [{"hidden": []}, {"batch_norm": False, "dropout": [0.0, 0.0]}],
    "deepfm": [{"hidden": [8, 8, 8], "batch_norm": True}],
    "ipnn": [{"hidden": [], "linear": True}],
    "opnn": [{"form": "superposition"}],
    "xdeepfm": [{"split_half": False, "cin": [3], "hidden": []}, {"cin": []}],
    "dcn": [{"hidden": []}, {"n_cross": 1, "linear": True}],
    "dcnv2": [
        {"structure": "stacked", "rank": 2},
        {"rank": 2, "n_experts": 3},
        {"structure": "stacked", "hidden": []},
    ],
    "autoint": [{"hidden": [], "scale": True}, {"n_attention": 1, "residual": False, "linear": True}],
    "fibinet": [{"bilinear": "all", "hidden": []}, {"bilinear": "interaction", "reduction": 1}],
    "finalmlp": [
        {"gate_fields": [0], "gate_fields_2": [1, 2], "n_heads": 4},
        {"gates": False, "hidden_2": [6]},
    ],
}
CASES = [(name, {}) for name in MODELS] + [(name, o) for name, options in VARIANTS.items() for o in options]
every_case = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{name}-{json.dumps(o)}" if o else name for name, o in CASES]
)
every_model = pytest.mark.parametrize("name", MODELS)


def build(name, n_fields=FIELDS, n_factors=FACTORS, n_dense=DENSE, *, seed=0, **options):
    torch.manual_seed(seed)
    return MODELS[name].build(n_fields, n_factors, n_dense, **options)


@every_case
@pytest.mark.parametrize(("n_fields", "n_dense"), [(FIELDS, DENSE), (FIELDS, 0), (2, 0), (1, 0), (1, DENSE)])
def test_scores_are_one_finite_number_a_row(name, options, n_fields, n_dense):
    if n_fields < FIELDS:
        options = {key: value for key, value in options.items() if not key.startswith("gate_fields")}
    model = build(name, n_fields, n_dense=n_dense, **options)
    for n_rows in (ROWS, 1, 0):
        model.train(n_rows > 0)
        scores = model(random_features(model, n_rows, n_fields, FACTORS, n_dense))
        assert scores.shape == (n_rows,)
        assert torch.isfinite(scores).all()


@every_case
def test_the_gradient_reaches_every_parameter_and_every_input(name, options):
    model = randomize(build(name, **options), 0.1)
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE, scale=1.0)
    model(x).square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name
    assert {part for part in USES if getattr(x, part) is not None} == model.uses
    only_deep = (
        name in ("xdeepfm", "autoint") and options.get("hidden") == []
    )  # no deep part: no dense values
    for part in model.uses - ({"dense"} if only_deep else set()):
        tensor = getattr(x, part)
        assert tensor.grad is not None, part
        assert tensor.grad.any(), part


@every_case
def test_the_bias_and_the_linear_part_are_added_where_they_should_be(name, options):
    model = build(name, **options).eval()
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE, scale=1.0)
    has_linear = getattr(model, "linear", name != "fnn")
    moved = model(x._replace(linear=x.linear + 1)) - model(x)
    torch.testing.assert_close(moved, torch.full((ROWS,), float(has_linear)), atol=1e-5, rtol=0)
    with torch.no_grad():
        before = model(x)
        model.bias += 2
        torch.testing.assert_close(model(x), before + 2)


@every_model
def test_a_new_model_knows_nothing(name):
    y = (torch.arange(512) % 2).float()
    normed = [{"batch_norm": True}] if "batch_norm" in MODELS[name].options else []
    for options in [{}, *normed]:
        for seed in range(3):
            model = build(name, 39, 8, 13, seed=seed, **options)
            x = random_features(model, 512, 39, 8, 13)
            for mode in (True, False):
                loss = torch.nn.functional.binary_cross_entropy_with_logits(model.train(mode)(x), y)
                assert abs(loss.item() - math.log(2)) < 0.1


@every_case
def test_scoring_is_deterministic_and_does_not_depend_on_the_other_rows(name, options):
    model = build(name, **options)
    if "dropout" in MODELS[name].options and "dropout" not in options:
        model = build(name, **options, dropout=0.5)
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE, scale=1.0)
    model(x)  # batch normalization has seen a batch
    model.eval()
    scores = model(x)
    assert torch.equal(model(x), scores)
    one = model(type(x)(*(None if part is None else part[3:4] for part in x)))
    torch.testing.assert_close(one, scores[3:4])


@every_model
def test_training_is_random_only_with_dropout(name):
    options = MODELS[name].options
    model = build(name)
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE, scale=1.0)
    assert torch.equal(model(x), model(x))
    for option in {"dropout", "attention_dropout"} & set(options):
        model = build(name, **{option: 0.5})
        assert not torch.equal(model(x), model(x)), option


@pytest.mark.parametrize("dropout", [[0.5], [0.5, 0.0], [0.0, 0.5]])
def test_nfm_drops_pooled_pairs_first_then_hidden_units(dropout):
    model = build("nfm", hidden=[8] * (len(dropout) - 1), dropout=dropout)
    x = random_features(model, ROWS, FIELDS, FACTORS, scale=1.0)
    assert not torch.equal(model(x), model(x))
    assert (model.pooling(x.pooled) == 0).any() == (dropout[0] > 0)


def test_nfm_normalises_pooled_pairs_over_the_batch():
    model = build("nfm", hidden=[])
    x = random_features(model, ROWS, FIELDS, FACTORS, scale=1.0)
    z = (x.pooled - x.pooled.mean(0)) / torch.sqrt(x.pooled.var(0, unbiased=False) + 1e-5)
    torch.testing.assert_close(model(x), model.bias + x.linear + z.sum(1), atol=1e-4, rtol=1e-4)


@every_case
def test_options_and_weights_survive_a_file(name, options):
    row = MODELS[name]
    kept = json.loads(json.dumps({**row.options, **options}))
    one, other = build(name, **options), build(name, seed=1, **kept)
    other.load_state_dict(one.state_dict())
    x = random_features(one, ROWS, FIELDS, FACTORS, DENSE, scale=1.0)
    assert torch.equal(one.eval()(x), other.eval()(x))


@every_case
def test_one_seed_gives_one_start(name, options):
    one, other = build(name, **options), build(name, **options)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@every_model
def test_bfloat16_autocast_gives_about_the_same_scores(name):
    model = build(name).eval()
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE, scale=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
        half.float().sum().backward()
    torch.testing.assert_close(half.float(), model(x), rtol=0.05, atol=0.05)


@every_model
def test_a_part_that_was_not_computed_is_named(name):
    model = build(name)
    x = random_features(model, ROWS, FIELDS, FACTORS, DENSE)
    for part in model.uses:
        with pytest.raises(OptionError, match=f"reads '{part}' of Features, but it is None"):
            model(x._replace(**{part: None}))


@every_model
def test_the_constructor_keeps_the_convention(name):
    row = find_model(name)
    assert issubclass(row.model, Model)
    assert row.model.uses <= set(USES)
    parameters = inspect.signature(row.model).parameters
    assert list(parameters)[:3] == ["n_fields", "n_factors", "n_dense"]
    assert all(p.kind == p.KEYWORD_ONLY for at, p in enumerate(parameters.values()) if at >= 2)
    assert json.loads(json.dumps(row.options)) == row.options
    for option in row.options:
        assert f"{option} :" in row.model.__doc__ or f"{option}, " in row.model.__doc__, option
    assert row.paper.split(" ")[0].strip(",") in row.model.__doc__


@every_model
def test_sizes_that_mean_nothing_are_said(name):
    for sizes, message in [((0, 4), "n_fields=0"), ((4, 0), "n_factors=0"), ((2.5, 4), "n_fields=2.5")]:
        with pytest.raises(OptionError, match=message):
            MODELS[name].build(*sizes)
    with pytest.raises(OptionError, match="n_dense=-1"):
        MODELS[name].model(4, 4, n_dense=-1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "nfm",
            {"hiden": [3]},
            r"nfm has no option 'hiden' \(did you mean 'hidden'\?\); its options are hidden, ",
        ),
        ("fm", {"hidden": [3]}, "fm has no option 'hidden'; it has no options"),
        ("nfm", {"dropout": [0.1]}, "has 1 numbers, but there are 2 layers"),
        ("deepfm", {"hidden": [], "activation": "swish"}, "activation='swish'"),
        ("deepfm", {"hidden": "12"}, "hidden='12', but it must be a list"),
        ("dcnv2", {"structure": "both"}, "structure='both', but it must be one of 'parallel', 'stacked'"),
        ("dcnv2", {"n_experts": 2}, "n_experts=2 needs a rank"),
        ("dcnv2", {"rank": 0}, "rank=0"),
        ("dcn", {"n_cross": -1}, "n_layers=-1"),
        ("dcn", {"linear": 1}, "linear=1, but it must be True or False"),
        (
            "finalmlp",
            {"gate_fields": [9]},
            "gate_fields=9, but it must be a whole number of at least 0 and at most 4",
        ),
        ("finalmlp", {"gate_fields": 1}, "gate_fields=1, but it must be a list of field numbers"),
        ("finalmlp", {"n_heads": 3}, "n_heads=3, but it must divide"),
        ("afm", {"dropout": 1}, "dropout=1, but it must be below 1"),
    ],
)
def test_options_that_mean_nothing_are_said(name, options, message):
    with pytest.raises(OptionError, match=message):
        build(name, **options)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("DeepFM", "deepfm"), ("xdepfm", "xdeepfm"), ("wide_deep", "widedeep"), ("final-mlp", "finalmlp")],
)
def test_an_unknown_model_gets_a_suggestion(name, meant):
    with pytest.raises(
        OptionError, match=rf"did you mean '{meant}'\?\); the neural models are fm, ffm, fwfm, nfm"
    ):
        find_model(name)


@pytest.mark.parametrize("name", ["zzz", None, 3])
def test_an_unknown_model_lists_those_there_are(name):
    with pytest.raises(OptionError, match=r"; the neural models are fm, .*finalmlp"):
        find_model(name)
