"""Explicit Runge-Kutta methods: the classical fourth-order one and embedded pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...arrays import Array
from .base import OneStep, State, Step, System
from .blockwise import Combination


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau of an explicit method; ``error`` are the weights of the embedded estimate."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    error: tuple[float, ...] | None
    order: int
    error_exponent: int
    real_stability: float
    """Length of the stability interval on the negative real axis."""


class ExplicitRungeKutta(OneStep):
    """One-step method of a tableau; if its last row is b, the last stage serves the next step."""

    def __init__(self, name: str, tableau: Tableau) -> None:
        self.name = name
        self.tableau = tableau
        self.order = tableau.order
        self.error_exponent = tableau.error_exponent
        self.adaptive = tableau.error is not None
        self._first_same_as_last = tableau.a[-1] == tableau.b[:-1] and tableau.b[-1] == 0.0
        self.returns_rate = self._first_same_as_last or self.adaptive

    def stable_step(self, radius: float) -> float:
        return self.tableau.real_stability / radius if radius > 0 else math.inf

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        tableau, t, y = self.tableau, state.t, state.y
        k = [system(t, y) if state.rate is None else state.rate]
        # All stages in one array, which becomes the new state.
        stage: Array | None = None
        for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
            stage = system.combination([*_scaled(row, k, dt), (1.0, y)], stage)
            if len(k) == len(tableau.b) - 1 and not self.returns_rate:
                terms = [*_scaled(tableau.b, k, dt), (1.0, y)]
                return Step(system.update(t + c * dt, stage, dt * tableau.b[-1], terms))
            k.append(system(t + c * dt, stage))
        if self._first_same_as_last:
            new, last = stage, k[-1]
        else:
            new, last = system.combination([*_scaled(tableau.b, k, dt), (1.0, y)], stage), None
        error = None
        if estimate and tableau.error is not None:
            error = Combination(_scaled(tableau.error, k, dt))
        return Step(new, last, error)


def _scaled(weights: tuple[float, ...], k: list[Array], dt: float) -> list[tuple[float, Array]]:
    """The terms of dt times a weighted sum of rates."""
    return [(dt * w, slope) for w, slope in zip(weights, k, strict=False) if w != 0.0]


RK4 = Tableau(
    a=((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    c=(0.0, 0.5, 0.5, 1.0),
    error=None,
    order=4,
    error_exponent=5,
    real_stability=2.785,
)
"""The classical method of order 4 (Kutta 1901)."""

BS32 = Tableau(
    a=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    c=(0.0, 1 / 2, 3 / 4, 1.0),
    error=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    order=3,
    error_exponent=3,
    real_stability=2.512,
)
"""Embedded pair of orders 3 and 2 (Bogacki & Shampine 1989)."""

# The last stage is the result of the step.
_TSIT5_LAST = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
)
TSIT5 = Tableau(
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ),
        _TSIT5_LAST,
    ),
    b=(*_TSIT5_LAST, 0.0),
    c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    error=(
        -0.00178001105222577714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        1 / 66,
    ),
    order=5,
    error_exponent=5,
    real_stability=3.5,
)
"""Embedded pair of orders 5 and 4 (Tsitouras 2011); a test checks its order conditions."""
