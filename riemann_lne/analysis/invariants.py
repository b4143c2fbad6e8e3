"""Numbers of a metric that do not depend on coordinates, to be watched along a flow.

Each function takes a MetricField and returns a float, so that it can be given to
``solve_flow(..., observe={"volume": volume})`` as it is, or with its options bound by
``functools.partial``.
"""

from __future__ import annotations

import math

from ..arrays import Array, Components, contract, namespace, total
from ..coefficients import Order
from ..curvature import ricci_tensor
from ..errors import InvalidArgumentError
from ..jets import MetricJet, symmetric_gradient, trace
from ..metrics import MetricField, of_metric
from ..stencils import LocalField, evaluate
from ..team import over_blocks
from ..tensors import metric_dimension, packed_size, table

_QUADRATURE = 4


def quadrature_order(order: Order) -> int:
    """Order of the quadrature that goes with differences of an order.

    It matters on bounded axes alone, where Fourier derivatives do not exist.
    """
    return _QUADRATURE if order == "fourier" else int(order)


@of_metric
def volume(metric: MetricField, order: int = 4) -> float:
    """Volume, the integral of sqrt(det g), in length^n. See ``MetricField.volume``.

    Under the Ricci flow on a closed manifold dV/dt = -``total_scalar_curvature``; the DeTurck term
    does not change it, as the integral of a Lie derivative vanishes there.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> volume(flat_metric(Grid.torus((8, 8), lengths=3.0)))
    9.0
    """
    return metric.volume(order)


@of_metric
def total_scalar_curvature(metric: MetricField, order: Order = 4) -> float:
    """Integral of R dV, in length^(n - 2).

    Under the Ricci flow on a closed manifold it is -dV/dt. On a closed surface it is 4 pi times the
    Euler characteristic (Gauss-Bonnet), so that it vanishes on every 2-D torus.

    Examples
    --------
    >>> from riemann_lne import Grid, perturbed_euclidean
    >>> g = perturbed_euclidean(Grid.torus((24, 24)), amplitude=0.2, modes=1)
    >>> abs(total_scalar_curvature(g, order="fourier")) < 1e-10
    True
    """
    density = metric.scalar_curvature(order) * metric.volume_element()
    return float(metric.grid.integrate(density, quadrature_order(order)))


@of_metric
def euler_characteristic(metric: MetricField, order: Order = 4) -> float:
    """(integral of R dA) / (4 pi) of a closed surface, up to the error of the differences:

    0 on a 2-D torus, 2 on the sphere (``Atlas.sphere``).

    Raises
    ------
    InvalidArgumentError
        If the grid is neither: with a boundary its geodesic curvature would count as well.
    """
    if not (metric.n == 2 and (metric.grid.is_torus or metric.grid.pieces())):
        raise InvalidArgumentError(
            f"the Euler characteristic is taken on 2-D tori and spheres; this is {metric!r}: use "
            "total_scalar_curvature for the integral of R alone"
        )
    return total_scalar_curvature(metric, order) / (4 * math.pi)


@over_blocks("smallest")
@of_metric
def scalar_curvature_min(metric: MetricField, order: Order = 4) -> float:
    """Smallest R over the grid, 1 / length^2.

    It does not decrease along the Ricci flow on a closed manifold (maximum principle for
    R' = Laplacian R + 2 |Ric|^2), nor along the Ricci-DeTurck flow.
    """
    curvature = metric.scalar_curvature(order)
    return metric.grid.team.smallest(float(namespace(curvature).min(curvature)))


@over_blocks("largest")
@of_metric
def scalar_curvature_max(metric: MetricField, order: Order = 4) -> float:
    """Largest R over the grid, 1 / length^2."""
    curvature = metric.scalar_curvature(order)
    return metric.grid.team.largest(float(namespace(curvature).max(curvature)))


@over_blocks("largest")
@of_metric
def curvature_max(metric: MetricField, order: Order = 4) -> float:
    """Largest |Rm| = (R_lijk R^lijk)^(1/2) over the grid, 1 / length^2.

    It becomes unbounded where the Ricci flow ends (Hamilton 1982). |Rm| = |R| in 2-D, and
    (2 n (n - 1))^(1/2) / r^2 on a round sphere of radius r.

    Examples
    --------
    >>> from riemann_lne.exact import round_sphere
    >>> sphere = round_sphere(3)
    >>> round(curvature_max(sphere.field(0.0, sphere.grid(17)), order=8), 1)   # 12 ** 0.5
    3.5
    """
    n = metric_dimension(metric.grid)

    def formula(local: LocalField) -> list[Array]:
        jet = MetricJet(local, n)
        lowered = jet.riemann_lowered
        raised = contract("al,lijk->aijk", jet.inverse, lowered, n=n)
        raised = contract("bi,aijk->abjk", jet.inverse, raised, n=n)
        raised = contract("cj,abjk->abck", jet.inverse, raised, n=n)
        raised = contract("dk,abck->abcd", jet.inverse, raised, n=n)
        return [total((1.0, (lowered[at], raised[at])) for at in lowered)]

    square = evaluate(formula, (metric.packed,), metric.grid, order, 1)
    # Where the metric is flat, rounding can make the sum of products negative.
    largest = metric.grid.team.largest(float(namespace(square).max(square)))
    return math.sqrt(max(largest, 0.0))


@over_blocks("largest")
@of_metric
def bianchi_residual(metric: MetricField, order: Order = 4) -> float:
    """Largest |div Ric - dR / 2|_g over the grid, 1 / length^3: the contracted Bianchi identity.

    B_j = g^ik nabla_i R_kj - d_j R / 2 vanishes for every metric. Here the Ricci tensor of the
    grid is differenced once more, so that B measures how well the grid resolves the metric: it
    falls at the order of the differences on a torus. At one-sided ends it loses one order, since
    the error of the Ricci tensor jumps there.

    Examples
    --------
    >>> from riemann_lne import Grid, perturbed_euclidean
    >>> start = [perturbed_euclidean(Grid.torus((p, p)), 0.2, modes=1) for p in (24, 48)]
    >>> coarse, fine = (bianchi_residual(g) for g in start)
    >>> fine < coarse / 8
    True
    """
    n, grid = metric_dimension(metric.grid), metric.grid

    def curvature(local: LocalField) -> list[Array]:
        jet = MetricJet(local, n)
        return [*ricci_tensor(jet), jet.scalar_curvature]

    def formula(local: LocalField, known: LocalField) -> list[Array]:
        """The square of |B|_g, from the metric and the packed Ricci tensor with R behind it."""
        jet = MetricJet(local, n)
        ricci, d_ricci = table(known.value(), n), symmetric_gradient(known, n)
        divergence = contract("ik,ikj->j", jet.inverse, d_ricci, n=n)
        drift = contract("p,pj->j", jet.contracted_christoffel, ricci, n=n)
        mixed = contract("ik,pij->pkj", jet.inverse, jet.christoffel, n=n)
        turned = contract("pkj,kp->j", mixed, ricci, n=n)
        residual = {
            (j,): divergence[j,] - drift[j,] - turned[j,] - 0.5 * known.first(j)[-1, ...]
            for j in range(n)
        }
        products: Components = {
            (i, j): residual[i,] * residual[j,] for i in range(n) for j in range(n)
        }
        return [trace(jet.inverse, products, n)]

    fields = evaluate(curvature, (metric.packed,), grid, order, packed_size(n) + 1)
    square = evaluate(formula, (metric.packed, fields), grid, order, 1)
    largest = metric.grid.team.largest(float(namespace(square).max(square)))
    return math.sqrt(max(largest, 0.0))
