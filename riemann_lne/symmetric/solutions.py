r"""Solutions and limits that are known: Bryant's soliton, King and Rosenau's, the neckpinch.

The round sphere (``round_sphere``) shrinks by r^2 = r_0^2 - 2 n t, and every metric here is a
``RotationalMetric`` to start from or to compare with.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from .. import checks
from ..arrays import host_numbers
from ..errors import ConvergenceError, InvalidArgumentError
from ..exact import rosenau
from ..finite import finite_result
from .metric import RotationalMetric
from .staggered import Staggered


def bryant_soliton(
    points: int, length: float = 6.0, curvature: float = 1.0, n: int = 2, order: int = 4
) -> RotationalMetric:
    r"""Bryant's steady soliton on R^(n+1), solved for as an ordinary differential equation.

    Ric + Hess f = 0 for g = ds^2 + psi^2 g_(S^n) and f = f(s):

        psi'' = (n - 1) (1 - psi'^2) / psi + f' psi',    f'' = n psi'' / psi,

    with psi(0) = 0, psi'(0) = 1, f'(0) = 0. Under Ricci flow it moves by diffeomorphisms alone. For
    n = 1 it is Hamilton's cigar, psi = tanh(c s) / c with c^2 = curvature / 2.

    Parameters
    ----------
    points : int
    length : float
        Of the piece 0 < s < length, in units of curvature^(-1/2).
    curvature : float
        K_0 = K_1 at the tip, 1 / length^2.
    n, order
        As for ``RotationalMetric``.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If an argument makes no sense.
    ConvergenceError
        If the equation cannot be integrated so far.

    Notes
    -----
    R. Bryant, unpublished (2005); B. Chow et al., The Ricci Flow: Techniques and Applications I,
    section 1.4.

    Examples
    --------
    >>> tip = bryant_soliton(60, n=3).pole_curvature()
    >>> bool(abs(tip[0] - 1) < 1e-4)
    True
    """
    K = checks.number(curvature, "curvature", above=0)
    end = checks.number(length, "length", above=0)
    n = checks.count(n, "n", least=1)
    space = Staggered("euclidean", points, end, order)
    s = space.x
    if not space.h < 1:
        raise InvalidArgumentError(
            f"length = {length}: {points} points are {space.h:.3g} radii of curvature of the tip "
            f"apart; give a shorter one, or more than {int(end)} points"
        )

    def slope(s: float, y: np.ndarray) -> list[float]:
        psi, psi_s, f_s = y
        psi_ss = (n - 1) * (1 - psi_s**2) / psi + f_s * psi_s
        return [psi_s, psi_ss, n * psi_ss / psi]

    first = min(0.01, float(s[0]))
    run = scipy.integrate.solve_ivp(
        slope, (first, end), _series(first, n), "DOP853", t_eval=s, rtol=1e-12, atol=1e-15
    )
    if not run.success or run.y.shape[1] != len(s):
        raise ConvergenceError(
            f"Bryant's soliton could not be integrated to {end}: {run.message}; give a shorter "
            "length"
        )
    scale = 1 / math.sqrt(K)
    phi = np.full(len(s), scale)
    return RotationalMetric(phi, scale * run.y[0], n, "euclidean", length=end, order=order)


def _series(s: float, n: int) -> list[float]:
    """psi, psi' and f' of the soliton with K = 1 close to its tip; error O(s^6)."""
    c = (13 * n + 3) / (120 * (n + 3))
    d = n * (20 * c - 1 / 6) / 3
    return [s - s**3 / 6 + c * s**5, 1 - s**2 / 2 + 5 * c * s**4, -n * s + d * s**3]


def king_rosenau(points: int, t: float, order: int = 4) -> RotationalMetric:
    r"""The solution of King and Rosenau on S^2, for t < 0: a sausage that becomes round.

    phi = 2 (sinh|t| / (2 + sin^2 x (cosh t - 1)))^(1/2), psi = phi sin x: conformal to the round
    sphere. For t -> -infinity two cigars far apart, for t -> 0 a round point of radius
    (2 |t|)^(1/2). In these coordinates Ricci flow needs no gauge; ``gauge="deturck"`` keeps them.

    Parameters
    ----------
    points : int
    t : float
        Time, negative, length^2.
    order : 4, 6 or 8

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If the time is not negative, or below -600, where cosh t overflows.

    Notes
    -----
    J. R. King, Physica D 64 (1993) 35; P. Rosenau, Phys. Rev. Lett. 74 (1995) 1056.

    Examples
    --------
    >>> round(king_rosenau(40, -1e-4).roundness(), 3)
    1.0
    """
    t = checks.number(t, "t")

    def phi(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(rosenau().sphere_factor(t, np.sin(x) ** 2)))

    return RotationalMetric.from_function(
        points, phi, lambda x: phi(x) * np.sin(np.minimum(x, math.pi - x)), 1, order=order
    )


@finite_result
def neckpinch_profile(s: np.ndarray, time_left: float, n: int = 2) -> np.ndarray:
    r"""Asymptotic radius of a nondegenerate neckpinch close to its neck, for T - t -> 0.

    psi = (2 (n - 1) (T - t))^(1/2) (1 + (sigma^2 - 2) / (8 L)), sigma = s / (T - t)^(1/2),
    L = -log(T - t), up to o(1 / L): for |sigma| bounded. So psi^2 / (2 (n - 1) (T - t)) at the neck
    is 1 - 1 / (2 L) + o(1 / L), and R_max (T - t) is n / 2 (1 - 1 / (2 L) + o(1 / L)): both limits
    are approached as slowly as a logarithm.

    Parameters
    ----------
    s : array
        Arclength from the neck, length.
    time_left : float
        T - t, below 1, in units of length^2: L depends on the unit, to the order left out.
    n : int
        Dimension of the spheres of symmetry, at least 2.

    Returns
    -------
    array, the shape of ``s``

    Raises
    ------
    InvalidArgumentError, DTypeError
        If an argument makes no sense.

    Notes
    -----
    S. Angenent and D. Knopf, Comm. Anal. Geom. 15 (2007) 773.

    Examples
    --------
    >>> ratio = neckpinch_profile(np.zeros(1), 1e-12) ** 2 / (2 * 1e-12)
    >>> bool(abs(ratio[0] - (1 - 1 / (2 * 12 * np.log(10)))) < 1e-4)
    True
    """
    s = host_numbers(s, "s")
    left = checks.number(time_left, "time_left", above=0)
    n = checks.count(n, "n", least=2)
    if left >= 1:
        raise InvalidArgumentError(f"time_left = {time_left}; the asymptotics are for T - t < 1")
    sigma = s / math.sqrt(left)
    return np.asarray(math.sqrt(2 * (n - 1) * left) * (1 - (sigma**2 - 2) / (8 * math.log(left))))
