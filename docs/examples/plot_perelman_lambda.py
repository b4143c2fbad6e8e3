"""
Perelman's lambda along a flow
==============================

lambda(g) is the lowest eigenvalue of ``-4 Laplacian + R``. Under the Ricci flow it never falls, and
rests only where the metric is Ricci-flat. On a torus it is at most 0.

Predicted: ``d lambda / dt`` is twice the integral of ``|Ric + nabla nabla f|^2 e^(-f) dV``, f the
minimiser of Perelman's F; lambda tends to 0 at twice the rate of the slowest mode of the metric,
since it is of second order in the distance to a flat one. Measured: lambda along a flow of a
perturbed 3-D torus, the slope of it, and its rate of decay.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl

# %%
# The flow, by Fourier derivatives. The DeTurck term changes the coordinates, and lambda does not
# depend on them.
grid = rl.Grid.torus((20, 16, 16), lengths=(9.0, 2 * np.pi, 6.0))
start = rl.perturbed_euclidean(grid, amplitude=0.3, seed=2, modes=1)
times = np.linspace(0, 6, 61)
flow = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 6), t_eval=times, order="fourier")
values = np.array([rl.perelman_lambda(g) for g in flow.metrics])
early = times < 1.55
rates = np.array([rl.perelman_lambda_rate(g) for g in flow.metrics[: early.sum()]])
falls = np.sum(np.diff(values) < 0)
print(f"lambda grows from {values[0]:.3e} to {values[-1]:.3e}, and falls {falls} times")

# %%
# The law for its growth. The slope is measured by central differences in time, which have an error
# of their own, a few percent where lambda changes fast.
slopes = np.gradient(values, times)[early][1:-1]
off = slopes / rates[1:-1] - 1
print(f"slope against the law: off by {off.min():+.1%} to {off.max():+.1%}")

# %%
# Its decay. On this uneven torus one mode is slower than all others.
slowest = rl.predicted_decay_rates(flow[-1])[0].rate
fit = rl.fit_decay_rate(times, -values, 4, 6)
print(f"rate of lambda {fit.rate:.4f}; twice that of the slowest mode {2 * slowest:.4f}")

# %%
# The picture.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
blue, orange = rl.plotting.COLOURS[:2]
left.plot(times[early], rates, "-", color=blue, label="the law, from one metric each")
left.plot(
    times[early][1:-1], slopes, "o", markersize=4, color=orange, label="slope of lambda, measured"
)
left.set_xlabel("t (length$^2$)")
left.set_ylabel("d lambda / dt (1 / length$^4$)")
left.set_title("lambda never falls", fontsize="medium")
left.legend(frameon=False, fontsize="small")
rl.plotting.plot_decay(
    times, {"-lambda": -values}, predicted={"-lambda": 2 * slowest}, window=(4, 6),
    ylabel="-lambda (1 / length$^2$)", ax=right,
)  # fmt: skip
plt.show()
