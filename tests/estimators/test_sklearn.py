"""The scikit-learn contract on every estimator."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from crossfm import DeepFMClassifier, FMClassifier, FMRanker, FMRegressor, NFMClassifier, NFMRegressor

ORDER = "weight 0 or 2 is not a row less or twice: rows are visited one after another, in a drawn order"


NETWORK: dict[str, Any] = {"hidden": (8,), "batch_size": 16, "max_iter": 15, "learning_rate": 0.01}


def expected_failures(estimator: Any) -> dict[str, str]:
    return {
        "check_sample_weight_equivalence_on_dense_data": ORDER,
        "check_sample_weight_equivalence_on_sparse_data": ORDER,
    }


@parametrize_with_checks(
    [
        FMRegressor(),
        FMRegressor(solver="adam", learning_rate=0.02),
        FMClassifier(),
        FMClassifier(solver="ftrl"),
        FMRanker(),
        NFMClassifier(**NETWORK),
        NFMRegressor(**NETWORK),
        DeepFMClassifier(**NETWORK),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)
