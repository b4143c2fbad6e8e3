"""Ricci flow and Ricci-DeTurck flow."""

from __future__ import annotations

from ..arrays import Array
from ..curvature import (
    background_field,
    deturck_flow_tensor,
    lie_derivative_tensor,
    ricci_tensor,
)
from ..errors import ShapeError
from ..grids import Grid
from ..jets import MetricJet
from ..metrics import MetricField
from ..stencils import LocalField, evaluate
from ..tensors import metric_dimension, packed_size
from ..weights import Order
from .base import laplacian_spectral_radius


class RicciFlow:
    """Ricci flow, g' = -2 Ric(g) (Hamilton 1982). Time has the unit length^2.

    Only weakly parabolic: it does not damp a change of coordinates, so a perturbation of the flat
    metric decays in its curvature alone. Use explicit integrators, or RicciDeTurckFlow.
    """

    parabolic = False

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """-2 R_ij, packed."""
        n = metric_dimension(grid)

        def formula(local: LocalField) -> list[Array]:
            return [-2.0 * r for r in ricci_tensor(MetricJet(local, n))]

        return evaluate(formula, (packed,), grid, order, packed_size(n))

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """The Laplacian's bound times 2 (n - 1) / n.

        Compact and mixed differences see the Nyquist mode differently (-4 / h^2 against 0), so
        that the gauge directions, neutral in the continuum, do not cancel there: the trace of the
        all-Nyquist mode decays at 8 (n - 1) / h^2 at order 2, not at 4 n / h^2.
        """
        n = grid.ndim
        return laplacian_spectral_radius(packed, grid, order) * max(1.0, 2 * (n - 1) / n)

    def __repr__(self) -> str:
        return "RicciFlow()"


class RicciDeTurckFlow:
    """Ricci-DeTurck flow, g' = -2 Ric(g) + L_W g, W^k = g^pq (Gamma^k_pq - Gammabar^k_pq).

    Strictly parabolic, with the principal part g^ab d_a d_b g_ij (DeTurck 1983; Eq. 9 of the
    paper with V = -W). Time has the unit length^2.

    Parameters
    ----------
    background : MetricField, optional
        The metric whose Christoffel symbols are Gammabar. None: the flat metric, Gammabar = 0.

    Examples
    --------
    >>> from riemann_lne import Grid, perturbed_euclidean, solve_flow
    >>> g = perturbed_euclidean(Grid.torus((16, 16)), amplitude=0.1)
    >>> solution = solve_flow(g, RicciDeTurckFlow(), (0, 2), dt=0.05)
    >>> solution.success
    True
    """

    parabolic = True

    def __init__(self, background: MetricField | None = None) -> None:
        self.background = background

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """-2 R_ij + (L_W g)_ij, packed."""
        n = metric_dimension(grid)
        fields: tuple[Array, ...] = (packed,)
        if self.background is not None:
            if self.background.grid != grid:
                raise ShapeError("the DeTurck background lives on another grid than the metric")
            fields = (packed, self.background.packed)

        def formula(local: LocalField, bar: LocalField | None = None) -> list[Array]:
            jet = MetricJet(local, n)
            flat = deturck_flow_tensor(jet)
            if bar is None:
                return flat
            # The field W is linear in Gammabar: only the background's part is added.
            v, dv = background_field(jet, MetricJet(bar, n))
            part = lie_derivative_tensor(jet.g, jet.d, v, dv, n)
            return [a - b for a, b in zip(flat, part, strict=True)]

        return evaluate(formula, fields, grid, order, packed_size(n))

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """The Laplacian's bound: see ``laplacian_spectral_radius``."""
        return laplacian_spectral_radius(packed, grid, order)

    def __repr__(self) -> str:
        return f"RicciDeTurckFlow(background={self.background!r})"
