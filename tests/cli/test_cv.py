"""``crossfm train --cv``, and scikit-learn's own cross-validation on tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_validate

from crossfm import FMClassifier, FMRegressor, MultiCategorical

PLAIN = ("--no-early-stopping", "--epochs", 3)


def table_of(text: str) -> dict[str, list[float]]:
    """Return the printed rows by their first words."""
    rows = {}
    for line in text.splitlines():
        words = re.split(r"\s{2,}", line.strip())
        if len(words) > 2 and re.fullmatch(r"-?[\d.]+", words[1]):
            rows[words[0]] = [float(word) for word in words[1:]]
    return rows


def test_each_fold_is_judged_by_a_model_that_has_not_seen_it(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--drop", "time,weight", "--target", "click", "--cv", 4, *PLAIN)
    assert done.exit_code == 0, done.output
    rows = table_of(done.stdout)
    assert list(rows) == ["fold 1", "fold 2", "fold 3", "fold 4", "mean", "± deviation", "constant, mean"]
    folds = np.array([rows[f"fold {at}"] for at in range(1, 5)])
    np.testing.assert_allclose(rows["mean"], folds.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(rows["± deviation"], folds.std(axis=0, ddof=1), atol=1e-4)
    data = pd.read_csv(clicks)
    X, y = data.drop(columns=["time", "weight", "click"]), data["click"].to_numpy()
    model = FMClassifier(max_iter=3, random_state=0)
    model.set_params(columns=model.fit(X, y).encoder_.columns)
    for (train, test), got in zip(
        StratifiedKFold(4, shuffle=True, random_state=0).split(X, y), folds, strict=True
    ):
        fitted = model.fit(X.iloc[train], y[train])
        assert got[0] == pytest.approx(log_loss(y[test], fitted.predict_proba(X.iloc[test])), abs=1e-4)
    assert not [path for path in clicks.parent.iterdir() if path != clicks]


def test_early_stopping_does_not_look_at_the_fold(crossfm: Any, clicks: Path) -> None:
    done = crossfm("train", clicks, "--target", "click", "--cv", 3)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("fold ") == 3
    assert "epochs" in done.stderr
    quiet = crossfm("train", clicks, "--target", "click", "--cv", 3, "-q")
    assert quiet.stderr == ""
    assert table_of(quiet.stdout) == table_of(done.stdout)


def test_regression_and_numbered_features(crossfm: Any, clicks: Path, libsvm: Path) -> None:
    done = crossfm("train", clicks, "--target", "price", "--drop", "click", "--cv", 2, *PLAIN)
    assert done.exit_code == 0, done.output
    assert "RMSE" in done.stdout
    done = crossfm("train", libsvm, "--cv", 2, *PLAIN)
    assert done.exit_code == 0, done.output
    assert len(table_of(done.stdout)) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cv", 1), "cv=1"),
        (("--cv", 601), "601 folds"),
        (("--cv", 3, "--out", "m.crossfm"), "--out means nothing"),
        (("--cv", 3, "--init", "m.crossfm"), "--init means nothing"),
        (("--cv", 3, "--with-state"), "--with-state means nothing"),
        (("--cv", 3, "--task", "ranking", "--group", "user_id"), "not for ranking"),
        (("--cv", 3, "--task", "recommendation", "--user", "user_id"), "not for recommendation"),
        ((), "--out is missing"),
    ],
)
def test_what_means_nothing_is_refused(
    crossfm: Any, clicks: Path, words: tuple[Any, ...], message: str
) -> None:
    target = () if "recommendation" in words else ("--target", "click")
    done = crossfm("train", clicks, *target, *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_class_too_rare_for_the_folds_is_named(crossfm: Any, clicks: Path) -> None:
    text = clicks.read_text().splitlines(keepends=True)
    text[5] = text[5].rstrip("\n")[:-1] + "2\n"
    clicks.write_text("".join(text))
    done = crossfm("train", clicks, "--target", "click", "--task", "classification", "--cv", 3)
    assert done.exit_code == 2
    assert "class 2 has 1 rows" in done.stderr


def test_scikit_learns_cross_validation_takes_tables(clicks: Path) -> None:
    data = pd.read_csv(clicks)
    X, y = data[["user_id", "item_id", "genres"]], data["click"]
    found = cross_validate(
        FMClassifier(max_iter=30, random_state=0), X, y, cv=3, scoring=["neg_log_loss", "roc_auc"]
    )
    assert (found["test_roc_auc"] > 0.75).all()
    columns = [MultiCategorical("genres")]
    found = cross_validate(FMRegressor(max_iter=2, columns=columns), X, data["price"], cv=3)
    assert np.isfinite(found["test_score"]).all()
