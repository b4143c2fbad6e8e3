"""Curvature of a metric field, from its values and compact first and second differences.

Every public function takes components first and grid axes last: a metric is (n, n, *shape), with
n the dimension of the grid, 2 to 4. Sign and index conventions (round spheres have positive
Ricci curvature):

- Gamma^k_ij is ``christoffel[k, i, j]``;
- R^l_ijk = d_i Gamma^l_jk - d_j Gamma^l_ik + Gamma^p_jk Gamma^l_ip - Gamma^p_ik Gamma^l_jp is
  ``riemann[l, i, j, k]``, and R_jk = R^i_ijk.

Metric components are dimensionless if coordinates are lengths; Christoffel symbols are then
1 / length and curvatures 1 / length^2.

Derivatives of Christoffel symbols are always expanded in second differences of the metric:
differencing the symbols themselves would leave the Nyquist mode undamped.

Functions with the argument ``signature`` take metrics that are not positive definite: "lorentzian"
for one negative eigenvalue everywhere, or the numbers (negative, positive). Formulas and signs are
the same: Ric is positive on de Sitter's space. Flows take Riemannian metrics alone.

All functions raise ShapeError, DTypeError, NotFiniteError, NotSymmetricError or
NotPositiveDefiniteError for an argument that is not what they need, and GridTooSmallError where
the grid has too few points for the order.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from .arrays import (
    Array,
    Components,
    contract,
    expand,
    namespace,
    require_finite,
    require_real_floating,
    total,
)
from .checks import shown
from .coefficients import Order
from .curvature_2d import deturck_flow_tensor_2d
from .errors import InvalidArgumentError, ShapeError
from .finite import finite_result
from .grids import Grid
from .jets import LAST_TWO, MetricJet, symmetric_gradient, trace, vector_gradient
from .stencils import LocalField, evaluate
from .tensors import (
    SYMMETRIC,
    Signature,
    checked_vector,
    inverse_and_determinant,
    metric_dimension,
    packed_metric,
    packed_size,
    packed_symmetric,
    pairs,
    table,
    unpack,
)

# --------------------------------------------------------------------------------------------
# Formulas on a tile, which the flows use as well


def ricci_tensor(jet: MetricJet) -> list[Array]:
    """Packed R_jk."""
    return [jet.ricci[pair] for pair in pairs(jet.n)]


def deturck_flow_tensor(jet: MetricJet) -> list[Array]:
    """Packed -2 Ric + L_W g with the flat background, W^k = g^pq Gamma^k_pq."""
    return deturck_flow_tensor_2d(jet) if jet.n == 2 else deturck_flow_tensor_by_index(jet)


def deturck_flow_tensor_by_index(jet: MetricJet) -> list[Array]:
    """The same by the formula that holds in all dimensions.

    With E_kij as in ``MetricJet.twice_lowered``, X^k_ij = g^kp E_pij, U^l_jk = g^lm d_m g_jk and
    Y_ik^l = g^lm E_ikm it is g^ab d_a d_b g_ij - X^k_li U^l_jk - X^k_lj Y_ik^l / 2. All second
    derivatives but those of the Laplacian have cancelled, which is what makes the flow parabolic.
    """
    n, inverse, lowered = jet.n, jet.inverse, jet.twice_lowered
    result: dict[tuple[int, int], Array] = {}
    for a, b in pairs(n):
        # One second derivative at a time: the six (in 3-D) together are 6 times the metric.
        second = jet.local.second(a, b)
        factor = inverse[a, b] if a == b else 2.0 * inverse[a, b]
        for c, pair in enumerate(pairs(n)):
            term = factor * second[c, ...]
            if pair in result:
                result[pair] += term
            else:
                result[pair] = term
    half = expand({pair: 0.5 * inverse[pair] for pair in pairs(n)}, n, 2, SYMMETRIC)
    x = contract("kp,pij->kij", inverse, lowered, n=n, symmetric=LAST_TWO)
    u = contract("lm,mjk->ljk", inverse, jet.d, n=n, symmetric=LAST_TWO)
    half_y = _half_y(half, lowered, u, n)
    for i, j in pairs(n):
        acc = result[i, j]
        for k, l in product(range(n), repeat=2):
            acc -= x[k, l, i] * u[l, j, k]
            acc -= x[k, l, j] * half_y[i, k, l]
        result[i, j] = acc  # another array where arrays cannot be written to
    return [result[pair] for pair in pairs(n)]


def _half_y(half: Components, lowered: Components, u: Components, n: int) -> Components:
    """Y_ik^l / 2, half of it from Y_ik^l + Y_ki^l = 2 U^l_ik; table (i, k, l)."""
    result: Components = {}
    for i, k in pairs(n):
        for l in range(n):
            if i == k:
                result[i, i, l] = 0.5 * u[l, i, i]
            else:
                result[i, k, l] = total((1.0, (half[l, m], lowered[i, k, m])) for m in range(n))
                result[k, i, l] = u[l, i, k] - result[i, k, l]
    return result


def lie_derivative_tensor(
    g: Components, dg: Components, v: Components, dv: Components, n: int
) -> list[Array]:
    """Packed (L_V g)_ij = V^k d_k g_ij + g_kj d_i V^k + g_ik d_j V^k.

    Tables: g (i, j), dg (a, i, j), v (k,), dv (a, k).
    """
    return [
        total(
            [(1.0, (v[k,], dg[k, i, j])) for k in range(n)]
            + [(1.0, (g[k, j], dv[i, k])) for k in range(n)]
            + [(1.0, (g[i, k], dv[j, k])) for k in range(n)]
        )
        for i, j in pairs(n)
    ]


def background_field(jet: MetricJet, background: MetricJet) -> tuple[Components, Components]:
    """V^k = g^pq Gammabar^k_pq and d_i V^k, tables (k,) and (i, k).

    With d_i g^pq = -g^pa g^qb d_i g_ab and the derivative of Gammabar in second differences of the
    background, so that no difference is taken of a difference.
    """
    n = jet.n
    gamma, d_gamma = background.christoffel, background.christoffel_gradient
    v = contract("pq,kpq->k", jet.inverse, gamma, n=n)
    mixed = contract("pa,iab->ipb", jet.inverse, jet.d, n=n)
    d_inverse = contract("ipb,bq->ipq", mixed, jet.inverse, n=n, symmetric=LAST_TWO)
    falling = contract("ipq,kpq->ik", d_inverse, gamma, n=n)
    direct = contract("pq,ikpq->ik", jet.inverse, d_gamma, n=n)
    return v, {index: direct[index] - falling[index] for index in direct}


def deturck_field(jet: MetricJet, background: MetricJet | None) -> list[Array]:
    """W^k = g^pq (Gamma^k_pq - Gammabar^k_pq); without a background Gammabar = 0."""
    w = jet.contracted_christoffel
    if background is None:
        return [w[k,] for k in range(jet.n)]
    v = contract("pq,kpq->k", jet.inverse, background.christoffel, n=jet.n)
    return [w[k,] - v[k,] for k in range(jet.n)]


def lichnerowicz_tensor(jet: MetricJet, local_h: LocalField) -> list[Array]:
    """Packed Lichnerowicz Laplacian of a symmetric tensor; see ``lichnerowicz``."""
    n, gamma, inverse = jet.n, jet.christoffel, jet.inverse
    h, dh = table(local_h.value(), n), symmetric_gradient(local_h, n)
    nabla = _covariant_gradient(h, dh, gamma, n)
    laplacian = _rough_laplacian(jet, local_h, h, dh, nabla)
    raised = contract("ip,pj->ij", inverse, h, n=n)
    upper = contract("ip,pj->ij", raised, inverse, n=n, symmetric=SYMMETRIC)
    # R_ipjq h^pq in the usual index order is R_lijk with (l, i, j, k) = (i, j, q, p) here.
    curved = contract("ijqp,pq->ij", jet.riemann_lowered, upper, n=n, symmetric=SYMMETRIC)
    ricci_h = contract("ip,pj->ij", jet.ricci, raised, n=n)
    return [
        total(
            [
                (1.0, (laplacian[i, j],)),
                (2.0, (curved[i, j],)),
                (-1.0, (ricci_h[i, j],)),
                (-1.0, (ricci_h[j, i],)),
            ]
        )
        for i, j in pairs(n)
    ]


def _covariant_gradient(h: Components, dh: Components, gamma: Components, n: int) -> Components:
    """nabla_b h_ij = d_b h_ij - Gamma^p_bi h_pj - Gamma^p_bj h_ip, table (b, i, j)."""
    moved = contract("pbi,pj->bij", gamma, h, n=n)
    independent = {
        (b, i, j): total(
            [(1.0, (dh[b, i, j],)), (-1.0, (moved[b, i, j],)), (-1.0, (moved[b, j, i],))]
        )
        for b in range(n)
        for i, j in pairs(n)
    }
    return expand(independent, n, 3, LAST_TWO)


def _rough_laplacian(
    jet: MetricJet, local_h: LocalField, h: Components, dh: Components, nabla: Components
) -> Components:
    """g^ab nabla_a nabla_b h_ij, the second derivatives of h compact; table (i, j)."""
    n, gamma, d_gamma = jet.n, jet.christoffel, jet.christoffel_gradient
    result: Components = {}
    for a, b in pairs(n):
        second = local_h.second(a, b)
        weight = 1.0 if a == b else 2.0
        for c, pair in enumerate(pairs(n)):
            term = (weight * jet.inverse[a, b]) * second[c, ...]
            result[pair] = result[pair] + term if pair in result else term
    # g^ab d_a Gamma^p_bi and g^ab Gamma^p_bi d_a, g^ab Gamma^p_ai nabla_b.
    divergence = contract("ab,apbi->pi", jet.inverse, d_gamma, n=n)
    mixed = contract("ab,pbi->pai", jet.inverse, gamma, n=n)
    one = contract("pi,pj->ij", divergence, h, n=n)
    two = contract("pai,apj->ij", mixed, dh, n=n)
    three = contract("pai,apj->ij", mixed, nabla, n=n)
    four = contract("p,pij->ij", jet.contracted_christoffel, nabla, n=n, symmetric=SYMMETRIC)
    for i, j in pairs(n):
        acc = result[i, j] - four[i, j]
        for part in (one, two, three):
            acc -= part[i, j] + part[j, i]
        result[i, j] = acc
    return expand(result, n, 2, SYMMETRIC)


# --------------------------------------------------------------------------------------------
# Public functions


def _on_metric(
    components: Array,
    grid: Grid,
    order: Order,
    formula: Callable[[MetricJet], list[Array]],
    leading: tuple[int, ...],
    signature: Signature = "riemannian",
) -> Array:
    """Evaluate a formula in the jet of a checked metric and shape the result."""
    n = metric_dimension(grid)
    packed = packed_metric(components, grid, signature=signature)
    count = 1
    for size in leading:
        count *= size
    flat = evaluate(lambda local: formula(MetricJet(local, n)), (packed,), grid, order, count)
    return namespace(flat).reshape(flat, (*leading, *grid.shape))


def _listed(components: Components, n: int, rank: int) -> list[Array]:
    return [components[index] for index in product(range(n), repeat=rank)]


@finite_result
def inverse(components: Array, grid: Grid, signature: Signature = "riemannian") -> Array:
    """Inverse metric g^ij by cofactors. (n, n, *shape) -> the same shape; dimensionless."""
    packed = packed_metric(components, grid, signature=signature)
    n = grid.ndim
    result, _ = inverse_and_determinant(table(packed, n), n)
    xp = namespace(packed)
    return unpack(xp.stack([result[pair] for pair in pairs(n)], axis=0), n)


@finite_result
def volume_element(components: Array, grid: Grid, signature: Signature = "riemannian") -> Array:
    """sqrt(|det g|), the density of the volume. (n, n, *shape) -> shape."""
    packed = packed_metric(components, grid, signature=signature)
    xp = namespace(packed)
    return xp.sqrt(xp.abs(inverse_and_determinant(table(packed, grid.ndim), grid.ndim)[1]))


@finite_result
def christoffel(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Christoffel symbols Gamma^k_ij = g^kp (d_i g_pj + d_j g_pi - d_p g_ij) / 2.

    (n, n, *shape) -> (n, n, n, *shape), indices [k, i, j]. Unit: 1 / length.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid
    >>> grid = Grid.box(1.0, 2.0, (9, 9))
    >>> r, _ = grid.coordinates()
    >>> polar = np.stack([np.stack([r**0, 0 * r]), np.stack([0 * r, r**2])])
    >>> gamma = christoffel(polar, grid)
    >>> bool(np.allclose(gamma[0, 1, 1], -r) and np.allclose(gamma[1, 0, 1], 1 / r))
    True
    """
    n = grid.ndim
    return _on_metric(
        components, grid, order, lambda jet: _listed(jet.christoffel, n, 3), (n, n, n), signature
    )


@finite_result
def riemann(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Riemann tensor R^l_ijk, positive Ricci on spheres by R_jk = R^i_ijk.

    (n, n, *shape) -> (n, n, n, n, *shape), indices [l, i, j, k]. Unit: 1 / length^2.
    """
    n = grid.ndim
    return _on_metric(
        components, grid, order, lambda jet: _listed(jet.riemann, n, 4), (n, n, n, n), signature
    )


@finite_result
def ricci(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Ricci tensor R_jk = R^i_ijk. (n, n, *shape) -> (n, n, *shape). Unit: 1 / length^2.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid
    >>> grid = Grid.box(-0.5, 0.5, (33, 33))
    >>> x, y = grid.coordinates()
    >>> v = 4 / (1 + x**2 + y**2) ** 2                      # the unit sphere: Ric = g
    >>> sphere = np.stack([np.stack([v, 0 * v]), np.stack([0 * v, v])])
    >>> bool(np.max(np.abs(ricci(sphere, grid, order=8) - sphere)) < 1e-5)
    True
    """
    n = metric_dimension(grid)
    packed = packed_metric(components, grid, signature=signature)
    flat = evaluate(
        lambda local: ricci_tensor(MetricJet(local, n)), (packed,), grid, order, packed_size(n)
    )
    return unpack(flat, n)


@finite_result
def scalar_curvature(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Scalar curvature R = g^jk R_jk. (n, n, *shape) -> shape. Unit: 1 / length^2."""
    return _on_metric(components, grid, order, lambda jet: [jet.scalar_curvature], (), signature)


@finite_result
def einstein(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Einstein tensor R_ij - R g_ij / 2. (n, n, *shape) -> (n, n, *shape). Unit: 1 / length^2."""
    n = grid.ndim

    def formula(jet: MetricJet) -> list[Array]:
        half = 0.5 * jet.scalar_curvature
        return [jet.ricci[at] - half * jet.g[at] for at in product(range(n), repeat=2)]

    return _on_metric(components, grid, order, formula, (n, n), signature)


@finite_result
def lie_derivative(components: Array, vector: Array, grid: Grid, order: Order = 4) -> Array:
    """Lie derivative of the metric, (L_V g)_ij = V^k d_k g_ij + g_kj d_i V^k + g_ik d_j V^k.

    Parameters
    ----------
    components : (n, n, *shape)
        The metric.
    vector : (n, *shape)
        V^k, the index up.

    Returns
    -------
    (n, n, *shape), in the unit of V over length.
    """
    n = grid.ndim
    packed = packed_metric(components, grid)
    vector = checked_vector(vector, grid)

    def formula(metric: LocalField, field: LocalField) -> list[Array]:
        value = field.value()
        v: Components = {(k,): value[k, ...] for k in range(n)}
        return lie_derivative_tensor(
            table(metric.value(), n),
            symmetric_gradient(metric, n),
            v,
            vector_gradient(field, n),
            n,
        )

    return unpack(evaluate(formula, (packed, vector), grid, order, packed_size(n)), n)


@finite_result
def deturck_vector(
    components: Array, grid: Grid, background: Array | None = None, order: Order = 4
) -> Array:
    """DeTurck vector field W^k = g^pq (Gamma^k_pq - Gammabar^k_pq).

    ``background`` is the metric (n, n, *shape) whose Christoffel symbols are Gammabar; None is
    the flat one, with Gammabar = 0 in these coordinates. Returns (n, *shape), unit 1 / length.
    """
    n = metric_dimension(grid)
    fields = [packed_metric(components, grid)]
    if background is not None:
        fields.append(packed_metric(background, grid, "background"))

    def formula(metric: LocalField, bar: LocalField | None = None) -> list[Array]:
        return deturck_field(MetricJet(metric, n), None if bar is None else MetricJet(bar, n))

    return evaluate(formula, tuple(fields), grid, order, n)


@finite_result
def lichnerowicz(components: Array, h: Array, grid: Grid, order: Order = 4) -> Array:
    """Lichnerowicz Laplacian of a symmetric tensor,

    (Delta_L h)_ij = g^ab nabla_a nabla_b h_ij + 2 R_ipjq h^pq - R_ip h^p_j - R_jp h^p_i,

    with R_ipjq such that g^pq R_ipjq = R_ij (so that Delta_L g = 0). Linearised about g, the Ricci-
    DeTurck flow with background g is h' = Delta_L h. Zero modes: parallel tensors.

    Parameters
    ----------
    components, h : (n, n, *shape)
        The metric and the symmetric tensor.

    Returns
    -------
    (n, n, *shape), in the unit of h over length^2.
    """
    n = metric_dimension(grid)
    packed = packed_metric(components, grid)
    packed_h = packed_symmetric(h, grid, "h")

    def formula(metric: LocalField, local_h: LocalField) -> list[Array]:
        return lichnerowicz_tensor(MetricJet(metric, n), local_h)

    return unpack(evaluate(formula, (packed, packed_h), grid, order, packed_size(n)), n)


@finite_result
def laplacian(components: Array, scalar: Array, grid: Grid, order: Order = 4) -> Array:
    """Laplace-Beltrami operator of a function, g^ab (d_a d_b f - Gamma^k_ab d_k f).

    (n, n, *shape) and shape -> shape. Unit: that of f over length^2.
    """
    n = metric_dimension(grid)
    packed = packed_metric(components, grid)
    xp = require_real_floating(scalar, "scalar")
    require_finite(scalar, "scalar")
    if tuple(scalar.shape) != grid.shape:
        raise ShapeError(
            f"scalar has shape {tuple(scalar.shape)}; give one value for each point of {grid.shape}"
        )

    def formula(metric: LocalField, function: LocalField) -> list[Array]:
        jet = MetricJet(metric, n)
        second = expand({at: function.second(*at)[0, ...] for at in pairs(n)}, n, 2, SYMMETRIC)
        drift = total(
            (1.0, (jet.contracted_christoffel[k,], function.first(k)[0, ...])) for k in range(n)
        )
        return [trace(jet.inverse, second, n) - drift]

    return evaluate(formula, (packed, xp.expand_dims(scalar, axis=0)), grid, order, 1)[0, ...]


@finite_result
def kretschmann(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Kretschmann scalar R_lijk R^lijk. (n, n, *shape) -> shape. Unit: 1 / length^4.

    48 M^2 / r^6 for Schwarzschild's metric; of either sign where the metric is not definite.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid
    >>> grid = Grid.box(-0.5, 0.5, (33, 33))
    >>> x, y = grid.coordinates()
    >>> v = 4 / (1 + x**2 + y**2) ** 2                      # the unit sphere: 4 K^2 with K = 1
    >>> sphere = np.stack([np.stack([v, 0 * v]), np.stack([0 * v, v])])
    >>> bool(np.max(np.abs(kretschmann(sphere, grid, order=8) - 4)) < 1e-4)
    True
    """
    return _on_metric(components, grid, order, lambda jet: [jet.kretschmann], (), signature)


@finite_result
def weyl(
    components: Array, grid: Grid, order: Order = 4, signature: Signature = "riemannian"
) -> Array:
    """Weyl tensor C_lijk = g_lp C^p_ijk, the part of R_lijk without traces.

    With the pairs (l, k) and (i, j) and n >= 3 dimensions,

        C_lijk = R_lijk - (g_li R_kj - g_lj R_ki - g_ki R_lj + g_kj R_li) / (n - 2)
                 + R (g_li g_kj - g_lj g_ki) / ((n - 1) (n - 2)).

    (n, n, *shape) -> (n, n, n, n, *shape), indices [l, i, j, k]; zero for n = 3 and for metrics
    that are conformal to a flat one. C^p_ijk does not change under g -> e^(2 u) g.

    Raises InvalidArgumentError for n = 2.
    """
    n = metric_dimension(grid)
    if n == 2:
        raise InvalidArgumentError(
            f"the Weyl tensor is defined in 3 and more dimensions; at least 3 are needed, not {n}"
        )
    return _on_metric(
        components, grid, order, lambda jet: _listed(jet.weyl, n, 4), (n, n, n, n), signature
    )


@finite_result
def covariant_derivative(
    components: Array,
    tensor: Array,
    grid: Grid,
    indices: str = "",
    order: Order = 4,
    signature: Signature = "riemannian",
) -> Array:
    """Covariant derivative of a tensor field of any rank up to 4, nabla_a T.

    nabla_a T^i_j = d_a T^i_j + Gamma^i_ap T^p_j - Gamma^p_aj T^i_p, and so on for every index.

    Parameters
    ----------
    components : (n, n, *shape)
        The metric.
    tensor : (n, ..., n, *shape), of rank r
    grid : Grid
    indices : str
        Where each index is: "u" up, "d" down. "" is a function, "u" a vector, "dd" a metric.
    order, signature
        As above.

    Returns
    -------
    (n, n, ..., n, *shape), the index of the derivative first, down; in the unit of T over length.

    Raises
    ------
    InvalidArgumentError, ShapeError
        If ``indices`` is no text of at most four letters u and d, or the tensor has not its rank.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid, perturbed_euclidean
    >>> g = perturbed_euclidean(Grid.torus((16, 16)), 0.2, seed=1)
    >>> parallel = covariant_derivative(g.components, g.components, g.grid, "dd", "fourier")
    >>> bool(abs(parallel).max() < 1e-12)
    True
    """
    n = metric_dimension(grid)
    if not isinstance(indices, str) or set(indices) - {"u", "d"} or len(indices) > 4:
        raise InvalidArgumentError(
            f"indices = {shown(indices)}; give a text of at most four letters, u for an index that "
            "is up and d for one that is down"
        )
    rank = len(indices)
    packed = packed_metric(components, grid, signature=signature)
    xp = require_real_floating(tensor, "tensor")
    require_finite(tensor, "tensor")
    if tuple(tensor.shape) != (*(n,) * rank, *grid.shape):
        raise ShapeError(
            f"tensor has shape {tuple(tensor.shape)}; indices = {indices!r} on this grid needs "
            f"{(*(n,) * rank, *grid.shape)}"
        )
    flat = xp.reshape(tensor, (n**rank, *grid.shape))

    def formula(metric: LocalField, field: LocalField) -> list[Array]:
        return covariant_derivative_of(MetricJet(metric, n), field, indices)

    result = evaluate(formula, (packed, flat), grid, order, n ** (rank + 1))
    return xp.reshape(result, (*(n,) * (rank + 1), *grid.shape))


def covariant_derivative_of(jet: MetricJet, field: LocalField, indices: str) -> list[Array]:
    """nabla_a T in a jet, listed by (a, then the indices of T in row order)."""
    n, gamma = jet.n, jet.christoffel
    places = list(product(range(n), repeat=len(indices)))
    number = {place: c for c, place in enumerate(places)}
    value = field.value()
    result = []
    for a in range(n):
        slope = field.first(a)
        for place in places:
            terms: list[tuple[float, tuple[Array, ...]]] = [(1.0, (slope[number[place], ...],))]
            for position, kind in enumerate(indices):
                here = place[position]
                for p in range(n):
                    other = number[(*place[:position], p, *place[position + 1 :])]
                    if kind == "u":
                        terms.append((1.0, (gamma[here, a, p], value[other, ...])))
                    else:
                        terms.append((-1.0, (gamma[p, a, here], value[other, ...])))
            result.append(total(terms))
    return result


__all__ = [
    "christoffel",
    "covariant_derivative",
    "deturck_vector",
    "einstein",
    "inverse",
    "kretschmann",
    "laplacian",
    "lichnerowicz",
    "lie_derivative",
    "ricci",
    "riemann",
    "scalar_curvature",
    "volume_element",
    "weyl",
]
