"""
Geodesics of weight space
=========================

The metric ``g = I - t t^T``, ``t = tanh(tau x)``, is that of a surface in Minkowski space, curved
negatively and with an end at ``|t|^2 = 1``; the Hessian metric ``diag(sech^2(tau x))`` is flat. Two
weights are enough to see the difference.

Predicted: geodesics of the first bend towards the origin between their ends, because their
acceleration ``(sum_i D_i x'_i^2) t / s`` points away from it; those of the second do not feel the
end at ``|t|^2 = 1``. Angles of a triangle add up to less than 180 degrees for the first metric and
to 180 for the second. Measured: the geodesics by integration, the angles from logarithms.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

# %%
# A triangle with its corners near the end of weight space.
tau = 1.0
metrics = {"LNE (Eq. 16)": rl.LNEMetric(tau), "Hessian": rl.HessianLNEMetric(tau)}
corners = np.arctanh(0.93 * np.array([[0.92, 0.39], [-0.8, 0.6], [-0.1, -0.99]])) / tau


def angle(metric, at, one, two):
    """Angle at a corner between the geodesics to two others, in degrees."""
    u, v = metric.log(at, one), metric.log(at, two)
    cosine = (
        u @ metric.apply(at, v) / np.sqrt((u @ metric.apply(at, u)) * (v @ metric.apply(at, v)))
    )
    return np.degrees(np.arccos(cosine))


for name, metric in metrics.items():
    angles = [angle(metric, *np.roll(corners, -k, axis=0)) for k in range(3)]
    print(f"{name:13s} angles {np.round(angles, 2)}, sum {sum(angles):.4f} degrees")

# %%
# The distance of two corners, against the length of the straight line between them.
lne = metrics["LNE (Eq. 16)"]
x, y = corners[:2]
share = np.linspace(0, 1, 20001)[:, None]
line = (1 - share) * x + share * y
step, middle = np.diff(line, axis=0), (line[1:] + line[:-1]) / 2
squares = np.sum(step * lne.apply(middle, step), axis=-1)
print(f"straight line: inside everywhere {bool(np.all(lne.is_positive_definite(line)))}")
print(f"geodesic distance {lne.distance(x, y):.9f}, straight line {np.sum(np.sqrt(squares)):.9f}")

# %%
# The picture: geodesics between the corners, and geodesic rays from the origin with marks at equal
# distances.
figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained", sharex=True, sharey=True)
angles = np.linspace(0, 2 * np.pi, 1001)
edge = np.arctanh((1 - 1e-9) * np.stack([np.cos(angles), np.sin(angles)], axis=-1)) / tau
times = np.linspace(0, 1, 101)
for axis, (name, metric) in zip(axes, metrics.items(), strict=True):
    axis.plot(*edge.T, color="0.4", linestyle="--", linewidth=1, label="$|t|^2 = 1$")
    for k in range(3):
        start, end = corners[k], corners[(k + 1) % 3]
        path = metric.geodesic(start, metric.log(start, end), times)
        axis.plot(*path.T, color="C0", label="geodesics" if k == 0 else None)
        axis.plot(*np.stack([start, end]).T, ":", color="0.6", linewidth=1)
    for direction in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        v = 0.72 * np.array([np.cos(direction), np.sin(direction)])
        ray = metric.geodesic(np.zeros(2), v, times)
        axis.plot(*ray.T, color="C1", linewidth=0.8)
        axis.plot(*ray[::20].T, ".", color="C1", markersize=4)
    axis.plot([], [], ".-", color="C1", linewidth=0.8, label="rays, marks at equal distances")
    axis.plot(*corners.T, "o", color="C0")
    axis.set_aspect("equal")
    axis.set_xlim(-2.2, 2.2)
    axis.set_ylim(-2.2, 2.2)
    axis.set_xlabel("$x_1$ (unit of the weights)")
    axis.set_title(name)
axes[0].set_ylabel("$x_2$ (unit of the weights)")
figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
)
plt.show()

# %%
# A million weights: the same functions, in seconds.
rng = np.random.default_rng(0)
w, v = rng.normal(size=(2, 1_000_000)) * 5e-4
print(f"|t|^2 = {lne.norm2(w):.3f}, after the geodesic {lne.norm2(lne.exp(w, v)):.3f}")
