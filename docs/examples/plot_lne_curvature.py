"""
The curvature of weight space
=============================

The paper states that the metric ``g = I - t t^T``, ``t = tanh(tau x)``, is Ricci-flat. Two
weights are enough to see that it is not.

Predicted by the closed form: the scalar curvature is ``-n (n - 1) tau^2`` at the origin, negative
everywhere, and falls without bound towards ``|t|^2 = 1``, the end of weight space. Measured: the
same curvature by differences of the metric on a grid, which know nothing of the closed form.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

tau, n = 1.0, 2
lne = rl.LNEMetric(tau)

# %%
# Differences of order 8 on a box inside of weight space.
grid = rl.Grid.box(-0.6, 0.6, (81, 81))


def components(x, y):
    """I - t t^T for two weights."""
    t, u = np.tanh(tau * x), np.tanh(tau * y)
    return [[1 - t * t, -t * u], [-t * u, 1 - u * u]]


by_differences = rl.MetricField.from_function(grid, components).scalar_curvature(order=8)
points = np.stack(grid.coordinates(), axis=-1)
closed = lne.scalar_curvature(points)
print(f"at the origin: {by_differences[40, 40]:.8f}; -n (n - 1) tau^2 = {-n * (n - 1) * tau**2}")
print(f"largest relative difference on the box: {np.abs(by_differences / closed - 1).max():.1e}")

# %%
# All of weight space for two weights, by the closed form.
x = np.linspace(-1.75, 1.75, 351)
plane = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
inside = lne.norm2(plane) < 0.995
curvature = np.full(inside.shape, np.nan)
curvature[inside] = lne.scalar_curvature(plane[inside])

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
levels = np.geomspace(2, 2e3, 13)
picture = left.contourf(x, x, -curvature.T, levels, norm="log", cmap="viridis", extend="max")
left.contour(x, x, lne.norm2(plane).T, [0.5, 0.995], colors="k", linewidths=[0.8, 1.2])
left.set_aspect("equal")
left.set(xlabel="$x_1$", ylabel="$x_2$", title="Two weights; lines: $|t|^2$ = 0.5 and the end")
bar = figure.colorbar(picture, ax=left, label="$-R$ (1 / unit of the weights$^2$)")
bar.set_ticks(levels[::4], labels=[f"{level:.0f}" for level in levels[::4]])

for size in (2, 10, 100, 1000):
    direction = np.random.default_rng(0).normal(size=size) / np.sqrt(size)
    norms = 1 - np.geomspace(0.999, 0.01, 40)
    values = []
    for norm2 in norms:
        metric = rl.LNEMetric(rl.auto_tau(direction, norm2))
        values.append(-metric.scalar_curvature(direction) / (size * (size - 1) * metric.tau**2))
    right.loglog(1 - norms, values, label=f"n = {size}")
right.invert_xaxis()
right.set(
    xlabel="$1 - |t|^2$",
    ylabel="$-R / (n (n - 1) \\tau^2)$",
    title="Along a line from the origin to the end",
)
right.legend(frameon=False)
plt.show()
