"""``fit`` that is killed and called again ends with the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossfm
from crossfm import FMClassifier, FMRegressor, Rows, read, stream
from crossfm.data import blocks
from crossfm.data import stream as windows
from crossfm.data.writers import write_libffm
from crossfm.errors import DataError, ModelFileError, OptionError
from crossfm.estimators.base import BaseFM


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Five to ten calls an epoch."""
    monkeypatch.setattr("crossfm.solvers.epochs.NONZEROS_A_CALL", 300)


def made_rows(n_rows=700, seed=0, n_classes=2):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 20, n_rows), 20 + rng.integers(0, 20, n_rows)
    y = np.where(rng.random(n_rows) < 0.8, (a + b) % n_classes, rng.integers(0, n_classes, n_rows))
    ids = np.stack([a, b], 1).ravel().astype(np.uint32)
    fields = np.tile(np.array([0, 1], np.uint32), n_rows)
    return Rows(ids, 45, width=2, fields=fields, target=y * 1.0)


def killed_at(n, monkeypatch, fit):
    """Call ``fit``, and break off in the n-th call of the kernel, between the machines of two classes too."""
    visited = 0
    real = BaseFM._visit

    def visit(self, data, order, *rest):
        nonlocal visited
        visited += 1
        if visited == n:
            self._machines[0].bias[0] += 1  # what is half done must not count
            raise Killed
        return real(self, data, order, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(BaseFM, "_visit", visit)
        with pytest.raises(Killed):
            fit()


def same(a, b):
    for one, other in zip(a._machines, b._machines, strict=True):
        ours, theirs = one.params().to_arrays(), other.params().to_arrays()
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
        for mine, his in zip(one.state(), other.state(), strict=True):
            np.testing.assert_array_equal(mine, his)
    drop = [[{**epoch, "seconds": 0} for epoch in model.history_] for model in (a, b)]
    assert drop[0] == drop[1]
    assert (a.best_iter_, a.n_iter_) == (b.best_iter_, b.n_iter_)
    return True


CASES = [
    ("FMClassifier", {}, 2),
    ("FMClassifier", {"solver": "adagrad-row", "precision": "bfloat16"}, 2),
    ("FMClassifier", {"solver": "ftrl", "l1_w": 0.01, "ftrl_decay": 0.99}, 2),
    ("FMClassifier", {"solver": "adam", "schedule": "cosine"}, 3),
    ("FMClassifier", {"deterministic": True, "n_threads": 2, "class_weight": "balanced"}, 2),
    ("FMRegressor", {"solver": "sgda"}, 2),
    ("FMRegressor", {"solver": "sgd", "schedule": "inverse", "normalize": True}, 2),
    ("FFMClassifier", {}, 2),
    ("FFMRegressor", {"solver": "ftrl"}, 2),
    ("FFMClassifier", {"solver": "adagrad-row", "precision": "bfloat16"}, 3),
    ("FwFMClassifier", {"solver": "adam"}, 2),
    ("FwFMRegressor", {}, 2),
    ("FmFMClassifier", {"solver": "ftrl"}, 2),
    ("HOFMRegressor", {}, 2),
]
IDS = ["-".join([kind, *map(str, options.values()), str(n)]) for kind, options, n in CASES]


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("kind", "options", "n_classes"), CASES, ids=IDS)
def test_every_machine_and_solver_goes_on_exactly(
    tmp_path, monkeypatch, kind, options, n_classes, early_stopping
):
    rows = made_rows(n_classes=n_classes)

    def fit(checkpoint=None, seconds=0.0):
        settings = {"max_iter": 4, "random_state": 3, "n_iter_no_change": 2, "early_stopping": early_stopping}
        model = getattr(crossfm, kind)(
            **settings, **options, learning_rate=0.2, checkpoint=checkpoint, checkpoint_seconds=seconds
        )
        return model.fit(rows)

    whole = fit()
    path = tmp_path / "c"
    if options.get("solver") == "sgda":
        monkeypatch.setattr("crossfm.solvers.resume.Resume.keep_if_due", killer(8))
        with pytest.raises(Killed):
            fit(path)
        monkeypatch.undo()
        monkeypatch.setattr("crossfm.solvers.epochs.NONZEROS_A_CALL", 300)
    else:
        for n in (3, 1, 4):
            killed_at(n, monkeypatch, lambda: fit(path))
        killed_at(2, monkeypatch, lambda: fit(path, 1e9))
    assert path.exists()
    assert same(fit(path), whole)
    assert not list(tmp_path.iterdir())


def killer(n):
    """Return a ``keep_if_due`` that writes, and breaks off the n-th time."""
    calls = []

    def keep(self, loop, tables):
        self.keep(loop, tables)
        calls.append(1)
        if len(calls) == n:
            raise Killed

    return keep


@pytest.mark.parametrize("random_state", [None, "generator", "state"])
def test_a_drawn_seed_is_kept(tmp_path, monkeypatch, random_state):
    rows = made_rows()
    found = []

    def fit(seed=0):
        given = {"generator": np.random.default_rng, "state": np.random.RandomState}.get(random_state)
        model = FMClassifier(
            max_iter=3, random_state=given and given(seed), checkpoint=tmp_path / "c", checkpoint_seconds=0
        )
        model.set_params(callbacks=[lambda epoch, model: found.append((epoch.epoch, model._seed))])
        return model.fit(rows)

    killed_at(8, monkeypatch, fit)
    model = fit(1)
    assert [epoch for epoch, _ in found] == [1, 2, 3]
    assert len({seed for _, seed in found}) == 1
    assert same(model, FMClassifier(max_iter=3, random_state=found[0][1]).fit(rows))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", ["FMClassifier", "FFMRegressor"])
@pytest.mark.parametrize("size", [19_000, 10**8], ids=["many windows", "one window"])
def test_a_stream_goes_on_exactly(tmp_path, monkeypatch, kind, early_stopping, size):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    monkeypatch.setattr(windows, "WINDOW", size)
    write_libffm(tmp_path / "a.libffm", made_rows(2000))

    def fit(checkpoint=None, **more):
        settings = {"max_iter": 3, "random_state": 3, "early_stopping": early_stopping, **more}
        model = getattr(crossfm, kind)(**settings, checkpoint=checkpoint, checkpoint_seconds=0)
        return model.fit(stream(tmp_path / "a.libffm"))

    whole = fit()
    path = tmp_path / "c"
    for n in (7, 1, 17):
        killed_at(n, monkeypatch, lambda: fit(path))
    assert path.exists()
    with pytest.raises(OptionError, match="max_iter was 3, is 4"):
        fit(path, max_iter=4)
    assert same(fit(path), whole)
    assert not path.exists()


def test_tables_and_their_columns_go_on_exactly(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, 9, 600).astype(str), "x": rng.normal(size=600)})
    y = np.where(rng.random(600) < table.x, "yes", "no")

    def fit(checkpoint=None, table=table):
        return FMClassifier(
            max_iter=3, random_state=0, early_stopping=True, checkpoint=checkpoint, checkpoint_seconds=0
        ).fit(table, y, sample_weight=np.arange(600))

    whole = fit()
    killed_at(6, monkeypatch, lambda: fit(tmp_path / "c"))
    with pytest.raises(OptionError, match="values of rows not the same"):
        fit(tmp_path / "c", table.assign(x=table.x[::-1].to_numpy()))
    assert same(fit(tmp_path / "c"), whole)


def test_a_warm_start_goes_on_from_its_own_model_only(tmp_path, monkeypatch):
    rows = made_rows()

    def fit(first=2, checkpoint=None):
        model = FMClassifier(max_iter=first, random_state=0, warm_start=True).fit(rows)
        return model.set_params(max_iter=3, checkpoint=checkpoint, checkpoint_seconds=0).fit(rows)

    whole = fit()
    assert [epoch["epoch"] for epoch in whole.history_] == [1, 2, 3, 4, 5]
    path = tmp_path / "c"
    killed_at(17, monkeypatch, lambda: fit(checkpoint=path))
    with pytest.raises(OptionError, match="epochs before was 2, is 1, the model to go on with not the same"):
        fit(1, path)
    assert same(fit(checkpoint=path), whole)


def test_other_settings_and_data_are_refused_by_name(tmp_path, monkeypatch):
    rows, path = made_rows(), tmp_path / "c"

    def fit(X=rows, kind=FMClassifier, **settings):
        own = {"n_factors": 8, "random_state": 0, "max_iter": 3, "checkpoint": path, "checkpoint_seconds": 0}
        return kind(**own | settings).fit(X)

    killed_at(4, monkeypatch, fit)
    before = path.read_bytes()
    flipped = rows.with_target(1 - rows.target)
    for again, message in (
        (lambda: fit(n_factors=16), r"c belongs to another training: n_factors was 8, is 16; delete it or give"),
        (lambda: fit(solver="sgd", l2_w=0.1), "l2_w was None, is 0.1, solver was 'adagrad', is 'sgd';"),
        (lambda: fit(random_state=1), "random_state was 0, is 1;"),
        (lambda: fit(random_state=None), "random_state was 0, is None;"),
        (lambda: fit(class_weight={0: 2.0}), "class_weight was None, is '{0: 2.0}';"),
        (lambda: fit(kind=FMRegressor), "estimator was 'FMClassifier', is 'FMRegressor'"),
        (lambda: fit(rows.take(np.arange(600))), "number of rows was 700, is 600, non-zeros of rows was 1400"),
        (lambda: fit(flipped), "another training: targets of rows not the same;"),
        (lambda: fit(made_rows(seed=1)), "ids of rows not the same, targets of rows not the same;"),
        (lambda: fit(early_stopping=True), "early_stopping was False, is True;"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=message):
            again()
    assert path.read_bytes() == before
    assert same(fit(verbose=0, callbacks=[]), fit(checkpoint=None))


@pytest.mark.parametrize(
    "options", [{"checkpoint": 3}, {"checkpoint": ""}, {"checkpoint": "c", "checkpoint_seconds": -1}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(OptionError, match="checkpoint"):
        FMClassifier(**options).fit(made_rows())


def test_a_checkpoint_is_no_model_and_a_model_no_checkpoint(tmp_path, monkeypatch):
    rows = made_rows()
    model = FMClassifier(max_iter=2, checkpoint=tmp_path / "c", checkpoint_seconds=0)
    killed_at(4, monkeypatch, lambda: model.fit(rows))
    with pytest.raises(ModelFileError, match="a training that did not end; go on with fit and checkpoint="):
        crossfm.load(tmp_path / "c")
    FMClassifier(max_iter=1).fit(rows).save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    with pytest.raises(ModelFileError, match="is a model file"):
        FMClassifier(checkpoint=tmp_path / "m").fit(rows)
    assert (tmp_path / "m").read_bytes() == before


def test_where_nothing_can_be_written_is_told(tmp_path):
    with pytest.raises(OSError, match="folder to write to does not exist"):
        FMClassifier(checkpoint=tmp_path / "missing" / "c").fit(made_rows())
    with pytest.raises(DataError):
        FMClassifier(checkpoint=tmp_path / "c").fit(made_rows().take([]))
    assert not (tmp_path / "c").exists()


def test_partial_fit_and_saved_models_know_nothing_of_it(tmp_path):
    model = FMClassifier(checkpoint=str(tmp_path / "c"), checkpoint_seconds=0).partial_fit(made_rows())
    model.save(tmp_path / "m")
    assert crossfm.load(tmp_path / "m").checkpoint is None
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


SCRIPT = """
import os, signal, sys
from crossfm import FMClassifier, read
from crossfm.solvers import epochs

epochs.NONZEROS_A_CALL = 300
kill_at = int(sys.argv[3])
count = 0

def kill(n_rows):
    global count
    count += 1
    if count == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

from crossfm.solvers.callbacks import Callback
class Kill(Callback):
    def on_rows(self, n_rows):
        kill(n_rows)

model = FMClassifier(max_iter=4, random_state=0, early_stopping=True, checkpoint=sys.argv[2], checkpoint_seconds=0,
                     callbacks=[Kill()])
model.fit(read(sys.argv[1])).save(sys.argv[4], with_state=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_that_is_killed_goes_on_exactly(tmp_path, monkeypatch):
    write_libffm(tmp_path / "a.libffm", made_rows())
    paths = [str(tmp_path / name) for name in ("a.libffm", "c")]

    def run(kill_at, out):
        words = [sys.executable, "-c", SCRIPT, *paths, str(kill_at), str(tmp_path / out)]
        return subprocess.run(words, check=False, env=os.environ).returncode

    assert run(8, "m") == -signal.SIGKILL
    assert Path(paths[1]).exists()
    assert run(0, "m") == 0
    assert not Path(paths[1]).exists()
    whole = FMClassifier(max_iter=4, random_state=0, early_stopping=True).fit(read(paths[0]))
    assert same(crossfm.load(tmp_path / "m"), whole)
