"""
Three-manifolds without rotational symmetry: Gowdy's three-torus and Nil
========================================================================

Conboye (arXiv 1806.00095) flowed a Gowdy metric on the three-torus and a left-invariant metric on
Nil, and compared with a solution of the reduced equations and with the closed solution. Both
comparisons are made here; the numbers at the start are ours.

Predicted: for e^(2a) dx^2 + e^w dy^2 + e^(-w) dz^2, with functions of x, Ricci flow is
w' = w_ss and a' = w_s^2 / 2, d_s = e^(-a) d_x, and everything becomes flat; the Nil metric
f (a dx^2 + b dy^2) + (c / f) (dz - x dy)^2 has f = (1 + 3 c t / (a b))^(1/3). Measured: by the full
flow of a 3-D metric.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

import riemann_lne as rl

TIMES = np.linspace(0, 1.5, 16)


# %%
# Gowdy. The reduced equations, by Fourier differences and at tight tolerance.
def reduced(points=64):
    """x, and a and w at the times."""
    x = 2 * np.pi * np.arange(points) / points
    k = 1j * np.fft.rfftfreq(points, 1 / points)

    def slope(values):
        """Derivative along the circle, by Fourier modes."""
        return np.fft.irfft(k * np.fft.rfft(values), points)

    def rates(t, y):
        """Rates of a and w under the reduced equations."""
        a, w = y.reshape(2, points)
        first = slope(w) * np.exp(-a)
        return np.concatenate([first**2 / 2, np.exp(-a) * slope(first)])

    y = np.concatenate([0.2 * np.cos(x), 0.5 * np.sin(x)])
    found = solve_ivp(rates, (0, TIMES[-1]), y, "BDF", TIMES, rtol=1e-10, atol=1e-12)
    return x, found.y.T.reshape(len(TIMES), 2, points)


x, known = reduced()


# %%
# The full flow in three dimensions. In DeTurck's gauge the points move; the range of w and the
# length of the circle do not see that.
def flow(points):
    """The flow of the metric on a grid."""
    grid = rl.Grid.torus((points, 8, 8), lengths=2 * np.pi)

    def metric(x, y, z):
        """The start of the reduced equations as a metric in three dimensions."""
        w, zero = 0.5 * np.sin(x), 0 * x
        return [[np.exp(0.4 * np.cos(x)), zero, zero], [zero, np.exp(w), zero],
                [zero, zero, np.exp(-w)]]  # fmt: skip

    start = rl.MetricField.from_function(grid, metric)
    return rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, TIMES[-1]), "rkl2", TIMES, rtol=1e-8,
                         order=6)  # fmt: skip


solution = flow(24)
lengths = [np.sqrt(g.components[0, 0, :, 0, 0]).mean() for g in solution.metrics]
exact = np.exp(known[:, 0]).mean(axis=1)
print("length of the circle over 2 pi: largest difference", np.abs(lengths - exact).max())
twist = [np.ptp(np.log(g.components[1, 1] / g.components[2, 2])) / 2 for g in solution.metrics]

# %%
# Nil, on a box whose faces get the values of the closed solution.
nil = rl.exact.nil(1.0, 1.5, 2.0)
box = nil.grid(7)
run = rl.solve_flow(nil.field(0.0, box), rl.RicciDeTurckFlow(), (0, TIMES[-1]), "rkl2", TIMES,
                    rtol=1e-7, order=2, boundary=nil.metric)  # fmt: skip
R = np.array([float(g.scalar_curvature(2)[3, 3, 3]) for g in run.metrics])
R_known = np.array([float(nil.scalar_curvature(t, *(np.zeros(1),) * 3)[0]) for t in TIMES])
print("Nil, scalar curvature: largest relative difference", np.abs(R / R_known - 1).max())

# %%
# Points are the three-dimensional flow, lines the reduced equations and the closed solution.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
(points,) = left.plot(TIMES, lengths, "o", label="length of the circle / $2 \\pi$")
left.plot(TIMES, exact, color=points.get_color())
(points,) = left.plot(TIMES, twist, "s", label="range of w")
left.plot(TIMES, np.ptp(known[:, 1], axis=1), color=points.get_color())
left.set_title("Gowdy: w decays, the circle grows to its limit")
left.legend(frameon=False)
right.plot(TIMES, R, "o", label="measured")
right.plot(TIMES, R_known, label="closed solution")
right.set_title("Nil: scalar curvature (1 / length$^2$)")
right.legend(frameon=False)
for axes in (left, right):
    axes.set_xlabel("t (length$^2$)")
plt.show()
