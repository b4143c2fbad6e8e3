"""Stabilised Runge-Kutta methods of second order: RKL2 (Legendre) and RKG2 (Gegenbauer).

Meyer, Balsara & Aslam, J. Comput. Phys. 257 (2014) 594; Skaras, Saxton, Meyer & Aslam, J. Comput.
Phys. 425 (2021) 109879. With s stages the stable step grows with s^2, so the cost of a diffusion
time grows with the square root of the stiffness instead of the stiffness.

A step with s stages multiplies a mode with eigenvalue z / dt by R_s(z) = a_s + b_s P_s(1 + w z),
P_s the Legendre polynomial or the Gegenbauer polynomial C_s^(3/2), and every stage j by the same
with a_j, b_j and P_j. Second order asks for b_j = P_j'' / (P_j')^2 and w = P_s' / P_s'', both at 1,
and a_j = 1 - b_j P_j(1). The three-term recurrence of the polynomials becomes that of the stages.

The largest step puts the argument of P_s in [-1, 1]. With z = -2 (1 - cos x) / w, the symbol of the
second difference at that step, P_s(cos x) is a sum of cosines with positive weights: on a line
without ends both methods turn no positive state negative. At an end where the value is held at
zero, the weights must also fall with the distance. Those of C_s^(3/2) do, so that RKG2 does not
overshoot while a step has fewer stages than the axis has points; those of the Legendre polynomial
rise, and RKL2 can overshoot there.
"""

from __future__ import annotations

import math

from ...checks import count
from ...errors import InvalidArgumentError
from .base import OneStep, State, Step, StepError, System
from .blockwise import Combination

# The bound is for the Laplacian frozen at the start of the step: leave room for what changes.
_MARGIN = 1.05
# More of them only make a step so long that nothing can be seen, saved or interrupted within it.
MOST_STAGES = 999


class Stabilised(OneStep):
    """A method of second order from a family of orthogonal polynomials; see the module.

    Parameters
    ----------
    stages : int, optional
        Fixed stage count (2 to 999); by default the one the spectral-radius bound asks for. Steps
        under error control are kept so short that they need at most 999; an equal step that needs
        more ends the flow with advice.
    """

    order = 2
    error_exponent = 3
    adaptive = True
    returns_rate = True

    def __init__(self, stages: int | None = None) -> None:
        self.stages = None if stages is None else count(stages, "stages", least=2)
        if self.stages is not None and self.stages > MOST_STAGES:
            raise InvalidArgumentError(f"stages = {stages}; at most {MOST_STAGES} are taken")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.stages is None else self.stages})"

    # ---- the family of polynomials -----------------------------------------------------------

    @staticmethod
    def reach(stages: int) -> float:
        """Length 2 / w of the stability interval on the negative real axis."""
        raise NotImplementedError

    @staticmethod
    def stage_count(radius: float, dt: float) -> int:
        """Smallest odd s >= 3 with radius dt <= reach(s).

        Odd counts damp the highest modes with one sign, which suppresses ripples in time.
        """
        raise NotImplementedError

    @staticmethod
    def scales(stages: int) -> list[float]:
        """b_j for j = 0, ..., s. Those of 0 and 1, which no order condition fixes, are free."""
        raise NotImplementedError

    @staticmethod
    def recurrence(j: int) -> tuple[float, float]:
        """The numbers p, q of P_j = p x P_(j - 1) - q P_(j - 2)."""
        raise NotImplementedError

    @staticmethod
    def at_one(j: int) -> float:
        """P_j(1)."""
        raise NotImplementedError

    # ---- the step ----------------------------------------------------------------------------

    def stable_step(self, radius: float) -> float:
        # The stage count grows with the step, up to its bound.
        return self.longest_step(_MARGIN * radius, MOST_STAGES)

    @classmethod
    def longest_step(cls, radius: float, stages: int) -> float:
        """The longest stable step of a number of stages, reach / radius."""
        return cls.reach(stages) / radius if radius > 0 else math.inf

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        t, y = state.t, state.y
        s = self.stages or self._stages(system.spectral_radius(t, y), t, dt)
        w, b = 2.0 / self.reach(s), self.scales(s)
        first = system(t, y) if state.rate is None else state.rate
        start = self.recurrence(1)[0] * b[1] * w
        older, old = y, system.combination([(1.0, y), (start * dt, first)])
        c_older, c_old = 0.0, start
        for j in range(2, s + 1):
            p, q = self.recurrence(j)
            mu = p * b[j] / b[j - 1]
            nu = -q * b[j] / b[j - 2]
            mu_rate = mu * w
            gamma_rate = -(1 - b[j - 1] * self.at_one(j - 1)) * mu_rate
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

    def _stages(self, radius: float, t: float, dt: float) -> int:
        """The stage count of a step; StepError where it is out of bounds."""
        longest = self.longest_step(_MARGIN * radius, MOST_STAGES)
        if not dt <= longest:  # also if the radius is not finite
            raise StepError(
                f"the step of {dt:.4g} from t = {t:.6g} needs more than {MOST_STAGES} stages of "
                f"{self.name!r}, as the grid is fine for it (spectral radius {radius:.3g}); take "
                f"dt below {longest:.3g}, or leave dt out to have it adapted"
            )
        return self.stage_count(_MARGIN * radius, dt)


class RKL2(Stabilised):
    """Runge-Kutta-Legendre method of order 2: the longest steps for the number of stages.

    b_j = (j^2 + j - 2) / (2 j (j + 1)), w = 4 / (s^2 + s - 2).
    """

    name = "rkl2"

    @staticmethod
    def reach(stages: int) -> float:
        return (stages * stages + stages - 2) / 2

    @staticmethod
    def stage_count(radius: float, dt: float) -> int:
        s = math.ceil((math.sqrt(9 + 8 * radius * dt) - 1) / 2)
        return max(3, s + 1 - s % 2)

    @staticmethod
    def scales(stages: int) -> list[float]:
        b = [1 / 3, 1 / 3, 1 / 3]
        return b + [(j * j + j - 2) / (2 * j * (j + 1)) for j in range(3, stages + 1)]

    @staticmethod
    def recurrence(j: int) -> tuple[float, float]:
        return (2 * j - 1) / j, (j - 1) / j

    @staticmethod
    def at_one(j: int) -> float:
        return 1.0


class RKG2(Stabilised):
    """Runge-Kutta-Gegenbauer method of order 2: no overshoot at held ends, at shorter steps.

    b_j = 4 (j - 1) (j + 4) / (3 j (j + 1) (j + 2) (j + 3)), w = 6 / ((s + 4) (s - 1)): for many
    stages two thirds of the step of RKL2.
    """

    name = "rkg2"

    @staticmethod
    def reach(stages: int) -> float:
        return (stages + 4) * (stages - 1) / 3

    @staticmethod
    def stage_count(radius: float, dt: float) -> int:
        s = math.ceil((math.sqrt(25 + 12 * radius * dt) - 3) / 2)
        return max(3, s + 1 - s % 2)

    @staticmethod
    def scales(stages: int) -> list[float]:
        # With these the first stage is a step of Euler's method to the time of the second one.
        return [1.0, 1 / 3] + [
            4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3))
            for j in range(2, stages + 1)
        ]

    @staticmethod
    def recurrence(j: int) -> tuple[float, float]:
        return (2 * j + 1) / j, (j + 1) / j

    @staticmethod
    def at_one(j: int) -> float:
        return (j + 1) * (j + 2) / 2


def stage_count(radius: float, dt: float) -> int:
    """Stages that RKL2 takes: the smallest odd s >= 3 with dt <= (2 / radius) (s^2 + s - 2) / 4."""
    return RKL2.stage_count(radius, dt)


def longest_step(radius: float, stages: int) -> float:
    """The longest stable step of RKL2 with this many stages, (2 / radius) (s^2 + s - 2) / 4."""
    return RKL2.longest_step(radius, stages)
