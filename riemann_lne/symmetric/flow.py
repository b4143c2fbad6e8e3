r"""Ricci flow of a rotationally symmetric metric, in a gauge that keeps the points in order.

In (U, b) of ``geometry`` and with the field V d_x = S w d_x along which the points move,

    U_t = -K_0 - (n - 1) K_1 + w (S^2 lambda + C) + c,
    b_t = -(n - 1) D + delta w + w A_x / S,

where c is 0, or the mean of R over n + 1 for the flow that keeps the volume. With w = 0 the system
is not parabolic: b has no second derivative of its own, and noise in the spacing of the points
grows. The DeTurck field with a round background (flat on R^(n+1), a product on S^n x S^1) is
w = E H,

    H = (1 - n) lambda + 2 C b + S^2 delta b + n C (e^(2A) - 1) / S^2,

and makes it parabolic, but pulls the points towards a round spacing: where the metric is far from
its background they run away. The other gauges follow the geometry: of H they take what varies from
point to point alone, which is what parabolicity needs, and move the points as a whole towards equal
parts of the integral of a monitor function M ds,

    w = E (H - smooth(H)) + (r / S) (x - L T(x) / T(L)),  T(x) = integral from 0 to x of M phi dx,

at a rate r of a few times the largest curvature. M = 1 is relative arclength. The usual monitor
is the root of the curvature, so that a neck has points in proportion to 1 / psi.
"""

from __future__ import annotations

import numpy as np

from .. import checks
from ..coefficients import fd_weights
from .geometry import Jet, exponential_part, jet, log_ratio
from .staggered import Staggered

GAUGES = ("monitor", "arclength", "deturck")
"""How points move: with curvature, with arclength, or by DeTurck's field of a fixed background."""

# Widths of smoothing, of H and of the monitor: in parts of the interval, so that the places of the
# points converge with their number, but at least in points. No other result depends on them.
_SMOOTH_H, _SMOOTH_MONITOR = (0.02, 4.0), (0.01, 6.0)
# The rate at which points move to their places, in units of the largest curvature.
_RATE = 4.0
# How much denser points are where the curvature is largest, beside its root alone.
_FOCUS = 2.0


class RotationalFlow:
    """Right-hand side of a flow for states (U, b), and the bound that explicit steps need.

    Parameters
    ----------
    space : Staggered
        The interval.
    n : int
        Dimension of the spheres of symmetry.
    gauge : "monitor", "arclength" or "deturck"
        How points move; see above.
    normalized : bool
        Whether the volume is kept: g' = -2 Ric + (2 / (n + 1)) mean(R) g.
    """

    def __init__(
        self, space: Staggered, n: int, gauge: str = "monitor", normalized: bool = False
    ) -> None:
        self.space, self.n = space, n
        self.gauge = checks.choice(gauge, "gauge", GAUGES)
        self.normalized = checks.flag(normalized, "normalized")
        self._smooth_h = space.lowpass(_width(space, _SMOOTH_H), on_faces=True)
        self._smooth_monitor = space.lowpass(_width(space, _SMOOTH_MONITOR), on_faces=False)
        self._stiffness = _stiffness(space, n)

    def __repr__(self) -> str:
        # Checkpoints compare runs by it.
        return (
            f"RotationalFlow({self.space!r}, n={self.n}, {self.gauge!r}, "
            f"normalized={self.normalized})"
        )

    def __call__(self, t: float, state: np.ndarray) -> np.ndarray:
        """Time derivative of a state, (2, N)."""
        space, n = self.space, self.n
        j = jet(space, state)
        K0 = j.radial(space)
        w = self._field(j, K0)
        cells = space.at_cells @ w
        w_cells, delta_w = cells[: space.points], cells[space.points :]
        rate = np.empty_like(state)
        rate[0] = -K0 - (n - 1) * j.K1 + w_cells * (space.S**2 * j.lam + space.C)
        rate[1] = -(n - 1) * j.D + delta_w + w_cells * j.A_x_over_S
        if self.normalized:
            rate[0] += self._mean(j, K0) / (n + 1)
        if space.space == "euclidean":
            # The outer end is held: the metric beyond it is not part of the problem.
            rate[:, -space.order // 2 :] = 0.0
        return rate

    def _field(self, j: Jet, K0: np.ndarray) -> np.ndarray:
        """The factor w of the points' velocity, on the faces."""
        space, n = self.space, self.n
        A = log_ratio(space, j.b_faces, on_faces=True)
        C, S2 = space.C_faces, space.S_faces**2
        if space.poles:
            H = (1 - n) * j.lam_faces + 2 * C * j.b_faces + S2 * j.db_faces
            H += n * C * exponential_part(space, j.b_faces, A, on_faces=True)
        else:
            H = (1 - n) * j.lam_faces + j.db_faces
        if self.gauge == "deturck":
            return np.asarray(j.E_faces * H)
        w = j.E_faces * (H - self._smooth_h(H))
        return np.asarray(w + self._rate(j) * space.divided(self.displacement(j, K0)))

    def _rate(self, j: Jet) -> float:
        return _RATE * float(np.abs(j.K1).max())

    def displacement(self, j: Jet, K0: np.ndarray) -> np.ndarray:
        """How far points are from equal parts of the monitor, x - L T(x) / T(L), on the faces."""
        space = self.space
        phi = 1 / np.sqrt(j.E)
        density = phi
        if self.gauge == "monitor":
            length = float(phi.sum()) * space.h
            squared = np.sqrt(K0 * K0 + j.K1 * j.K1)
            top = float(squared.max()) or 1.0
            monitor = 0.5 * np.log(squared + 1 / length**2)
            monitor += np.log1p(_FOCUS * np.sqrt(squared / top))
            density = phi * np.exp(self._smooth_monitor(monitor))
        T = np.concatenate([[0.0], np.cumsum(density)])
        result = np.append(space.faces, space.length)[: len(T)] if space.periodic else space.faces
        result = result - T * (space.length / T[-1])
        if space.periodic:
            # The origin of x is free on a circle: points do not turn as a whole.
            result = result[:-1] - result[:-1].mean()
        return np.asarray(result)

    def _mean(self, j: Jet, K0: np.ndarray) -> float:
        """Mean of R over the volume."""
        space, n = self.space, self.n
        A = log_ratio(space, j.b)
        element = np.exp((n + 1) * j.U + A) * space.S**n
        odd = bool(space.poles and n % 2)
        R = 2 * n * K0 + n * (n - 1) * j.K1
        parts = space.cell_integrals(R * element, odd)
        whole = space.cell_integrals(element, odd)
        return float(parts.sum() / whole.sum())

    def spectral_radius(self, t: float, state: np.ndarray) -> float:
        """Bound of the largest eigenvalue of the right-hand side, 1 / time."""
        j = jet(self.space, state)
        bound = float((j.E * self._stiffness).max())
        if self.gauge != "deturck":
            away = np.abs(self.displacement(j, j.radial(self.space))).max()
            bound += self._rate(j) * (1 + 2 * float(away) / self.space.h)
        return bound


def _width(space: Staggered, limits: tuple[float, float]) -> float:
    """A width in points, from a part of the interval and a least number."""
    part, least = limits
    return max(least, part * space.points)


def _stiffness(space: Staggered, n: int) -> np.ndarray:
    """Factors of E in the bound, (N,): of second differences, and of the terms at a pole.

    The symbol of the compact second difference is at most (sum |w| / h)^2. Near a pole b obeys
    b_xx + (n + 4) b_x / x, whose first cells are stiffer than the interior; a test compares the
    bound with eigenvalues.
    """
    offsets = tuple(range(1 - space.order, space.order, 2))
    first = 2 * sum(abs(float(w)) for w in fd_weights(1, offsets))
    cells = np.full(space.points, first**2)
    for pole in range(space.poles):
        from_pole = np.arange(space.points) + 0.5
        if pole:
            from_pole = from_pole[::-1]
        cells += 1.05 * (n + 2) / (1 + from_pole**2)
    return cells / space.h**2
