"""Class weights, and probabilities that come true again under them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import crossfm
from crossfm import FFMClassifier, FMClassifier, Rows, load, read, stream
from crossfm.data import blocks
from crossfm.data import stream as windows
from crossfm.data.writers import write_libffm
from crossfm.errors import LabelError, OptionError
from crossfm.metrics import auc, expected_calibration_error, log_loss


def made(n_rows=2000, seed=0, n_classes=2, rate=0.3):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 20, n_rows), 20 + rng.integers(0, 20, n_rows)
    effect = np.random.default_rng(99).normal(size=(20, n_classes))
    score = effect[a] + effect[b - 20]
    score[:, 0] -= np.log(rate)
    y = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    fields = np.tile(np.array([0, 1], np.uint32), n_rows)
    return Rows(np.stack([a, b], 1).ravel().astype(np.uint32), 40, width=2, fields=fields, target=y * 1.0)


def same(a, b):
    ours, theirs = ([m.params().to_arrays() for m in model._machines] for model in (a, b))
    return all(
        np.array_equal(one[name], other[name])
        for one, other in zip(ours, theirs, strict=True)
        for name in one
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", ["balanced", {0.0: 0.2, 1.0: 5.0}])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_scikit_learns_sample_weights(n_classes, class_weight, weighted):
    rows = made(n_classes=n_classes)
    own = np.random.default_rng(0).integers(0, 3, rows.n_rows) * 1.0 if weighted else np.ones(rows.n_rows)
    model = FMClassifier(random_state=0, max_iter=2, class_weight=class_weight)
    model.fit(rows, sample_weight=own if weighted else None)
    weight = compute_sample_weight(class_weight, rows.target)
    plain = FMClassifier(random_state=0, max_iter=2).fit(rows, sample_weight=own * weight)
    assert same(model, plain)
    assert model.history_[0]["train_loss"] == plain.history_[0]["train_loss"]
    classes = np.arange(n_classes) * 1.0
    expected = compute_class_weight(class_weight, classes=classes, y=rows.target)
    np.testing.assert_allclose(model.class_weight_, expected, rtol=1e-15)


@pytest.mark.parametrize("monitor", ["loss", "auc"])
def test_validation_is_weighted_alike(monitor):
    rows, held = made(), made(500, seed=1)
    settings = {"random_state": 0, "max_iter": 3, "monitor": monitor}
    model = FMClassifier(class_weight="balanced", **settings).fit(rows, eval_set=(held, None))
    each = np.where(held.target > 0, model.class_weight_[1], model.class_weight_[0])
    probability = model.predict_proba(held)[:, 1]
    expected = log_loss(held.target, probability, sample_weight=each)
    assert model.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [FMClassifier, FFMClassifier])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [19_000, 10**8], ids=["many windows", "one window"])
def test_a_stream_weighs_and_calibrates_as_memory_does(tmp_path, monkeypatch, kind, n_classes, size):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    monkeypatch.setattr(windows, "WINDOW", size)
    write_libffm(tmp_path / "a.libffm", made(n_classes=n_classes))
    write_libffm(tmp_path / "v.libffm", made(500, 1, n_classes))
    names = tmp_path / "a.libffm", tmp_path / "v.libffm"
    models = []
    for opened in (read, stream):
        X, V = (opened(name, n_features=40) for name in names)
        model = kind(random_state=0, max_iter=2, class_weight="balanced", calibrate=True, shuffle=False)
        models.append(model.fit(X, eval_set=(V, None)))
    a, b = models
    assert a.class_weight_.tolist() == b.class_weight_.tolist()
    for name in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(b.history_[-1][name], a.history_[-1][name], rtol=1e-6)
    np.testing.assert_allclose(b.calibration_, a.calibration_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        b.predict_proba(stream(names[1], n_features=40)), a.predict_proba(V), rtol=1e-4
    )
    held_back = kind(random_state=0, max_iter=2, calibrate=True).fit(stream(names[0]))
    assert held_back.calibration_.shape == (1 if n_classes == 2 else 3, 2)


@pytest.mark.parametrize("kind", ["FMClassifier", "FwFMClassifier"])
def test_calibration_restores_what_balanced_weights_skew(tmp_path, kind):
    """One in twenty: weighted, the model says one in two."""
    rows, held, test = (made(n, seed, rate=1 / 120) for seed, n in enumerate((20_000, 4000, 20_000)))
    assert 0.03 < rows.target.mean() < 0.07
    settings = {"random_state": 0, "max_iter": 3, "class_weight": "balanced"}
    skewed = getattr(crossfm, kind)(**settings).fit(rows, eval_set=(held, None))
    model = getattr(crossfm, kind)(**settings, calibrate=True).fit(rows, eval_set=(held, None))
    before, after = (m.predict_proba(test)[:, 1] for m in (skewed, model))
    assert expected_calibration_error(test.target, before) > 0.2
    assert expected_calibration_error(test.target, after) < 0.02
    assert log_loss(test.target, after) < 0.5 * log_loss(test.target, before)
    assert auc(test.target, after) == auc(test.target, before)  # one slope above 0: the same order
    np.testing.assert_array_equal(model.decision_function(test), skewed.decision_function(test))
    np.testing.assert_array_equal(model.predict(test), skewed.predict(test))
    model.save(tmp_path / "m.crossfm")
    loaded = load(tmp_path / "m.crossfm")
    np.testing.assert_array_equal(loaded.predict_proba(test), model.predict_proba(test))
    np.testing.assert_array_equal(loaded.class_weight_, model.class_weight_)


def test_each_of_more_classes_has_a_scale_of_its_own():
    rows, test = made(8000, n_classes=3, rate=20), made(8000, 1, n_classes=3, rate=20)
    settings = {"random_state": 0, "max_iter": 3, "class_weight": "balanced"}
    skewed = FMClassifier(**settings).fit(rows)
    model = FMClassifier(**settings, calibrate=True, validation_fraction=0.2).fit(rows)
    assert model.calibration_.shape == (3, 2)
    after = model.predict_proba(test)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert log_loss(test.target.astype(int), after) < log_loss(
        test.target.astype(int), skewed.predict_proba(test)
    )


def test_calibration_takes_rows_that_were_not_trained_on():
    rows = made()
    a = FMClassifier(random_state=0, max_iter=3, calibrate=True).fit(rows)
    b = FMClassifier(random_state=0, max_iter=3, early_stopping=True, n_iter_no_change=3).fit(rows)
    assert "valid_loss" in a.history_[0]
    assert a.history_[0]["train_loss"] == b.history_[0]["train_loss"]
    assert b.calibration_ is None


def test_partial_fit_keeps_what_fit_has_learnt(tmp_path):
    rows, later = made(), made(seed=5, rate=1)
    model = FMClassifier(random_state=0, max_iter=2, class_weight="balanced", calibrate=True).fit(rows)
    weights, scale = model.class_weight_.copy(), model.calibration_.copy()
    model.save(tmp_path / "m", with_state=True)
    for one in (model, load(tmp_path / "m")):
        one.partial_fit(later)
        assert (one.class_weight_.tolist(), one.calibration_.tolist()) == (weights.tolist(), scale.tolist())
    assert same(model, one)


def test_a_dict_outlives_the_file(tmp_path):
    rows, names = made(), np.array(["no", "yes"])
    y = names[rows.target.astype(int)]
    model = FMClassifier(random_state=0, max_iter=2, class_weight={"yes": 3.0}).fit(rows, y)
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").class_weight == {"yes": 3.0}


def test_older_files_and_models_have_neither():
    arrays, meta = FMClassifier(max_iter=1).fit(made()).to_state()
    assert not {"class_weight", "calibration"} & meta.keys()
    for name in ("class_weight", "calibrate"):
        del meta["settings"][name]
    model = FMClassifier.from_state(arrays, meta)
    assert (model.class_weight_, model.calibration_) == (None, None)


def test_what_means_nothing_is_refused():
    rows = made()
    alone = rows.with_target(np.zeros(rows.n_rows))
    for settings, error, message in (
        ({"class_weight": "auto"}, OptionError, "class_weight='auto', but it must be None"),
        ({"class_weight": [1, 2]}, OptionError, "must be None, \"balanced\" or a dict"),
        ({"class_weight": {0: -1, 1: 1}}, OptionError, "weights must be 0 or more"),
        ({"class_weight": {0: 0, 1: 0}}, OptionError, "not all 0"),
        ({"class_weight": {0: float("nan")}}, OptionError, "weights must be 0 or more"),
        ({"class_weight": {"no": 2.0, "maybe": 3}}, OptionError, "does not fit"),
        ({"calibrate": True, "validation_fraction": 0}, OptionError, "fraction"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            FMClassifier(**settings).fit(rows)
    with pytest.raises(OptionError, match=r"class_weight=.balanced. needs all rows"):
        FMClassifier(class_weight="balanced").partial_fit(rows)
    with pytest.raises(OptionError, match="calibrate=True needs validation rows"):
        FMClassifier(calibrate=True).partial_fit(rows)
    warm = FMClassifier(max_iter=1, class_weight="balanced", warm_start=True).fit(rows)
    with pytest.raises(LabelError, match=r"class 1.0 has no rows"):
        warm.fit(alone)
