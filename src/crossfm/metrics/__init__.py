"""Metrics: errors and areas of single predictions, calibration, top-N lists, intervals over users."""

from crossfm.metrics.bootstrap import Interval, bootstrap_difference, bootstrap_interval, bootstrap_intervals
from crossfm.metrics.calibration import CalibrationCurve, calibration_curve, expected_calibration_error
from crossfm.metrics.diversity import (
    head_items,
    self_information,
    set_diversity,
    share_in,
    vector_diversity,
)
from crossfm.metrics.lists import coverage, gini, novelty
from crossfm.metrics.pointwise import auc, gauc, log_loss, mae, poisson_deviance, rmse, user_auc
from crossfm.metrics.ranking import (
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    per_user_ranking,
    precision_at_k,
    ranking_report,
    recall_at_k,
    recall_curve,
    users_with_relevant,
)

__all__ = [
    "CalibrationCurve",
    "Interval",
    "auc",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_intervals",
    "calibration_curve",
    "coverage",
    "expected_calibration_error",
    "gauc",
    "gini",
    "head_items",
    "hit_rate_at_k",
    "log_loss",
    "mae",
    "map_at_k",
    "mrr_at_k",
    "ndcg_at_k",
    "novelty",
    "per_user_ranking",
    "poisson_deviance",
    "precision_at_k",
    "ranking_report",
    "recall_at_k",
    "recall_curve",
    "rmse",
    "self_information",
    "set_diversity",
    "share_in",
    "user_auc",
    "users_with_relevant",
    "vector_diversity",
]
