"""Saving and loading any crossfm model."""

from __future__ import annotations

import importlib
from typing import Any

from crossfm.errors import MissingLibraryError, ModelFileError, OptionError
from crossfm.estimators.kinds import KINDS

_KINDS = {**KINDS, "Recommender": "crossfm.recommender.recommender"}


def save(model: Any, path: Any, *, with_state: bool = False) -> None:
    """Write a fitted estimator or recommender to ``path`` (a ``.crossfm`` file, safetensors inside).

    The file is written under a temporary name and renamed, so a crash leaves the old one. ``with_state`` keeps the
    optimizer's state too: then ``partial_fit`` on the loaded model goes on exactly as it would have without saving,
    and the file is up to three times as large. Without it the weights are the same, and their step sizes start
    anew. Raises ``OptionError`` for a model that cannot go on learning.
    """
    if with_state and not hasattr(model, "partial_fit"):
        raise OptionError(f"with_state=True, but a {type(model).__name__} cannot go on learning")
    if with_state:
        model.save(path, with_state=True)
    else:
        model.save(path)


def load(path: Any) -> Any:
    """Read a ``.crossfm`` file and return the model. Runs no code from the file.

    Raises ``ModelFileError`` for a file that is truncated, changed, foreign or from a newer crossfm, and
    ``MissingLibraryError`` for a network where PyTorch is not installed.
    """
    from crossfm.io.model_file import read_model

    arrays, meta = read_model(path)
    kind = meta.get("kind")
    if kind == "checkpoint":
        raise ModelFileError(
            f"{path} is the checkpoint of a training that did not end; go on with fit and checkpoint={str(path)!r}"
        )
    if kind not in _KINDS:
        raise ModelFileError(
            f"{path} holds a {kind!r}, but this version knows {', '.join(_KINDS)}. Upgrade crossfm."
        )
    model_class = getattr(importlib.import_module(_KINDS[kind]), kind)
    try:
        return model_class.from_state(arrays, meta)
    except MissingLibraryError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise ModelFileError(f"{path} is a {kind} file whose parts do not fit together: {exc!r}") from exc
