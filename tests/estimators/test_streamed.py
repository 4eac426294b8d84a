"""Estimators learn from a stream what they learn from rows in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import crossfm
from crossfm import Categorical, FMClassifier, FMRanker, FMRegressor, Numeric, Rows, read, stream
from crossfm.core.memory import resident
from crossfm.data import blocks
from crossfm.data import stream as windows
from crossfm.data.writers import write_libffm, write_libsvm, write_table
from crossfm.errors import DataError, FeatureIndexError, LabelError, OptionError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)


@pytest.fixture
def many_windows(monkeypatch):
    """Ten windows an epoch, of two blocks each."""
    monkeypatch.setattr(windows, "WINDOW", 19_000)


def made_rows(n_rows=2000, seed=0, n_ids=20):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, n_ids, n_rows), n_ids + rng.integers(0, n_ids, n_rows)
    y = rng.random(n_rows) < np.where((a + b) % 3 == 0, 0.9, 0.1)
    return Rows(np.stack([a, b], 1).ravel().astype(np.uint32), 2 * n_ids + 5, width=2, target=y * 1.0)


@pytest.fixture
def text(tmp_path):
    write_libsvm(tmp_path / "a.libsvm", made_rows())
    return tmp_path / "a.libsvm"


def same(a, b):
    ours = [a.params_] if not isinstance(a.params_, list) else a.params_
    others = [b.params_] if not isinstance(b.params_, list) else b.params_
    return all(
        x.bias == y.bias and np.array_equal(x.w, y.w) and np.array_equal(x.V, y.V)
        for x, y in zip(ours, others, strict=True)
    )


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", [FMClassifier, FMRegressor])
@pytest.mark.parametrize(
    "more", [{}, {"deterministic": True, "n_threads": 2}, {"solver": "ftrl", "l1_w": 0.01}]
)
def test_one_window_gives_the_bits_of_training_in_memory(text, kind, shuffle, more):
    a = kind(random_state=1, max_iter=3, shuffle=shuffle, **more).fit(read(text))
    b = kind(random_state=1, max_iter=3, shuffle=shuffle, **more).fit(stream(text))
    assert same(a, b)
    assert [e["train_loss"] for e in a.history_] == [e["train_loss"] for e in b.history_]


def test_many_windows_in_file_order_give_the_same_bits_too(text, many_windows):
    found = stream(text)
    assert len(list(found.windows())) == 10
    a = FMClassifier(random_state=1, max_iter=3, shuffle=False).fit(read(text))
    assert same(a, FMClassifier(random_state=1, max_iter=3, shuffle=False).fit(found))


def test_weights_counts_and_more_classes_are_as_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "a": rng.integers(0, 9, 900),
            "x": rng.normal(size=900),
            "w": rng.integers(0, 3, 900),
            "color": np.array(["red", "green", "blue"])[rng.integers(0, 3, 900)],
            "count": rng.poisson(2, 900),
        }
    )
    write_table(tmp_path / "t.parquet", table)
    columns = [Categorical("a"), Numeric("x", transform="none")]
    for model, target in (
        (FMClassifier(random_state=0, max_iter=2), "color"),
        (FMRegressor(random_state=0, max_iter=2, loss="poisson"), "count"),
        (FMRegressor(random_state=0, max_iter=2), "count"),
    ):
        found = stream(tmp_path / "t.parquet", target=target, weight="w", columns=columns)
        in_memory = type(model)(**model.get_params()).set_params(columns=columns)
        in_memory.fit(table.select(["a", "x"]), table[target].to_numpy(), sample_weight=table["w"].to_numpy())
        model.fit(found)
        assert same(model, in_memory)
        np.testing.assert_array_equal(model.predict(table.select(["a", "x"])), in_memory.predict(found))
        assert list(model.feature_names_in_) == ["a", "x"]
        if target == "color":
            assert model.classes_.tolist() == ["blue", "green", "red"]


def test_the_same_seed_gives_the_same_bits_and_another_one_others(text, many_windows):
    a, b, c = (FMClassifier(random_state=seed, max_iter=2).fit(stream(text)) for seed in (0, 0, 1))
    assert same(a, b)
    assert not same(a, c)


def test_many_windows_learn_as_well_as_memory(text, many_windows, tmp_path):
    write_libsvm(tmp_path / "test.libsvm", made_rows(seed=9))
    rows = read(tmp_path / "test.libsvm", n_features=read(text).n_features)
    settings = {"random_state": 0, "max_iter": 15, "learning_rate": 0.2}
    ours = FMClassifier(**settings).fit(stream(text)).score(rows, rows.target)
    assert ours > 0.85
    assert abs(ours - FMClassifier(**settings).fit(read(text)).score(rows, rows.target)) < 0.02


@pytest.mark.parametrize("monitor", ["loss", "auc"])
def test_early_stopping_holds_back_rows_by_their_number(text, many_windows, monitor):
    settings = {
        "random_state": 0,
        "max_iter": 8,
        "learning_rate": 0.3,
        "early_stopping": True,
        "monitor": monitor,
    }
    found = stream(text)
    model = FMClassifier(**settings).fit(found)
    assert model.n_iter_ >= model.best_iter_ >= 1
    assert model.history_[-1]["valid_loss"] > 0
    assert same(model, FMClassifier(**settings).fit(stream(text)))


@pytest.mark.parametrize("monitor", ["loss", "auc"])
def test_validating_on_a_stream_is_validating_on_its_rows(text, many_windows, tmp_path, monitor):
    write_libsvm(tmp_path / "v.libsvm", made_rows(700, seed=4))
    n = read(text).n_features
    settings = {"random_state": 0, "max_iter": 3, "monitor": monitor}
    held = stream(tmp_path / "v.libsvm", n_features=n)
    for kind in (FMClassifier, FMRegressor):
        own = settings if kind is FMClassifier else {"random_state": 0, "max_iter": 3}
        a = kind(**own).fit(stream(text), eval_set=held)
        b = kind(**own).fit(stream(text), eval_set=(read(tmp_path / "v.libsvm", n_features=n), None))
        assert same(a, b)
        for name in {"valid_loss", "valid_auc"} & a.history_[0].keys():
            np.testing.assert_allclose(
                [e[name] for e in a.history_], [e[name] for e in b.history_], rtol=1e-6
            )


def test_features_that_no_row_to_train_on_has_are_zero(tmp_path):
    write_libsvm(tmp_path / "a.libsvm", made_rows())
    model = FMClassifier(random_state=0, max_iter=1).fit(stream(tmp_path / "a.libsvm", n_features=60))
    assert not model.params_.V[40:].any()
    assert model.params_.V[:40].any(axis=1).all()


def test_training_goes_on_from_where_it_stopped(text, many_windows):
    found = stream(text)
    model = FMClassifier(random_state=0, max_iter=2, warm_start=True).fit(found)
    before = model.params_.w.copy()
    model.fit(found)
    assert [e["epoch"] for e in model.history_] == [1, 2, 3, 4]
    assert not np.array_equal(before, model.params_.w)
    model.partial_fit(found)
    assert model.n_iter_ == 5


def test_partial_fit_takes_ids_that_are_new(text, tmp_path):
    write_libsvm(tmp_path / "b.libsvm", made_rows(n_ids=40))
    model = FMClassifier(random_state=0).partial_fit(stream(text))
    model.partial_fit(stream(tmp_path / "b.libsvm"))
    assert model.params_.w.shape == (80,)
    assert model.params_.w[40:].any()


def test_predictions_come_window_by_window(text, many_windows):
    model = FMClassifier(random_state=0, max_iter=1).fit(read(text))
    np.testing.assert_array_equal(model.predict_proba(stream(text)), model.predict_proba(read(text)))


def test_an_interrupt_keeps_the_best_epoch(text, many_windows):
    def interrupt(epoch, model):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    settings = {"random_state": 0, "learning_rate": 0.1, "early_stopping": True}
    model = FMClassifier(max_iter=9, callbacks=[interrupt], **settings)
    with pytest.raises(KeyboardInterrupt):
        model.fit(stream(text))
    whole = FMClassifier(max_iter=model.best_iter_, **settings).fit(stream(text))
    assert same(model, whole)


def test_what_a_stream_cannot_do_is_told(text, tmp_path):
    found = stream(text)
    write_table(tmp_path / "t.csv", pa.table({"a": ["x", "y"] * 20, "y": [0, 1] * 20}))
    table = stream(tmp_path / "t.csv", target="y")
    fitted = FMClassifier(max_iter=1).fit(found)
    for model, args, options, error, message in (
        (FMClassifier(), (found, [1]), {}, OptionError, "brings its own target"),
        (FMClassifier(), (found,), {"sample_weight": [1]}, OptionError, "brings its own target"),
        (FMClassifier(solver="sgda"), (found,), {}, OptionError, "choose another solver for a stream"),
        (FMRanker(), (found,), {}, OptionError, "iterate over it and pass its Rows"),
        (FMClassifier(columns=[Categorical("a")]), (found,), {}, OptionError, "columns of the model differ"),
        (FMClassifier(columns=[Categorical("b")]), (table,), {}, OptionError, "columns of the model differ"),
        (FMClassifier(), (found,), {"eval_set": (found, [1])}, OptionError, "eval_set=.stream, None"),
        (FMClassifier(), (found,), {"eval_set": table}, DataError, "not encoded as the model's"),
        (fitted.set_params(warm_start=True), (table,), {}, DataError, "not encoded as the model's"),
        (FMRegressor(loss="poisson"), (stream(negative(tmp_path)),), {}, LabelError, "poisson"),
        (FMClassifier(), (stream(constant(tmp_path)),), {}, LabelError, "one class only"),
    ):
        with pytest.raises(error, match=message):
            model.fit(*args, **options)
    write_libsvm(tmp_path / "wide.libsvm", made_rows(n_ids=40))
    with pytest.raises(FeatureIndexError, match="fitted with 40 features"):
        FMClassifier(max_iter=1, warm_start=True).fit(stream(text)).fit(stream(tmp_path / "wide.libsvm"))
    found.memory_limit, found.n_features = 300_000_000, 10_000_000
    with pytest.raises(OptionError, match=r"memory_limit=300 MB is too small: .* about [\d,]+ MB"):
        FMClassifier().fit(found)


def negative(folder):
    write_libsvm(folder / "n.libsvm", made_rows().with_target(np.linspace(-1, 1, 2000)))
    return folder / "n.libsvm"


def constant(folder):
    write_libsvm(folder / "c.libsvm", made_rows().with_target(np.ones(2000)))
    return folder / "c.libsvm"


def test_weights_that_are_all_zero_are_told(tmp_path):
    write_table(tmp_path / "t.csv", pa.table({"a": ["x", "y"] * 20, "y": [0, 1] * 20, "w": [0] * 40}))
    with pytest.raises(DataError, match="0 everywhere"):
        FMClassifier().fit(stream(tmp_path / "t.csv", target="y", weight="w"))


@pytest.mark.parametrize("kind", ["FFMClassifier", "FwFMRegressor", "FmFMClassifier", "HOFMRegressor"])
def test_other_machines_learn_from_streams_too(tmp_path, kind, many_windows):
    rows = made_rows()
    fields = np.tile(np.array([0, 1], np.uint32), rows.n_rows)
    rows = Rows(rows.indices, rows.n_features, width=2, fields=fields, target=rows.target)
    write_libffm(tmp_path / "a.libffm", rows)
    options = {"random_state": 1, "max_iter": 3, "shuffle": False, "normalize": True}
    a = getattr(crossfm, kind)(**options).fit(read(tmp_path / "a.libffm"))
    b = getattr(crossfm, kind)(**options).fit(stream(tmp_path / "a.libffm"))
    # A regressor's mean target is added up in another order: not the same bits.
    for name, array in a.params_.to_arrays().items():
        np.testing.assert_allclose(b.params_.to_arrays()[name], array, rtol=1e-6, atol=1e-9)
    said, again = a.predict(read(tmp_path / "a.libffm")), b.predict(stream(tmp_path / "a.libffm"))
    np.testing.assert_allclose(again, said, rtol=1e-6, atol=1e-9)
    later = b.partial_fit(stream(tmp_path / "a.libffm"))
    assert later.n_iter_ == 4


@pytest.mark.parametrize("options", [{}, {"l2_V": 1e-3}, {"early_stopping": True}])
@pytest.mark.parametrize("model", ["nfm", "deepfm", "ffm"])
def test_a_network_looks_at_the_file_once_before_its_first_epoch(
    tmp_path, many_windows, monkeypatch, model, options
):
    pytest.importorskip("torch")
    rows = made_rows()
    write_libffm(tmp_path / "a.libffm", replace(rows, fields=np.array([0, 1], np.uint32)))
    found, passes, read_windows = stream(tmp_path / "a.libffm"), [], windows.RowStream.windows

    def spied(self, rng=None):
        passes.append(self.n_rows)
        return read_windows(self, rng)

    monkeypatch.setattr(windows.RowStream, "windows", spied)
    crossfm.NeuralFMClassifier(2, model=model, max_iter=1, **options).fit(found)
    held = options.get("early_stopping", False)
    assert len(passes) == 2 + held  # a look, an epoch and what is held back
    assert passes[0] == passes[1] == 2000 - held * passes[-1]


def test_a_limit_too_small_for_the_layers_is_refused_with_what_takes_less(tmp_path):
    pytest.importorskip("torch")
    import crossfm.neural.runtime

    rows = made_rows()
    write_libffm(tmp_path / "a.libffm", replace(rows, fields=np.array([0, 1], np.uint32)))
    found = stream(tmp_path / "a.libffm", memory_limit=resident() + 150_000_000)
    wide = {"hidden": (20_000,), "batch_size": 2000}
    message = r"MB for layers and a batch in them.*smaller batch_size or hidden"
    with pytest.raises(OptionError, match=message):
        crossfm.DeepFMClassifier(4, max_iter=1, **wide).fit(found)
    for less in ({"batch_size": 20}, {"hidden": (8,)}):
        assert crossfm.DeepFMClassifier(4, max_iter=1, **{**wide, **less}).fit(found).n_iter_ == 1
    model = crossfm.DeepFMClassifier(4, max_iter=1, warm_start=True, **{**wide, "batch_size": 20}).fit(found)
    with pytest.raises(OptionError, match=message):
        model.set_params(batch_size=2000).fit(found)
