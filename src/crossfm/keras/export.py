"""Models for TensorFlow Serving."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import keras

from crossfm.errors import OptionError


def export_saved_model(model: Any, folder: str | os.PathLike[str], **options: Any) -> Path:
    """Write a model as the next version of a TensorFlow Serving folder: ``folder/1``, ``folder/2`` and so on.

    The SavedModel is made under a hidden name, which TensorFlow Serving does not read, and then renamed: a server that
    watches the folder never sees half of it.

    Parameters
    ----------
    model : keras.Model
    folder : path
        The model's folder, made where it is not there.
    options
        For ``model.export``.

    Returns
    -------
    Path
        The folder of the new version.

    Raises
    ------
    OptionError
        TensorFlow is not installed, or the backend cannot write a SavedModel.
    """
    if keras.backend.backend() not in {"tensorflow", "jax"}:
        raise OptionError(
            f"the {keras.backend.backend()} backend writes no SavedModel; save the model as a .keras file and export "
            "it in a process with KERAS_BACKEND=tensorflow, or use model.export(path, format='onnx')"
        )
    try:
        import tensorflow  # noqa: F401
    except ImportError as exc:
        raise OptionError(
            "a SavedModel needs TensorFlow, which is not installed: pip install tensorflow, or use "
            "model.export(path, format='onnx')"
        ) from exc
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f".{secrets.token_hex(6)}.tmp"
    try:
        model.export(temporary, format="tf_saved_model", **{"verbose": False, **options})
        return _publish(temporary, home)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, home: Path) -> Path:
    """Rename to the number after the last one; to the one after that where somebody was faster."""
    while True:
        last = max((int(path.name) for path in home.iterdir() if path.name.isdecimal()), default=0)
        target = home / str(last + 1)
        try:
            temporary.rename(target)
        except OSError:
            if target.exists():
                continue
            raise
        return target
