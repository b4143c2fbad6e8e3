"""check_metric: whether a metric has the properties that every metric has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from ..analysis.invariants import bianchi_residual
from ..arrays import Array, namespace, to_numpy
from ..checks import number, shown
from ..coefficients import Order
from ..errors import InvalidArgumentError, RiemannLNEError
from ..grids import Grid
from ..metrics import MetricField, assemble
from .asking import answer
from .diffeomorphism import Diffeomorphism, moderate_map, ricci_at
from .findings import CheckReport, chosen, largest, require_grid
from .maps import components_of, field_on, permute, permuted_grid, shear, translate
from .refinement import refined_grid

CHECKS = (
    "definite",
    "scaling",
    "translation",
    "axes",
    "shear",
    "diffeomorphism",
    "bianchi",
    "libraries",
)

MetricSource = MetricField | Callable[..., Any]


def check_metric(
    metric: MetricSource,
    grid: Grid | None = None,
    *,
    order: Order = 4,
    checks: str | Sequence[str] | None = None,
    scale: float = 3.0,
    minimum: float = 1e-8,
    diffeomorphism: Diffeomorphism | None = None,
) -> CheckReport:
    """Check a metric and its curvature by what must hold for every metric.

    "definite": symmetric and positive definite, smallest eigenvalue above ``minimum``. "scaling":
    Ric(c g) = Ric(g), R(c g) = R(g)/c for c = ``scale``. "translation", "axes": curvature moves
    with the metric when the torus is shifted by whole points, or the axes change places. "shear":
    the same for x_b -> x_b + x_a, on a torus with equal sides, up to the error of the differences.
    "diffeomorphism": Ric(F* g) = F* Ric(g) for a map F of the torus that is not linear, up to the
    same; for a function, which is asked at the images F(x) as well.
    "bianchi": div Ric = dR/2 up to the same. "libraries": the same numbers from every array
    library that the program has imported. The error of differences is taken as the change of the
    curvature when the order is raised by 2; for a function, when the grid is made twice as fine.

    Parameters
    ----------
    metric : MetricField or callable
        A metric of dimension 2 to 4, or ``function(x, y, ...)`` as for
        ``MetricField.from_function``, with ``grid``.
    grid : Grid, optional
        For a function.
    order : int or "fourier"
        Of the differences.
    checks : str or sequence of str, optional
        Names as above; all that apply by default.
    scale, minimum : float
        As above; dimensionless.
    diffeomorphism : Diffeomorphism, optional
        F, such as ``diffeomorphisms(grid)`` draws; by default one that mixes all coordinates.

    Returns
    -------
    CheckReport

    Raises
    ------
    CheckFailedError
        If a property fails; the message has all numbers and places.
    DTypeError, InvalidArgumentError, UnknownNameError
        If the arguments make no sense, or the function breaks off.

    Examples
    --------
    >>> from riemann_lne import Grid
    >>> report = check_metric(
    ...     lambda x, y: [[2 + np.cos(y), 0.1], [0.1, 1.0]], Grid.torus((24, 24)), order=4)
    >>> len(report.failed)
    0
    """
    scale, minimum = number(scale, "scale", above=0), number(minimum, "minimum", least=0)
    report = CheckReport("metric")
    if callable(metric) and isinstance(grid, Grid):
        # Asked more than once, and in other places: on a grid twice as fine, at images of a map.
        advice = f"give a function of {grid.ndim} coordinates that returns rows of components"
        metric = partial(answer, metric, f"the metric {shown(metric)}", advice)
    g = _field(metric, grid, report)
    if g is None:
        return report.require()
    wanted = chosen(checks, CHECKS, "check of a metric")
    components = components_of(g)
    if "definite" in wanted:
        _definite(report, components, minimum)
    if g.n < 2:
        return report.require()
    ricci = to_numpy(g.ricci(order))
    error = _difference_error(metric, g, order, ricci)
    size = max(largest(ricci)[0], 1.0 / max(g.grid.lengths) ** 2)
    rounding = _rounding(g, size)
    if "scaling" in wanted:
        _scaling(report, g, order, ricci, scale, rounding)
    if "translation" in wanted and g.grid.is_torus:
        steps = [1 + a for a in range(g.n)]
        moved = field_on(g.grid, translate(components, steps), g)
        _compare(report, "translation", moved, order, translate(ricci, steps), rounding)
    if "axes" in wanted:
        for take in list(permutations(range(g.n)))[1:]:
            turned = field_on(permuted_grid(g.grid, take), permute(components, take), g)
            _compare(report, f"axes {take}", turned, order, permute(ricci, take), rounding)
    if "shear" in wanted:
        _shears(report, g, order, components, ricci, 20 * error + rounding)
    by = _map_of(metric, g.grid, diffeomorphism)
    if "diffeomorphism" in wanted and by is not None:
        _diffeomorphism(report, metric, g.grid, order, by, rounding)
    if "bianchi" in wanted:
        bound = 20 * error * max(_largest_wave(g, order), 1.0) + 10 * rounding / min(g.grid.spacing)
        report.add("Bianchi: |div Ric - dR/2|", bianchi_residual(g, order), bound)
    if "libraries" in wanted:
        _libraries(report, g, order, ricci, rounding)
    return report.require()


def _field(metric: MetricSource, grid: Grid | None, report: CheckReport) -> MetricField | None:
    if isinstance(metric, MetricField):
        if grid is not None and not (isinstance(grid, Grid) and grid == metric.grid):
            raise InvalidArgumentError(
                f"grid = {shown(grid)}, for a metric on {metric.grid}; leave grid out: it is for "
                "functions"
            )
        return metric
    if not callable(metric) or grid is None:
        raise InvalidArgumentError(
            f"metric = {shown(metric)}; give a MetricField, or a function of the coordinates and "
            "grid="
        )
    require_grid(grid)
    try:
        return MetricField.from_function(grid, metric)
    except InvalidArgumentError:
        raise
    except RiemannLNEError as error:
        report.add(f"is a metric ({error})", np.inf, 0.0)
        return None


def _definite(report: CheckReport, components: np.ndarray, minimum: float) -> None:
    asymmetry, where = largest(components - np.swapaxes(components, 0, 1))
    report.add("symmetric: |g_ij - g_ji|", asymmetry, 1e-12 * largest(components)[0], where)
    values = np.linalg.eigvalsh(np.moveaxis(components, (0, 1), (-2, -1)))[..., 0]
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(values)), values.shape))
    report.add("positive definite: -smallest eigenvalue", -values.min(), -minimum, f"at {index}")


def _rounding(g: MetricField, size: float) -> float:
    """Largest change of Ric by rounding, which second differences magnify by 1 / h^2."""
    eps = float(namespace(g.packed).finfo(g.packed.dtype).eps)
    return 200 * eps * (largest(to_numpy(g.packed))[0] / min(g.grid.spacing) ** 2 + size)


def _difference_error(
    metric: MetricSource, g: MetricField, order: Order, ricci: np.ndarray
) -> float:
    """How far Ric is from its limit, as far as the grid can tell."""
    if not isinstance(metric, MetricField):
        finer = refined_grid(g.grid)
        values = to_numpy(MetricField.from_function(finer, metric).ricci(order))
        every: Any = (..., *(slice(None, None, 2) for _ in range(g.n)))
        return largest(values[every] - ricci)[0]
    if order == "fourier":
        spectrum = np.abs(np.fft.fftn(to_numpy(g.packed), axes=tuple(range(1, g.n + 1))))
        shortest: Any = (slice(None), *(s // 2 for s in g.grid.shape))
        return float(spectrum[shortest].max())
    other: Order = 6 if order == 8 else int(order) + 2
    g.grid.require_stencil(other)
    return largest(to_numpy(g.ricci(other)) - ricci)[0]


def _largest_wave(g: MetricField, order: Order) -> float:
    """Wave number to which an error of Ric may be differentiated once more."""
    return float(np.pi / min(g.grid.spacing))


def _scaling(
    report: CheckReport,
    g: MetricField,
    order: Order,
    ricci: np.ndarray,
    scale: float,
    rounding: float,
) -> None:
    scaled = MetricField.from_packed(g.grid, scale * g.packed, check=False)
    value, where = largest(to_numpy(scaled.ricci(order)) - ricci)
    report.add("scaling: |Ric(c g) - Ric(g)|", value, rounding, where)
    other = to_numpy(scaled.scalar_curvature(order)) * scale
    value, where = largest(other - to_numpy(g.scalar_curvature(order)))
    lowest = np.linalg.eigvalsh(np.moveaxis(components_of(g), (0, 1), (-2, -1))).min()
    report.add("scaling: |c R(c g) - R(g)|", value, g.n**2 * rounding / lowest, where)


def _compare(
    report: CheckReport,
    name: str,
    moved: MetricField,
    order: Order,
    expected: np.ndarray,
    bound: float,
) -> None:
    value, where = largest(to_numpy(moved.ricci(order)) - expected)
    report.add(f"{name}: change of Ric", value, bound, where)


def _shears(
    report: CheckReport,
    g: MetricField,
    order: Order,
    components: np.ndarray,
    ricci: np.ndarray,
    bound: float,
) -> None:
    for axis in range(g.n):
        for along in range(g.n):
            try:
                moved = shear(components, g.grid, axis, along)
            except InvalidArgumentError:
                continue
            sheared = field_on(g.grid, moved, g)
            expected = shear(ricci, g.grid, axis, along)
            # A sheared wave is shorter: differences of the order see it with a larger error.
            ratio = 2.0 ** (order if isinstance(order, int) else 0)
            _compare(report, f"shear {along} by {axis}", sheared, order, expected, ratio * bound)


def _map_of(
    metric: MetricSource, grid: Grid, given: Diffeomorphism | None
) -> Diffeomorphism | None:
    """The map to pull back by; None where the metric is no function on a torus."""
    applies = not isinstance(metric, MetricField) and grid.is_torus
    if given is None:
        return moderate_map(grid) if applies else None
    if not isinstance(given, Diffeomorphism):
        raise InvalidArgumentError(
            f"diffeomorphism = {given!r}; give one that riemann_lne.testing.diffeomorphisms draws"
        )
    if not applies:
        raise InvalidArgumentError(
            f"diffeomorphism = {given!r} is for a metric given as a function on a torus: the "
            "metric is "
            "asked at the images of the points as well"
        )
    if (given.grid.lower, given.grid.upper) != (grid.lower, grid.upper) or not given.grid.is_torus:
        raise InvalidArgumentError(
            f"diffeomorphism maps {given.grid}; the metric is on {grid}: use one grid"
        )
    return given


def _diffeomorphism(
    report: CheckReport,
    metric: Any,
    grid: Grid,
    order: Order,
    by: Diffeomorphism,
    rounding: float,
) -> None:
    """Ric of the metric pulled back, against Ric at the images pulled back; no interpolation."""

    def components(*x: Array) -> Array:
        return assemble(metric(*x), x[0], grid)

    def pulled(*x: Array) -> Array:
        return by.pull_back(components, *x)

    x = grid.coordinates()
    image, jacobian = by(*x), by.jacobian(*x)
    differences = 8 if order == "fourier" else int(order)
    # At the images, with the grid's spacing and half of it, as the grid and one twice as fine.
    coarse, fine = (
        np.einsum(
            "ai...,ab...,bj...->ij...",
            jacobian,
            ricci_at(metric, grid, image, step, differences),
            jacobian,
        )
        for step in (1.0, 0.5)
    )
    moved = MetricField.from_function(grid, pulled)
    ricci = to_numpy(moved.ricci(order))
    error = max(_difference_error(pulled, moved, order, ricci), largest(fine - coarse)[0])
    rounding *= float(np.abs(jacobian).sum(axis=0).max()) ** 2
    _compare(report, "diffeomorphism", moved, order, coarse, 20 * error + rounding)


def _libraries(
    report: CheckReport, g: MetricField, order: Order, ricci: np.ndarray, bound: float
) -> None:
    for name in ("numpy", "torch", "array_api_strict"):
        module = sys.modules.get(name)
        if module is None:
            continue
        values = module.asarray(np.array(to_numpy(g.packed)))
        other = MetricField.from_packed(g.grid, values, check=False)
        value, where = largest(to_numpy(other.ricci(order)) - ricci)
        report.add(f"array library {name}: change of Ric", value, bound, where)
