"""The versions that can be measured: ours, plain and fused, and where to find the peers'."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    curvature,
    perturbed_euclidean,
)
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import RiemannLNEError, UnknownNameError
from riemann_lne.jets import MetricJet
from riemann_lne.stencils import LocalField, evaluate
from riemann_lne.tensors import pack, packed_size

from .textbook import textbook_right_hand_side

Problem = dict[str, Any]


class NoKernelError(RiemannLNEError, RuntimeError):
    """There is no fused version of this here; the message says why."""


def no_facts(value: Any) -> dict[str, Any]:
    """A call that has nothing to tell but its result."""
    return {}


@dataclass
class Task:
    """Something to time.

    Attributes
    ----------
    call : callable
        The thing itself.
    result : callable
        Its result as a NumPy array that can be compared.
    facts : callable
        Its result as numbers by name.
    """

    call: Callable[[], Any]
    result: Callable[[Any], np.ndarray] = to_numpy
    facts: Callable[[Any], dict[str, Any]] = no_facts


def start_metric(problem: Problem) -> MetricField:
    """The metric of a problem: shape, dtype, and the seed of its smooth perturbation."""
    grid = Grid.torus(tuple(problem["shape"]))
    metric = perturbed_euclidean(grid, 0.2, modes=1, seed=problem.get("seed", 0))
    dtype = problem.get("dtype", "float64")
    if dtype == "float64":
        return metric
    return MetricField.from_packed(grid, metric.packed.astype(dtype))


def order_of(problem: Problem) -> int:
    """Order of the differences, 4 unless the problem says otherwise."""
    return int(problem.get("order", 4))


def plain(problem: Problem) -> Task:
    """The array version: the reference."""
    metric, order = start_metric(problem), order_of(problem)
    grid, formula = metric.grid, problem.get("formula", "ricci_deturck")
    if formula in ("ricci_deturck", "ricci_flow"):
        flow = RicciDeTurckFlow() if formula == "ricci_deturck" else RicciFlow()
        return Task(partial(flow.rhs, 0.0, metric.packed, grid, order))
    function = {"ricci": curvature.ricci, "scalar_curvature": curvature.scalar_curvature}[formula]
    components = metric.components
    return Task(lambda: function(components, grid, order))


def index_formula(problem: Problem) -> Task:
    """Array code for the formula that holds in all dimensions: in 2-D "plain" has a closed form."""
    metric, order = start_metric(problem), order_of(problem)
    n, packed = metric.grid.ndim, metric.packed

    def formula(local: LocalField) -> list[Any]:
        return curvature.deturck_flow_tensor_by_index(MetricJet(local, n))

    return Task(partial(evaluate, formula, (packed,), metric.grid, order, packed_size(n)))


def fused(problem: Problem) -> Task:
    """The fused kernel, into an array that is there already."""
    try:
        kernels = importlib.import_module("riemann_lne.kernels")
    except ImportError as error:
        raise NoKernelError(f"no fused kernels: {error}") from error
    metric, order = start_metric(problem), order_of(problem)
    grid, packed = metric.grid, metric.packed
    threads = int(problem.get("threads", 1))
    formula = problem.get("formula", "ricci_deturck")
    reason = kernels.why_not(RicciDeTurckFlow(), grid, order, packed)
    if reason is not None:
        raise NoKernelError(reason)
    kernel = kernels.compile_kernel(formula, n=grid.ndim, order=order, dtype=str(packed.dtype))
    background = packed if formula.endswith("background") else None
    out = kernel(packed, grid, background, threads=threads)  # of the shape that the formula has
    facts = {
        "flops_per_point": kernel.flops_per_point,
        "bytes_per_point": kernel.bytes_per_point,
        "build_seconds": kernel.build_seconds,
    }
    call = partial(kernel, packed, grid, background, out=out, threads=threads)
    return Task(lambda: call(), to_numpy, lambda value: facts)


def textbook(problem: Problem) -> Task:
    """The version with einsum, roll and linalg.inv."""
    metric = start_metric(problem)
    components = metric.components
    return Task(lambda: textbook_right_hand_side(components, metric.grid), pack)


def make_task(version: str, problem: Problem) -> Task:
    """The task of a version on a problem.

    Raises
    ------
    UnknownNameError
        If there is no such version.
    MissingDependencyError
        If its library is not installed.
    """
    if version in OURS:
        return OURS[version](problem)
    if version not in ELSEWHERE:
        raise UnknownNameError("version", version, [*OURS, *ELSEWHERE])
    module, name = ELSEWHERE[version].split(":")
    builder = getattr(importlib.import_module(module, __package__), name)
    return builder(problem)


OURS: dict[str, Callable[[Problem], Task]] = {
    "plain": plain,
    "fused": fused,
    "textbook": textbook,
    "index formula": index_formula,
}

ELSEWHERE = {
    "JAX jit, rolled": ".peers:jax_rolled",
    "JAX jit, sliced": ".peers:jax_sliced",
    "PyTorch eager": ".peers:torch_eager",
    "torch.compile": ".peers:torch_compiled",
    "geomstats": ".peers:geomstats_ricci",
    "py-pde": ".peers:py_pde",
    "solve": ".solving:solve",
    "flow": ".solving:flow",
    "diffrax": ".solving_peers:diffrax_solve",
    "SUNDIALS": ".solving_peers:sundials_solve",
    "py-pde run": ".solving_peers:py_pde_solve",
    "some steps": ".memory:some_steps",
    "kernel start": ".starting:kernel_start",
    "copy": ".machine:copy",
    "triad": ".machine:triad",
    "multiply-add": ".machine:multiply_add",
    "matmul": ".machine:matmul",
    "closed form": ".weights:closed_form",
    "GPU copy": ".gpu:gpu_copy",
    "GPU right-hand side": ".gpu:gpu_right_hand_side",
    "corrupted": ".peers:corrupted",
}
"""Versions that other modules build, imported only in the process that runs them."""
