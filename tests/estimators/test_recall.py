"""Fitted estimators as inner products: a constant and <query, item> are the score of the whole row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossfm import (
    Categorical,
    DeepFMRegressor,
    FFMRegressor,
    FMClassifier,
    FmFMRegressor,
    FMRegressor,
    FwFMClassifier,
    FwFMRegressor,
    HOFMRegressor,
    MultiCategorical,
    NeuralFMRanker,
    NeuralFMRegressor,
    NFMRegressor,
    Numeric,
)
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.estimators.recall import recall_machine_of
from crossfm.scoring.decompose import item_vectors, query_vectors

QUERY = [Categorical("user"), MultiCategorical("likes", combiner="mean"), Categorical("hour")]
ITEM = [Categorical("item"), MultiCategorical("tags", combiner="sqrtn"), Numeric("price")]
COLUMNS = [*QUERY, *ITEM]


def log(n=400):
    """Users with likes, at an hour, and items with tags and a price; a rating that all of it has a part in."""
    rng = np.random.default_rng(0)
    words = np.array(list("abcdef"))

    def several():
        return [list(rng.choice(words, rng.integers(0, 4), False)) for _ in range(n)]

    table = pd.DataFrame(
        {
            "user": rng.integers(0, 12, n),
            "likes": several(),
            "hour": rng.integers(0, 5, n),
            "item": rng.integers(0, 30, n),
            "tags": several(),
            "price": rng.lognormal(size=n),
        }
    )
    hits = [len(set(a) & set(b)) for a, b in zip(table.likes, table.tags, strict=True)]
    return table, np.array(hits) + 0.3 * (table.user % 3) * (table.item % 4) + rng.normal(0, 0.1, n)


def part_of(rows: Rows, fields: range) -> Rows:
    """The non-zeros of some fields, which are counted from 0 then."""
    field = rows.field_of_each()
    keep = (field >= fields.start) & (field < fields.stop)
    row = np.repeat(np.arange(len(rows)), np.diff(rows.offsets()))[keep]
    return Rows(
        indices=rows.indices[keep],
        n_features=rows.n_features,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(rows)))]).astype(np.int64),
        values=rows.value_of_each()[keep],
        fields=field[keep] - np.uint32(fields.start),
    )


NETWORK = {"columns": COLUMNS, "max_iter": 4, "random_state": 0, "init_scale": 0.3, "learning_rate": 0.02}
MACHINES = {
    "fm": FMRegressor(6, columns=COLUMNS, max_iter=5, random_state=0),
    "fm of classes": FMClassifier(6, columns=COLUMNS, max_iter=5, random_state=0),
    "fm by als": FMRegressor(6, columns=COLUMNS, solver="als", max_iter=5, random_state=0),
    "fwfm": FwFMRegressor(6, columns=COLUMNS, max_iter=5, random_state=0, init_scale=0.2),
    "fwfm of classes": FwFMClassifier(6, columns=COLUMNS, max_iter=5, random_state=0, init_scale=0.2),
    "fmfm": FmFMRegressor(6, columns=COLUMNS, max_iter=5, random_state=0, init_scale=0.2),
    "nfm": NFMRegressor(6, hidden=(), batch_norm=False, **NETWORK),
    "nfm, normalized": NFMRegressor(6, hidden=(), **NETWORK),
    "neural fm": NeuralFMRegressor(6, model="fm", **NETWORK),
    "neural fwfm": NeuralFMRegressor(6, model="fwfm", **NETWORK),
    "nfm ranker": NeuralFMRanker(6, model="nfm", hidden=(), **NETWORK),
}


def score_of(model, table):
    """Raw scores; of the classic regressors, whose parameters are in the unit of the target, predictions."""
    if type(model) in (FMRegressor, FwFMRegressor, FmFMRegressor):
        return model.predict(table)
    return model._raw(table)[:, 0]


@pytest.mark.parametrize("name", MACHINES)
def test_constant_plus_inner_product_is_the_estimator_s_own_score(name):
    table, y = log()
    model = MACHINES[name]
    y = y > np.median(y) if "classes" in name else y
    model.fit(table, y, **({"groups": table.user} if "ranker" in name else {}))
    rows = model.encoder_.transform(table)
    machine = recall_machine_of(model, n_query_fields=3)
    q, const = query_vectors(part_of(rows, range(3)), machine)
    t = item_vectors(part_of(rows, range(3, 6)), machine)
    crossed = pd.concat([table.iloc[:, :3], table.iloc[::-1, 3:].reset_index(drop=True)], axis=1)
    for asked, items in ((table, t), (crossed, t[::-1])):
        whole = score_of(model, asked)
        assert np.std(whole) > 0.05
        own = const.astype(np.float64) + np.einsum("ij,ij->i", q, items, dtype=np.float64)
        np.testing.assert_allclose(own, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (FFMRegressor(2, max_iter=1, columns=COLUMNS), "FFM has a vector for each pair of fields"),
        (HOFMRegressor(2, max_iter=1, columns=COLUMNS), "HOFM has triples"),
        (NFMRegressor(2, max_iter=1, columns=COLUMNS), "nfm with hidden layers does not split"),
        (DeepFMRegressor(2, max_iter=1, columns=COLUMNS), "the neural 'deepfm' does not split"),
        (NeuralFMRegressor(2, model="afm", max_iter=1, columns=COLUMNS), "the neural 'afm' does not split"),
        (FMRegressor(2, max_iter=1, columns=COLUMNS, normalize=True), "normalize=True divides"),
        (FMRegressor(2, max_iter=4, columns=COLUMNS, solver="mcmc"), "solver='mcmc' predicts with many machines"),
    ],
)  # fmt: skip
def test_what_does_not_split_is_refused_with_the_reason(model, reason):
    table, y = log(60)
    model.fit(table, y)
    with pytest.raises(OptionError, match=reason):
        recall_machine_of(model, n_query_fields=3)


def test_several_classes_have_no_one_order():
    table, y = log(60)
    model = FMClassifier(2, max_iter=1, columns=COLUMNS).fit(table, np.digitize(y, [0.5, 1.5]))
    with pytest.raises(OptionError, match="3 machines, one for each class"):
        recall_machine_of(model)
