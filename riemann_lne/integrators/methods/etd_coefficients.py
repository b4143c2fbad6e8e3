"""The coefficients of ETDRK4, to rounding for every step and mode."""

from __future__ import annotations

import math

import numpy as np

from ...stencils import tile_points, tile_slices

# Below this the coefficients come from a power series, with as many terms as double precision has
# use for; above, the closed forms lose two digits at the most.
_NEAR_ZERO = 2.0
_PHI_3 = [1.0 / math.factorial(j + 3) for j in range(22)]


def etdrk4_coefficients(symbol: np.ndarray, dt: float) -> tuple[np.ndarray, ...]:
    """exp(z), exp(z/2) and dt times the functions Q, f1, f2, f3 of z = dt * symbol (real).

    Q = (e^(z/2) - 1) / z, f1 = (-4 - z + e^z (4 - 3 z + z^2)) / z^3,
    f2 = 2 (2 + z + e^z (z - 2)) / z^3, f3 = (-4 - 3 z - z^2 + e^z (4 - z)) / z^3.

    Near zero, where these cancel, f1 = phi_1 - 3 phi_2 + 4 phi_3, f2 = 2 phi_2 - 4 phi_3 and
    f3 = 4 phi_3 - phi_2, with phi_3 = sum_j z^j / (j + 3)!, phi_2 = 1/2 + z phi_3 and
    phi_1 = 1 + z phi_2.
    """
    z = dt * symbol
    e, half = np.exp(z), np.exp(z / 2)
    q, f1, f2, f3 = (np.empty_like(z) for _ in range(4))
    for block in tile_slices(z.shape, tile_points(z)):
        w = z[block]
        zero, near = w == 0.0, np.abs(w) < _NEAR_ZERO
        q[block] = np.where(zero, 0.5, np.expm1(w / 2) / np.where(zero, 1.0, w))
        small, large = np.where(near, w, 0.0), np.where(near, 1.0, w)
        square = large * large
        cube = square * large
        phi_3 = np.polynomial.polynomial.polyval(small, _PHI_3)
        phi_2 = 0.5 + small * phi_3
        phi_1 = 1.0 + small * phi_2
        parts = (
            (f1, phi_1 - 3 * phi_2 + 4 * phi_3, -4 - large, 4 - 3 * large + square),
            (f2, 2 * phi_2 - 4 * phi_3, 4 + 2 * large, 2 * large - 4),
            (f3, 4 * phi_3 - phi_2, -4 - 3 * large - square, 4 - large),
        )
        for f, series, without, with_e in parts:
            f[block] = np.where(near, series, (without + e[block] * with_e) / cube)
    for f in (q, f1, f2, f3):
        f *= dt
    return e, half, q, f1, f2, f3
