"""
Positive Ricci curvature on S³, without symmetry
=================================================

A metric of positive Ricci curvature on a closed 3-manifold goes round under the normalised Ricci
flow (Hamilton 1982). Here it does so on S^3, from random starts that have no symmetry, in the full
three-dimensional flow; :ref:`the example before <sphx_glr_gallery_plot_positive_ricci.py>` has more
starts and digits, with rotational symmetry.

Predicted: the smallest eigenvalue of the Ricci tensor anywhere, over the largest anywhere, tends
to 1; the scalar curvature comes to be constant at the rate of the slowest modes, conformal ones of
degree l = 2: ``l (l + n - 1) - 2 (n - 1) = 4`` on the unit sphere, and ``4 / r^2`` where the volume
is that of a sphere of radius r. Measured: both, along two flows.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

# %%
# S^3 by two overlapping stereographic patches, and the flow in DeTurck gauge about the round
# metric.
sphere = rl.Atlas.sphere(3, 20)
flow = rl.NormalizedRicciFlow(rl.RicciDeTurckFlow(background=sphere.round()))
times = np.linspace(0, 0.6, 7)


def pinching(g):
    """Least over largest eigenvalue of the Ricci tensor on the sphere."""
    mixed = np.einsum("ij...,jk...->...ik", g.inverse(), g.ricci())
    values = np.linalg.eigvals(mixed).real
    return values.min() / values.max()


def unevenness(g):
    """L2 norm of the scalar curvature less its mean."""
    r, density = g.scalar_curvature(), g.volume_element()
    mean = sphere.integrate(r * density) / g.volume()
    return np.sqrt(sphere.integrate((r - mean) ** 2 * density))


runs = []
for seed in (0, 1):
    start = sphere.perturbed_round(0.3, seed)
    runs.append(rl.solve_flow(start, flow, (0, 0.6), "rkl2", times, rtol=1e-3, atol=1e-5))

# %%
# They go round. On these few points the curvature itself has an error of a few percent, which is
# where the ratio stops.
for run in runs:
    ratios = [pinching(g) for g in run.metrics]
    print("least / largest Ricci curvature:", np.round(ratios, 3))

# %%
# The rate at which the scalar curvature comes to be constant, before that error is reached.
measured, predicted = [], []
for run in runs:
    sizes = [unevenness(g) for g in run.metrics]
    fit = rl.fit_decay_rate(times, sizes, t_min=0.25, t_max=0.55)
    measured.append(sizes)
    predicted.append(4 * (2 * np.pi**2 / run[0].volume()) ** (2 / 3))
    print(f"rate {fit.rate:.3f}; of the slowest mode at this volume {predicted[-1]:.3f}")

# %%
# The picture.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
blue, orange = rl.plotting.COLOURS[:2]
for seed, (run, colour) in enumerate(zip(runs, (blue, orange), strict=True)):
    left.plot(times, [pinching(g) for g in run.metrics], "o-", color=colour, label=f"seed {seed}")
    right.semilogy(times, measured[seed], "o", color=colour, label=f"seed {seed}")
    guide = measured[seed][3] * np.exp(-predicted[seed] * (times - times[3]))
    right.semilogy(times, guide, "--", color=colour)
left.axhline(1, color="0.6", linewidth=0.8)
left.set_xlabel("t (length$^2$)")
left.set_ylabel("least / largest eigenvalue of Ricci")
left.legend(frameon=False)
right.set_xlabel("t (length$^2$)")
right.set_ylabel("L2 norm of R less its mean; slowest mode (dashed)")
right.legend(frameon=False)
