"""
From algebraic to exponential decay
===================================

A localised perturbation of a large torus does not know at first that the torus is closed.

Predicted: in the plane a localised perturbation spreads like heat, so that its L2 norm falls as
``t^(-n/4)``, here ``t^(-1/2)``. On a torus of side L this ends when the spreading bump reaches
itself, at a time of about ``(L / 2 pi)^2``; from then on the slowest mode is left, which decays
exponentially at the rate ``(2 pi / L)^2``. Measured: both on one run, for three sides.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl


def flow_of_a_bump(side):
    """Norms of the distance to the limit metric along the flow of a bump of width 1."""
    grid = rl.Grid.torus((round(2 * side),) * 2, lengths=side)
    bump = rl.MetricField.from_function(
        grid,
        lambda x, y: [
            [1 + 0.1 * np.exp(-((x - side / 2) ** 2 + (y - side / 2) ** 2)), 0],
            [0, 1],
        ],
    )
    times = np.geomspace(0.5, 6 * (side / (2 * np.pi)) ** 2, 40)
    flow = rl.solve_flow(
        bump, rl.RicciDeTurckFlow(), (0, 2.5 * times[-1]), t_eval=[*times, 2.5 * times[-1]]
    )
    limit = flow[-1].mean()
    return times, np.array([g.l2_distance(limit) for g in flow.metrics[:-1]])


# %%
# The three runs, with the slope of each in both regimes.
runs = {side: flow_of_a_bump(side) for side in (12.0, 24.0, 48.0)}
for side, (t, norm) in runs.items():
    rate = rl.fit_decay_rate(t, norm, t_min=0.6 * t[-1]).rate
    print(f"L = {side:.0f}: late rate {rate:.5f}, predicted {(2 * np.pi / side) ** 2:.5f}")
t, norm = runs[48.0]
early = rl.fit_power_law(t, norm, 0.5, 6, offset=0.25)  # a Gaussian of width 1 is heat of age 1/4
print(f"early exponent for L = 48: {early.exponent:.3f}, predicted -0.5")

# %%
# In logarithms of both axes a power of time is a straight line; the exponential bends away from
# it.
figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
for side, (t, norm) in runs.items():
    (points,) = axes.loglog(t, norm, "o", markersize=4, label=f"L = {side:.0f}")
    axes.axvline((side / (2 * np.pi)) ** 2, color=points.get_color(), linestyle=":", linewidth=1)
t, norm = runs[48.0]
axes.loglog(
    t, norm[12] * ((t + 0.25) / (t[12] + 0.25)) ** -0.5, "--", color="0.3", label="$t^{-1/2}$"
)
axes.set_ylim(1e-5, 0.3)
axes.set(xlabel="t (length$^2$)", ylabel="L2 distance to the limit", title="A bump on three tori")
axes.legend(frameon=False, title="dotted: $(L / 2\\pi)^2$")
plt.show()
