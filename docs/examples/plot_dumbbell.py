"""
A dumbbell, its neckpinch, and two round points
===============================================

Two bumps of S^3 joined by a thin neck. Under Ricci flow the neck pinches before the bumps vanish.
Angenent and Knopf proved for such necks, with T the time of the pinch,

psi^2 / (2 (n - 1) (T - t)) -> 1 and R_max (T - t) -> n / 2.

Predicted: both ratios rise towards 1, as slowly as 1 - 1 / (2 log(1 / (T - t))); after the cut both
parts become round. Measured: the ratios along the pinch, least over largest curvature at the end.
"""

import matplotlib.pyplot as plt
import numpy as np

from riemann_lne import plotting, symmetric

# %%
# The neck is followed to a thousandth of its start, cut there and closed with caps.
start = symmetric.dumbbell(120, neck=0.15, tilt=0.5)
history = symmetric.flow_with_surgery(start, rtol=1e-4)
for piece in history.pieces:
    last = piece.metrics[-1]
    print(
        f"piece {piece.index}: t = {piece.born:.6f} to {piece.t[-1]:.6f}, {piece.end}, "
        f"least / largest curvature at the end {last.roundness():.4f}"
    )
print("cap:", history.caps[0])

# %%
# Six moments. The colours are the scalar curvature.
pinch = history.pieces[0].t[-1]
ends = sorted(piece.t[-1] for piece in history.pieces[1:])
moments = [0.0, 0.9 * pinch, pinch, pinch + 0.1 * ends[0], 0.8 * ends[0], 0.5 * (ends[0] + ends[1])]
figure, axes = plt.subplots(3, 2, figsize=(9, 6), layout="constrained", sharex=True, sharey=True)
for ax, t in zip(axes.flat, moments, strict=True):
    plotting.draw_moment(history, t, ax=ax)
for ax in axes[:-1].flat:
    ax.set_xlabel("")

# %%
# The pinch.
ax = plotting.plot_neck(history)
ax.figure.set_size_inches(6, 3.6)

# %%
# Where the neck was and what is left of it: psi over arclength from the neck, both in units of
# (T - t)^(1/2), at three times, powers of ten apart. The profile becomes a cylinder, slowly.
piece = history.pieces[0]
left = piece.time_left()
figure, ax = plt.subplots(layout="constrained", figsize=(6, 3.6))
for target in (1e-4, 1e-5, 1e-6):
    k = int(np.argmin(np.abs(np.log(left / target))))
    g = piece.metrics[k]
    neck = min(g.necks(), key=lambda j: g.psi[j])
    scale = np.sqrt(left[k])
    sigma = (g.arclength() - g.arclength()[neck]) / scale
    near = np.abs(sigma) < 8
    ax.plot(sigma[near], g.psi[near] / scale, label=f"T - t = {left[k]:.1e}")
ax.axhline(np.sqrt(2), color="k", linestyle="--", label="cylinder")
ax.set_xlabel(r"$s / (T - t)^{1/2}$")
ax.set_ylabel(r"$\psi / (T - t)^{1/2}$")
ax.legend(frameon=False)
