"""``class_weight``: how much the rows of each class count in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from crossfm.errors import LabelError, OptionError

Floats = NDArray[np.float64]


def class_weights(class_weight: Any, classes: NDArray[Any], count: NDArray[Any] | None) -> Floats | None:
    """Return the weight of each class (n_classes,), as scikit-learn defines it; None where all are 1.

    "balanced" is n_rows / (n_classes * rows of the class); ``count`` (n_classes,) are these rows. A dict gives label to
    weight, 1 for a label that it lacks. Raises ``OptionError`` for something else, ``LabelError`` for a class without
    rows.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        assert count is not None
        if (count == 0).any():
            raise LabelError(
                f'class_weight="balanced", but class {classes.tolist()[int(np.argmin(count))]!r} has no rows'
            )
        return np.asarray(count.sum() / (len(classes) * count), np.float64)
    if not isinstance(class_weight, dict):
        raise OptionError(
            f'class_weight={class_weight!r}, but it must be None, "balanced" or a dict of label to weight'
        )
    try:
        found = np.asarray(compute_class_weight(class_weight, classes=classes, y=classes), np.float64)
    except (TypeError, ValueError) as exc:
        raise OptionError(f"class_weight={class_weight!r} does not fit: {exc}") from exc
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise OptionError(f"class_weight={class_weight!r}, but weights must be 0 or more, and not all 0")
    return found


def rows_of_classes(n_rows: int, positives: Sequence[float]) -> Floats:
    """Return the rows of each class (n_classes,), from the sum of each machine's 0/1 target."""
    if len(positives) == 1:
        return np.array([n_rows - positives[0], positives[0]])
    return np.array(positives)


def weigh(weight: Any, targets: Sequence[Floats], of_class: Floats) -> NDArray[np.float32]:
    """Return sample weights (n_rows,), or None, times the weight of each row's class; one 0/1 target a machine."""
    if len(targets) == 1:
        own = np.where(targets[0] > 0, of_class[1], of_class[0])
    else:
        own = sum((each * target for each, target in zip(of_class, targets, strict=True)), np.zeros(1))
    with np.errstate(over="ignore"):
        both: NDArray[np.float32] = (own if weight is None else own * weight).astype(np.float32)
    if not np.isfinite(both).all():
        raise OptionError("class_weight times sample_weight is too large (float32, up to 3.4e38); scale them")
    return both
