"""
Your own integrator
===================

An integrator is an object with a name, an order, and one method that makes a step. ``solve_flow``
and ``integrate`` take it as ``method=``, with their events, storage and checkpoints.

Predicted: Heun's third-order method leaves an error proportional to the cube of the step, Kutta's
classical one to its fourth power. Measured: errors against a run with a far smaller step.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl
from riemann_lne.integrators import OneStep, Step


# %%
# ``system.update(t, y, scale, terms)`` is scale times the right-hand side plus a sum of multiples
# of arrays, which a compiled kernel does in one pass.
class Heun(OneStep):
    """Heun's method of order 3."""

    name, order = "heun3", 3

    def step(self, system, state, dt, estimate):
        """One step of three stages."""
        t, y = state.t, state.y
        first = system(t, y)
        one = y + dt / 3 * first
        two = system.update(t + dt / 3, one, 2 * dt / 3, [(1.0, y)])
        return Step(system.update(t + 2 * dt / 3, two, 3 * dt / 4, [(1.0, y), (dt / 4, first)]))


# %%
# The same flow with both, and steps that shrink.
start = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), amplitude=0.3, seed=1, modes=2)


def end(method, dt):
    """The metric at t = 0.2, by equal steps."""
    flow = rl.RicciDeTurckFlow()
    return rl.solve_flow(start, flow, (0, 0.2), method=method, dt=dt, store="last")[-1]


reference = end("rk4", 0.2 / 512)
steps = 0.2 / np.array([16, 24, 32, 48, 64])
reports = {}
for label, method, order in (("Heun, yours", Heun(), 3), ("rk4, built in", "rk4", 4)):
    reports[label] = rl.check_order(
        lambda dt, m=method: float(np.abs(end(m, dt).components - reference.components).max()),
        steps,
        expected=order,
    )
    print(f"{label}: slope {reports[label].order:.2f}, as expected: {bool(reports[label])}")

# %%
# The errors, with lines of the slopes that the orders predict.
figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for (label, report), order in zip(reports.items(), (3, 4), strict=True):
    (dots,) = axes.loglog(report.steps, report.errors, "o", label=f"{label}: {report.order:.2f}")
    guide = report.errors[-1] * (steps / steps[-1]) ** order
    axes.loglog(steps, guide, "--", color=dots.get_color(), linewidth=1)
axes.set(
    xlabel="step (length$^2$)",
    ylabel="largest error of a component at t = 0.2",
    title="Slopes of the error",
)
axes.legend(frameon=False)
plt.show()
