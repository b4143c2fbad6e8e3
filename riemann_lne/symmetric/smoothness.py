"""Whether a profile closes up smoothly at a pole: the condition that fails, and by how much."""

from __future__ import annotations

import numpy as np

from ..coefficients import fd_weights
from ..errors import InvalidArgumentError
from .staggered import Staggered

# The error of extrapolation to the pole is estimated by two more through fewer points (two agree
# now and then although both are wrong); a condition fails where it is missed by this many times as
# much.
_MARGIN = 30.0
# Rounding of the data, enlarged by extrapolation.
_ROUNDING = 1e-10


def require_smooth_poles(space: Staggered, phi: np.ndarray, psi: np.ndarray) -> None:
    """Raise InvalidArgumentError where (phi, psi) is no smooth metric at a pole of its interval."""
    # Logarithms one by one: quotients of very different lengths would overflow.
    logs = np.log(phi), np.log(psi) - np.log(space.S)
    ratio = logs[0] - logs[1]
    for pole in range(space.poles):
        place = f"x = {pole * space.length:.6g}"
        for name, values in zip(("phi", "psi / S(x)"), logs, strict=True):
            slope, doubt = _extrapolated(values, pole, even=False, derivative=1, h=space.h)
            if abs(slope) > _MARGIN * doubt + _ROUNDING / space.h:
                rule = "phi must be even" if name == "phi" else "psi must be odd"
                raise InvalidArgumentError(
                    f"the metric is not smooth at {place}: {rule} in the distance from the pole, "
                    f"but the logarithmic derivative of {name} is {slope:.3g} there instead of 0"
                )
        # The logarithm of 1 / psi_s at the pole.
        cone, doubt = _extrapolated(ratio, pole, even=True, derivative=0, h=space.h)
        if abs(cone) > _MARGIN * doubt + _ROUNDING:
            slope = np.exp(np.clip(-cone, -700, 700))
            raise InvalidArgumentError(
                f"the metric has a conical point at {place}: psi_s = {slope:.8g} there, a "
                f"smooth pole needs 1 (it differs by {abs(slope - 1):.3g}); scale phi or psi "
                "so that |d psi / dx| = phi at the pole"
            )


def _extrapolated(
    values: np.ndarray, pole: int, even: bool, derivative: int, h: float
) -> tuple[float, float]:
    """Value or slope at a pole, and how far those through one and two points fewer are apart."""
    near = values if pole == 0 else values[::-1]
    found = []
    for count in (7, 6, 5):
        nodes = tuple((2 * j + 1) ** 2 if even else 2 * j + 1 for j in range(count))
        weights = fd_weights(derivative, nodes)
        scale = 1.0 if even else (h / 2) ** derivative
        found.append(
            sum(float(w) * float(v) for w, v in zip(weights, near[:count], strict=True)) / scale
        )
    return found[0], max(found) - min(found)
