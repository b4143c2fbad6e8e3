"""What several tests of the torch adapter share."""

import math

import pytest

from riemann_lne.errors import KernelUnavailableError


@pytest.fixture(params=["plain", "compiled"])
def way(request, monkeypatch):
    """Both ways: by torch's operations, and by compiled loops however few weights there are."""
    from riemann_lne_torch.natural import compiled

    least = {"plain": math.inf, "compiled": 1}[request.param]
    if request.param == "compiled":
        try:
            compiled.weight_kernel("float64")
        except KernelUnavailableError as error:
            pytest.skip(str(error))
    monkeypatch.setattr(compiled, "LEAST_WEIGHTS", least)
    return request.param
