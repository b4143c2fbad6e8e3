"""A round sphere plus a rotationally symmetric perturbation of a given size, without Hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from ..symmetric import RotationalMetric
from ..symmetric.staggered import Staggered

_LARGEST = 0.98
"""Bound of sizes: eigenvalues of gbar^-1 g stay above 0.02, as for ``perturbed``."""

# A trigonometric polynomial of degree d is at most 1 / cos(pi d / N) times its largest value at N
# equal steps of the circle (Ehlich and Zeller, Math. Z. 86, 1964). It is looked at in this many
# steps for each degree, so that the bound is 0.1 % from being met, and independent of the points.
_STEPS_A_DEGREE = 64


def perturbed_sphere(
    points: int,
    size: float = 0.0,
    spheres: Sequence[float] = (),
    meridians: Sequence[float] = (),
    n: int = 2,
    radius: float = 1.0,
    order: int = 4,
) -> RotationalMetric:
    r"""G = gbar + h on S^(n+1), gbar round and h rotationally symmetric with max |h| = ``size``.

    With p and q proportional to

        q ~ sum_k a_k cos(k x),   p ~ q + sin^2 x sum_k b_k cos(k x),

    the metric is r^2 ((1 + p) dx^2 + (1 + q) sin^2 x g_(S^n)), and max(\|p\|, \|q\|) over the whole
    interval is at most ``size``, less than 1 % below it: the sup norm of h in a frame that is
    orthonormal for gbar. p and q are even at both poles and agree there, so the metric is smooth.
    It is round where all coefficients or the size are 0, and does not depend on ``points``
    otherwise than by where it is evaluated.

    Parameters
    ----------
    points : int
        Cells of (0, pi); see ``RotationalMetric``.
    size : float
        In [0, 0.98]; dimensionless.
    spheres, meridians : sequence of float
        a_k and b_k, k = 0, 1, ...; only their ratios matter.
    n : int
        Dimension of the spheres of symmetry.
    radius : float
        r, a length.
    order : 4, 6 or 8
        Of the differences.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If the size is outside its range, a coefficient is not finite, the radius is not positive,
        or the points are too few.

    Examples
    --------
    >>> g = perturbed_sphere(48, 0.2, spheres=(0.0, 0.0, 1.0), meridians=(0.5,))
    >>> g.psi.max().round(3), g.roundness() < 1
    (np.float64(0.894), True)
    """
    bound = checks.number(size, "size", least=0)
    r = checks.number(radius, "radius", above=0)
    if bound > _LARGEST:
        raise InvalidArgumentError(
            f"size = {size}; at most {_LARGEST}: from 1 on, the sum may be no metric"
        )
    a, b = list(checks.numbers(spheres, "spheres")), list(checks.numbers(meridians, "meridians"))
    # Only ratios matter: no product of very large or small coefficients arises.
    top = max((abs(value) for value in (*a, *b)), default=0.0) or 1.0
    a, b = [value / top for value in a], [value / top for value in b]

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums of a and of b, before scaling."""
        sums = [
            sum((c * np.cos(k * x) for k, c in enumerate(values)), np.zeros_like(x))
            for values in (a, b)
        ]
        return sums[0], sums[1]

    degree = max(len(a), len(b) + 2)
    steps = _STEPS_A_DEGREE * degree
    # Both are even in x: half of the circle is enough.
    x = np.linspace(0.0, math.pi, steps // 2 + 1)
    q, v = parts(x)
    highest = float(np.abs([q, q + np.sin(x) ** 2 * v]).max())
    scale = bound * math.cos(math.pi * degree / steps) / highest if highest > 0 else 0.0
    # In the variables that are smooth at a pole nothing is left to be judged from the points.
    space = Staggered("sphere", points, None, order)
    q, v = (scale * part for part in parts(space.x))
    S2 = space.S**2
    U = math.log(r) + np.log1p(q) / 2
    b_of_x = np.log1p(S2 * v / (1 + q)) / (2 * S2)
    return RotationalMetric.from_state(space, checks.count(n, "n", least=1), np.stack([U, b_of_x]))
