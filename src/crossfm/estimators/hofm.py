"""Third-order factorization machines as scikit-learn estimators."""

from __future__ import annotations

from typing import ClassVar

from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.kernels import hofm
from crossfm.kernels.machine import Machine


class HOFMRegressor(FMRegressor):
    """Factorization machine of degree 3 for real-valued targets and counts.

    The second-order machine plus sum_{i<j<l} sum_f V3_if V3_jf V3_lf x_i x_j x_l, with factors of its own for the third
    degree, computed by the ANOVA kernel in time linear in the non-zeros.

    Parameters are those of ``FMRegressor``; ``n_factors`` is the number of factors of each degree.

    Attributes
    ----------
    params_ : HOFMParams
        ``bias`` (), ``w`` (n_features,), ``V`` and ``V3`` (n_features, n_factors).

    References
    ----------
    M. Blondel, A. Fujino, N. Ueda, M. Ishihata. Higher-Order Factorization Machines. NIPS 2016, eq. (5).
    """

    _machine: ClassVar[Machine] = hofm


class HOFMClassifier(FMClassifier):
    """Factorization machine of degree 3 for classes; see ``HOFMRegressor``.

    Parameters are those of ``FMClassifier``.
    """

    _machine: ClassVar[Machine] = hofm
