"""
Order of accuracy: Ricci of the periodic sausage
================================================

The periodic sausage v (dx^2 + dy^2), v = sinh s / (cosh s + cos(m.x)), ``s = |m|^2 t``, is an
exact solution of the Ricci flow; its Ricci tensor is known in closed form. With an oblique m every
mixed derivative takes part.

Predicted: differences of order p leave an error proportional to h^p in the spacing h; Fourier
derivatives one that falls faster than any power. Measured: the largest error of any component of
Ric over the grid, and the slope of log(error) against log(h) by ``check_order``.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

sausage = rl.exact.periodic_sausage((2, 1))
TIME = 0.3


def error(spacing: float, order: int | str) -> float:
    """Largest error of Ric on the torus of side 2 pi with the given spacing."""
    grid = sausage.grid(round(2 * math.pi / spacing))
    exact = sausage.ricci(TIME, *grid.coordinates())
    return float(np.abs(sausage.field(TIME, grid).ricci(order) - exact).max())


# %%
# Finite differences. The report is true if the slope is within 0.2 of the order.
spacings = 2 * math.pi / np.array([96, 128, 192, 256])
reports = {}
for order in (2, 4, 6, 8):
    reports[order] = rl.check_order(lambda h, p=order: error(h, p), spacings, expected=order)
    print(f"order {order}: slope {reports[order].order:.3f}, as expected: {bool(reports[order])}")

# %%
# The table that a report prints, for order 4:
print(reports[4])

# %%
# Fourier derivatives: the logarithm of the error is a straight line in the number of points until
# rounding takes over.
points = np.arange(24, 97, 8)
fourier = [error(2 * math.pi / size, "fourier") for size in points]
for size, value in zip(points, fourier, strict=True):
    print(f"{size:3d} points: {value:.1e}")

# %%
# The picture. Dashed lines have the predicted slope and go through the finest grid.
figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
for order, report in reports.items():
    label = f"order {order}: slope {report.order:.2f}"
    (dots,) = axes.loglog(report.steps, report.errors, "o", label=label)
    guide = report.errors[-1] * (spacings / spacings[-1]) ** order
    axes.loglog(spacings, guide, "--", color=dots.get_color(), linewidth=1)
axes.loglog(2 * math.pi / points, fourier, "k^-", linewidth=1, markersize=5, label="Fourier")
axes.set_xlabel("spacing h (length)")
axes.set_ylabel("largest error of $R_{ij}$ (1 / length$^2$)")
axes.set_title("Ricci tensor of the periodic sausage, m = (2, 1), t = 0.3")
axes.legend(fontsize="small", frameon=False)
plt.show()
