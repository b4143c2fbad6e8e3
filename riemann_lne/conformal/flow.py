r"""Ricci flow in a conformal class, u_t = e^(-2u) (Lap_0 u - K_0) + c, for the coefficients of u.

g_t = -2 K g is all of Ricci flow on a surface: the metric stays in its conformal class, and the
equation is parabolic as it stands. c is 0, or 2 pi chi / A for the flow that keeps the area A.

The right-hand side is evaluated on the grid and projected on the basis. Its part of second order,
P e^(-2u) Lap_0, is similar to a symmetric operator (conjugate by the root of the Laplacian): its
eigenvalues are real, between -(largest e^(-2u)) times that of the Laplacian and 0, as the
stabilised methods need.
"""

from __future__ import annotations

import math

import numpy as np

from .. import checks
from ..integrators.methods.base import OneStep, State, Step, System
from ..integrators.methods.etd import advance, etdrk4_coefficients
from .surfaces import Sphere, Torus


class ConformalFlow:
    """Right-hand side of the flow for states of coefficients, and what integrators ask of it.

    Parameters
    ----------
    surface : Sphere or Torus
    normalized : bool
        Whether the area is kept.
    """

    def __init__(self, surface: Sphere | Torus, normalized: bool = False) -> None:
        self.surface = surface
        self.normalized = checks.flag(normalized, "normalized")
        self._most = float(np.abs(surface.laplacian).max())

    def __repr__(self) -> str:
        # Checkpoints compare runs by it.
        return f"ConformalFlow({self.surface!r}, normalized={self.normalized})"

    def __call__(self, t: float, state: np.ndarray) -> np.ndarray:
        """Time derivative of the coefficients."""
        return self.surface.analysis(self._rate(state)[0])

    def _rate(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u_t and e^(-2u) on the grid."""
        surface = self.surface
        u, lap = surface.synthesis(np.stack([state, surface.laplacian * state]))
        inverse = np.exp(-2 * u)
        rate = inverse * (lap - surface.K_0)
        if self.normalized and surface.euler:
            area = surface.area * surface.mean(1 / inverse)
            rate += 2 * math.pi * surface.euler / area
        return rate, inverse

    def spectral_radius(self, t: float, state: np.ndarray) -> float:
        """Bound of the largest eigenvalue of the right-hand side, 1 / time.

        The derivative in the direction v is e^(-2u) Lap_0 v - 2 u_t v, up to the normalisation.
        """
        rate, inverse = self._rate(state)
        return float(inverse.max()) * self._most + 2 * float(np.abs(rate).max())

    def mean_inverse(self, state: np.ndarray) -> tuple[float, float]:
        """Mean and largest value of e^(-2u)."""
        u = self.surface.synthesis(state[None])[0]
        inverse = np.exp(-2 * u)
        return self.surface.mean(inverse), float(inverse.max())


# Largest relative change of the constant factor before the splitting follows.
_LARGEST_DRIFT = 0.1


class ConformalETDRK4(OneStep):
    """ETDRK4 in the eigenfunctions of the Laplacian: a Lap_0 u is integrated exactly.

    The constant a is the mean of e^(-2u), but at least half of its largest value: a remainder that
    is stronger than the part integrated exactly would be unstable in long steps. The error estimate
    compares one step with two half steps, which are carried on.

    Parameters
    ----------
    flow : ConformalFlow
    state : ndarray
        The start.
    """

    name = "etdrk4"
    order = 4
    error_exponent = 5
    adaptive = True

    def __init__(self, flow: ConformalFlow, state: np.ndarray) -> None:
        self._flow = flow
        self._split(self._factor(state))

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        """The state one step later."""
        factor = self._factor(state.y)
        if abs(factor / self._a - 1) > _LARGEST_DRIFT:
            self._split(factor)
        t, v = state.t, state.y
        n_v = self.nonlinear(system, t, v)
        coarse = advance(self, system, t, v, n_v, dt)
        if not estimate:
            return Step(coarse)
        middle = advance(self, system, t, v, n_v, dt / 2)
        n_middle = self.nonlinear(system, t + dt / 2, middle)
        fine = advance(self, system, t + dt / 2, middle, n_middle, dt / 2)
        return Step(fine, None, (fine - coarse) * (1 / 15))

    def nonlinear(self, system: System, t: float, v: np.ndarray) -> np.ndarray:
        """The right-hand side less the part that is integrated exactly."""
        return np.asarray(system(t, v) - self.linear * v)

    def weights(self, dt: float, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """The coefficients e^(z/2), Q, f2 and f3 for a step; those of the last two are kept."""
        key = float(f"{dt:.12e}")
        if key not in self._weights:
            while len(self._weights) > 1:
                del self._weights[next(iter(self._weights))]
            _, e_half, q, _, f2, f3 = etdrk4_coefficients(self.linear, key)
            self._weights[key] = (e_half, q, f2, f3)
        return self._weights[key]

    def _factor(self, state: np.ndarray) -> float:
        mean, largest = self._flow.mean_inverse(state)
        return max(mean, largest / 2)

    def _split(self, factor: float) -> None:
        self._a = factor
        self.linear = factor * self._flow.surface.laplacian
        self._weights: dict[float, tuple[np.ndarray, ...]] = {}

    def memory(self) -> dict[str, np.ndarray]:
        """The constant of the splitting."""
        return {"factor": np.array(self._a)}

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Split as it was; the coefficients follow from that."""
        self._split(float(memory["factor"]))
