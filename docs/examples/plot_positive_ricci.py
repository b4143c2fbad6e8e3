"""
Positive Ricci curvature on S³, along a meridian
================================================

Hamilton (J. Differential Geom. 17 (1982) 255): under Ricci flow that keeps the volume, every metric
of positive Ricci curvature on a closed 3-manifold tends to constant curvature, exponentially. Here
with rotational symmetry, for which 48 points along a meridian are enough; :ref:`the next example
<sphx_glr_gallery_plot_hamilton_sphere.py>` does without it, on two patches of 20^3 points.

Predicted: Ricci stays positive; least over largest curvature tends to 1; near the round sphere of
radius r the slowest change that keeps the symmetry decays like e^(-4 t / r^2) (a conformal factor
of degree l decays at (l (l + 2) - 4) / r^2, and l = 2 is the slowest that is no change of
coordinates). Measured: from random starts with rotational symmetry.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl
from riemann_lne import symmetric

COUNT, POINTS = 8, 48


# %%
# Random spheres; those with negative Ricci curvature somewhere are left out.
def starts():
    """The first starts with positive Ricci curvature."""
    seed = found = 0
    while found < COUNT:
        g = symmetric.random_sphere(POINTS, 0.2, seed)
        if min(values.min() for values in g.ricci()) > 0:
            found += 1
            yield seed, g
        seed += 1


# %%
# In the time t / r^2, with r the radius of the round sphere of the same volume.
figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
for seed, g in starts():
    square = (g.volume() / (2 * np.pi**2)) ** (2 / 3)
    times = np.linspace(0, 2.4, 49) * square
    flow = symmetric.solve(g, (0, times[-1]), normalized=True, t_eval=times, rtol=1e-7)
    least = min(min(values.min() for values in m.ricci()) for m in flow.metrics) * square
    away = np.array([1 - m.roundness() for m in flow.metrics])
    rate = rl.fit_decay_rate(flow.t / square, away, 0.8, 1.6).rate
    print(f"start {seed}: least Ricci {least:.3f} / r^2, then round; rate {rate:.3f} / r^2")
    ax.semilogy(flow.t / square, away, label=f"start {seed}")
ax.semilogy([0.4, 2.0], 0.5 * np.exp(-4 * np.array([0.4, 2.0])), "k--", label="rate 4, predicted")
ax.set_xlabel("$t / r^2$")
ax.set_ylabel("1 - least / largest sectional curvature")
ax.legend(frameon=False, fontsize="small", ncols=2)
plt.show()
