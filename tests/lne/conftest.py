"""Fixtures of the weight-space tests: array libraries, and mpmath."""

import importlib

import numpy as np
import pytest


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
