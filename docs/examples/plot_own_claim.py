"""
Your own claim
==============

A statement of your own is checked like those of the paper: a function measures, and a verdict
follows from what it measured, once a guard has met a known answer.

The claims here: the Ricci flow keeps the volume of a torus; and, what holds in two dimensions in
its place, it keeps the integral of the scalar curvature at zero. Predicted by ``dV/dt = -integral
of R dV``: in two dimensions both hold, in three the volume grows. Measured: both, in both
dimensions.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl
from riemann_lne_validation.audit import Evidence, Measurement, claim, known_claims, run_claim


# %%
# The measurement: volumes along a flow, relative to the start.
def volumes(n, points):
    """Relative changes of the volume at the times of a run."""
    start = rl.perturbed_euclidean(rl.Grid.torus((points,) * n), amplitude=0.3, seed=1, modes=1)
    flow = rl.RicciDeTurckFlow()
    times = np.linspace(0, 1, 6)
    run = rl.solve_flow(start, flow, (0, 1), t_eval=times, observe={"V": rl.volume}, order=6)
    return np.array([rl.volume(g) for g in run.metrics]) / rl.volume(start) - 1


# %%
# The guard: a computation with a known answer, by the same functions.
def sausage_keeps_its_area(backend, n, points):
    """The area of an exact solution on a torus does not change, by Gauss and Bonnet."""
    sausage = rl.exact.periodic_sausage((1, 0))
    grid = sausage.grid(48)
    areas = [rl.volume(sausage.field(t, grid)) for t in (0.5, 1.0, 2.0)]
    error = float(np.ptp(areas) / areas[0])
    return Measurement(
        "area of the exact sausage at three times", error, 0.0, error, 1e-8, "rounding"
    )


@claim(
    "volume-is-kept",
    "an example",
    quick={"n": 2, "points": 24},
    full={"n": 2, "points": 48},
    guard=sausage_keeps_its_area,
)
def volume_is_kept(backend, n, points):
    """The Ricci flow keeps the volume of a torus.

    Measured: the largest relative change of the volume along a flow; predicted: zero.
    """
    change = float(np.abs(volumes(n, points)).max())
    return Evidence(
        Measurement("largest relative change of V", change, 0.0, change, 1e-5, "truncation")
    )


# %%
# ``riemann-lne verify --claims FILE`` runs such a file; here the same from Python, with two
# settings.
mine = known_claims()["volume-is-kept"]
outcomes = {n: run_claim(mine, overrides={"n": n, "points": 24}) for n in (2, 3)}
for n, outcome in outcomes.items():
    measured = outcome.evidence.claim
    print(f"n = {n}: {outcome.verdict}; V changes by {measured.measured:.1e}")
    guard = outcome.evidence.guard[0]
    print(f"       guard: {guard.statement}: {guard.error:.0e}")

# %%
# The volume along both flows.
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for n in (2, 3):
    axes.plot(
        np.linspace(0, 1, 6), 100 * volumes(n, 24), "o-", label=f"n = {n}: {outcomes[n].verdict}"
    )
axes.set(
    xlabel="t (length$^2$)",
    ylabel="change of the volume (%)",
    title="The Ricci flow keeps the volume",
)
axes.legend(frameon=False)
plt.show()
