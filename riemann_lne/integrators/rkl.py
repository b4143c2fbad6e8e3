"""RKL2: super-time-stepping of second order by shifted Legendre polynomials.

Meyer, Balsara & Aslam, J. Comput. Phys. 257 (2014) 594. With s stages the stable step is
(s^2 + s - 2) / 4 times that of forward Euler, so the cost of a diffusion time grows with the
square root of the stiffness instead of the stiffness.
"""

from __future__ import annotations

import math

from ..arrays import Array
from .base import Step, WithoutMemory
from .blockwise import Combination, combination
from .semidiscrete import SemiDiscreteFlow

# The bound is for the Laplacian frozen at the start of the step: leave room for what changes.
_MARGIN = 1.05


def stage_count(radius: float, dt: float) -> int:
    """Smallest odd s >= 3 with dt <= (2 / radius) (s^2 + s - 2) / 4.

    Odd counts damp the highest modes with one sign, which suppresses ripples in time.
    """
    s = math.ceil((math.sqrt(9 + 8 * radius * dt) - 1) / 2)
    return max(3, s + 1 - s % 2)


class RKL2(WithoutMemory):
    """Runge-Kutta-Legendre method of order 2.

    Parameters
    ----------
    stages : int, optional
        Fixed stage count (at least 2); by default the one the spectral-radius bound asks for.
    """

    name = "rkl2"
    order = 2
    error_exponent = 3
    adaptive = True
    returns_rate = True

    def __init__(self, stages: int | None = None) -> None:
        self.stages = stages

    def stable_step(self, radius: float) -> float:
        return math.inf  # the stage count grows with the step

    def step(
        self,
        system: SemiDiscreteFlow,
        t: float,
        y: Array,
        rate: Array | None,
        dt: float,
        estimate: bool,
    ) -> Step:
        s = self.stages or stage_count(_MARGIN * system.spectral_radius(y), dt)
        w = 4.0 / (s * s + s - 2)
        b = [1 / 3, 1 / 3, *((j * j + j - 2) / (2 * j * (j + 1)) for j in range(2, s + 1))]
        b[2] = 1 / 3
        first = system(t, y) if rate is None else rate
        older, old = y, combination([(1.0, y), (b[1] * w * dt, first)])
        c_older, c_old = 0.0, b[1] * w
        for j in range(2, s + 1):
            mu = (2 * j - 1) / j * b[j] / b[j - 1]
            nu = -(j - 1) / j * b[j] / b[j - 2]
            mu_rate = mu * w
            gamma_rate = -(1 - b[j - 1]) * mu_rate
            new = system.update(
                t + c_old * dt,
                old,
                mu_rate * dt,
                [(mu, old), (nu, older), (1 - mu - nu, y), (gamma_rate * dt, first)],
                # In place of the stage before the last, which is not needed again; the start is.
                out=None if j == 2 else older,
            )
            # The time of a stage obeys the recurrence of the stages themselves.
            c_older, c_old = c_old, mu * c_old + nu * c_older + mu_rate + gamma_rate
            older, old = old, new
        if not estimate:
            return Step(old)
        del older
        last = system(t + dt, old)
        # The estimate of Sommeijer, Shampine & Verwer (1998) for second-order stabilised methods.
        error = Combination([(0.8, y), (-0.8, old), (0.4 * dt, first), (0.4 * dt, last)])
        return Step(old, last, error)
