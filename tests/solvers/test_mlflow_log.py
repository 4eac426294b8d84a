"""MLflow logs, on a client that keeps what it is told (docs/cli.md says how real runs are seen)."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from crossfm import FMClassifier
from crossfm.errors import DataError, DivergenceError, OptionError
from crossfm.solvers.mlflow_log import METRICS, MLflowLog


class Client:
    """The part of ``mlflow.MlflowClient`` that is used."""

    runs: dict
    experiments: dict
    broken = False

    def __init__(self, tracking_uri=None):
        if Client.broken:
            raise RuntimeError("no server")
        self.uri = tracking_uri

    def get_experiment_by_name(self, name):
        found = Client.experiments.get(name)
        return None if found is None else SimpleNamespace(experiment_id=found)

    def create_experiment(self, name):
        return Client.experiments.setdefault(name, str(len(Client.experiments)))

    def create_run(self, experiment_id, run_name=None):
        run_id = f"r{len(Client.runs)}"
        Client.runs[run_id] = SimpleNamespace(
            experiment=experiment_id, name=run_name, uri=self.uri, params={}, metrics={}, status="RUNNING"
        )
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def log_param(self, run_id, key, value):
        assert isinstance(value, str)
        assert len(value) <= 500
        assert Client.runs[run_id].params.setdefault(key, value) == value

    def log_metric(self, run_id, key, value, step=None):
        Client.runs[run_id].metrics.setdefault(key, []).append((step, value))

    def set_terminated(self, run_id, status=None):
        Client.runs[run_id].status = status


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    module = ModuleType("mlflow")
    module.MlflowClient = Client
    monkeypatch.setitem(sys.modules, "mlflow", module)
    Client.runs, Client.experiments, Client.broken = {}, {}, False
    return Client.runs


def fit(log, more=(), **settings):
    X = np.random.default_rng(0).random((200, 5))
    own = {"max_iter": 3, "random_state": 0, "callbacks": [log, *more]} | settings
    return FMClassifier(**own).fit(X, X[:, 0] > X[:, 1])


def test_a_training_is_a_run_with_parameters_and_the_metrics_of_each_epoch(runs, tmp_path):
    model = fit(MLflowLog(tmp_path / "runs"), early_stopping=True, monitor="auc", fields=np.arange(5))
    (run,) = runs.values()
    assert (run.name, run.experiment, run.status) == ("FMClassifier", "0", "FINISHED")
    assert run.uri == (tmp_path / "runs").as_uri()
    assert run.params["model"] == "FMClassifier"
    assert run.params["n_factors"] == "8"
    assert "callbacks" not in run.params
    names = [name for name in METRICS if name != "elbo"]
    assert run.metrics == {name: [(e["epoch"], e[name]) for e in model.history_] for name in names}


def test_the_bound_of_variational_bayes_is_a_metric(runs):
    model = fit(MLflowLog("http://localhost:5000"), solver="vb")
    assert runs["r0"].metrics["elbo"] == [(e["epoch"], e["elbo"]) for e in model.history_]


def test_without_validation_there_are_no_validation_metrics(runs):
    log = MLflowLog("http://localhost:5000", experiment="clicks", run_name="first")
    fit(log)
    fit(log)
    assert [(run.name, run.experiment, run.uri) for run in runs.values()] == [
        ("first", "0", "http://localhost:5000")
    ] * 2
    assert list(Client.experiments) == ["clicks"]
    assert set(runs["r0"].metrics) == {"train_loss", "learning_rate", "seconds"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, DivergenceError])
def test_a_run_that_breaks_off_says_so(runs, error):
    def stop(epoch, model):
        raise error

    with pytest.raises(error):
        fit(MLflowLog(), [stop])
    assert runs["r0"].status == ("KILLED" if error is KeyboardInterrupt else "FAILED")
    try:
        raise ValueError
    except ValueError:
        fit(MLflowLog())
    assert runs["r1"].status == "FINISHED"


def test_a_training_that_goes_on_logs_the_epochs_from_before(runs, tmp_path):
    def stop(epoch, model):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(MLflowLog(), [stop], checkpoint=tmp_path / "c")
    model = fit(MLflowLog(), checkpoint=tmp_path / "c")
    losses = [(epoch["epoch"], epoch["train_loss"]) for epoch in model.history_]
    assert [step for step, _ in losses] == [1, 2, 3]
    assert runs["r1"].metrics["train_loss"] == losses


def test_a_server_that_cannot_be_reached_and_a_missing_library_are_said(monkeypatch):
    log = MLflowLog("http://localhost:1")
    Client.broken = True
    with pytest.raises(DataError, match="MLflow at http://localhost:1 cannot be used: no server"):
        fit(log)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(OptionError, match=r"crossfm\[mlflow\]"):
        MLflowLog()
