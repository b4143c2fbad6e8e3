r"""One stretch of a flow towards a singularity, in lengths that shrink with it.

Ricci flow of g(t) is the same as that of G = g / rho^2 in the time tau, dt = rho^2 dtau, with the
term 2 c G added, where rho = e^(-c tau): any number c will do. In the variables of ``flow``, the
only change is U' + c. With the c that keeps the largest curvature of G as it is, a round sphere
stands still, a neck almost does, and so does a cap that flattens (c is negative there): steps are
as long as the change of shape allows. In the plain time they would shrink with what is left of it,
or grow with what is past.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..integrators import Integration, integrate
from .flow import RotationalFlow
from .metric import RotationalMetric

# Lengths of a stretch in tau, in units of 1 / (n largest curvature). Within the first one a
# cylinder or sphere of that curvature does not vanish; the last one is reached where the largest
# curvature stays as it is in the lengths that shrink.
_SHORTEST, _LONGEST, _GROWTH = 0.35, 3.0, 2.0
# By which logarithm lengths may shrink or grow in a stretch: what is kept of it should be dense.
_TURN = 1.0
# By which logarithm the largest curvature may change for the next stretch to be longer.
_STEADY = 0.15
# The curvature at which a stretch ends early, over that at its start.
_SHARPER = 2.0
# A stretch ends this close to the length that was asked for, as a logarithm, at the least.
_CLOSE = 0.05


@dataclass(frozen=True)
class Stretch:
    """One integration of a part of a flow, and how to read it.

    Attributes
    ----------
    run : Integration
        In the time tau, of states in the lengths that shrink.
    rate : float
        c, 1 / length^2.
    """

    run: Integration
    rate: float

    def durations(self, kept: list[int]) -> list[float]:
        """The times t between states of the run, from its start on; none is a difference."""
        tau = self.run.t[[0, *kept]]
        parts = np.diff(tau)
        if self.rate:
            parts = -np.expm1(-2 * self.rate * parts) / (2 * self.rate)
            parts = parts * np.exp(-2 * self.rate * tau[:-1])
        return [float(part) for part in parts]

    def state(self, index: int) -> np.ndarray:
        """A state of the run, in the unit of length of its start."""
        state = np.array(self.run.y[index])
        state[0] -= self.rate * float(self.run.t[index])
        return state


class Pace:
    """How far the stretches of a part go.

    Parameters
    ----------
    flow : RotationalFlow
    method, rtol
        As in ``solve``.
    """

    def __init__(self, flow: RotationalFlow, method: str, rtol: float) -> None:
        self.flow, self.method, self.rtol = flow, method, rtol
        self._length = _SHORTEST
        self._rate: float | None = None  # c over the largest curvature

    def follow(
        self, metric: RotationalMetric, time: float, shrink: float, max_steps: int
    ) -> Stretch:
        """Integrate from a metric.

        Parameters
        ----------
        metric : RotationalMetric
        time : float
            The largest time t of the stretch, length^2.
        shrink : float
            The largest part by which lengths need to shrink, as a logarithm.
        max_steps : int
        """
        flow = self.flow
        K0, K1 = metric.sectional_curvatures()
        size = np.maximum(np.abs(K0), np.abs(K1))
        at = int(size.argmax())
        top = float(size[at])
        c = float(K0[at] + (metric.n - 1) * K1[at]) if self._rate is None else self._rate * top
        span = self._length / (metric.n * top)
        if c > 0:
            span = min(span, max(shrink, _CLOSE) / c)
        if c:
            span = min(span, _TURN / abs(c))
        if 2 * c * time < 1:
            span = min(span, -math.log1p(-2 * c * time) / (2 * c) if c else time)

        def rate(t: float, state: np.ndarray) -> np.ndarray:
            result = flow(t, state)
            result[0] += c
            return result

        def sharper(t: float, state: np.ndarray) -> float:
            there = RotationalMetric.from_state(metric.operators, metric.n, state)
            return math.log(there.largest_curvature() / (_SHARPER * top))

        sharper.terminal, sharper.direction = True, 1  # type: ignore[attr-defined]
        run = integrate(
            rate,
            metric.state,
            (0.0, span),
            self.method,
            spectral_radius=flow.spectral_radius,
            rtol=0.0,  # of logarithms, see ``solve``
            atol=self.rtol,
            events=sharper,
            max_steps=max_steps,
        )
        if run.t[-1] > 0:
            end = RotationalMetric.from_state(metric.operators, metric.n, np.asarray(run.y[-1]))
            change = math.log(end.largest_curvature() / top)
            steady = abs(change) < _STEADY
            self._length = min(_LONGEST, _GROWTH * self._length) if steady else _SHORTEST
            # With this c the curvature would have stayed as it was.
            self._rate = (c + change / (2 * float(run.t[-1]))) / (top * math.exp(change / 2))
        return Stretch(run, c)
