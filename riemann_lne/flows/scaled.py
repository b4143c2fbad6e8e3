"""Flows with a multiple of the metric added: scaled by a given factor, or to keep the volume."""

from __future__ import annotations

from collections.abc import Callable

from ..arrays import Array, namespace
from ..checks import number
from ..coefficients import Order
from ..grids import Grid
from ..jets import trace
from ..tensors import inverse_and_determinant, table
from .base import (
    Flow,
    FlowCompiler,
    gauge_of,
    has_pointwise_bound,
    is_weakly_parabolic,
    require_exactly,
    require_flow,
)
from .describe import describe
from .ricci import RicciFlow


class ScaledFlow:
    """A flow with a multiple of the metric added, g' = F(g) + c g.

    With F = -2 Ric it is the Ricci flow in rescaled metric and time: if gbar(s) is a Ricci flow,
    g(t) = e^(c t) gbar(s(t)) with s = (1 - e^(-c t)) / c solves it (Hamilton 1982, section 3).

    Parameters
    ----------
    flow : Flow
        RicciFlow(), RicciDeTurckFlow() or a flow of yours.
    c : float or function of time
        The factor, 1 / time.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If flow is no flow object, or c neither a finite number nor callable.

    Examples
    --------
    With c = 2 / r0^2 a round 2-sphere of radius r0 neither shrinks nor grows:

    >>> from riemann_lne import RicciFlow, exact, solve_flow
    >>> sphere = exact.round_sphere(2)
    >>> g = sphere.field(0.0, sphere.grid(17))
    >>> flow = ScaledFlow(RicciFlow(), 2.0)
    >>> end = solve_flow(g, flow, (0, 0.5), "rkl2", order=8)[-1]
    >>> bool(abs(end.components - g.components).max() < 1e-5)
    True
    """

    def __init__(self, flow: Flow, c: float | Callable[[float], float]) -> None:
        self.flow = require_flow(flow)
        self.c = c if callable(c) else number(c, "c")

    @property
    def parabolic(self) -> bool:
        """As the flow that is scaled: c g is of order zero."""
        return self.flow.parabolic

    @property
    def weakly_parabolic(self) -> bool:
        """As the flow that is scaled."""
        return is_weakly_parabolic(self.flow)

    def factor(self, t: float) -> float:
        """The factor c at a time."""
        return float(self.c(t)) if callable(self.c) else self.c

    @property
    def deturck(self) -> ScaledFlow | None:
        """The same of the flow in DeTurck gauge, if it is one with a gauge."""
        gauged = gauge_of(self.flow)
        return None if gauged is None else ScaledFlow(gauged, self.c)

    def vector(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The DeTurck field of the flow in DeTurck gauge."""
        return self.flow.vector(t, packed, grid, order)

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """F(g) + c g, packed."""
        return self.flow.rhs(t, packed, grid, order) + self.factor(t) * packed

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """That of the flow. A constant factor adds |c|; one of time is not stiff."""
        shift = 0.0 if callable(self.c) else abs(self.c)
        return self.flow.spectral_radius(packed, grid, order) + shift

    @property
    def pointwise_bound(self) -> bool:
        """As the flow that is scaled."""
        own = type(self).spectral_radius is not ScaledFlow.spectral_radius
        return not own and has_pointwise_bound(self.flow)

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The same of the compiled form of the flow."""
        require_exactly(self, ScaledFlow)
        return ScaledFlow(compiler(self.flow), self.c)

    def __repr__(self) -> str:
        return f"ScaledFlow({self.flow!r}, c={describe(self.c)})"


class NormalizedRicciFlow:
    """Ricci flow that keeps the volume, g' = -2 Ric + (2 / n) r g, r the mean of R.

    r = (integral of R dV) / (integral of dV), so that dVol/dt = -integral (R - r) dV = 0 (Hamilton
    1982, section 3). r is taken from the discrete right-hand side itself, as the mean of
    -g^ij F_ij / 2: the volume, with the quadrature of ``MetricField.volume``, is then conserved by
    the differenced flow exactly and along a run as well as the method integrates in time.

    On bounded axes the mean is that over the box. Where the metric of end points is held, the
    volume is not kept.

    Parameters
    ----------
    flow : Flow, optional
        The flow that is normalised: RicciFlow() (default), or RicciDeTurckFlow(), which makes it
        strictly parabolic; on closed manifolds the DeTurck term does not change the volume.

    Examples
    --------
    >>> from riemann_lne import Grid, RicciDeTurckFlow, perturbed_euclidean, solve_flow
    >>> g = perturbed_euclidean(Grid.torus((12, 12, 12)), amplitude=0.3, modes=1)
    >>> flow = NormalizedRicciFlow(RicciDeTurckFlow())
    >>> end = solve_flow(g, flow, (0, 1), t_eval=[1])[-1]
    >>> bool(abs(end.volume() / g.volume() - 1) < 1e-6)
    True
    """

    def __init__(self, flow: Flow | None = None) -> None:
        self.flow: Flow = RicciFlow() if flow is None else require_flow(flow)

    @property
    def parabolic(self) -> bool:
        """As the flow that is normalised."""
        return self.flow.parabolic

    @property
    def weakly_parabolic(self) -> bool:
        """As the flow that is normalised."""
        return is_weakly_parabolic(self.flow)

    @property
    def deturck(self) -> NormalizedRicciFlow | None:
        """The same of the flow in DeTurck gauge, if it is one with a gauge."""
        gauged = gauge_of(self.flow)
        return None if gauged is None else NormalizedRicciFlow(gauged)

    def vector(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The DeTurck field of the flow in DeTurck gauge."""
        return self.flow.vector(t, packed, grid, order)  # type: ignore[attr-defined]

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """-2 R_ij + (2 / n) r g_ij, packed."""
        rate = self.flow.rhs(t, packed, grid, order)
        return rate - (self._mean_trace(rate, packed, grid, order) / grid.ndim) * packed

    @staticmethod
    def _mean_trace(rate: Array, packed: Array, grid: Grid, order: Order) -> float:
        """Mean of g^ij g'_ij, twice the relative rate of the volume."""
        n, xp = grid.ndim, namespace(packed)
        inverse, determinant = inverse_and_determinant(table(packed, n), n)
        # A stage that is no metric must not end the run: the step is checked afterwards.
        density = xp.sqrt(xp.abs(determinant))
        # MetricField.volume integrates at order 4 unless told otherwise; so it is kept there.
        both = xp.stack([trace(inverse, table(rate, n), n) * density, density], axis=0)
        integrals = grid.integrate(both)
        return float(integrals[0] / integrals[1])

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """That of the flow: the mean is one bounded, not a stiff, term."""
        return self.flow.spectral_radius(packed, grid, order)

    @property
    def pointwise_bound(self) -> bool:
        """As the flow that is normalised."""
        own = type(self).spectral_radius is not NormalizedRicciFlow.spectral_radius
        return not own and has_pointwise_bound(self.flow)

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The same of the compiled form of the flow."""
        require_exactly(self, NormalizedRicciFlow)
        return NormalizedRicciFlow(compiler(self.flow))

    def __repr__(self) -> str:
        return f"NormalizedRicciFlow({self.flow!r})"
