"""Strategies of closed manifolds: rotationally symmetric spheres, and conformal surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..conformal import Sphere, Torus
from ..errors import InvalidArgumentError
from ..symmetric import dumbbell
from ._hypothesis import st
from .closed import perturbed_sphere
from .conformal_factors import modes_of, perturbed_conformal
from .recipes import DrawnConformalMetric, DrawnRotationalMetric, Recipe, rebuilt
from .spaces import Reals
from .strategies_own import drawn_from

_LEANS = 33
"""How many tilts are tried when a strategy of dumbbells is made."""

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def rotational_spheres(
    size: float = 0.1,
    n: int = 2,
    points: int = 48,
    radius: float = 1.0,
    modes: int = 3,
    order: int = 4,
    fixed_size: bool = False,
) -> SearchStrategy[DrawnRotationalMetric]:
    """Rotationally symmetric metrics on S^(n+1) near the round one, smooth at both poles.

    G = gbar + h with |h| <= ``size`` everywhere, in the sup norm of a frame orthonormal for gbar:
    ``perturbed_sphere`` with drawn coefficients. They shrink to the round sphere, and print as
    code.

    Parameters
    ----------
    size : float
        Largest size, in (0, 0.98]; dimensionless.
    n : int
        Dimension of the spheres of symmetry; that of the manifold is n + 1.
    points, radius, order
        As for ``perturbed_sphere``.
    modes : int
        Largest wave number of the coefficients along a meridian.
    fixed_size : bool
        Whether every perturbation has the full size, unless its coefficients are all 0.

    Returns
    -------
    strategy of DrawnRotationalMetric
        Metrics with a ``recipe``.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If an argument makes no sense.

    Examples
    --------
    >>> import math
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(rotational_spheres(0.2, n=1))
    ... def gauss_bonnet(g):
    ...     assert abs(g.integrals(g.scalar_curvature()).sum() / (8 * math.pi) - 1) < 1e-3
    >>> gauss_bonnet()
    """
    largest = checks.number(size, "size", above=0)
    checks.flag(fixed_size, "fixed_size")
    waves = checks.count(modes, "modes", least=0)
    fixed: dict[str, Any] = {"points": points, "n": n, "radius": radius, "order": order}
    perturbed_sphere(size=largest, **fixed)  # refuses here what would be refused at every draw
    coefficients = Reals(-1.0, 1.0, (waves + 1,))
    amount = largest if fixed_size else Reals(0.0, largest)
    return drawn_from(
        perturbed_sphere, **fixed, spheres=coefficients, meridians=coefficients, size=amount
    )


def dumbbells(
    min_neck: float = 0.1,
    max_neck: float = 0.4,
    tilt: float = 0.5,
    n: int = 2,
    points: int = 100,
    order: int = 4,
) -> SearchStrategy[DrawnRotationalMetric]:
    """Dumbbells on S^(n+1): two bumps joined by a neck, as ``symmetric.dumbbell`` makes them.

    The radius of the neck of the even dumbbell and the tilt of the bumps are drawn. They shrink
    to the widest neck between equal bumps, and print as code.

    Parameters
    ----------
    min_neck, max_neck : float
        0 < min_neck <= max_neck < 2/3; from there on psi has no minimum.
    tilt : float
        By how much the bumps may differ, in [0, 1], less for a wide neck.
    n, points, order
        As for ``symmetric.dumbbell``.

    Returns
    -------
    strategy of DrawnRotationalMetric
        Metrics with a ``recipe`` and exactly one neck.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If an argument makes no sense.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(dumbbells(0.2, 0.4))
    ... def has_a_neck(g):
    ...     assert len(g.necks()) == 1 and len(g.bumps()) == 2
    >>> has_a_neck()
    """
    low = checks.number(min_neck, "min_neck", above=0)
    high = checks.number(max_neck, "max_neck", above=0)
    most = checks.number(tilt, "tilt", least=0)
    # A thinner one has a neck if the widest has; the neck need not go as the tilt grows.
    leans = np.linspace(0.0, most, _LEANS)
    if low > high or any(len(dumbbell(points, high, a, n, order).necks()) != 1 for a in leans):
        raise InvalidArgumentError(
            f"min_neck = {min_neck}, max_neck = {max_neck}, tilt = {tilt}; give min_neck <= "
            "max_neck, and both so small that a neck is left: max_neck < 2/3, less with a tilt"
        )
    fixed = {"points": points, "n": n, "order": order}
    ranges = {"neck": (low, high), "tilt": (-most, most)}

    @st.composite
    def build(draw: DrawFn) -> DrawnRotationalMetric:
        # Hypothesis shrinks towards 0: by how much the neck is thinner than the widest.
        thinner = draw(st.floats(0.0, high - low, allow_subnormal=False))
        lean = draw(st.floats(-most, most, allow_subnormal=False))
        arguments = {"neck": max(low, high - thinner), "tilt": lean}
        made: DrawnRotationalMetric = rebuilt(Recipe(dumbbell, {**fixed, **arguments}, ranges))
        return made

    return build()


def conformal_metrics(
    surface: Sphere | Torus, size: float = 0.1, fixed_size: bool = False
) -> SearchStrategy[DrawnConformalMetric]:
    """Metrics e^(2u) g_0 on a sphere or torus near g_0, without any symmetry.

    (1 + size)^-1 g_0 <= g <= (1 + size) g_0 everywhere: ``perturbed_conformal`` with drawn
    coefficients. They shrink to g_0, the metric of constant curvature, and print as code.

    Parameters
    ----------
    surface : Sphere or Torus
        Of ``riemann_lne.conformal``; carries g_0.
    size : float
        Largest size, positive; dimensionless.
    fixed_size : bool
        Whether every perturbation has the full size, unless its coefficients are all 0.

    Returns
    -------
    strategy of DrawnConformalMetric
        Metrics with a ``recipe``.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If an argument makes no sense.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from riemann_lne.conformal import Sphere
    >>> @settings(max_examples=10, database=None)
    ... @given(conformal_metrics(Sphere(12), 0.2))
    ... def gauss_bonnet(g):
    ...     assert abs(g.total_curvature() / (4 * np.pi) - 1) < 1e-12
    >>> gauss_bonnet()
    """
    largest = checks.number(size, "size", above=0)
    checks.flag(fixed_size, "fixed_size")
    perturbed_conformal(surface, largest)  # refuses here what would be refused at every draw
    coefficients = Reals(-1.0, 1.0, (modes_of(surface),))
    amount = largest if fixed_size else Reals(0.0, largest)
    return drawn_from(perturbed_conformal, surface=surface, modes=coefficients, size=amount)
