"""The run-time choice of the instruction set."""

import numpy as np
import pytest

from crossfm import _kernels
from crossfm.data.rows import Rows
from crossfm.kernels import fm
from machines import ISAS, random_params, using_isa


def test_the_plain_set_is_always_there():
    assert ISAS[0] == "plain"
    with using_isa("plain"):
        assert fm.isa() == "plain"


def test_the_widest_supported_set_is_in_use_from_the_start():
    assert fm.isa() == ISAS[-1]


@pytest.mark.parametrize("name", ["", "avx", "AVX2", "nonsense"])
def test_an_unknown_set_is_refused_and_nothing_changes(name):
    before = fm.isa()
    assert fm.set_isa(name) is False
    assert not _kernels.isa_supported(name)
    assert fm.isa() == before


def test_every_supported_set_runs_and_agrees_with_the_plain_one():
    rng = np.random.default_rng(1)
    params = random_params(rng, 30, 32)
    rows = Rows(indices=rng.integers(0, 30, 400).astype(np.uint32), n_features=30, width=8)
    results = {}
    for name in ISAS:
        with using_isa(name):
            assert fm.isa() == name
            results[name] = fm.scores(rows, params)
    for name in ISAS:
        np.testing.assert_allclose(results[name], results["plain"], rtol=1e-5, atol=1e-5)
