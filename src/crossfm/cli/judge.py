"""How good are a model's predictions? Metrics beside the best constant prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.cli.show import number, print_table, say
from crossfm.errors import DataError, LabelError, OptionError

MAX_LEVELS = 50  # labels of a ranker that are compared pair by pair


@dataclass
class Report:
    """Metrics of a model and of a baseline.

    Attributes
    ----------
    title : str
    n_rows : int
    baseline : str
        What the second number of each metric belongs to.
    metrics : dict of name to (model, baseline); None where it is not defined
    notes : list of str
    """

    title: str
    n_rows: int
    baseline: str
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print it."""
        rows = [(name, number(ours), number(other)) for name, (ours, other) in self.metrics.items()]
        print_table(f"{self.title}, {self.n_rows:,} rows", ("", "model", self.baseline), rows)
        for note in self.notes:
            say(f"note: {note}")

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        return {
            "n_rows": self.n_rows,
            "model": {name: ours for name, (ours, _) in self.metrics.items()},
            "baseline": {name: other for name, (_, other) in self.metrics.items()},
            "baseline_is": self.baseline,
            "notes": self.notes,
        }


def judge(model: Any, X: Any, y: NDArray[Any], *, title: str = "evaluation", groups: Any = None) -> Report:
    """Judge an estimator on rows ``X`` with targets ``y`` (n_rows,); ``groups`` (n_rows,) for GAUC."""
    kind = type(model).__name__
    if kind.endswith("Classifier"):
        return _judge_classes(model, X, y, title, groups)
    if kind.endswith("Regressor"):
        if groups is not None:
            raise OptionError("--group is for classifiers and rankers, but the model is a regressor")
        return _judge_numbers(model, X, y, title)
    return _judge_order(model, X, y, title, groups)


def _judge_numbers(model: Any, X: Any, y: NDArray[Any], title: str) -> Report:
    from crossfm.metrics import mae, poisson_deviance, rmse

    target = numeric(y)
    model._loss().check(target)
    predicted = model.predict(X)
    constant = np.full(len(target), target.mean())
    report = Report(title, len(target), "constant")
    for name, metric in (("RMSE", rmse), ("MAE", mae)):
        report.metrics[name] = (metric(target, predicted), metric(target, constant))
    if getattr(model, "loss", None) == "poisson":
        base = poisson_deviance(target, constant) if target.mean() > 0 else None
        report.metrics["Poisson deviance"] = (poisson_deviance(target, predicted), base)
    report.notes.append(f"the constant is the mean of these targets, {target.mean():.4g}")
    return report


def _judge_classes(model: Any, X: Any, y: NDArray[Any], title: str, groups: Any) -> Report:
    from crossfm.metrics import auc, expected_calibration_error, gauc, log_loss

    code = class_numbers(model, y)
    probability = model.predict_proba(X)
    n_classes = probability.shape[1]
    shares = np.bincount(code, minlength=n_classes) / len(code)
    constant = np.tile(shares, (len(code), 1))
    report = Report(title, len(code), "constant")
    report.notes.append("the constant predicts the share of each class in these rows")
    if n_classes > 2:
        if groups is not None:
            raise OptionError("--group is for two classes and rankers")
        report.metrics["log loss"] = (log_loss(code, probability), log_loss(code, constant))
        report.metrics["accuracy"] = (_accuracy(model, X, code, probability), float(shares.max()))
        return report
    p, positive = probability[:, 1], model.classes_[1]
    report.metrics["log loss"] = (log_loss(code, p), log_loss(code, constant[:, 1]))
    both = 0 < code.sum() < len(code)
    report.metrics["AUC"] = (auc(code, p), 0.5) if both else (None, None)
    if groups is not None:
        report.metrics["GAUC"] = (gauc(code, p, groups), 0.5)
    report.metrics["ECE"] = (
        expected_calibration_error(code, p),
        expected_calibration_error(code, constant[:, 1]),
    )
    report.metrics["accuracy"] = (_accuracy(model, X, code, probability), float(shares.max()))
    report.notes.append(f"positive class {positive.item()!r}: {shares[1]:.1%} of the rows")
    if not both:
        report.notes.append("all rows are of one class, so there is no AUC")
    return report


def _accuracy(model: Any, X: Any, code: NDArray[np.int64], probability: Any) -> float:
    """Return the share of rows with the right label; labels go by the raw scores."""
    if getattr(model, "calibration_", None) is not None:
        return float((class_numbers(model, model.predict(X)) == code).mean())
    if probability.shape[1] == 2:
        return float(((probability[:, 1] > 0.5) == code).mean())
    return float((probability.argmax(axis=1) == code).mean())


def _judge_order(model: Any, X: Any, y: NDArray[Any], title: str, groups: Any) -> Report:
    target, score = numeric(y), model.predict(X)
    everyone = np.zeros(len(target), np.int64)
    report = Report(title, len(target), "chance")
    if groups is not None:
        report.metrics["pairs in order, inside groups"] = (pairs_in_order(target, score, groups), 0.5)
    report.metrics["pairs in order, all rows"] = (pairs_in_order(target, score, everyone), 0.5)
    return report


def pairs_in_order(y: NDArray[Any], score: NDArray[Any], groups: Any) -> float:
    """Return the share of pairs of rows of one group with different ``y`` that ``score`` puts in order.

    A tie counts one half. Every two levels of ``y`` are an AUC in each group, weighted by its pairs.
    """
    from crossfm.metrics import user_auc

    levels, code = np.unique(y, return_inverse=True)
    if len(levels) < 2:
        raise DataError("all labels are the same, so there are no pairs to put in order")
    if len(levels) > MAX_LEVELS:
        raise DataError(f"{len(levels)} different labels, but at most {MAX_LEVELS} levels can be compared")
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    won = total = 0.0
    for high in range(1, len(levels)):
        for low in range(high):
            rows = (code == high) | (code == low)
            label, group = (code[rows] == high).astype(float), groups[rows]
            positives = np.bincount(group, label)
            pairs = positives * (np.bincount(group) - positives)
            if pairs.any():
                named, area, _ = user_auc(label, score[rows], group)
                won += float((area * pairs[np.asarray(named, np.int64)]).sum())
                total += float(pairs.sum())
    if total == 0:
        raise DataError("no group has two different labels, so there are no pairs to put in order")
    return won / total


def numeric(y: NDArray[Any]) -> NDArray[np.float64]:
    """Return targets as float64; ``LabelError`` for text."""
    if y.dtype.kind not in "iufb":
        raise LabelError(f"the target holds text ({y[0].item()!r}), but numbers are expected here")
    return y.astype(np.float64)


def class_numbers(model: Any, y: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each label among the model's classes; labels are compared by what they say."""
    known = {_key(label): code for code, label in enumerate(model.classes_.tolist())}
    labels, inverse = np.unique(y, return_inverse=True)
    codes = np.array([known.get(_key(label), -1) for label in labels.tolist()], np.int64)
    found = codes[inverse.ravel()]
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        shown = ", ".join(repr(label) for label in model.classes_.tolist()[:10])
        raise LabelError(f"row {row} has label {y[row].item()!r}, but the model's classes are {shown}")
    return found


def as_classes(model: Any, y: NDArray[Any]) -> NDArray[Any]:
    """Return ``y`` as the model's own labels: "1", 1 and 1.0 are the same class."""
    return np.asarray(model.classes_[class_numbers(model, y)])


def _key(label: Any) -> str:
    if isinstance(label, bool):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
