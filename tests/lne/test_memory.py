"""Ten million weights: no n-by-n array, and fewer than three arrays of n numbers at the peak."""

import tracemalloc

import numpy as np
import pytest

from riemann_lne.lne import HessianLNEMetric, LNEMetric

SIZE = 10_000_000
TAU = 1e-4

CALLS = {
    "apply": LNEMetric(TAU).apply,
    "solve": LNEMetric(TAU).solve,
    "solve weak": lambda x, v: LNEMetric(TAU).solve(x, v, method="weak"),
    "hessian apply": HessianLNEMetric(TAU).apply,
    "hessian solve": HessianLNEMetric(TAU).solve,
}


@pytest.fixture(scope="module")
def big():
    return np.random.default_rng(0).standard_normal((2, SIZE))


@pytest.mark.parametrize("name", CALLS)
def test_peak_memory(big, name):
    x, v = big
    tracemalloc.start()
    try:
        result = CALLS[name](x, v)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.shape == x.shape
    assert result.nbytes <= peak < 3 * x.nbytes
    # the block is changed, so this was not a copy of the input
    assert np.any(result != v)
