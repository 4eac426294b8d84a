"""Field-aware factorization machines as scikit-learn estimators."""

from __future__ import annotations

from typing import ClassVar

from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.kernels import ffm
from crossfm.kernels.machine import Machine


class FFMRegressor(FMRegressor):
    """Field-aware factorization machine for real-valued targets and counts.

    y(x) = bias + sum_i w_i x_i + sum_{i<j} <V_{i, f_j}, V_{j, f_i}> x_i x_j: a feature i has a vector for each field
    that it can meet, and f_j is the field of feature j.

    The fields are the columns of a table, what ``Rows`` say (libffm text), or ``fields`` for a matrix. Only features
    that occur in training have vectors, for fields that stood in one row with theirs; anything else adds nothing.
    ``solver="adagrad-row"`` takes half the memory of "adagrad" and is the fastest.

    Parameters are those of ``FMRegressor``; ``normalize=True`` is libffm's instance-wise normalisation.

    Attributes
    ----------
    params_ : FFMParams
        ``bias`` (), ``w`` (n_features,), and ``vector(feature, field)`` (n_factors,).

    References
    ----------
    Y. Juan, Y. Zhuang, W.-S. Chin, C.-J. Lin. Field-aware Factorization Machines for CTR Prediction. RecSys 2016,
    eq. (4). Ours: with bias and linear terms, as xLearn has them; vectors start normal around 0, not positive; a
    row-wise accumulator takes the mean square over all vectors of a feature, without the part of L2.
    """

    _machine: ClassVar[Machine] = ffm
    _share_of_l2_V: ClassVar[float] = 0.15


class FFMClassifier(FMClassifier):
    """Field-aware factorization machine for classes, with logistic loss; see ``FFMRegressor`` for the machine.

    Parameters and attributes are those of ``FMClassifier``; ``params_`` is ``FFMParams``, or a list with one for each
    class when there are more than two.
    """

    _machine: ClassVar[Machine] = ffm
    _share_of_l2_V: ClassVar[float] = 0.15
