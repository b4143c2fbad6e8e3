"""
A sphere without any symmetry becomes round
===========================================

Hamilton and Chow: on every sphere S^2 the normalised Ricci flow g' = (mean(R) - R) g converges to a
metric of constant curvature. On a surface the flow stays in its conformal class, g = e^(2u) g_0, so
that one function u tells everything (``rl.conformal``).

Predicted, for the area 4 pi: in the end the slowest mode, l = 2, decays like e^(-4 t). Measured:
the largest relative difference of K from its mean, over time.
"""

import matplotlib.pyplot as plt
import numpy as np

from riemann_lne.conformal import ConformalMetric, Sphere, solve

# %%
# A start without symmetry, negatively curved in places, scaled to the area 4 pi.
sphere = Sphere(24)


def lumps(x, y, z):
    """The logarithm of the conformal factor."""
    return 0.45 * x * y + 0.4 * z**3 - 0.35 * y * y * z + 0.25 * x * z


start = ConformalMetric.from_function(sphere, lumps)
start = ConformalMetric(sphere, start.u - np.log(start.area() / (4 * np.pi)) / 2)
times = np.linspace(0, 3, 61)
flow = solve(start, (0, 3), normalized=True, t_eval=times, rtol=1e-8)
print(f"{flow.message}: {flow.nfev} right-hand sides, {flow.n_accepted} steps")
print(f"K of the start from {start.curvature().min():.2f} to {start.curvature().max():.2f}")
print(f"area over that of the start, less 1: {flow[-1].area() / start.area() - 1:.1e}")

# %%
# Four moments. A point of the unit sphere is drawn at the distance e^u, the factor by which lengths
# are scaled there (this is no isometric embedding); the colour is the curvature. The limit is
# round, although e^u is not constant: it is the factor of a Moebius transformation.


def closed(values):
    """Values with both poles and the first meridian repeated."""
    values = np.concatenate([values, values[:, :1]], axis=1)
    north, south = (np.full((1, values.shape[1]), row.mean()) for row in (values[0], values[-1]))
    return np.concatenate([north, values, south])


moments = (0, 2, 8, 60)
curvatures = [closed(flow[k].curvature()) for k in moments]
norm = plt.Normalize(-1, 3)
figure, axes = plt.subplots(1, 4, figsize=(11, 3.0), subplot_kw={"projection": "3d"})
for ax, k, K in zip(axes, moments, curvatures, strict=True):
    points = [closed(np.exp(flow[k].u) * x) for x in sphere.coordinates]
    colours = plt.get_cmap("viridis")(norm(K))
    ax.plot_surface(*points, facecolors=colours, rstride=1, cstride=1, shade=False,
                    linewidth=0, antialiased=False)  # fmt: skip
    ax.set_title(f"t = {times[k]:.1f}\nK from {K.min():.3g} to {K.max():.3g}", fontsize=10)
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), zlim=(-1.3, 1.3))
    ax.set_box_aspect((1, 1, 1), zoom=1.5)
    ax.view_init(20, -55)
    ax.set_axis_off()
figure.subplots_adjust(left=0.01, right=0.9, bottom=0, top=0.84, wspace=0)
bar = figure.add_axes((0.92, 0.2, 0.012, 0.6))
figure.colorbar(plt.cm.ScalarMappable(norm, "viridis"), cax=bar, extend="both", label="K")

# %%
# The distance to constant curvature, and Hamilton's entropy where K > 0, with their slopes.
distance = np.array([g.distance_to_constant_curvature() for g in flow])
positive = np.array([k for k, g in enumerate(flow) if g.curvature().min() > 0])
entropy = np.array([flow[k].entropy() for k in positive])
figure, ax = plt.subplots(layout="constrained", figsize=(6, 3.6))
ax.semilogy(times, distance, label=r"$\max |K - \overline{K}| / \overline{K}$")
ax.semilogy(times[positive], entropy, label="entropy")
for rate, values, style in ((4, distance, "k--"), (8, entropy, "k:")):
    line = values[-1] * np.exp(-rate * (times - times[-1]))
    ax.semilogy(times, line, style, lw=1, label=f"$e^{{-{rate}t}}$")
ax.set_ylim(1e-9, 30)
ax.set_xlabel("t")
ax.legend(frameon=False)
late = times > 1.5
slope = -np.polyfit(times[late], np.log(distance[late]), 1)[0]
print(f"measured rate for t > 1.5: {slope:.3f}")
