"""Field-weighted and field-matrixed factorization machines as scikit-learn estimators."""

from __future__ import annotations

from typing import ClassVar

from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.kernels.field_pairs import FMFM, FWFM
from crossfm.kernels.machine import Machine


class FwFMRegressor(FMRegressor):
    """Factorization machine with a weight for each pair of fields, for real-valued targets and counts.

    y(x) = bias + sum_i w_i x_i + sum_{i<j} r_{f_i f_j} <V_i, V_j> x_i x_j. It starts as the second-order machine,
    r = 1; two features of one field always meet with r = 1. Weights of pairs are not penalised.

    Parameters are those of ``FMRegressor``. Fields are the columns of a table, what ``Rows`` say (libffm text), or
    ``fields`` for a matrix.

    Attributes
    ----------
    params_ : FieldPairParams
        ``bias`` (), ``w`` (n_features,), ``V`` (n_features, n_factors), ``pairs`` (n_pairs,); ``between(a, b)`` gives
        the weight of two fields.

    References
    ----------
    J. Pan et al. Field-weighted Factorization Machines for Click-Through Rate Prediction in Display Advertising. WWW
    2018, eq. (4).
    """

    _machine: ClassVar[Machine] = FWFM


class FwFMClassifier(FMClassifier):
    """Factorization machine with a weight for each pair of fields, for classes; see ``FwFMRegressor``.

    Parameters are those of ``FMClassifier``.
    """

    _machine: ClassVar[Machine] = FWFM


class FmFMRegressor(FMRegressor):
    """Factorization machine with a matrix for each pair of fields, for real-valued targets and counts.

    y(x) = bias + sum_i w_i x_i + sum_{i<j} V_i^T M_{f_i f_j} V_j x_i x_j. It starts as the second-order machine,
    M = I; two features of one field always meet with M = I. Matrices are not penalised.

    Parameters are those of ``FMRegressor``; fields as in ``FwFMRegressor``.

    Attributes
    ----------
    params_ : FieldPairParams
        As in ``FwFMRegressor``, with ``pairs`` (n_pairs, n_factors, n_factors).

    References
    ----------
    Y. Sun, J. Pan, A. Zhang, A. Flores. FM2: Field-matrixed Factorization Machines for Recommender Systems. WWW 2021,
    eq. (6).
    """

    _machine: ClassVar[Machine] = FMFM


class FmFMClassifier(FMClassifier):
    """Factorization machine with a matrix for each pair of fields, for classes; see ``FmFMRegressor``.

    Parameters are those of ``FMClassifier``.
    """

    _machine: ClassVar[Machine] = FMFM
