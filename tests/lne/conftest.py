"""Fixtures of the weight-space tests: array libraries, and floating-point trouble as errors."""

import importlib

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _strict_floating_point():
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def backend(request):
    """A function that makes arrays of one library out of NumPy arrays."""
    module = pytest.importorskip(request.param)
    if request.param == "numpy":
        return np.asarray

    def make(values):
        values = np.asarray(values)
        return module.asarray(values, dtype=getattr(module, values.dtype.name))

    return make


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def mp():
    """mpmath at 60 digits."""
    with importlib.import_module("mpmath").workdps(60):
        yield importlib.import_module("mpmath").mp
