"""Shared fixtures: one backend fixture for every test that must hold on all array libraries."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from riemann_lne.arrays import to_numpy

# A shell that starts the tests in the background has SIGINT ignored, and what they start inherits
# that: the tests that interrupt a run would wait for its end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure is a failure of the code; no time limit for
# one example, since machines differ.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")


@dataclass(frozen=True)
class Backend:
    """An array library as a test needs it.

    Attributes
    ----------
    name : str
        Import name of the library.
    xp : module
        Its namespace, as a user would pass it.
    array_type : type
        Class of its arrays.
    """

    name: str
    xp: Any
    array_type: type

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """Array of the library with its own copy of the values; read-only where NumPy can be."""
        host = np.array(values, dtype=dtype)
        if self.name == "torch":  # torch has no read-only arrays and warns about such buffers
            return self.xp.asarray(host)
        if self.name == "cupy":
            return self.xp.asarray(host)
        host.setflags(write=False)
        return host if self.name == "numpy" else self.xp.asarray(host)

    def dtype(self, name: str) -> Any:
        """The library's own dtype of that name."""
        return getattr(self.xp, name)

    def numpy(self, array: Any) -> np.ndarray:
        """The values on the host, after a check that they came from this library."""
        assert isinstance(array, self.array_type), f"{type(array)} is not of {self.name}"
        return to_numpy(array)


def _load(name: str) -> Backend:
    xp = importlib.import_module(name)
    if name == "torch":
        xp.set_num_threads(1)  # the arrays of the tests are small
    if name == "cupy":
        try:
            devices = xp.cuda.runtime.getDeviceCount()
        except Exception as error:  # the driver's error classes differ between versions
            pytest.skip(f"cupy is installed but finds no usable GPU: {error}")
        if devices == 0:
            pytest.skip("cupy is installed but there is no GPU")
    array_type = xp.Tensor if name == "torch" else type(xp.asarray(0.0))
    if name == "numpy":
        array_type = np.ndarray
    return Backend(name, xp, array_type)


@pytest.fixture(
    params=[
        "numpy",
        "array_api_strict",
        "torch",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every array library in turn; one that is not installed is skipped with the reason."""
    try:
        return _load(request.param)
    except ImportError as error:
        pytest.skip(f"backend {request.param} is not installed: {error}")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20240607)


class Pointwise:
    """g' = f(t, g) at every point by itself: an ordinary differential equation in disguise."""

    parabolic = False

    def __init__(self, f: Callable[[float, Any], Any], radius: float = 1e-3) -> None:
        self.f, self.radius = f, radius
        self.times: list[float] = []

    def rhs(self, t: float, packed: Any, grid: Any, order: Any) -> Any:
        self.times.append(t)
        return self.f(t, packed)

    def spectral_radius(self, packed: Any, grid: Any, order: Any) -> float:
        return self.radius

    def __repr__(self) -> str:
        return f"Pointwise({self.f.__qualname__})"


@pytest.fixture(scope="session")
def pointwise() -> type[Pointwise]:
    """A flow made of a function (t, packed) -> rate, which knows when it was called."""
    return Pointwise
