"""Perelman's functionals F, lambda and W (The entropy formula for the Ricci flow, 2002)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import (
    Array,
    Components,
    contract,
    expand,
    host_numbers,
    like,
    namespace,
    require_finite,
    require_real_floating,
)
from ..checks import number
from ..coefficients import Order
from ..errors import InvalidArgumentError, ShapeError
from ..flows.laplacian import mean_laplacian_symbol
from ..identity import ByValue
from ..jets import MetricJet
from ..metrics import MetricField, of_metric
from ..stencils import LocalField, evaluate, gradient
from ..tensors import (
    SYMMETRIC,
    inverse_and_determinant,
    metric_dimension,
    pairs,
    squared_norm,
    table,
)
from .invariants import quadrature_order
from .spectra import SpectrumError

_MAX_STEPS = 500
# In units of the first gap of the operator; the error of the eigenvalue is of second order in it.
_RESIDUAL = 1e-8
# Of e^(-f), with room for products.
_LARGEST_EXPONENT = 600.0


@dataclass(frozen=True, eq=False)
class GroundState(ByValue):
    """Minimiser of F over all f with unit integral of e^(-f) dV.

    Attributes
    ----------
    value : float
        Perelman's lambda, 1 / length^2.
    potential : array, shape of the grid
        f = -2 log u, with u > 0 the eigenfunction, normalised; dimensionless.
    """

    value: float
    potential: Array


@of_metric
def perelman_f(metric: MetricField, f: Array, order: Order = 4) -> float:
    """F(g, f), the integral of (R + |df|^2_g) e^(-f) dV, in length^(n - 2).

    Parameters
    ----------
    metric : MetricField
        Closed manifolds are what it is meant for; on bounded axes the integral is taken as it is.
    f : array, shape of the grid
        Dimensionless, of the metric's array library.
    order : int or "fourier"
        Of the differences.

    Raises
    ------
    ShapeError, DTypeError, NotFiniteError
        If f is not a function on the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid, flat_metric
    >>> grid = Grid.torus((16, 16), lengths=1.0)
    >>> round(perelman_f(flat_metric(grid), np.zeros(grid.shape)), 12)
    0.0
    """
    curvature, slope, measure = _densities(metric, f, order)
    values = (curvature + slope) * measure
    return float(metric.grid.integrate(values, quadrature_order(order)))


@of_metric
def perelman_w(metric: MetricField, f: Array, tau: float, order: Order = 4) -> float:
    """W(g, f, tau), dimensionless: the integral of

    (tau (R + |df|^2_g) + f - n) (4 pi tau)^(-n/2) e^(-f) dV.

    Parameters
    ----------
    metric, f, order
        As for ``perelman_f``.
    tau : float
        Positive, in length^2.

    Raises
    ------
    InvalidArgumentError
        If tau is not positive.

    Examples
    --------
    >>> import math, numpy as np                            # a Gaussian in the plane has W = 0
    >>> from riemann_lne import Grid, flat_metric
    >>> grid = Grid.torus((64, 64), lengths=20.0, origin=-10.0)
    >>> f = sum(x**2 for x in grid.coordinates()) / 4
    >>> abs(perelman_w(flat_metric(grid), f, tau=1.0, order=8)) < 1e-4
    True
    """
    tau = number(tau, "tau", above=0.0)
    curvature, slope, measure = _densities(metric, f, order)
    values = (float(tau) * (curvature + slope) + f - float(metric.n)) * measure
    scale = float(np.float64(4 * math.pi * tau) ** (-metric.n / 2))
    return scale * float(metric.grid.integrate(values, quadrature_order(order)))


def _densities(metric: MetricField, f: Array, order: Order) -> tuple[Array, Array, Array]:
    """R, |df|^2 and e^(-f) sqrt(det g), shape of the grid each."""
    n, xp = metric.n, require_real_floating(f, "f")
    namespace(f, metric.packed)
    if tuple(f.shape) != metric.grid.shape:
        raise ShapeError(
            f"f has shape {tuple(f.shape)}; give one value for each point of {metric.grid.shape}"
        )
    require_finite(f, "f")
    inverse, det = inverse_and_determinant(table(metric.packed, n), n)
    slopes = gradient(f, metric.grid, order)
    df: Components = {(a,): slopes[a, ...] for a in range(n)}
    square = contract("a,a->", contract("ab,b->a", inverse, df, n=n), df, n=n)[()]
    return metric.scalar_curvature(order), square, xp.exp(-f) * xp.sqrt(det)


def function_of_points(f: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The f of F and W at the points of a closed surface or an interval, finite, as float64."""
    values = host_numbers(f, "f", integers=False)
    if values.shape != shape:
        raise ShapeError(f"f has shape {values.shape}; give one value for each point of {shape}")
    require_finite(values, "f")
    if abs(values.min()) > _LARGEST_EXPONENT:
        raise InvalidArgumentError(
            f"the least value of f is {values.min():.6g}, for which e^(-f) leaves the range of "
            "floats; add a constant to f"
        )
    return values


def entropy_of_integrals(energy: float, rest: float, tau: float, n: int) -> float:
    """W = (4 pi tau)^(-n/2) (tau F + rest) in n dimensions; ``rest`` integrates (f - n) e^(-f)."""
    return (tau * energy + rest) * (4 * math.pi * tau) ** (-n / 2)


@of_metric
def perelman_lambda(metric: MetricField, order: Order = "fourier") -> float:
    """Perelman's lambda, the lowest eigenvalue of -4 Laplacian + R on a torus, 1 / length^2.

    lambda(g) = min of F(g, f) over all f with unit integral of e^(-f) dV. It does not decrease
    along the Ricci flow (nor the Ricci-DeTurck flow, as it does not depend on coordinates) and is
    constant only where the metric is Ricci-flat. On a torus lambda <= 0, and 0 only if g is flat.

    Parameters
    ----------
    metric : MetricField
        On a torus.
    order : int or "fourier"
        Of the derivatives.

    Raises
    ------
    InvalidArgumentError
        If the grid is not a torus.
    SpectrumError
        If the iteration does not converge, or the grid is too coarse for a positive ground state.

    Examples
    --------
    >>> from riemann_lne import Grid, perturbed_euclidean, solve_flow, RicciDeTurckFlow
    >>> g = perturbed_euclidean(Grid.torus((24, 24)), amplitude=0.3, modes=1)
    >>> later = solve_flow(g, RicciDeTurckFlow(), (0, 0.5), t_eval=[0.5])[-1]
    >>> perelman_lambda(g) < perelman_lambda(later) < 0
    True
    """
    return perelman_ground_state(metric, order).value


@of_metric
def perelman_ground_state(metric: MetricField, order: Order = "fourier") -> GroundState:
    """Perelman's lambda with the f that attains it. Arguments and errors: ``perelman_lambda``.

    With e^(-f) = u^2, F is the quadratic form of -4 Laplacian + R. It is discretised such that it
    stays symmetric ("Measuring and drawing" in the documentation says how) and minimised by the
    locally optimal preconditioned conjugate gradient method (Knyazev 2001); the preconditioner is
    the operator of the mean metric in Fourier space. Array library and device are those of the
    metric.
    """
    grid, n = metric.grid, metric_dimension(metric.grid)
    grid.require_torus("lambda")
    grid.require_whole("lambda")
    operator, mass = _quadratic_form(metric, order)
    symbol = -4.0 * mean_laplacian_symbol(metric.packed, grid, order)
    gap = float(np.min(symbol[symbol > 1e-12 * symbol.max()]))
    xp, axes = namespace(mass), tuple(range(n))
    mean = float(xp.mean(mass))
    damping = like(1.0 / (mean * (np.maximum(symbol, 0.0) + gap)), mass)

    def precondition(r: Array) -> Array:
        return xp.fft.irfftn(xp.fft.rfftn(r, axes=axes) * damping, s=grid.shape, axes=axes)

    eps = float(xp.finfo(mass.dtype).eps)
    tolerance = max(_RESIDUAL * gap, 10 * eps * float(symbol.max()))
    value, u = lowest_eigenpair(
        operator,
        lambda v: mass * v,
        precondition,
        lambda a, b: float(xp.sum(a * b)),
        lambda r: math.sqrt(float(xp.sum(r * r / mass))),
        xp.ones_like(mass),
        tolerance,
    )
    if not bool(xp.all(u > 0)):
        raise SpectrumError(
            "the lowest eigenfunction changes sign, which it cannot: the grid "
            f"{metric.grid.shape} does not resolve the curvature; refine it"
        )
    cell = math.prod(grid.spacing)
    return GroundState(value, -2.0 * xp.log(u) + math.log(cell))


def _quadratic_form(metric: MetricField, order: Order) -> tuple[Callable[[Array], Array], Array]:
    """sqrt(det g) (-4 Laplacian + R) as a symmetric operator on the grid, and sqrt(det g)."""
    grid, n, xp = metric.grid, metric.n, namespace(metric.packed)
    inverse, det = inverse_and_determinant(table(metric.packed, n), n)
    mass = xp.sqrt(det)
    potential = mass * metric.scalar_curvature(order)
    w = {at: mass * inverse[at] for at in pairs(n)}
    diagonal = [w[a, a] for a in range(n)]

    def along(*stacks: Array) -> Array:
        """Second derivative along axis a of the a-th stack, (n * c, *shape)."""
        count = stacks[0].shape[0]

        def formula(*local: LocalField) -> list[Array]:
            seconds = [field.second(a, a) for a, field in enumerate(local)]
            return [second[c, ...] for second in seconds for c in range(count)]

        return evaluate(formula, stacks, grid, order, n * count)

    bent = along(*(xp.expand_dims(d, axis=0) for d in diagonal))

    def apply(u: Array) -> Array:
        """sqrt(det g) (-4 Laplacian u + R u)."""
        # d (w du) = (d^2 (w u) + w d^2 u - u d^2 w) / 2 is symmetric with compact differences,
        # which damp the Nyquist mode; products of first differences would not.
        second = along(*(xp.stack([u, d * u], axis=0) for d in diagonal))
        result = potential * u
        for a, d in enumerate(diagonal):
            result = result - 2.0 * (second[2 * a + 1, ...] + d * second[2 * a, ...])
            result = result + 2.0 * bent[a, ...] * u
        slope = gradient(u, grid, order)
        for a, b in pairs(n):
            if a != b:
                flux = xp.stack([w[a, b] * slope[b, ...], w[a, b] * slope[a, ...]], axis=0)
                turned = gradient(flux, grid, order)
                result = result - 4.0 * (turned[a, 0, ...] + turned[b, 1, ...])
        return result

    return apply, mass


def lowest_eigenpair(
    operator: Callable[[Array], Array],
    weigh: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    dot: Callable[[Array, Array], float],
    size: Callable[[Array], float],
    start: Array,
    tolerance: float,
) -> tuple[float, Array]:
    """Lowest eigenpair of K u = lambda M u with (u, M u) = 1, u positive on the whole.

    The locally optimal preconditioned conjugate gradient method for one pair (Knyazev 2001).

    Parameters
    ----------
    operator, weigh : callable
        u -> K u and u -> M u, symmetric in ``dot``; M is positive.
    precondition : callable
        About the inverse of K - lambda M, positive.
    dot : callable
        Inner product of two vectors.
    size : callable
        Norm of a residual K u - lambda M u, in which ``tolerance`` is given.
    start : array
        Not orthogonal to the eigenvector; a constant function.
    tolerance : float

    Raises
    ------
    SpectrumError
        If it does not settle in 500 steps.
    """
    # Vectors with their images: the state, and the direction of the last step.
    basis = [(start, operator(start))]
    for _ in range(_MAX_STEPS):
        basis = _orthonormal(basis, weigh, dot)
        u, image = basis[0]
        value = dot(u, image)
        weighed = weigh(u)
        residual = image - value * weighed
        if size(residual) <= tolerance:
            return value, u * (1.0 if dot(start, weighed) > 0 else -1.0)
        w = precondition(residual)
        basis = _orthonormal([*basis, (w, operator(w))], weigh, dot)
        form = np.array([[dot(a, image) for _, image in basis] for a, _ in basis])
        weights = np.linalg.eigh((form + form.T) / 2)[1][:, 0]
        parts = [(float(c) * a, float(c) * k) for c, (a, k) in zip(weights, basis, strict=True)]
        step = (sum(a for a, _ in parts[1:]), sum(k for _, k in parts[1:]))
        basis = [(parts[0][0] + step[0], parts[0][1] + step[1]), step]
    raise SpectrumError(
        f"the lowest eigenvalue did not settle in {_MAX_STEPS} steps: refine the grid or take a "
        "metric that is closer to a constant one"
    )


def _orthonormal(
    pairs_of: list[tuple[Array, Array]],
    weigh: Callable[[Array], Array],
    dot: Callable[[Array, Array], float],
) -> list[tuple[Array, Array]]:
    """Vectors orthonormal in the mass, images along; what is dependent to rounding is left out."""
    result: list[tuple[Array, Array]] = []
    eps = float(namespace(pairs_of[0][0]).finfo(pairs_of[0][0].dtype).eps)
    for vector, image in pairs_of:
        before = math.sqrt(dot(vector, weigh(vector)))
        if before == 0.0:
            continue
        v, k = vector / before, image / before
        for _twice in range(2):  # once leaves what rounding puts back
            for other, its_image in result:
                c = dot(other, weigh(v))
                v, k = v - c * other, k - c * its_image
        size = math.sqrt(max(dot(v, weigh(v)), 0.0))
        if size > 1e3 * eps:
            result.append((v / size, k / size))
    return result


@of_metric
def perelman_lambda_rate(metric: MetricField, order: Order = "fourier") -> float:
    """Rate of lambda under the Ricci flow, 1 / length^4: twice the integral of

    |Ric + nabla nabla f|^2_g e^(-f) dV, with the f of ``perelman_ground_state``.

    Never negative, and zero only on steady solitons, which on a closed manifold are Ricci-flat
    (Perelman 2002, section 2).

    Arguments and errors as for ``perelman_lambda``.

    Examples
    --------
    >>> from riemann_lne import exact
    >>> bent = exact.gauge_family(2, 0.3)                   # flat, in curved coordinates
    >>> perelman_lambda_rate(bent.field(0.0, bent.grid(24))) < 1e-10
    True
    """
    grid, n = metric.grid, metric.n
    f = perelman_ground_state(metric, order).potential
    xp = namespace(f)

    def formula(local: LocalField, function: LocalField) -> list[Array]:
        jet = MetricJet(local, n)
        df: Components = {(a,): function.first(a)[0, ...] for a in range(n)}
        drift = contract("kij,k->ij", jet.christoffel, df, n=n, symmetric=SYMMETRIC)
        bent = {at: jet.ricci[at] + function.second(*at)[0, ...] - drift[at] for at in pairs(n)}
        square = squared_norm(expand(bent, n, 2, SYMMETRIC), jet.inverse, n)
        return [square * xp.exp(-function.value()[0, ...]) * xp.sqrt(jet.determinant)]

    fields = (metric.packed, xp.expand_dims(f, axis=0))
    density = evaluate(formula, fields, grid, order, 1)[0, ...]
    return 2.0 * float(grid.integrate(density))
