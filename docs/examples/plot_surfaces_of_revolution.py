"""
Surfaces of revolution that stay in space
=========================================

Rubinstein and Sinclair (Experimental Mathematics 14 (2005) 257) drew the Ricci flow of surfaces of
revolution: a sphere with waists, rotated about an axis, that moves as a surface in space.

Predicted: a surface of revolution that lies in space goes on doing so, |psi_s| <= 1; the area falls
at the rate 8 pi (Gauss-Bonnet); on a surface no waist pinches, and all become round (Hamilton 1988,
Chow 1991). Measured: all three along one flow. The shape at the start is the one of their program
Ricci_rot, with coefficients chosen here.
"""

import matplotlib.pyplot as plt
import numpy as np

from riemann_lne import plotting, symmetric

start = symmetric.odd_sines(120, c3=0.766, c5=-0.091)
area = start.volume()
life = area / (8 * np.pi)
times = life * np.array([0, 0.04, 0.15, 0.4, 0.7, 0.97])
flow = symmetric.solve(start, (0, times[-1]), t_eval=times, rtol=1e-6)

# %%
# The three predictions.
for t, surface in zip(flow.t, flow.metrics, strict=True):
    print(
        f"t / T = {t / life:.2f}: area off by {surface.volume() / (area - 8 * np.pi * t) - 1:+.1e},"
        f" largest |psi_s| {np.abs(surface.psi_s()).max():.5f},"
        f" least / largest K {surface.roundness():+.4f}"
    )

# %%
# Six moments. The colours are the scalar curvature, 2 K.
figure, axes = plt.subplots(2, 3, figsize=(11, 3.8), layout="constrained", sharex=True, sharey=True)
for ax, t, surface in zip(axes.flat, flow.t, flow.metrics, strict=True):
    plotting.plot_revolution(surface, ax=ax, limit=100.0, colorbar=ax is axes[0, 2])
    ax.set_title(f"t = {t / life:.2f} T")
for ax in axes[0]:
    ax.set_xlabel("")
for ax in axes[:, 1:].flat:
    ax.set_ylabel("")
plt.show()
