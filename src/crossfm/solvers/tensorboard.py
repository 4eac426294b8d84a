"""The epochs of a training as TensorBoard logs, through tensorboardX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from crossfm.errors import DataError, OptionError
from crossfm.solvers.callbacks import Callback, Epoch


class TensorBoard(Callback):
    """Write each epoch's losses, AUC, learning rate and seconds to ``folder``; look with ``tensorboard --logdir``.

    Scalars are ``loss/train``, ``loss/valid``, ``auc/valid``, ``elbo``, ``learning_rate`` and ``seconds``, at the
    epoch's number; what an epoch does not have is left out. Each training adds an event file to ``folder``, which is
    made when it is not there.

    Parameters
    ----------
    folder : path

    Raises
    ------
    OptionError
        tensorboardX is not installed (``pip install "crossfm[tensorboard]"``).
    DataError
        ``folder`` cannot be made or written to.
    """

    TAGS = {  # noqa: RUF012
        "train_loss": "loss/train",
        "valid_loss": "loss/valid",
        "valid_auc": "auc/valid",
        "elbo": "elbo",
        "learning_rate": "learning_rate",
        "seconds": "seconds",
    }

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError as exc:
            raise OptionError(
                'TensorBoard logs need tensorboardX, which is not installed: pip install "crossfm[tensorboard]"'
            ) from exc
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise DataError(f"no TensorBoard logs can be written to {self.folder}: {exc.strerror}") from exc
        self._writer: Any = None

    def on_start(self, n_rows: int, max_iter: int) -> None:
        """Open an event file."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self.folder))

    def on_epoch(self, epoch: Epoch, model: Any) -> None:
        """Write the epoch's numbers and flush them: a running training can be watched."""
        for name, value in epoch.as_dict().items():
            if name in self.TAGS:
                self._writer.add_scalar(self.TAGS[name], value, epoch.epoch)
        self._writer.flush()

    def on_end(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
