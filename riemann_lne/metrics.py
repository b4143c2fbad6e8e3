"""A metric on a grid, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from itertools import product
from typing import Any, TypeVar, cast

import array_api_compat
import numpy as np

from . import curvature
from .arrays import (
    Array,
    dtype_name,
    host_numbers,
    like,
    namespace,
    read_only,
    require_real_floating,
    require_supported,
    wants_gradient,
)
from .checks import count, number, require_function, shown
from .coefficients import Order
from .errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    NotPositiveDefiniteError,
    ShapeError,
)
from .finite import finite_result
from .grids import Grid
from .identity import same_values
from .tensors import (
    Signature,
    inverse_and_determinant,
    l2_norm_of_packed,
    negative_directions,
    packed_metric,
    pairs,
    table,
    unpack,
)


class MetricField:
    """A Riemannian metric on a grid, or a Lorentzian one for its curvature.

    Parameters
    ----------
    grid : Grid
        Of dimension n, 1 to 4 (curvature needs 2 to 4).
    components : array, (n, n, *grid.shape)
        g_ij at every grid point, dimensionless; of any array library, float32 or float64. Device
        and precision of everything computed from the metric follow it.
    signature : "riemannian", "lorentzian" or (negative, positive)
        Which signs the eigenvalues have at every point: all positive; one negative, as
        (-, +, +, +); or these numbers of each. Every metric has curvature; flows, distances and
        the functions of ``analysis`` need a Riemannian one.

    Raises
    ------
    ShapeError, DTypeError, NotFiniteError, NotSymmetricError, NotPositiveDefiniteError
        If the components are not a metric on this grid; the message names the place.

    Examples
    --------
    >>> grid = Grid.torus((32, 32))
    >>> g = MetricField.from_function(grid, lambda x, y: [[1 + 0.1 * np.cos(x), 0], [0, 1]])
    >>> g.components.shape
    (2, 2, 32, 32)
    >>> bool(abs(g.scalar_curvature()).max() < 1e-12)       # depends on x alone: flat
    True
    """

    def __init__(self, grid: Grid, components: Array, signature: Signature = "riemannian") -> None:
        if isinstance(components, (list, tuple)):
            components = host_numbers(components, "metric", integers=False)
        self._grid = _checked_grid(grid)
        self._packed = packed_metric(components, grid, signature=signature)
        self._negative = negative_directions(signature, grid.ndim)

    @classmethod
    def from_function(
        cls,
        grid: Grid,
        function: Callable[..., Any],
        xp: Any = np,
        dtype: Any = None,
        device: Any = None,
        signature: Signature = "riemannian",
    ) -> MetricField:
        """Metric from a function of the coordinates.

        ``function(x, y, ...)`` gets ndim arrays of the grid's shape, from the namespace ``xp``
        (float64 unless ``dtype`` says otherwise), and returns an array (n, n, *shape) or nested
        sequences of arrays and numbers.
        """
        require_function(function, "function", "the coordinates")
        coordinates = grid.coordinates(xp, dtype, device)
        return cls(grid, assemble(function(*coordinates), coordinates[0], grid), signature)

    @classmethod
    def from_packed(cls, grid: Grid, packed: Array, check: bool = True) -> MetricField:
        """Metric from packed components (n (n + 1) / 2, *shape); not copied.

        ``check=False`` is for components already known to be a metric.
        """
        expected = (len(pairs(_checked_grid(grid).ndim)), *grid.shape)
        require_real_floating(packed, "packed metric")
        if tuple(packed.shape) != expected:
            raise ShapeError(f"packed metric has shape {tuple(packed.shape)}, needs {expected}")
        if check:
            return cls(grid, unpack(packed, grid.ndim))
        result = cls.__new__(cls)
        result._grid, result._packed = grid, packed
        return result

    @property
    def signature(self) -> tuple[int, int]:
        """How many eigenvalues are (negative, positive): (0, n) for Riemannian metrics."""
        return self._negative, self.n - self._negative

    def require_riemannian(self, purpose: str) -> None:
        """Raise NotPositiveDefiniteError unless the metric is positive definite by its kind."""
        if self._negative:
            raise NotPositiveDefiniteError(
                f"{purpose} is for Riemannian metrics; this one has the signature {self.signature}"
            )

    @property
    def grid(self) -> Grid:
        """The grid on which the metric lives."""
        return self._grid

    # Metrics made without a check are Riemannian.
    _negative = 0

    @property
    def n(self) -> int:
        """Dimension."""
        return self._grid.ndim

    @property
    def packed(self) -> Array:
        """The independent components g_ij, i <= j, as (n (n + 1) / 2, *shape).

        Read-only in NumPy, not to be written to elsewhere.
        """
        return read_only(self._packed)

    @cached_property
    def components(self) -> Array:
        """g_ij as (n, n, *shape); read-only in NumPy, not to be written to elsewhere."""
        return read_only(unpack(self._packed, self.n))

    def __repr__(self) -> str:
        kind = "torus" if self._grid.is_torus else "sphere" if self._grid.pieces() else "grid"
        kind += f" of signature {self.signature}" if self._negative else ""
        return f"MetricField({self.n}-D {kind} {self._grid.whole.shape}, {self._packed.dtype})"

    def inverse(self) -> Array:
        """g^ij as (n, n, *shape)."""
        return curvature.inverse(self.components, self._grid, self.signature)

    @finite_result
    def volume_element(self) -> Array:
        """sqrt(|det g|), shape of the grid."""
        xp = namespace(self._packed)
        return xp.sqrt(xp.abs(inverse_and_determinant(table(self._packed, self.n), self.n)[1]))

    @finite_result
    def volume(self, order: int = 4) -> float:
        """Integral of sqrt(det g) over the grid, in length^n (quadrature as in Grid.integrate)."""
        return float(self._grid.integrate(self.volume_element(), order))

    def christoffel(self, order: Order = 4) -> Array:
        """Gamma^k_ij as (k, i, j, *shape); see ``curvature.christoffel``."""
        return curvature.christoffel(self.components, self._grid, order, self.signature)

    def riemann(self, order: Order = 4) -> Array:
        """R^l_ijk as (l, i, j, k, *shape); see ``curvature.riemann``."""
        return curvature.riemann(self.components, self._grid, order, self.signature)

    def ricci(self, order: Order = 4) -> Array:
        """R_ij as (n, n, *shape), positive on round spheres; see ``curvature.ricci``."""
        return curvature.ricci(self.components, self._grid, order, self.signature)

    def scalar_curvature(self, order: Order = 4) -> Array:
        """R = g^ij R_ij, shape of the grid; see ``curvature.scalar_curvature``."""
        return curvature.scalar_curvature(self.components, self._grid, order, self.signature)

    def einstein(self, order: Order = 4) -> Array:
        """R_ij - R g_ij / 2 as (n, n, *shape); see ``curvature.einstein``."""
        return curvature.einstein(self.components, self._grid, order, self.signature)

    def kretschmann(self, order: Order = 4) -> Array:
        """R_lijk R^lijk, shape of the grid; see ``curvature.kretschmann``."""
        return curvature.kretschmann(self.components, self._grid, order, self.signature)

    def weyl(self, order: Order = 4) -> Array:
        """C_lijk as (l, i, j, k, *shape); see ``curvature.weyl``."""
        return curvature.weyl(self.components, self._grid, order, self.signature)

    def covariant_derivative(self, tensor: Array, indices: str = "", order: Order = 4) -> Array:
        """nabla_a T, the index a first; see ``curvature.covariant_derivative``."""
        return curvature.covariant_derivative(
            self.components, tensor, self._grid, indices, order, self.signature
        )

    @finite_result
    def l2_distance(self, reference: MetricField) -> float:
        """L2 distance to a reference, (integral of |g - r|^2_r dV_r)^(1/2), in length^(n/2).

        Norm and measure are the reference's, so that the distance of a flow to its limit is
        measured by the limit. See ``analysis.l2_norm``.
        """
        namespace(self._packed, _checked_metric(reference, "reference").packed)
        self.require_riemannian("l2_distance")
        reference.require_riemannian("l2_distance")
        if reference.grid != self._grid:
            raise ShapeError(
                f"the metrics live on different grids, {self._grid} and {reference.grid}; use one"
            )
        return l2_norm_of_packed(self._packed - reference.packed, reference.packed, self._grid)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MetricField):
            return NotImplemented
        same = self._grid == other._grid and self._negative == other._negative
        return same and same_values(self._packed, other._packed)

    def __hash__(self) -> int:
        # Not of the values: a metric on a GPU would have to be copied for it.
        return hash((self._grid, dtype_name(self._packed)))

    def mean(self) -> MetricField:
        """Constant metric with the grid average of every component."""
        xp = namespace(self._packed)
        average = xp.reshape(self._grid.mean(self._packed), (-1, *(1,) * self.n))
        packed = average + xp.zeros_like(self._packed)
        self.require_riemannian("mean")
        return MetricField.from_packed(self._grid, packed, check=False)


def _checked_grid(grid: Any) -> Grid:
    if not isinstance(grid, Grid):
        raise DTypeError(f"grid is {shown(grid)}; give a Grid, such as Grid.torus((32, 32))")
    return grid


def _checked_metric(metric: Any, name: str) -> MetricField:
    if not isinstance(metric, MetricField):
        raise DTypeError(
            f"{name} is a {type(metric).__name__}; make a MetricField(grid, components) of it"
        )
    return metric


F = TypeVar("F", bound=Callable[..., Any])


def of_metric(function: F) -> F:
    """A public function of a metric, its first argument: the argument and the result checked.

    Raises DTypeError for something else than a MetricField, NotPositiveDefiniteError for one that
    is not Riemannian, NotFiniteError (see
    ``finite.finite_result``) for a result that is not finite.
    """
    checked = finite_result(function)

    @wraps(function)
    def call(metric: MetricField, *args: Any, **kwargs: Any) -> Any:
        _checked_metric(metric, "metric").require_riemannian(function.__name__)
        return checked(metric, *args, **kwargs)

    return cast(F, call)


def require_no_gradient(purpose: str, *values: Any) -> None:
    """Raise InvalidArgumentError if an array, or the array of a metric, is being differentiated."""
    for value in values:
        array = value.packed if isinstance(value, MetricField) else value
        if wants_gradient(array):
            raise InvalidArgumentError(
                f"an argument has requires_grad=True, but gradients do not pass through {purpose}; "
                "give the detached tensor (x.detach()), or call it under torch.no_grad()"
            )


def assemble(values: Any, reference: Array, grid: Grid) -> Array:
    """Components (n, n, *shape) in the reference's type, from an array or nested sequences."""
    n, xp = grid.ndim, namespace(reference)
    if not isinstance(values, (list, tuple)):
        require_supported(values)
        if not array_api_compat.is_array_api_obj(values):
            raise DTypeError(
                f"the function returned {shown(values)}; give {n} rows of {n} components, each an "
                "array over the grid or a number"
            )
        floating = namespace(values).isdtype(values.dtype, "real floating")
        return xp.astype(values, reference.dtype, copy=False) if floating else values
    if len(values) != n or any(not hasattr(row, "__len__") or len(row) != n for row in values):
        raise ShapeError(f"the function must return {n} rows of {n} components on this grid")
    zero = xp.zeros_like(reference)
    rows = [[_spread(entry, zero, i, j) for j, entry in enumerate(r)] for i, r in enumerate(values)]
    result = xp.stack([xp.stack(row, axis=0) for row in rows], axis=0)
    # NumPy's own scalars (np.sqrt(2), ...) promote float32 to float64: go back to what was asked.
    floating = xp.isdtype(result.dtype, "real floating")
    return xp.astype(result, reference.dtype, copy=False) if floating else result


def _spread(entry: Any, zero: Array, i: int, j: int) -> Array:
    """One component over the grid, from an array or a number."""
    require_supported(entry)
    shape = tuple(getattr(entry, "shape", ()))
    try:
        np.broadcast_shapes(shape, tuple(zero.shape))
        fits = len(shape) <= zero.ndim
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"component ({i}, {j}) has the shape {shape}; give one value for each point of "
            f"{tuple(zero.shape)}"
        )
    try:
        return zero + entry
    except Exception as error:  # of whatever the entry is
        raise DTypeError(
            f"component ({i}, {j}) is {shown(entry)}; give an array over the grid, of the library "
            f"of the coordinates, or a number ({error})"
        ) from error


def flat_metric(grid: Grid, xp: Any = np, dtype: Any = None, device: Any = None) -> MetricField:
    """The Euclidean metric delta_ij on a grid."""
    grid.require_one_chart("the flat metric", "and no flat metric: take atlas.round()")
    n = grid.ndim
    rows = [[float(i == j) for j in range(n)] for i in range(n)]
    return MetricField.from_function(grid, lambda *x: rows, xp, dtype, device)


def perturbed_euclidean(
    grid: Grid,
    amplitude: float = 0.1,
    seed: int = 0,
    modes: int = 2,
    xp: Any = np,
    dtype: Any = None,
    device: Any = None,
) -> MetricField:
    """Random smooth metric near the Euclidean one: delta_ij + h_ij.

    h is a random trigonometric polynomial with wave numbers |m_a| <= modes, scaled so that its
    largest absolute eigenvalue over the grid is the amplitude. Along bounded axes it is multiplied
    by sin^2, so that the metric is Euclidean on the boundary. The same seed gives the same metric
    on every backend.

    Parameters
    ----------
    amplitude : float
        Between 0 and 1; at 1 the metric would degenerate.
    seed : int
        Of NumPy's default generator.
    modes : int
        Largest wave number along each axis, at least 1.
    """
    grid.require_one_chart(
        "perturbed_euclidean", "and no flat metric: take atlas.perturbed_round(amplitude, seed)"
    )
    amplitude, seed = number(amplitude, "amplitude"), count(seed, "seed")
    modes = count(modes, "modes")
    if not 0 <= amplitude < 1:
        raise InvalidArgumentError(f"amplitude = {amplitude}; it must lie in [0, 1)")
    if modes < 1:
        raise InvalidArgumentError(f"modes = {modes}; at least 1 is needed")
    n, rng = grid.ndim, np.random.default_rng(seed)
    phases = [
        2 * np.pi * (x - low) / length
        for x, low, length in zip(grid.coordinates(), grid.lower, grid.lengths, strict=True)
    ]
    h = np.zeros((n, n, *grid.shape))
    for m in _half_lattice(n, modes):
        phase = sum(k * p for k, p in zip(m, phases, strict=True))
        for i, j in pairs(n):
            a, b = rng.normal(size=2)
            h[i, j] += a * np.cos(phase) + b * np.sin(phase)
            h[j, i] = h[i, j]
    for axis, periodic in enumerate(grid.periodic):
        if not periodic:
            h *= np.sin(phases[axis] / 2) ** 2
    eigenvalues = np.linalg.eigvalsh(np.moveaxis(h, (0, 1), (-2, -1)))
    largest = grid.team.largest(float(np.max(np.abs(eigenvalues))))
    if largest < 1e-6:
        raise GridTooSmallError(
            f"on a grid of shape {grid.whole.shape} nothing of the perturbation is left inside of "
            "the boundary; give the bounded axes more points"
        )
    h *= amplitude / largest
    h += np.eye(n).reshape(n, n, *(1,) * n)
    reference = grid.coordinates(xp, dtype, device)[0]
    return MetricField(grid, like(h, reference))


def _half_lattice(n: int, modes: int) -> list[tuple[int, ...]]:
    """Integer vectors with |m_a| <= modes, one of each pair m, -m, without zero."""
    lattice = product(range(-modes, modes + 1), repeat=n)
    return [m for m in lattice if next((k for k in m if k), 0) > 0]
