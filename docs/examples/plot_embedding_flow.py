"""
Surfaces of revolution as they flow
===================================

A rotationally symmetric 2-D metric E(x) dx^2 + G(x) dtheta^2 is a surface of revolution in space
wherever its circles grow no faster than the length along it, ``|dr/ds| <= 1``. So the Ricci flow of
such a metric can be looked at.

Predicted: the periodic sausage can be embedded from the time arsinh(1/2) = 0.4812 on. The Rosenau
solution closes up to a sphere of area ``-8 pi t``, long at first, round when it vanishes at t = 0.
Measured: the time from which the whole flowed sausage can be embedded; area and proportions of the
Rosenau solution along a flow.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl
from riemann_lne.analysis import embedding_profile

# %%
# The periodic sausage. It bulges at first, and ends as a flat cylinder. Where it is too steep for
# space it is left out, and the legend says "in part".
sausage = rl.exact.periodic_sausage((1, 0))
start = sausage.field(0.3, rl.Grid.torus((128, 8)))
times = np.concatenate([np.arange(0.3, 0.705, 0.01), [1.0, 1.5, 2.5]])
flow = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0.3, 2.5), t_eval=times)
whole = [bool(embedding_profile(g).embeddable.all()) for g in flow.metrics]
first = flow.t[whole.index(True)]
print(f"embeddable from t = {first:.2f} on; predicted {np.arcsinh(0.5):.4f}, outputs every 0.01")

figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
chosen = [int(np.argmin(abs(flow.t - t))) for t in (0.4, 0.5, 0.7, 1.0, 1.5, 2.5)]
rl.plotting.plot_profiles(flow, indices=chosen, ax=axes)
axes.set_title("Profiles of the periodic sausage, one period")
plt.show()

# %%
# One of them in space, with its scalar curvature.
figure = plt.figure(figsize=(6.4, 4.2), layout="constrained")
ax = figure.add_subplot(projection="3d")
rl.plotting.plot_embedding(flow, time=0.7, ax=ax)
plt.show()

# %%
# The Rosenau solution, on a cylinder whose angle has the period 4 pi. Its ends are held at the
# exact solution. They cut off two caps: their areas are added below, to first order; the length is
# without them, so that it tends to a little less than the width.
rosenau = rl.exact.rosenau()
grid = rl.Grid((49, 8), (-4.0, 0.0), (4.0, 4 * np.pi), (False, True))
t_eval = [-2.0, -1.5, -1.0, -0.7, -0.4, -0.2]
flow = rl.solve_flow(
    rosenau.field(-2.0, grid), rl.RicciDeTurckFlow(), (-2.0, -0.2), "rkl2", t_eval,
    boundary=rosenau.metric,
)  # fmt: skip
print(flow.message)
for t, metric in zip(flow.t, flow.metrics, strict=True):
    profile = embedding_profile(metric)
    # The caps beyond the ends of the grid, where v falls like e^(-|x|): small discs.
    caps = 2 * 4 * np.pi * float(metric.packed[0, -1, 0])
    print(
        f"t = {t:4.1f}: area / (-8 pi t) = {(rl.volume(metric) + caps) / (-8 * np.pi * t):.4f}, "
        f"length / width = {np.ptp(profile.z) / (2 * profile.r.max()):.3f}"
    )

figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
rl.plotting.plot_profiles(flow, ax=axes)
axes.set_title("Profiles of the Rosenau solution")
plt.show()

# %%
# A moving picture is one call more::
#
#     rl.plotting.animate(flow, "rosenau.gif", "embedding")
