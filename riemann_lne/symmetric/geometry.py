r"""Curvature of phi^2 dx^2 + psi^2 g_(S^n) in variables that are smooth at a pole.

With psi = e^U S and phi = e^(U + A), A = S^2 b where there is a pole (A = b where there is none),
smoothness of the metric at a pole is smoothness and evenness of U and b: psi is odd there, phi
even, and psi_s = e^(-A) = 1. Every quotient by S is taken in the formulas, none on the grid:

    lambda = delta U,  E = phi^(-2),  delta = S^(-1) d_x,
    K_1 = E ((e^(2A) - eps) / S^2 + k - 2 C lambda - S^2 lambda^2),
    D = (K_0 - K_1) / S^2
      = E (-delta lambda + lambda^2 - 2 k b + C delta b + lambda (2 C b + S^2 delta b)
           - (e^(2A) - eps - 2 A eps) / S^4),

with eps = 1 where there is a pole and 0 elsewhere (C^2 + k S^2 = eps). Derived by hand from
K_0 = -psi_ss / psi and K_1 = (1 - psi_s^2) / psi^2; a test derives them again by SymPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..coefficients import fd_weights
from .staggered import Staggered


@dataclass(frozen=True)
class Jet:
    """A state with its first and second derivatives, in cells and on faces.

    ``b``, ``U``, ``lam`` (delta U), ``db`` (delta b), ``E`` (phi^(-2)) in cells, the same with
    ``_faces`` on faces; ``K1`` and ``D`` in cells; ``expA`` is (e^(2A) - eps) / S^2.
    """

    U: np.ndarray
    b: np.ndarray
    lam: np.ndarray
    db: np.ndarray
    E: np.ndarray
    K1: np.ndarray
    D: np.ndarray
    b_faces: np.ndarray
    lam_faces: np.ndarray
    db_faces: np.ndarray
    E_faces: np.ndarray
    A_x_over_S: np.ndarray

    def radial(self, space: Staggered) -> np.ndarray:
        """Curvature of the planes that contain d_s."""
        return self.K1 + space.S**2 * self.D


def log_ratio(space: Staggered, b: np.ndarray, on_faces: bool = False) -> np.ndarray:
    """A = log(phi S / psi)."""
    if not space.poles:
        return b
    S = space.S_faces if on_faces else space.S
    return S * S * b


def exponential_part(space: Staggered, b: np.ndarray, A: np.ndarray, on_faces: bool) -> np.ndarray:
    """The quotient (e^(2A) - eps) / S^2; at a pole its limit 2 b."""
    if not space.poles:
        return np.asarray(np.exp(2 * A))
    if not on_faces:
        return np.asarray(np.expm1(2 * A) / (space.S * space.S))
    quotient = np.expm1(2 * A) * space.inverse_S2_faces
    quotient[space.pole_faces] = 2 * b[space.pole_faces]
    return np.asarray(quotient)


def jet(space: Staggered, state: np.ndarray) -> Jet:
    """Everything that curvature and flow need of a state, (2, N) with the rows U and b."""
    U, b = state
    faces, cells = len(space.faces), space.points
    F = space.at_faces @ np.ascontiguousarray(state.T)
    U_f, b_f, lam_f, db_f = F[:faces, 0], F[:faces, 1], F[faces:, 0], F[faces:, 1]
    c = space.at_cells @ np.stack([lam_f, db_f], axis=1)
    lam, db, dlam = c[:cells, 0], c[:cells, 1], c[cells:, 0]
    S2, C, k = space.S * space.S, space.C, space.k
    A, A_f = log_ratio(space, b), log_ratio(space, b_f, True)
    E, E_f = np.exp(-2 * (U + A)), np.exp(-2 * (U_f + A_f))
    exponential = exponential_part(space, b, A, on_faces=False)
    K1 = E * (exponential + k - 2 * C * lam - S2 * lam * lam)
    if space.poles:
        slope = 2 * C * b + S2 * db  # A_x / S
        # Terms of the size of b cancel here; the quotient has their rounding over S^2.
        rest = -2 * k * b + C * db - (exponential - 2 * b) / S2
    else:
        slope, rest = db, -exponential
    D = E * (-dlam + lam * lam + lam * slope + rest)
    return Jet(U, b, lam, db, E, K1, D, b_f, lam_f, db_f, E_f, slope)


def pole_curvature(space: Staggered, state: np.ndarray) -> np.ndarray:
    """K_0 = K_1 at each pole, by its limit e^(-2U) (2 b + k - 2 C delta U)."""
    F = space.at_faces @ np.ascontiguousarray(state.T)
    faces = len(space.faces)
    result = []
    for pole in range(space.poles):
        at = pole * (faces - 1)
        U, b, lam = _even_limit(state[0], pole), _even_limit(state[1], pole), F[faces + at, 0]
        result.append(np.exp(-2 * U) * (2 * b + space.k - 2 * space.C_faces[at] * lam))
    return np.array(result)


def _even_limit(values: np.ndarray, pole: int) -> float:
    """The value at a pole of an even function, by a polynomial in x^2 through eight cells."""
    near = values[:8] if pole == 0 else values[:-9:-1]
    weights = fd_weights(0, tuple((2 * j + 1) ** 2 for j in range(len(near))))
    return float(sum(float(w) * v for w, v in zip(weights, near, strict=True)))
