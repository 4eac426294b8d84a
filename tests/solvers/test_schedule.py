import math

import pytest

from crossfm.errors import OptionError
from crossfm.solvers.schedule import SCHEDULES, rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.4, 0.4, 0.4, 0.4]),
        ("inverse", [0.4, 0.4 / math.sqrt(2), 0.4 / math.sqrt(3), 0.2]),
        ("linear", [0.4, 0.3, 0.2, 0.1]),
        ("cosine", [0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.2 * (1 - math.sqrt(0.5))]),
    ],
)
def test_rates_follow_the_formula(schedule, expected):
    assert [rate(schedule, 0.4, epoch, 4) for epoch in range(4)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_never_rise_and_stay_above_zero(schedule):
    rates = [rate(schedule, 0.1, epoch, 10) for epoch in range(15)]  # also beyond the last epoch
    assert rates == sorted(rates, reverse=True) or schedule == "cosine"
    assert rates[:10] == sorted(rates[:10], reverse=True)
    assert min(rates) >= 0.1 * 1e-3


def test_an_unknown_schedule_is_refused():
    with pytest.raises(OptionError, match="'linear'"):
        rate("sometimes", 0.1, 0, 1)
