"""Keras 3 layers of the family, for models that live there: the PyTorch, JAX and TensorFlow backends.

Importing this makes the layers known to ``keras.saving``: do so before a ``.keras`` file is loaded.
"""

try:
    from keras import ops as _ops  # noqa: F401
except ImportError as exc:  # keras is not there, is Keras 2, or lacks the backend it is set to
    raise ImportError(
        f'crossfm.keras needs Keras 3 with a backend, but {exc}: pip install "crossfm[keras]", and choose an '
        "installed backend by the environment variable KERAS_BACKEND: torch, jax or tensorflow"
    ) from exc

from crossfm.keras.bi_interaction import BiInteraction
from crossfm.keras.export import export_saved_model
from crossfm.keras.ffm import FieldAwareInteraction
from crossfm.keras.fm import FactorizationMachine

__all__ = ["BiInteraction", "FactorizationMachine", "FieldAwareInteraction", "export_saved_model"]
