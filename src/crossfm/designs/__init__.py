"""Known models as feature designs of a factorization machine, a line each.

A design says which features a row has, and an estimator learns from them::

    FMRegressor(solver="mcmc", **designs.svdpp(train, "user", "item")).fit(train[["user", "item"]], train["rating"])

Designs of ratings add up: ``designs.mf("user", "item") + designs.attributes("item", movies)``. For lists, ``pitf`` and
``fpmc`` return what ``FMRanker`` takes. Each docstring says what the machine has that the model lacks, and the other
way round.

S. Rendle. Factorization Machines. ICDM 2010, section V.
"""

from crossfm.designs.choices import Choices, fpmc, last_baskets, pitf
from crossfm.designs.design import Design, attributes, implicit, mf, neighbours, svdpp, time_bins, time_svdpp

__all__ = [
    "Choices",
    "Design",
    "attributes",
    "fpmc",
    "implicit",
    "last_baskets",
    "mf",
    "neighbours",
    "pitf",
    "svdpp",
    "time_bins",
    "time_svdpp",
]
