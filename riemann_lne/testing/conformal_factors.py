"""A constant-curvature metric times a conformal factor of a given size, without Hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from .. import checks
from ..conformal import ConformalMetric, Sphere, Torus
from ..conformal.metric import require_surface
from ..errors import InvalidArgumentError

# On a torus: the mode of a constant, then cosine and sine of the phase of each of these.
_WAVES = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2))
_DEGREES = 3
"""Largest degree on a sphere: 1, 3, 5 and 7 harmonics."""

_LOOKED_AT = 96
"""Longitudes, or phases along an axis, at which the size is looked for."""


def modes_of(surface: Sphere | Torus) -> int:
    """How many modes a conformal factor may have."""
    return (_DEGREES + 1) ** 2 if isinstance(surface, Sphere) else 1 + 2 * len(_WAVES)


def perturbed_conformal(
    surface: Sphere | Torus, size: float = 0.0, modes: Sequence[float] = ()
) -> ConformalMetric:
    r"""G = e^(2u) g_0 on a surface of constant curvature, (1 + size)^-1 g_0 <= g <= (1 + size) g_0.

    u is a sum of a few smooth functions, with max \|u\| = log(1 + size) / 2 over the whole surface,
    less than 2 % below it. On a sphere they are the harmonics of degree 0 to 3, 16 in all: in each
    degree l the one that depends on z alone, then for m = 1 to l those with cos(m phi) and
    sin(m phi). On a torus they are 1, then cosine and sine of six waves, 13 in all. g = g_0 where
    the size or all coefficients are 0. The points of the surface do not change the metric, only
    where it is evaluated.

    Parameters
    ----------
    surface : Sphere or Torus
        Carries g_0.
    size : float
        Not negative; dimensionless.
    modes : sequence of float
        Coefficients of the eigenfunctions in this order, at most 16 or 13; only their ratios
        matter.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If ``surface`` is none, the size is negative, a coefficient is not finite, or there are too
        many.

    Examples
    --------
    >>> from riemann_lne.conformal import Sphere
    >>> g = perturbed_conformal(Sphere(12), 0.1, (0.0, 0.0, 0.0, 0.0, 1.0, 0.5))
    >>> bool(0.098 < np.exp(2 * np.abs(g.u).max()) - 1 <= 0.1)
    True
    """
    surface = require_surface(surface)
    bound = math.log1p(checks.number(size, "size", least=0)) / 2
    given = checks.numbers(modes, "modes")
    if len(given) > modes_of(surface):
        raise InvalidArgumentError(
            f"modes has {len(given)} entries; give at most {modes_of(surface)} on {surface!r}"
        )
    top = max((abs(value) for value in given), default=0.0) or 1.0
    coefficients = [value / top for value in given]
    on_sphere = isinstance(surface, Sphere)
    # A trigonometric polynomial of degree d falls from its largest value like cos(d angle) at most.
    near = math.cos((_DEGREES if on_sphere else 2) * math.pi * math.sqrt(2) / _LOOKED_AT)
    highest = float(np.abs(_sum(coefficients, _reference(on_sphere))).max())
    scale = bound * near / highest if highest > 0 else 0.0
    fields = _on_sphere if on_sphere else _on_torus
    return ConformalMetric(surface, scale * _sum(coefficients, fields(*_points(surface))))


def _points(surface: Sphere | Torus) -> list[np.ndarray]:
    """Coordinates on the sphere, or phases in [0, 2 pi) on a torus."""
    if isinstance(surface, Sphere):
        return list(surface.coordinates)
    grid = surface.grid
    return [
        2 * np.pi * (x - low) / side
        for x, low, side in zip(grid.coordinates(), grid.lower, grid.lengths, strict=True)
    ]


@cache
def _reference(on_sphere: bool) -> list[np.ndarray]:
    """The functions at points that are the same for all surfaces of a kind."""
    angle = 2 * np.pi * np.arange(_LOOKED_AT) / _LOOKED_AT
    if not on_sphere:
        return _on_torus(*np.meshgrid(angle, angle, indexing="ij"))
    polar, angle = np.meshgrid(np.linspace(0.0, np.pi, _LOOKED_AT // 2 + 1), angle, indexing="ij")
    sine = np.sin(polar)
    return _on_sphere(sine * np.cos(angle), sine * np.sin(angle), np.cos(polar))


def _on_sphere(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    return [
        *(np.ones_like(x), z, x, y),
        *(3 * z * z - 1, x * z, y * z, x * x - y * y, x * y),
        *(z * (5 * z * z - 3), x * (5 * z * z - 1), y * (5 * z * z - 1)),
        *(z * (x * x - y * y), x * y * z, x * (x * x - 3 * y * y), y * (3 * x * x - y * y)),
    ]


def _on_torus(one: np.ndarray, two: np.ndarray) -> list[np.ndarray]:
    waves = [np.ones_like(one)]
    for j, k in _WAVES:
        waves += [np.cos(j * one + k * two), np.sin(j * one + k * two)]
    return waves


def _sum(coefficients: Sequence[float], fields: Sequence[np.ndarray]) -> np.ndarray:
    """The coefficients may be fewer than the fields."""
    return sum(
        (c * f for c, f in zip(coefficients, fields, strict=False) if c), np.zeros_like(fields[0])
    )
