"""What a flow is, and the bound on its spectral radius that explicit integrators need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..arrays import Array, Components, namespace
from ..errors import DTypeError
from ..grids import Grid
from ..stencils import nyquist_bounds, tile_points, tile_slices
from ..tensors import inverse_and_determinant, pairs, table
from ..weights import Order


class Flow(Protocol):
    """A flow g' = F(t, g) of metrics; state and result are packed, (n (n + 1) / 2, *shape)."""

    @property
    def parabolic(self) -> bool:
        """Whether the principal part is the Laplacian of g on every component."""

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """Time derivative of the packed metric."""

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """Upper bound of the spectral radius of the differenced right-hand side, 1 / time."""


def require_flow(flow: Any, name: str = "flow") -> Any:
    """The flow, if it is an object with the members of ``Flow``.

    Raises
    ------
    DTypeError
        If it is something else, such as a class in place of an object.
    """
    if isinstance(flow, type) or not callable(getattr(flow, "rhs", None)):
        raise DTypeError(f"{name} = {flow!r}; give a flow object such as RicciDeTurckFlow()")
    return flow


class GaugedFlow(Flow, Protocol):
    """A flow that differs from a geometric one by a Lie derivative, g' = F(g) + L_W g."""

    def vector(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The field W, (n, *shape)."""


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
    return float(largest)


def nyquist_symbols(grid: Grid, order: Order) -> list[float]:
    """What g^pq, p <= q, is multiplied by in the bound above; 1 / length^2."""
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
