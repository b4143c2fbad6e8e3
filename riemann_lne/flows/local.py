"""Flows whose right-hand side at a point is a formula in the metric and its derivatives there."""

from __future__ import annotations

from typing import Any

from .. import checks
from ..arrays import Array
from ..coefficients import Order
from ..errors import DTypeError, MissingMemberError
from ..grids import Grid
from ..jets import MetricJet
from ..stencils import LocalField, evaluate
from ..tensors import metric_dimension, packed_size
from .base import Flow, FlowCompiler, Formula, laplacian_spectral_radius

_MINIMAL = """\
    def rate(self, jet):
        return [-2.0 * jet.ricci[p] for p in riemann_lne.tensors.pairs(jet.n)]"""


class LocalFlow:
    """Base of a flow g' = F(g, dg, ddg); a subclass gives ``rate``, and has a kernel as well.

    Attributes
    ----------
    parabolic : bool
        Whether the principal part is the Laplacian of g on every component; False unless said.
    laplacian_factor : float
        The spectral radius of the differenced flow over that of the Laplacian g^ab d_a d_b; 2
        unless said. Explicit and stabilised methods choose their steps and stages by it.

    Examples
    --------
    The flow g' = -2 Ric + R g, which in two dimensions does not move:

    >>> from riemann_lne import Grid, perturbed_euclidean, solve_flow
    >>> from riemann_lne.tensors import pairs
    >>> class Gradient(LocalFlow):
    ...     def rate(self, jet):
    ...         half = 0.5 * jet.scalar_curvature
    ...         return [-2.0 * (jet.ricci[p] - half * jet.g[p]) for p in pairs(jet.n)]
    >>> g = perturbed_euclidean(Grid.torus((12, 12)), 0.2)
    >>> end = solve_flow(g, Gradient(), (0, 0.1))[-1]
    >>> bool(abs(end.components - g.components).max() < 1e-12)
    True
    """

    parabolic: bool = False
    laplacian_factor: float = 2.0

    def rate(self, jet: MetricJet) -> list[Array]:
        """Packed g'_ij from the 2-jet of the metric: the components i <= j, row by row.

        For a kernel it must be a tensor of whose terms each has two derivatives, written with +, -,
        *, / and abs.

        Raises MissingMemberError if the subclass does not give it.
        """
        raise MissingMemberError(
            f"{type(self).__name__} needs a method rate(self, jet); for Ricci flow it is\n"
            f"{_MINIMAL}"
        )

    def _formula(self, n: int, metric: LocalField) -> list[Array]:
        return self.rate(MetricJet(metric, n))

    def rhs(self, t: float, packed: Array, grid: Grid, order: Order) -> Array:
        """The formula at every point, tile by tile."""
        n = metric_dimension(grid)
        checks.require_call(self.rate, "rate", "jet", _MINIMAL)

        def on_a_tile(metric: LocalField) -> list[Array]:
            values: Any = self._formula(n, metric)
            if isinstance(values, (list, tuple)) and len(values) == packed_size(n):
                return [*values]
            count = f" of length {len(values)}" if hasattr(values, "__len__") else ""
            raise DTypeError(
                f"rate of {type(self).__name__} returned a {type(values).__name__}{count}; return "
                f"a list of the {packed_size(n)} components i <= j, row by row:\n{_MINIMAL}"
            )

        return evaluate(on_a_tile, (packed,), grid, order, packed_size(n))

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """``laplacian_factor`` times the Laplacian's bound."""
        return laplacian_spectral_radius(packed, grid, order) * self.laplacian_factor

    @property
    def pointwise_bound(self) -> bool:
        """True, unless a subclass has a bound of another kind."""
        return type(self).spectral_radius is LocalFlow.spectral_radius

    def compiled(self, compiler: FlowCompiler) -> Flow:
        """The flow with a kernel of its formula."""
        own = type(self).spectral_radius is not LocalFlow.spectral_radius
        formula = Formula(f"rate of {type(self).__name__}", self._formula)
        return compiler.fused(
            self, formula, laplacian_factor=None if own else self.laplacian_factor
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
