"""RKL2: super-time-stepping of second order by shifted Legendre polynomials.

Meyer, Balsara & Aslam, J. Comput. Phys. 257 (2014) 594. With s stages the stable step is
(s^2 + s - 2) / 4 times that of forward Euler, so the cost of a diffusion time grows with the
square root of the stiffness instead of the stiffness.
"""

from __future__ import annotations

import math

from ..arrays import Array
from ..checks import count
from ..errors import InvalidArgumentError
from .base import Step, WithoutMemory
from .blockwise import Combination, combination
from .semidiscrete import SemiDiscreteFlow
from .stepper import StepError

# The bound is for the Laplacian frozen at the start of the step: leave room for what changes.
_MARGIN = 1.05
# More of them only make a step so long that nothing can be seen, saved or interrupted within it.
MOST_STAGES = 999


def stage_count(radius: float, dt: float) -> int:
    """Smallest odd s >= 3 with dt <= (2 / radius) (s^2 + s - 2) / 4.

    Odd counts damp the highest modes with one sign, which suppresses ripples in time.
    """
    s = math.ceil((math.sqrt(9 + 8 * radius * dt) - 1) / 2)
    return max(3, s + 1 - s % 2)


def longest_step(radius: float, stages: int) -> float:
    """The step that so many stages are stable for, (2 / radius) (s^2 + s - 2) / 4."""
    return (stages * stages + stages - 2) / (2 * radius) if radius > 0 else math.inf


class RKL2(WithoutMemory):
    """Runge-Kutta-Legendre method of order 2.

    Parameters
    ----------
    stages : int, optional
        Fixed stage count (2 to 999); by default the one the spectral-radius bound asks for. Steps
        under error control are kept so short that they need at most 999; an equal step that needs
        more ends the flow with advice.
    """

    name = "rkl2"
    order = 2
    error_exponent = 3
    adaptive = True
    returns_rate = True

    def __init__(self, stages: int | None = None) -> None:
        self.stages = None if stages is None else count(stages, "stages", least=2)
        if self.stages is not None and self.stages > MOST_STAGES:
            raise InvalidArgumentError(f"stages = {stages}; at most {MOST_STAGES} are taken")

    def stable_step(self, radius: float) -> float:
        # The stage count grows with the step, up to its bound.
        return longest_step(_MARGIN * radius, MOST_STAGES)

    def step(
        self,
        system: SemiDiscreteFlow,
        t: float,
        y: Array,
        rate: Array | None,
        dt: float,
        estimate: bool,
    ) -> Step:
        s = self.stages or self._stages(system.spectral_radius(y), t, dt)
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

    @staticmethod
    def _stages(radius: float, t: float, dt: float) -> int:
        """The stage count of a step; StepError where it is out of bounds."""
        longest = longest_step(_MARGIN * radius, MOST_STAGES)
        if not dt <= longest:  # also if the radius is not finite
            raise StepError(
                f"the step of {dt:.4g} from t = {t:.6g} needs more than {MOST_STAGES} stages of "
                f"'rkl2', as the grid is fine for it (spectral radius {radius:.3g}); take dt below "
                f"{longest:.3g}, or leave dt out to have it adapted"
            )
        return stage_count(_MARGIN * radius, dt)
