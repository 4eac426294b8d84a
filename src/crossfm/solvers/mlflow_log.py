"""The epochs of a training as a run of MLflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from crossfm.errors import DataError, OptionError
from crossfm.solvers.callbacks import Callback, Epoch

METRICS = ("train_loss", "valid_loss", "valid_auc", "elbo", "learning_rate", "seconds")
LONGEST = 500  # letters of a parameter


class MLflowLog(Callback):
    """Make a run for each training: the model's parameters, and the metrics of each epoch at its number.

    Metrics are ``train_loss``, ``valid_loss``, ``valid_auc``, ``elbo``, ``learning_rate`` and ``seconds``; what an
    epoch does not have is left out. The run ends as FINISHED, KILLED (Ctrl-C) or FAILED. A training that goes on from
    its checkpoint makes a run of its own, with the epochs from before. The active run of ``mlflow`` is not touched.

    Parameters
    ----------
    uri : str, path or None, default=None
        Where MLflow keeps runs: a server, a data base (``sqlite:///runs.db``, which needs the whole mlflow) or a folder
        (from MLflow 3 on an old form: ``MLFLOW_ALLOW_FILE_STORE`` is set for this process); None is MLflow's own choice
        (``MLFLOW_TRACKING_URI``).
    experiment : str, default="crossfm"
        Made when it is not there.
    run_name : str or None, default=None
        None: the class of the model.

    Raises
    ------
    OptionError
        mlflow is not installed (``pip install "crossfm[mlflow]"``).
    """

    def __init__(
        self,
        uri: str | os.PathLike[str] | None = None,
        *,
        experiment: str = "crossfm",
        run_name: str | None = None,
    ) -> None:
        try:
            import mlflow  # noqa: F401
        except ImportError as exc:
            raise OptionError(
                'MLflow logs need mlflow, which is not installed: pip install "crossfm[mlflow]"'
            ) from exc
        self.uri = None if uri is None else _tracking_uri(os.fspath(uri))
        self.experiment, self.run_name = experiment, run_name
        self._client: Any = None
        self._run: str | None = None
        self._before: BaseException | None = None

    def on_start(self, n_rows: int, max_iter: int) -> None:
        """Find the server, or say that it cannot be used."""
        from mlflow import MlflowClient

        self._before, self._run = sys.exc_info()[1], None
        if self.uri is not None and self.uri.startswith(
            "file:"
        ):  # who names a folder wants one: newer releases ask
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            self._client = MlflowClient(tracking_uri=self.uri)
            found = self._client.get_experiment_by_name(self.experiment)
            self._experiment = (
                self._client.create_experiment(self.experiment) if found is None else found.experiment_id
            )
        except Exception as exc:  # of its own kinds, from MLflow, its stores and its network
            raise DataError(f"MLflow at {self.uri or 'its usual place'} cannot be used: {exc}") from exc

    def on_resume(self, epochs: list[Epoch], n_rows: int, model: Any) -> None:
        """Log the epochs from before."""
        for epoch in epochs:
            self.on_epoch(epoch, model)

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        """Log the metrics; first of all the parameters."""
        if self._run is None:
            self._run = self._begin(model)
        for name, value in epoch.as_dict().items():
            if name in METRICS:
                self._client.log_metric(self._run, name, float(value), step=epoch.epoch)

    def on_end(self) -> None:
        """End the run."""
        if self._run is not None:
            error = sys.exc_info()[1]
            error = None if error is self._before else error
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED" if error else "FINISHED"
            self._client.set_terminated(self._run, status=status)
        self._client = self._run = self._before = None

    def _begin(self, model: Any) -> str:
        name = self.run_name or type(model).__name__
        run = str(self._client.create_run(self._experiment, run_name=name).info.run_id)
        self._client.log_param(run, "model", type(model).__name__)
        params = model.get_params(deep=False) if hasattr(model, "get_params") else {}
        for param, value in params.items():
            if param != "callbacks":
                self._client.log_param(run, param, str(value)[:LONGEST])
        return run


def _tracking_uri(uri: str) -> str:
    """Return ``uri``, a folder as the address of a file store."""
    if ":" in uri and not Path(uri).drive:
        return uri
    return uri if uri == "databricks" else Path(uri).absolute().as_uri()
