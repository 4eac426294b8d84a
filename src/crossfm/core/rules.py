"""The table of update rules: the numbers each keeps beside a weight, and its usual learning rate and penalty.

The arithmetic lives in ``cpp/rules.hpp``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossfm.core.options import check_choice
from crossfm.errors import OptionError


@dataclass(frozen=True)
class Rule:
    """One update rule.

    Attributes
    ----------
    code : int
        The branch in ``cpp/rules.hpp``.
    states : int
        Numbers kept beside each coordinate.
    row_wise : bool
        One accumulator for all factors of a feature instead of one a factor.
    counts : bool
        Whether the record counts the feature's updates.
    learning_rate : float
        Default step size.
    l2_V : float
        Default penalty on the factors where there are 8; it grows with the root of their number, but for "als".
    l2_w : float
        Default penalty on the linear weights.
    half : bool
        Whether the factors, not their states, are kept in bfloat16 (``cpp/half.hpp``).
    """

    name: str
    code: int
    states: int
    row_wise: bool
    counts: bool
    learning_rate: float
    l2_V: float = 0.0
    l2_w: float = 0.0
    half: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule("sgd", 0, states=0, row_wise=False, counts=False, learning_rate=0.01),
        Rule("adagrad", 1, states=1, row_wise=False, counts=False, learning_rate=0.05, l2_V=0.01),
        Rule("adagrad-row", 2, states=1, row_wise=True, counts=False, learning_rate=0.05, l2_V=0.01),
        Rule("adam", 3, states=2, row_wise=False, counts=True, learning_rate=0.001),
        Rule("ftrl", 4, states=2, row_wise=False, counts=False, learning_rate=0.05),
    )
}


# SGD with adaptive regularisation has a pass of its own (``cpp/sgda.hpp``); its state is the last gradient.
SGDA = Rule("sgda", -1, states=1, row_wise=False, counts=False, learning_rate=0.01)

# Exact solvers move a feature at a time over all its rows (``cpp/gibbs.hpp``) and keep nothing beside the weights.
ALS = Rule("als", -2, states=0, row_wise=False, counts=False, learning_rate=1.0, l2_V=10.0, l2_w=5.0)
MCMC = Rule("mcmc", -3, states=0, row_wise=False, counts=False, learning_rate=1.0)
VB = Rule("vb", -4, states=0, row_wise=False, counts=False, learning_rate=1.0)
EXACT = (ALS, MCMC, VB)

# Of a table that only scores: it keeps no state.
NO_RULE = Rule("none", 0, states=0, row_wise=False, counts=False, learning_rate=1.0)


PRECISIONS = ("float32", "bfloat16")


def find_rule(name: str, precision: str = "float32") -> Rule:
    """Return the rule of that name, on factors of that precision; ``OptionError`` lists the names there are."""
    known = {**RULES, **{rule.name: rule for rule in (SGDA, *EXACT)}}
    if name not in known:
        raise OptionError(f"solver={name!r}, but the solvers are {', '.join(known)}")
    rule = known[name]
    return (
        replace(rule, half=True) if check_choice("precision", precision, PRECISIONS) == "bfloat16" else rule
    )
