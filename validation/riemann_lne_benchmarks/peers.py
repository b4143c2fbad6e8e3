"""Other libraries on the same problem, each in its quickest form that we know of.

Every function returns a task whose result can be compared with that of the plain version. A library
that is not installed is a MissingDependencyError.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from riemann_lne import Grid
from riemann_lne.coefficients import Order
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError
from riemann_lne.exact import periodic_sausage

from .formula import Rolled, Sliced, deturck_form
from .versions import Problem, Task, order_of, plain, start_metric

INSTALL = {
    "JAX jit, rolled": "pip install jax",
    "JAX jit, sliced": "pip install jax",
    "PyTorch eager": "pip install 'riemann-lne[torch]'",
    "torch.compile": "pip install 'riemann-lne[torch]'",
    "geomstats": "pip install 'riemann-lne[geomstats]'",
    "py-pde": "pip install py-pde",
    "diffrax": "pip install diffrax",
    "SUNDIALS": "pip install sundials4py, in Python 3.12 or newer",
}


PACKAGES = ("numpy", "jax", "torch", "geomstats", "autograd", "py-pde", "numba")
"""Whose versions belong to the result."""


def library(name: str) -> Any:
    """A module by its name; a MissingDependencyError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(name, "all", "this benchmark", error) from error


def _ricci_deturck(problem: Problem) -> None:
    formula = problem.get("formula", "ricci_deturck")
    if formula != "ricci_deturck":
        raise InvalidArgumentError(f"formula = {formula}; this peer is for ricci_deturck")


def _jax(problem: Problem, sliced: bool) -> Task:
    """XLA on the same differences and algebra, compiled as one function."""
    _ricci_deturck(problem)
    jax = library("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    metric, order = start_metric(problem), order_of(problem)
    spacing, n = metric.grid.spacing, metric.grid.ndim

    def function(packed: Any) -> Any:
        derivatives = (
            Sliced(packed, spacing, order, lambda parts, axis: jnp.concatenate(parts, axis))
            if sliced
            else Rolled(packed, spacing, order, jnp.roll)
        )
        return jnp.stack(deturck_form(derivatives, packed, n))

    compiled = jax.jit(function)
    packed = jnp.asarray(metric.packed)
    return Task(lambda: compiled(packed).block_until_ready(), np.asarray)


def jax_rolled(problem: Problem) -> Task:
    """JAX, neighbours by jnp.roll."""
    return _jax(problem, sliced=False)


def jax_sliced(problem: Problem) -> Task:
    """JAX, neighbours by slices of an array that is padded once."""
    return _jax(problem, sliced=True)


def _torch(problem: Problem) -> tuple[Any, Any, Any]:
    _ricci_deturck(problem)
    torch = library("torch")
    torch.set_num_threads(int(problem.get("threads", 1)))
    metric, order = start_metric(problem), order_of(problem)
    spacing, n = metric.grid.spacing, metric.grid.ndim

    def function(packed: Any) -> Any:
        return torch.stack(deturck_form(Sliced(packed, spacing, order, torch.cat), packed, n))

    return torch, function, torch.asarray(metric.packed)


def torch_eager(problem: Problem) -> Task:
    """PyTorch, one operation at a time."""
    torch, function, packed = _torch(problem)

    def call() -> Any:
        with torch.inference_mode():
            return function(packed)

    return Task(call)


def torch_compiled(problem: Problem) -> Task:
    """PyTorch's compiler (inductor) on the same function."""
    torch, function, packed = _torch(problem)
    # The graph first: dynamo does not trace all the Python that writes the formula down.
    graph = importlib.import_module("torch.fx.experimental.proxy_tensor").make_fx(function)(packed)
    compiled = torch.compile(graph, dynamic=False, fullgraph=True)

    def call() -> Any:
        with torch.inference_mode():
            return compiled(packed)

    return Task(call)


def geomstats_ricci(problem: Problem) -> Task:
    """Ricci tensor of the periodic sausage at single points, by automatic differentiation.

    geomstats has no fields on grids: it differentiates the metric as a function of the point. Its
    answer is compared with the closed form.
    """
    import os

    os.environ["GEOMSTATS_BACKEND"] = "autograd"
    library("geomstats")
    anp = library("autograd.numpy")
    from geomstats.geometry.euclidean import Euclidean
    from geomstats.geometry.riemannian_metric import RiemannianMetric

    n, t = len(problem["shape"]), 1.0

    class Sausage(RiemannianMetric):  # type: ignore[misc]
        def metric_matrix(self, base_point: Any = None) -> Any:
            v = anp.sinh(t) / (anp.cosh(t) + anp.cos(base_point[..., 0]))
            one = anp.ones_like(v)
            rows = [v if i < 2 else one for i in range(n)]
            return anp.stack(rows, axis=-1)[..., None] * anp.eye(n)

    metric = Sausage(space=Euclidean(dim=n, equip=False))
    grid = periodic_sausage((1, 0), n).grid(problem["shape"][0])
    coordinates = np.broadcast_arrays(*grid.coordinates())
    points = np.stack([x.ravel() for x in coordinates], axis=-1)

    def call() -> Any:
        return np.stack([metric.ricci_tensor(point) for point in points])

    return Task(
        call, lambda value: np.moveaxis(np.asarray(value), 0, -1).reshape(n, n, *grid.shape)
    )


def py_pde(problem: Problem) -> Task:
    """py-pde's compiled differences, as a user's evolution rate uses them; algebra in NumPy.

    It differences to second order. Its equations as text were tried too: as one expression for
    each component, Numba had not compiled them after a minute in 2-D.
    """
    _ricci_deturck(problem)
    metric, order = start_metric(problem), order_of(problem)
    _, operators = py_pde_operators(metric.grid, order)
    packed = metric.packed
    return Task(lambda: np.stack(deturck_form(operators(packed), packed, metric.grid.ndim)))


def py_pde_operators(on: Grid, order: Order) -> tuple[Any, Any]:
    """Its grid, and its differences of a packed metric as a class of ``formula.Derivatives``."""
    pde = library("pde")
    n = on.ndim
    if order != 2 or n > 3:
        raise InvalidArgumentError(
            f"py-pde differences to second order in up to 3 dimensions; change order {order} in {n}"
        )
    bounds = list(zip(on.lower, on.upper, strict=True))
    grid = pde.CartesianGrid(bounds, on.shape, periodic=True)
    first = {a: grid.make_operator(f"d_d{'xyz'[a]}", bc="periodic") for a in range(n)}
    second = {a: grid.make_operator(f"d2_d{'xyz'[a]}2", bc="periodic") for a in range(n)}

    class Operators:
        def __init__(self, packed: np.ndarray) -> None:
            self.packed = packed
            self.along = {a: self._each(first[a], packed) for a in range(n)}

        def first(self, a: int) -> np.ndarray:
            return self.along[a]

        def second(self, a: int, b: int) -> np.ndarray:
            if a == b:
                return self._each(second[a], self.packed)
            return self._each(first[b], self.along[a])

        def _each(self, operator: Any, packed: np.ndarray) -> np.ndarray:
            return np.stack([operator(block) for block in packed])

    return grid, Operators


def corrupted(problem: Problem) -> Task:
    """The plain version with one part in a million added: what the comparison has to refuse."""
    task = plain(problem)
    return Task(lambda: task.call() * (1 + 1e-6), task.result)
