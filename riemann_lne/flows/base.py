"""The protocols of flows, and the bound on its spectral radius that explicit integrators need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..arrays import Array, Components, namespace
from ..checks import require_members
from ..coefficients import Order
from ..errors import DTypeError, KernelUnavailableError
from ..grids import Grid
from ..stencils import nyquist_bounds, tile_points, tile_slices
from ..tensors import inverse_and_determinant, pairs, table


class Flow(Protocol):
    """A flow g' = F(t, g) of metrics; state and result are packed, (n (n + 1) / 2, *shape).

    These members are all that ``solve_flow`` needs. ``LocalFlow`` is a base class for a flow whose
    right-hand side at a point is a formula in the metric and its derivatives; such a flow has a
    compiled form too.
    """

    @property
    def parabolic(self) -> bool:
        """Whether the principal part is the Laplacian of g on every component."""

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """Time derivative of the packed metric."""

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """Upper bound of the spectral radius of the differenced right-hand side, 1 / time."""


_MINIMAL = """\
    class Decay:
        parabolic = False

        def rhs(self, t, packed, grid, order):
            return -packed

        def spectral_radius(self, packed, grid, order):
            return 1.0
"""
_MEMBERS = {
    "parabolic": bool,
    "rhs": "t, packed, grid, order",
    "spectral_radius": "packed, grid, order",
}


def require_flow(flow: Any, name: str = "flow") -> Any:
    """The flow, if it is an object with the members of ``Flow``.

    Raises
    ------
    DTypeError
        If it is something else, such as a class in place of an object, or lacks a member; the
        message names it and shows a minimal right one.
    """
    if isinstance(flow, type):
        raise DTypeError(f"{name} = {flow!r}; give a flow object such as RicciDeTurckFlow()")
    require_members(flow, name, _MEMBERS, "a flow object such as RicciDeTurckFlow()", _MINIMAL)
    return flow


class GaugedFlow(Flow, Protocol):
    """A flow that differs from a geometric one by a Lie derivative, g' = F(g) + L_W g."""

    def vector(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The field W, (n, *shape)."""


@runtime_checkable
class PullableFlow(Flow, Protocol):
    """A flow that may be integrated by way of a gauged one and pulled back."""

    @property
    def deturck(self) -> GaugedFlow | None:
        """The gauged flow by way of which it is integrated; None for the flow as it stands."""


@runtime_checkable
class WeaklyParabolicFlow(Flow, Protocol):
    """A flow that damps waves or leaves them alone, as Ricci flow leaves changes of coordinates.

    The eigenvalues of its linear part are real and not positive up to terms of lower order, so that
    stabilised methods can be used, though it may not be parabolic on every component.
    """

    @property
    def weakly_parabolic(self) -> bool:
        """Whether it is one; flows that are made of another one are as that one is."""


def is_weakly_parabolic(flow: Flow) -> bool:
    """Whether a flow says of itself that it is weakly parabolic."""
    return isinstance(flow, WeaklyParabolicFlow) and bool(flow.weakly_parabolic)


def gauge_of(flow: Flow) -> GaugedFlow | None:
    """The gauged flow by way of which a flow is integrated, if there is one."""
    return flow.deturck if isinstance(flow, PullableFlow) else None


@runtime_checkable
class PointwiseBound(Protocol):
    """A flow that says of what kind its bound of the spectral radius is."""

    @property
    def pointwise_bound(self) -> bool:
        """Whether the bound over a grid is the largest of those over its blocks."""


def has_pointwise_bound(flow: Flow) -> bool:
    """Whether the bound of a flow over a grid is the largest of those over its blocks."""
    return isinstance(flow, PointwiseBound) and flow.pointwise_bound


@runtime_checkable
class FastFlow(Flow, Protocol):
    """A flow whose right-hand side, updates and grid reductions are compiled."""

    def update(
        self,
        t: float,
        packed: Array,
        grid: Grid,
        scale: float,
        terms: Sequence[tuple[float, Array]],
        out: Array | None,
    ) -> Array:
        """``scale`` times the right-hand side plus the sum of coefficient times array, in one pass.

        ``out`` may be one of these arrays but not ``packed``; it is overwritten and returned.
        """

    def combination(self, terms: Sequence[tuple[float, Array]], out: Array | None = None) -> Array:
        """The sum of coefficient times array; ``out`` may be one of them and is overwritten."""

    def is_metric(self, packed: Array) -> bool:
        """Whether all points hold a finite, positive-definite metric."""

    def largest_square(self, terms: Sequence[tuple[float, Array]], packed: Array) -> float:
        """Largest |e|_g^2 over the grid of a sum of coefficient times array; NaN if one is."""


@runtime_checkable
class CompilableFlow(Flow, Protocol):
    """A flow that says itself what its compiled form is."""

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The flow with its right-hand side compiled.

        Raises KernelUnavailableError where there is no such form.
        """


@dataclass(frozen=True)
class Formula:
    """A formula at a point of the grid, from which a kernel can be made.

    A kernel computes in coordinates of equal spacing and brings the result back: the formula must
    give a packed symmetric tensor (or a scalar) under a change of the units of the coordinates, and
    every term must have two derivatives, as curvature has.

    Attributes
    ----------
    name : str
        For messages.
    evaluate : callable
        (n, *local fields) -> components, by +, -, *, / and abs alone: it is run on symbols.
    fields : int
        Metrics that it is given: 1, or 2 with a background.
    tensor : bool
        Whether the result is a packed symmetric tensor, else a scalar.
    """

    name: str
    evaluate: Callable[..., Sequence[Array]]
    fields: int = 1
    tensor: bool = True


Background = Callable[[float, Array, Grid], Array | None]
"""(t, packed, grid) -> the packed background at a time."""


class FlowCompiler(Protocol):
    """The maker of compiled forms that a flow is handed, for one grid, order and kind of array.

    Attributes
    ----------
    n : int
        Dimension of the grid.
    """

    n: int

    def __call__(self, flow: Flow) -> Flow:
        """The compiled form of a flow, for flows that are made of others.

        Raises KernelUnavailableError if it has none.
        """

    def fused(
        self,
        flow: Flow,
        formula: str | Formula,
        background: Background | None = None,
        laplacian_factor: float | None = None,
    ) -> Flow:
        """The flow with a kernel in place of its right-hand side.

        ``formula`` is one of ``kernels.FORMULAS`` or one of the flow's own. With
        ``laplacian_factor`` the flow's spectral radius is that factor times
        ``laplacian_spectral_radius``, which then is compiled as well.
        """


def require_exactly(flow: Flow, kind: type) -> None:
    """KernelUnavailableError for a subclass, whose methods may compute something else."""
    if type(flow) is not kind:
        raise KernelUnavailableError(
            f"{flow!r} has no fused kernel: it is of a subclass of {kind.__name__}, which may "
            "compute something else; give it a method compiled() of its own"
        )


def laplacian_spectral_radius(packed: Array, grid: Grid, order: Order) -> float:
    """Bound for g^ab d_a d_b as differenced: sup over the grid of

    sum_p g^pp S2_p / h_p^2 + 2 sum_{p<q} |g^pq| S1_p S1_q / (h_p h_q),

    with S1, S2 the largest symbols of the first and second difference (1 and 4 at order 2).
    """
    n, xp = grid.ndim, namespace(packed)
    symbols = nyquist_symbols(grid, order)
    largest: Any = None
    for tile in tile_slices(tuple(packed.shape[1:]), tile_points(packed)):
        here = xp.max(laplacian_bound(table(packed[(slice(None), *tile)], n), n, symbols))
        largest = here if largest is None else xp.maximum(largest, here)
    return grid.team.largest(float(largest))


def nyquist_symbols(grid: Grid, order: Order) -> list[float]:
    """Factors of g^pq, p <= q, in the bound above; 1 / length^2."""
    # Bounded axes share the bound of periodic ones: with held ends the closures of order 2 to 8
    # have no eigenvalue beyond it (a test measures this).
    first, second = nyquist_bounds(order)
    return [
        (second if p == q else 2 * first**2) / (grid.spacing[p] * grid.spacing[q])
        for p, q in pairs(grid.ndim)
    ]


def laplacian_bound(g: Components, n: int, symbols: Sequence[Any]) -> Any:
    """The bound above at every point, from the table of the metric and `nyquist_symbols`."""
    inverse, _ = inverse_and_determinant(g, n)
    result: Any = None
    for pair, symbol in zip(pairs(n), symbols, strict=True):
        # inverse metrics are positive on the diagonal
        term = symbol * (inverse[pair] if pair[0] == pair[1] else abs(inverse[pair]))
        if result is None:
            result = term
        else:
            result += term
    return result
