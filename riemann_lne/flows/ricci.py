"""Ricci flow and Ricci-DeTurck flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..arrays import Array, device, namespace
from ..atlas import Atlas
from ..coefficients import Order
from ..curvature import (
    background_field,
    deturck_field,
    deturck_flow_tensor,
    lie_derivative_tensor,
    ricci_tensor,
)
from ..errors import DTypeError, InvalidArgumentError, ShapeError, UnknownNameError
from ..grids import Grid
from ..jets import MetricJet
from ..metrics import MetricField, assemble
from ..stencils import LocalField, evaluate
from ..tensors import metric_dimension, packed_metric, packed_size
from .base import Flow, FlowCompiler, laplacian_spectral_radius, require_exactly
from .describe import describe

BackgroundFunction = Callable[..., Any]
"""(t, *coordinates) -> components of a metric, as arrays (n, n, *shape) or nested sequences."""


def ricci_rate(n: int, metric: LocalField) -> list[Array]:
    """Packed -2 R_ij on a tile."""
    return [-2.0 * r for r in ricci_tensor(MetricJet(metric, n))]


def deturck_rate(n: int, metric: LocalField, background: LocalField | None = None) -> list[Array]:
    """Packed -2 R_ij + (L_W g)_ij on a tile; without a background Gammabar = 0."""
    jet = MetricJet(metric, n)
    flat = deturck_flow_tensor(jet)
    if background is None:
        return flat
    # The field W is linear in Gammabar: only the background's part is added.
    v, dv = background_field(jet, MetricJet(background, n))
    part = lie_derivative_tensor(jet.g, jet.d, v, dv, n)
    return [a - b for a, b in zip(flat, part, strict=True)]


def require_background(flow: Any, grid: Grid, t: float, like_this: Array) -> None:
    """Raise InvalidArgumentError for a DeTurck background that is no metric on a sphere.

    The flat one, which no sphere has, and one whose patches differ at the start.
    """
    while hasattr(flow, "flow"):
        flow = flow.flow
    if not (isinstance(flow, RicciDeTurckFlow) and isinstance(grid, Atlas)):
        return
    packed = flow.packed_background(t, like_this, grid)
    assert packed is not None
    try:
        grid.require_one_metric(MetricField.from_packed(grid, packed, check=False))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"the DeTurck background: {error}") from None


class RicciFlow:
    """Ricci flow, g' = -2 Ric(g) (Hamilton 1982). Time has the unit length^2.

    Only weakly parabolic: it does not damp a change of coordinates, so a perturbation of the flat
    metric decays in its curvature alone.

    Parameters
    ----------
    gauge : None or "deturck"
        How ``solve_flow`` integrates it. None: as it stands, for explicit integrators. "deturck":
        by the strictly parabolic Ricci-DeTurck flow, together with the diffeomorphism
        phi' = -W(phi, t) along which it is pulled back, g = phi^* g_RDT (DeTurck 1983). The result
        is the Ricci flow in the coordinates of the start; every integrator can be used. Every axis
        must be periodic or reflecting.
    background : MetricField or function, optional
        Of the DeTurck field; see RicciDeTurckFlow.

    Raises
    ------
    UnknownNameError
        If the gauge is not known.
    InvalidArgumentError
        If there is a background without a gauge.

    Examples
    --------
    A flat metric in wavy coordinates does not move under Ricci flow:

    >>> from riemann_lne import exact, solve_flow
    >>> wavy = exact.gauge_family(ndim=2, amplitude=0.3)
    >>> g = wavy.field(0.0, wavy.grid(24))
    >>> end = solve_flow(g, RicciFlow(gauge="deturck"), (0, 1), order="fourier", t_eval=[1])[-1]
    >>> bool(abs(end.components - g.components).max() < 1e-4)
    True
    """

    parabolic = False
    weakly_parabolic = True

    def __init__(
        self, gauge: str | None = None, background: MetricField | BackgroundFunction | None = None
    ) -> None:
        if gauge not in (None, "deturck"):
            raise UnknownNameError("gauge", gauge, ["deturck"])
        if gauge is None and background is not None:
            raise InvalidArgumentError(
                "a background belongs to a gauge; write RicciFlow(gauge='deturck', background=...)"
            )
        self.deturck = None if gauge is None else RicciDeTurckFlow(background)

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """-2 R_ij, packed."""
        n = metric_dimension(grid)
        return evaluate(partial(ricci_rate, n), (packed,), grid, order, packed_size(n))

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """The Laplacian's bound times 2 (n - 1) / n.

        Compact and mixed differences see the Nyquist mode differently (-4 / h^2 against 0), so
        that the gauge directions, neutral in the continuum, do not cancel there: the trace of the
        all-Nyquist mode decays at 8 (n - 1) / h^2 at order 2, not at 4 n / h^2.
        """
        return laplacian_spectral_radius(packed, grid, order) * self._factor(grid.ndim)

    @property
    def pointwise_bound(self) -> bool:
        """True, unless a subclass has a bound of another kind."""
        return type(self).spectral_radius is RicciFlow.spectral_radius

    @staticmethod
    def _factor(n: int) -> float:
        return max(1.0, 2 * (n - 1) / n)

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The flow with the kernel "ricci_flow"."""
        require_exactly(self, RicciFlow)
        return compiler.fused(self, "ricci_flow", laplacian_factor=self._factor(compiler.n))

    def __repr__(self) -> str:
        if self.deturck is None:
            return "RicciFlow()"
        background = describe(self.deturck.background)
        more = "" if background == "None" else f", background={background}"
        return f"RicciFlow(gauge='deturck'{more})"


class RicciDeTurckFlow:
    """Ricci-DeTurck flow, g' = -2 Ric(g) + L_W g, W^k = g^pq (Gamma^k_pq - Gammabar^k_pq).

    Strictly parabolic, with the principal part g^ab d_a d_b g_ij (DeTurck 1983; Eq. 9 of the
    paper with V = -W). Time has the unit length^2.

    Parameters
    ----------
    background : MetricField or function, optional
        The metric whose Christoffel symbols are Gammabar: on the grid of the flow, or a function
        (t, *coordinates) -> components, which may be curved and change in time, such as the
        ``metric`` of an exact solution. None: the flat metric, Gammabar = 0.

    Raises
    ------
    DTypeError
        If the background is none of these.
    ShapeError
        When the flow starts, if a background field lives on another grid than the metric.
    NotPositiveDefiniteError, NotSymmetricError, NotFiniteError
        If what a background function returns is no metric; the message names the time and place.

    Examples
    --------
    >>> from riemann_lne import Grid, exact, perturbed_euclidean, solve_flow
    >>> g = perturbed_euclidean(Grid.torus((16, 16)), amplitude=0.1)
    >>> solution = solve_flow(g, RicciDeTurckFlow(), (0, 2), dt=0.05)
    >>> solution.success
    True

    With the solution itself as background the field W vanishes, and the Ricci flow is left:

    >>> sphere = exact.round_sphere(2)
    >>> flow = RicciDeTurckFlow(background=sphere.metric)
    >>> g = sphere.field(0.0, sphere.grid(17))
    >>> end = solve_flow(g, flow, (0, 0.1), order=8, boundary=sphere.metric)[-1]
    >>> bool(abs(end.components - sphere.field(0.1, g.grid).components).max() < 1e-5)
    True
    """

    parabolic = True

    def __init__(self, background: MetricField | BackgroundFunction | None = None) -> None:
        known = background is None or isinstance(background, MetricField) or callable(background)
        if not known or isinstance(background, type):
            raise DTypeError(
                f"background = {background!r}; give a MetricField, a function (t, *coordinates) -> "
                "components, or None for the flat metric"
            )
        if isinstance(background, MetricField):
            background.require_riemannian("a DeTurck background")
        self.background = background
        self._known: tuple[tuple[Any, ...], Array] | None = None

    def packed_background(self, t: float, packed: Array, grid: Grid) -> Array | None:
        """The background at a time, packed, in the library and precision of the metric."""
        if self.background is None:
            if isinstance(grid, Atlas):
                raise InvalidArgumentError(
                    "a sphere has no flat DeTurck background: write "
                    "RicciDeTurckFlow(background=metric.grid.round())"
                )
            return None
        if isinstance(self.background, MetricField):
            if self.background.grid != grid:
                raise ShapeError(
                    "the DeTurck background lives on another grid than the metric; give it on "
                    f"{grid!r}"
                )
            return self.background.packed
        # Stages share their times: the last one is kept.
        key = (t, grid, packed.dtype, device(packed))
        if self._known is None or self._known[0] != key:
            coordinates = grid.coordinates(namespace(packed), packed.dtype, device(packed))
            components = assemble(self.background(t, *coordinates), coordinates[0], grid)
            name = f"the DeTurck background at t = {t:.6g}"
            self._known = (key, packed_metric(components, grid, name))
        return self._known[1]

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """-2 R_ij + (L_W g)_ij, packed."""
        n = metric_dimension(grid)
        background = self.packed_background(t, packed, grid)
        fields = (packed,) if background is None else (packed, background)
        return evaluate(partial(deturck_rate, n), fields, grid, order, packed_size(n))

    def vector(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The DeTurck field W^k, (n, *shape)."""
        n = metric_dimension(grid)
        background = self.packed_background(t, packed, grid)
        fields = (packed,) if background is None else (packed, background)

        def formula(local: LocalField, bar: LocalField | None = None) -> list[Array]:
            return deturck_field(MetricJet(local, n), None if bar is None else MetricJet(bar, n))

        return evaluate(formula, fields, grid, order, n)

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """The Laplacian's bound: see ``laplacian_spectral_radius``."""
        return laplacian_spectral_radius(packed, grid, order)

    @property
    def pointwise_bound(self) -> bool:
        """True, unless a subclass has a bound of another kind."""
        return type(self).spectral_radius is RicciDeTurckFlow.spectral_radius

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The flow with the kernel "ricci_deturck", or "ricci_deturck_background"."""
        require_exactly(self, RicciDeTurckFlow)
        if self.background is None:
            return compiler.fused(self, "ricci_deturck", laplacian_factor=1.0)
        return compiler.fused(
            self, "ricci_deturck_background", self.packed_background, laplacian_factor=1.0
        )

    def __repr__(self) -> str:
        return f"RicciDeTurckFlow(background={describe(self.background)})"
