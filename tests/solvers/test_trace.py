"""Traces of chains."""

import numpy as np

from crossfm.kernels.gibbs import Prior
from crossfm.solvers.trace import Trace


def made(n=4):
    rng = np.random.default_rng(0)
    trace = Trace()
    for number in range(n):
        prior = Prior(np.zeros(3, np.uint32), rng.random((2, 3)), rng.random((2, 3)))
        trace.add(rng.random(), rng.random(), prior, burn_in=number < 2)
    return trace


def test_arrays_have_iterations_first_and_come_back():
    trace = made()
    arrays = trace.to_arrays()
    assert {name: array.shape for name, array in arrays.items()} == {
        "burn_in": (4,), "alpha": (4,), "bias": (4,), "precision": (4, 2, 3), "mean": (4, 2, 3)
    }  # fmt: skip
    assert arrays["burn_in"].tolist() == [True, True, False, False]
    again = Trace.from_arrays(arrays)
    arrays["mean"][:] = 0
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, trace.to_arrays()[name])


def test_other_units_change_what_they_must():
    """A machine in another unit draws w, times the scale, and V, times its root."""
    rng, scale = np.random.default_rng(1), 9.0
    trace = made()
    arrays = trace.rescaled(5.0, scale)
    assert np.array_equal(arrays["bias"], 5 + scale * np.array(trace.bias))
    for f, factor in ((0, scale), (1, 3.0), (2, 3.0)):
        for mine, theirs, m, p in zip(
            trace.precision, arrays["precision"], trace.mean, arrays["mean"], strict=True
        ):
            drawn = factor * (m[1, f] + rng.standard_normal(200_000) / np.sqrt(mine[1, f]))
            assert abs(drawn.mean() - p[1, f]) < 5 * drawn.std() / 400
            np.testing.assert_allclose(drawn.std(), theirs[1, f] ** -0.5, rtol=0.02)
    np.testing.assert_allclose(arrays["alpha"], np.array(trace.alpha) / scale**2)
